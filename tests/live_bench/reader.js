// Reads the time code back from what is painted, every animation frame. `arguments[0]` is
// {picture, over, width, height, blocks, rows}: selectors of what shows the frame (a canvas or an
// img) and of the canvas above it, and the frame's own size and strip.
const given = arguments[0];
const bench = (window.nvBench = { samples: [], frames: 0, garbled: 0, running: true });
const own = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
let last = -1;

function strip() {
  const picture = document.querySelector(given.picture);
  if (!picture) return null;
  const at = given.height - given.rows / 2;
  if (picture.tagName === "IMG") {
    if (!picture.complete || !picture.naturalWidth) return null;
    own.canvas.width = given.width;
    own.canvas.height = 1;
    own.drawImage(picture, 0, at, given.width, 1, 0, 0, given.width, 1);
    return { data: own.getImageData(0, 0, given.width, 1).data, scale: 1, start: 0 };
  }
  const { scale = 1, left = 0, top = 0, frame } = picture.dataset;
  if (frame === undefined) return null;
  const [zoom, x, y] = [scale, left, top].map(Number);
  const first = Math.max(0, Math.floor(x));
  const wide = Math.min(picture.width - first, Math.ceil(zoom * given.width));
  if (wide < given.blocks) return null;
  const row = Math.min(picture.height - 1, Math.round(y + zoom * at));
  own.canvas.width = wide;
  own.canvas.height = 1;
  own.drawImage(picture, first, row, wide, 1, 0, 0, wide, 1);
  return { data: own.getImageData(0, 0, wide, 1).data, scale: zoom, start: x - first };
}

function code({ data, scale, start }) {
  const block = Math.floor(given.width / given.blocks);
  let [number, tick, sum, check] = [0, 0, 5, 0];
  for (let index = 0; index < given.blocks; index += 1) {
    const x = Math.round(start + scale * (index + 0.5) * block);
    const bit = data[4 * x] > 127 ? 1 : 0;
    if (index < 16) number = 2 * number + bit;
    else if (index < 44) tick = 2 * tick + bit;
    else check = 2 * check + bit;
  }
  for (const value of [number, tick]) for (let rest = value; rest > 0; rest = Math.floor(rest / 16)) sum ^= rest & 15;
  return sum === check ? { number, tick } : null;
}

function look() {
  if (!bench.running) return;
  requestAnimationFrame(look);
  bench.frames += 1;
  const seen = strip();
  if (!seen) return;
  const told = code(seen);
  if (!told) {
    bench.garbled += 1;
    return;
  }
  if (told.number === last) return;
  last = told.number;
  const now = performance.timeOrigin + performance.now();
  const overlay = given.over ? Number(document.querySelector(given.over)?.dataset.overlay ?? -1) : -1;
  const frame = given.over ? Number(document.querySelector(given.picture).dataset.frame) : -1;
  bench.samples.push([now, told.number, told.tick, frame, overlay]);
}
requestAnimationFrame(look);
