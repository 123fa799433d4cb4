// Draws the needle, its path and distances, and the planes: told by form, not by colour alone.
// Seen: a whole line and a ring with a dot in it. Predicted: dashes and a hollow broken ring.
// Lost: no marker, and the shaft, where it shows, in thin dashes.

import { area, chip, chipSize, free, hidden } from "./places.js";

const RING = 9;
const DOT = 2.6;
const LOZENGE = 5.5;
const NEAR_TIP = 3; // how much worse it is to hide the needle beside its tip than a structure
const RIM = "rgba(0, 0, 0, 0.7)";

// `view` is a View on the context's canvas; words that are drawn claim their boxes in `taken`.
export class Guides {
  constructor(context, view, taken) {
    Object.assign(this, { context, view, taken });
  }

  planes(planes, kind) {
    for (const { points } of planes) {
      const path = new Path2D();
      for (let at = 0; at < points.length; at += 2) path.lineTo(...this.at(points[at], points[at + 1]));
      this.stroke(path, kind.color, 2.6, { dotted: [0.1, 4.5], dashed: [7, 5] }[kind.line] ?? []);
    }
  }

  // A plane's number by depth, and its name, at its left end, and off `shapes` where possible.
  planeNames(planes, kind, names, shapes) {
    const { context, view: { unit } } = this;
    planes.forEach(({ key, points }, at) => {
      const words = names[key] ? `${at + 1} ${names[key]}` : String(at + 1);
      const size = chipSize(context, words, unit);
      const gap = 5 * unit;
      const spots = [0, 0.25, 0.5].flatMap((share) => {
        const along = this.view.mirrored ? 1 - share : share;
        const index = 2 * Math.floor(along * (points.length / 2 - 1));
        const [x, y] = this.at(points[index], points[index + 1]);
        const beside = share === 0 ? [[x - gap - size[0], y - size[1] / 2]] : [];
        return [...beside, [x, y - gap - size[1]], [x, y + gap]];
      });
      this.write(words, spots, size, kind.color, shapes);
    });
  }

  needle({ status, entry, tip, shaft }, color) {
    const { unit } = this.view;
    if (status === "lost") {
      if (shaft) this.line(...shaft.map((end) => this.at(...end)), color, 1.4, [6, 5]);
      return;
    }
    const seen = status === "seen";
    const [from, to] = [this.at(...entry), this.at(...tip)];
    const stop = towards(to, from, RING * unit);
    if (stop) this.line(from, stop, color, 2.2, seen ? [] : [8, 6]);
    // Five dashes, whatever the screen.
    const dash = (2 * Math.PI * RING) / 10;
    this.stroke(circle(to, RING * unit), color, 2, seen ? [] : [dash, dash]);
    if (seen) this.fill(circle(to, DOT * unit), color);
    const reach = (RING + 2) * unit;
    this.taken.push([to[0] - reach, to[1] - reach, to[0] + reach, to[1] + reach]);
  }

  path({ path, crossings }, color, colors) {
    const { unit } = this.view;
    const [tip, end] = path.map((point) => this.at(...point));
    const start = towards(tip, end, 1.5 * RING * unit);
    if (start) this.line(start, end, color, 3, [0.1, 9]);
    for (const { structure, at } of crossings) {
      const [x, y] = this.at(...at);
      const reach = LOZENGE * unit;
      if (Math.hypot(x - tip[0], y - tip[1]) < RING * unit) continue; // would hide the tip
      const shape = new Path2D();
      for (const [right, down] of [[0, -1], [1, 0], [0, 1], [-1, 0]]) {
        shape.lineTo(x + right * reach, y + down * reach);
      }
      shape.closePath();
      this.fill(shape, colors[structure] ?? "#ebebeb");
    }
  }

