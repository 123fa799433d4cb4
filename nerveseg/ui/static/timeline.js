// The strip under the slider: what was known of the needle's tip on each frame, by colour and
// pattern, as far as the clip is analysed.

const MARGIN = 10; // half of the slider's thumb, so that both point at the same frame
const FORMS = {
  s: { name: "seen", height: 1 },
  p: { name: "predicted", height: 1 },
  l: { name: "lost", height: 0.5 },
  n: { name: "no needle yet", height: 0.14 },
};
const LOST = "#ffcf70";
const NONE = "#5a6675";

export class Timeline {
  // `onSeek(number)` is called while the strip is pressed or dragged.
  constructor(canvas, onSeek) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.total = 0;
    this.told = null;
    const seek = (event) => {
      const { left, width } = canvas.getBoundingClientRect();
      const share = (event.clientX - left - MARGIN) / Math.max(1, width - 2 * MARGIN);
      onSeek(Math.round(Math.max(0, Math.min(1, share)) * (this.total - 1)));
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      seek(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons & 1) seek(event);
    });
  }

  // `letters` has one of s, p, l, n a frame; `total` is how many frames there will be.
  paint(letters, total, number, color) {
    this.total = total;
    const { canvas, context } = this;
    const unit = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.max(1, Math.round(side * unit)));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    context.clearRect(0, 0, width, height);
    const step = (width - 2 * MARGIN * unit) / Math.max(1, total - 1);
    const edge = (at) => MARGIN * unit + (Math.max(0, Math.min(total - 1, at - 0.5)) * step);
    for (const [letter, start, end] of runs(letters)) {
      const wide = total > 1 ? edge(end) - edge(start) : width - 2 * MARGIN * unit;
      this.bar(letter, edge(start), Math.max(unit, wide), color, unit);
    }
    context.fillStyle = "#fff";
    context.fillRect(MARGIN * unit + number * step - unit, 0, 2 * unit, height);
    this.tell(letters);
  }

  bar(letter, left, wide, color, unit) {
    const { context, canvas } = this;
    const tall = (canvas.height - 6 * unit) * FORMS[letter].height;
    const top = (canvas.height - tall) / 2;
    context.fillStyle = { s: color, p: color, l: LOST, n: NONE }[letter];
    if (letter === "s" || letter === "n") context.fillRect(left, top, wide, tall);
    else if (letter === "l") this.beads(left, top, wide, tall, unit);
    else this.hatch(left, top, wide, tall, unit);
  }

  // Upright strokes that stand still while the strip fills.
  beads(left, top, wide, tall, unit) {
    const every = 5 * unit;
    this.clipped(left, top, wide, tall, (context) => {
      for (let x = Math.floor(left / every) * every; x < left + wide; x += every) {
        context.fillRect(x, top, 2.4 * unit, tall);
      }
    });
  }

  hatch(left, top, wide, tall, unit) {
    const every = 5 * unit;
    this.clipped(left, top, wide, tall, (context) => {
      context.strokeStyle = context.fillStyle;
      context.lineWidth = 1.8 * unit;
      context.beginPath();
      for (let x = Math.floor((left - tall) / every) * every; x < left + wide; x += every) {
        context.moveTo(x, top + tall);
        context.lineTo(x + tall, top);
      }
      context.stroke();
      context.strokeRect(left, top, wide, tall);
    });
  }

  clipped(left, top, wide, tall, draw) {
    const { context } = this;
    context.save();
    context.beginPath();
    context.rect(left, top, wide, tall);
    context.clip();
    draw(context);
    context.restore();
  }

  // In words, for those who don't see it.
  tell(letters) {
    if (letters === this.told) return;
    this.told = letters;
    const shares = Object.entries(FORMS)
      .map(([letter, { name }]) => [name, letters.split(letter).length - 1])
      .filter(([, count]) => count > 0)
      .map(([name, count]) => `${name} ${Math.round((100 * count) / letters.length)} %`);
    this.canvas.setAttribute("aria-label", `Needle's tip over the clip: ${shares.join(", ")}`);
  }
}

function* runs(letters) {
  let start = 0;
  for (let at = 1; at <= letters.length; at += 1) {
    if (letters[at] === letters[start]) continue;
    yield [letters[start], start, at];
    start = at;
  }
}
