// Draws one frame and the overlay that was computed from it, on one canvas, in one go.

import { Drawing } from "./drawing.js";
import { View } from "./view.js";

export { numbersPlanes } from "./drawing.js";

export class Stage {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.drawing = new Drawing(this.context);
  }

  // Give the canvas as many pixels as it has on the screen; true if that changed.
  fit() {
    return fit(this.canvas);
  }

  // `shot` is {number, picture, overlay}, `size` the source's [width, height] in pixels; `look` as
  // in Drawing.
  paint(shot, size, look) {
    const { canvas, context, drawing } = this;
    const view = new View({ canvas, size });
    paintPicture(context, shot.picture, view);
    drawing.overlay(shot.overlay, look, view);
    drawing.ruler(shot.overlay.mm_per_px, view);
    const { scale, left, top } = view;
    Object.assign(canvas.dataset, { frame: shot.number, scale, left, top });
  }
}

export function fit(canvas) {
  const density = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(canvas.clientWidth * density));
  const height = Math.max(1, Math.round(canvas.clientHeight * density));
  if (canvas.width === width && canvas.height === height) return false;
  canvas.width = width;
  canvas.height = height;
  return true;
}

// The picture alone, on black; `source` is anything that a canvas can draw.
export function paintPicture(context, source, view) {
  const { canvas, size, scale, left, top, mirrored } = view;
  const [width, height] = [size[0] * scale, size[1] * scale];
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  if (mirrored) context.setTransform(-1, 0, 0, 1, 2 * left + width, 0);
  context.drawImage(source, left, top, width, height);
  context.setTransform(1, 0, 0, 1, 0, 0);
}
