// Two canvases: the picture below, what was found above. Each is painted when it changes, so a
// switch or an opacity acts at once, and a new overlay needn't wait for the next picture.

import { Drawing } from "./drawing.js";
import { fit, paintPicture } from "./stage.js";
import { View } from "./view.js";

const POINTED_MS = 4000;

export class LiveStage {
  constructor(screen, over, pointers) {
    Object.assign(this, { screen, over, pointers });
    this.below = screen.getContext("2d", { alpha: false });
    this.above = over.getContext("2d");
    this.drawing = new Drawing(this.above);
    this.size = null;
    this.mirrored = false;
    this.painted = 0; // pictures so far
  }

  get view() {
    return new View({ canvas: this.screen, size: this.size, mirrored: this.mirrored });
  }

  // True if the canvases have another size now, and so are empty.
  fit() {
    return [this.screen, this.over].map(fit).some((changed) => changed);
  }

  // `frame` is {number, captured_at}; `source` anything that a canvas can draw, of `size` pixels.
  picture(source, frame, size) {
    this.size = size;
    const { view } = this;
    paintPicture(this.below, source, view);
    this.painted += 1;
    const { scale, left, top } = view;
    Object.assign(this.screen.dataset, {
      frame: frame.number, captured: frame.captured_at, painted: this.painted, scale, left, top,
    });
  }

  // What was found, carried along by `affine`, or nothing.
  overlay(overlay, look, affine) {
    const { above, over, drawing } = this;
    above.setTransform(1, 0, 0, 1, 0, 0);
    above.clearRect(0, 0, over.width, over.height);
    over.dataset.overlay = overlay?.number ?? -1;
    over.dataset.moved = affine ? affine.join(" ") : "";
    if (!overlay || !this.size) return;
    const still = this.view;
    drawing.overlay(overlay, look, affine ? still.moved(affine) : still, still);
    drawing.ruler(overlay.mm_per_px, still);
  }

  clear() {
    this.size = null;
    this.fit();
    this.below.fillStyle = "#000";
    this.below.fillRect(0, 0, this.screen.width, this.screen.height);
    this.overlay(null);
    for (const key of ["frame", "captured"]) delete this.screen.dataset[key];
  }

  // The frame's point under a mouse or finger. Beside the picture there is none, or the nearest one
  // on its edge if that will do.
  under({ clientX, clientY }, { beyond = false } = {}) {
    if (!this.size) return null;
    const box = this.screen.getBoundingClientRect();
    const density = this.screen.width / box.width;
    const point = this.view.under((clientX - box.left) * density, (clientY - box.top) * density);
    const nearest = point.map((value, at) => Math.max(-0.5, Math.min(this.size[at] - 0.5, value)));
    return beyond || nearest.every((value, at) => value === point[at]) ? nearest : null;
  }

  // Where a point of the frame lies in the page, from the stage's corner.
  place([x, y]) {
    const density = this.screen.width / this.screen.clientWidth;
    return this.view.at(x, y).map((value) => value / density);
  }

  // Somebody points: a marker for a few seconds.
  pointer({ x, y, by }, words) {
    if (!this.size) return;
    const [left, top] = this.place([x, y]);
    const marker = document.createElement("div");
    marker.className = `nv-pointer nv-by-${by === "watcher" ? "watcher" : "trainee"}`;
    marker.textContent = words;
    Object.assign(marker.style, { left: `${left}px`, top: `${top}px` });
    Object.assign(marker.dataset, { x, y });
    this.pointers.replaceChildren(marker);
    setTimeout(() => marker.remove(), POINTED_MS);
  }
}
