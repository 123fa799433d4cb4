// Draws one frame and the overlay that was computed from it, on one canvas, in one go.

import { Guides, distanceRows } from "./guides.js";
import { area, chip, chipSize, free, hidden } from "./places.js";

const DASHES = { solid: [], dashed: [7, 5], dotted: [0.1, 4.5], dashdot: [8, 4, 0.1, 4] };
const LABELS_PER_CLASS = 5;
const BAR_MM = 10;
const PLANES_OF = "fascia";
const WHITE = "#ebebeb";

export class Stage {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.hatches = new Map();
  }

  // Give the canvas as many pixels as it has on the screen; true if that changed.
  fit() {
    const density = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(this.canvas.clientWidth * density));
    const height = Math.max(1, Math.round(this.canvas.clientHeight * density));
    if (this.canvas.width === width && this.canvas.height === height) return false;
    this.canvas.width = width;
    this.canvas.height = height;
    return true;
  }

  // `shot` is {number, picture, overlay}, `size` the source's [width, height] in pixels, and
  // `look` {classes: [{name, label, color, line}], opacity, uncertainty, names, needle, guidance,
  // needleColor, planes, planeNames}.
  paint(shot, size, look) {
    const { canvas, context } = this;
    const scale = Math.min(canvas.width / size[0], canvas.height / size[1]);
    const left = Math.round((canvas.width - size[0] * scale) / 2);
    const top = Math.round((canvas.height - size[1] * scale) / 2);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingQuality = "high";
    context.drawImage(shot.picture, left, top, size[0] * scale, size[1] * scale);
    const view = { scale, left, top, unit: window.devicePixelRatio || 1 };
    this.overlay(shot.overlay, look, view);
    this.ruler(shot.overlay.mm_per_px, size, view);
    Object.assign(canvas.dataset, { frame: shot.number, scale, left, top });
  }

  overlay(overlay, look, view) {
    // Where there are lines, they stand for the area.
    const fascia = look.classes.find(({ name }) => name === PLANES_OF);
    const planes = numbersPlanes(look) ? overlay.planes : [];
    const found = look.classes
      .map((kind, at) => ({ kind, at, parts: overlay.classes[kind.name] }))
      .filter(({ kind, parts }) => parts && !(planes.length && kind === fascia));
    for (const { kind, at, parts } of found) this.fill(parts, kind, at, look, view);
    for (const { kind, parts } of found) this.outline(parts, kind, look, view);
    const boxed = found.map(({ kind, parts }) => {
      const boxes = parts.outlines.map((path) => bounds(path, view));
      return { kind, boxes: boxes.sort((one, other) => area(other) - area(one)) };
    });
    const taken = [];
    const guides = new Guides(this.context, view, taken);
    guides.planes(planes, fascia);
    const solid = boxed.filter(({ kind }) => kind !== fascia).flatMap(({ boxes }) => boxes);
    this.needle(guides, overlay, look, solid);
    guides.planeNames(planes, fascia, look.names ? look.planeNames : {}, solid);
    if (look.names) this.names(boxed, taken, view);
  }

  needle(guides, overlay, look, solid) {
    const { guidance } = overlay;
    if (!look.needle) return; // a path from nothing would tell nothing
    const colors = Object.fromEntries(look.classes.map(({ name, color }) => [name, color]));
    if (look.guidance && guidance) guides.path(guidance, look.needleColor, colors);
    guides.needle(overlay.needle, look.needleColor);
    if (!look.guidance || !guidance) return;
    const rows = distanceRows(overlay).map(({ name, words }) => ({ words, color: colors[name] ?? WHITE }));
    guides.distances(rows, [overlay.needle.entry, ...guidance.path], solid);
  }

  fill(parts, kind, at, look, view) {
    const { context } = this;
    context.fillStyle = kind.color;
    context.globalAlpha = look.opacity;
    context.fill(trace(look.uncertainty ? parts.sure : parts.outlines, view), "evenodd");
    context.globalAlpha = 1;
    if (!look.uncertainty) return;
    // By the even-odd rule, both sets together enclose what is possible but not sure.
    context.fillStyle = this.hatch(kind.color, at % 2 === 0, view.unit);
    context.fill(trace([...parts.possible, ...parts.sure], view), "evenodd");
  }

  outline(parts, kind, look, view) {
    const { context } = this;
    const path = trace(parts.outlines, view);
    context.lineJoin = "round";
    context.lineCap = kind.line === "dashed" ? "butt" : "round";
    // Thin where there is hatching to see on both sides of it.
    const width = (kind.line === "dotted" ? 2.6 : 2) * (look.uncertainty ? 0.6 : 1) * view.unit;
    context.setLineDash(DASHES[kind.line].map((length) => length * view.unit));
    for (const [color, extra] of [["rgba(0, 0, 0, 0.6)", 2], [kind.color, 0]]) {
      context.strokeStyle = color;
      context.lineWidth = width + extra * view.unit;
      context.stroke(path);
    }
    context.setLineDash([]);
  }

  names(boxed, taken, view) {
    const shapes = boxed.flatMap(({ boxes }) => boxes);
    for (const { kind, boxes } of boxed) {
      for (const box of boxes.slice(0, LABELS_PER_CLASS)) {
        this.name(kind, box, shapes, taken, view.unit);
      }
    }
  }

  // Beside the structure where it hides least, and no other name; left out if there is no place.
  name(kind, [x0, y0, x1, y1], shapes, taken, unit) {
    const { context, canvas } = this;
    const [width, height] = chipSize(context, kind.label, unit);
    const gap = 5 * unit;
    const middle = [(x0 + x1 - width) / 2, (y0 + y1 - height) / 2];
    const spots = [
      [middle[0], y0 - gap - height], [middle[0], y1 + gap],
      [x1 + gap, middle[1]], [x0 - gap - width, middle[1]],
    ];
    const found = free(canvas, spots, [width, height], taken);
    found.sort((one, other) => hidden(one, shapes) - hidden(other, shapes));
    if (found.length === 0) return;
    taken.push(found[0]);
    chip(context, kind.label, found[0], kind.color, unit);
  }

  // A bar of one centimetre, where the scale is known and the bar fits.
  ruler(millimetres, size, { scale, left, top, unit }) {
    const length = millimetres ? (BAR_MM / millimetres) * scale : 0;
    if (length < 12 * unit || length > (size[0] * scale) / 2) return;
    const { context } = this;
    const right = left + size[0] * scale - 12 * unit;
    const bottom = top + size[1] * scale - 12 * unit;
    context.font = `600 ${11 * unit}px system-ui, sans-serif`;
    context.fillStyle = "rgba(0, 0, 0, 0.66)";
    context.fillRect(right - length - 6 * unit, bottom - 20 * unit, length + 12 * unit, 27 * unit);
    context.fillStyle = "#fff";
    context.fillRect(right - length, bottom, length, 2 * unit);
    context.textBaseline = "alphabetic";
    const words = `${BAR_MM} mm`;
    context.fillText(words, right - length / 2 - context.measureText(words).width / 2, bottom - 6 * unit);
  }

  hatch(color, rising, unit) {
    const key = `${color} ${rising} ${unit}`;
    if (!this.hatches.has(key)) this.hatches.set(key, this.makeHatch(color, rising, unit));
    return this.hatches.get(key);
  }

  makeHatch(color, rising, unit) {
    const side = Math.round(6 * unit);
    const tile = document.createElement("canvas");
    tile.width = tile.height = side;
    const context = tile.getContext("2d");
    context.strokeStyle = color;
    context.lineWidth = 1.4 * unit;
    context.beginPath();
    for (const shift of [-side, 0, side]) {
      context.moveTo(shift - 1, rising ? side + 1 : -1);
      context.lineTo(shift + side + 1, rising ? -1 : side + 1);
    }
    context.stroke();
    return this.context.createPattern(tile, "repeat");
  }
}

// Whether a frame's planes are drawn as lines, with their numbers.
export function numbersPlanes({ planes, classes }) {
  return planes && classes.some(({ name }) => name === PLANES_OF);
}

// Outlines run through pixel centres, half a pixel from the picture's corner.
function trace(paths, { scale, left, top }) {
  const traced = new Path2D();
  for (const path of paths) {
    for (let at = 0; at < path.length; at += 2) {
      const to = at === 0 ? "moveTo" : "lineTo";
      traced[to](left + (path[at] + 0.5) * scale, top + (path[at + 1] + 0.5) * scale);
    }
    traced.closePath();
  }
  return traced;
}

function bounds(path, { scale, left, top }) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (let at = 0; at < path.length; at += 2) {
    box[0] = Math.min(box[0], path[at]);
    box[1] = Math.min(box[1], path[at + 1]);
    box[2] = Math.max(box[2], path[at]);
    box[3] = Math.max(box[3], path[at + 1]);
  }
  return box.map((value, at) => (at % 2 ? top : left) + (value + 0.5) * scale);
}
