// Draws what was found on a frame: areas, planes, the needle, names, a ruler.

import { Guides, distanceRows } from "./guides.js";
import { area, chip, chipSize, free, hidden } from "./places.js";

const DASHES = { solid: [], dashed: [7, 5], dotted: [0.1, 4.5], dashdot: [8, 4, 0.1, 4] };
const LABELS_PER_CLASS = 5;
const BAR_MM = 10;
const PLANES_OF = "fascia";
const WHITE = "#ebebeb";

// `look` is {classes: [{name, label, color, line}], opacity, uncertainty, names, needle, guidance,
// needleColor, planes, planeNames}; `view` a View on the context's canvas.
export class Drawing {
  constructor(context) {
    this.context = context;
    this.canvas = context.canvas;
    this.hatches = new Map();
  }

  // `view` carries areas and planes along with the tissue; `still` is for the needle, which moves
  // by itself.
  overlay(overlay, look, view, still = view) {
    // Where there are lines, they stand for the area.
    const fascia = look.classes.find(({ name }) => name === PLANES_OF);
    const planes = numbersPlanes(look) ? overlay.planes : [];
    const found = look.classes
      .map((kind, at) => ({ kind, at, parts: overlay.classes[kind.name] }))
      .filter(({ kind, parts }) => parts && !(planes.length && kind === fascia));
    for (const { kind, at, parts } of found) this.fill(parts, kind, at, look, view);
    for (const { kind, parts } of found) this.outline(parts, kind, look, view);
    const boxed = found.map(({ kind, parts }) => {
      const boxes = parts.outlines.map((path) => view.bounds(path));
      return { kind, boxes: boxes.sort((one, other) => area(other) - area(one)) };
    });
    const taken = [];
    const guides = new Guides(this.context, view, taken);
    guides.planes(planes, fascia);
    const solid = boxed.filter(({ kind }) => kind !== fascia).flatMap(({ boxes }) => boxes);
    this.needle(new Guides(this.context, still, taken), overlay, look, solid);
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
    context.fill(view.trace(look.uncertainty ? parts.sure : parts.outlines), "evenodd");
    context.globalAlpha = 1;
    if (!look.uncertainty) return;
    // By the even-odd rule, both sets together enclose what is possible but not sure.
    context.fillStyle = this.hatch(kind.color, at % 2 === 0, view.unit);
    context.fill(view.trace([...parts.possible, ...parts.sure]), "evenodd");
  }

  outline(parts, kind, look, view) {
    const { context } = this;
    const path = view.trace(parts.outlines);
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
  ruler(millimetres, { size, scale, left, top, unit }) {
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