  // In the first of four places near the tip, unless another hides clearly less. `course` is
  // entry, tip and the path's end.
  distances(rows, course, shapes) {
    if (rows.length === 0) return;
    const { context, view: { unit } } = this;
    const sizes = rows.map(({ words }) => chipSize(context, words, unit));
    const [width, step] = [Math.max(...sizes.map(([wide]) => wide)), sizes[0][1]];
    const height = step * rows.length;
    const [entry, [x, y], end] = course.map((point) => this.at(...point));
    const gap = (RING + 5) * unit;
    const [right, left, above, below] = [x + gap, x - gap - width, y - gap - height, y + gap];
    const [ahead, behind] = end[0] >= x ? [right, left] : [left, right];
    const spots = [[ahead, above], [behind, below], [behind, above], [ahead, below]];
    const near = this.nearTip([x, y], [entry, end], gap + Math.hypot(width, height));
    const box = this.best(spots, [width, height], shapes, near);
    if (!box) return;
    rows.forEach(({ words, color }, at) => {
      chip(context, words, [box[0], box[1] + at * step, box[2], box[1] + (at + 1) * step], color, unit);
    });
  }

  // Boxes along the last of the shaft and the first of the path, up to `reach` of each.
  nearTip(tip, ends, reach) {
    const half = RING * this.view.unit;
    const steps = Array.from({ length: Math.ceil(reach / (2 * half)) }, (_, at) => 2 * half * (at + 1));
    return ends
      .flatMap((end) => steps.map((step) => towards(tip, end, step)))
      .filter((middle) => middle !== null)
      .map(([x, y]) => [x - half, y - half, x + half, y + half]);
  }

  write(words, spots, size, color, shapes) {
    const box = this.best(spots, size, shapes);
    if (box) chip(this.context, words, box, color, this.view.unit);
  }

  // The first place, unless another hides clearly less: words that hop are hard to read.
  best(spots, size, shapes, near = []) {
    const found = free(this.context.canvas, spots, size, this.taken);
    const hides = (box) => hidden(box, shapes) + NEAR_TIP * hidden(box, near);
    const cost = (box) => Math.round((3 * hides(box)) / area(box));
    found.sort((one, other) => cost(one) - cost(other));
    if (found.length > 0) this.taken.push(found[0]);
    return found[0];
  }

  at(x, y) {
    return this.view.at(x, y);
  }

  line(from, to, color, width, dashes) {
    const path = new Path2D();
    path.moveTo(...from);
    path.lineTo(...to);
    this.stroke(path, color, width, dashes);
  }

  stroke(path, color, width, dashes) {
    const { context, view: { unit } } = this;
    context.lineJoin = "round";
    context.lineCap = dashes[0] < 1 ? "round" : "butt";
    context.setLineDash(dashes.map((length) => length * unit));
    const rim = dashes[0] < 1 ? 1 : 1.6; // around dots it would be most of what is seen
    for (const [ink, extra] of [[RIM, rim], [color, 0]]) {
      context.strokeStyle = ink;
      context.lineWidth = (width + extra) * unit;
      context.stroke(path);
    }
    context.setLineDash([]);
  }

  fill(path, color) {
    const { context, view: { unit } } = this;
    context.strokeStyle = RIM;
    context.lineWidth = 1.6 * unit;
    context.stroke(path);
    context.fillStyle = color;
    context.fill(path);
  }
}

// A distance for reading: in mm where the scale is known, else in pixels and labelled so.
export function distanceWords(pixels, millimetres, { rough = false } = {}) {
  const amount = millimetres ? `${(pixels * millimetres).toFixed(1)} mm` : `${Math.round(pixels)} px`;
  return rough ? `~${amount}` : amount;
}

export function distanceRows({ guidance, needle, mm_per_px: millimetres }) {
  const rough = needle.status === "predicted";
  return Object.entries(guidance?.distances ?? {}).map(([name, pixels]) => ({
    name,
    words: pixels > 0 ? `${name} ${distanceWords(pixels, millimetres, { rough })}` : `in ${name}`,
  }));
}

function circle([x, y], radius) {
  const path = new Path2D();
  path.arc(x, y, radius, 0, 2 * Math.PI);
  return path;
}

// The point `distance` from `start` on the way to `end`, or null where the way is shorter.
function towards(start, end, distance) {
  const [across, down] = [end[0] - start[0], end[1] - start[1]];
  const length = Math.hypot(across, down);
  if (length <= distance) return null;
  return [start[0] + (across * distance) / length, start[1] + (down * distance) / length];
}
