// Where a point of the frame lies on the canvas: scaled, perhaps carried along with the tissue,
// perhaps left for right. Words are placed by it, never mirrored.

export class View {
  // `size` is the frame's [width, height] in pixels; `affine` as a canvas takes it, or null.
  constructor({ canvas, size, mirrored = false, affine = null }) {
    const [width, height] = size;
    this.scale = Math.min(canvas.width / width, canvas.height / height);
    this.left = Math.round((canvas.width - width * this.scale) / 2);
    this.top = Math.round((canvas.height - height * this.scale) / 2);
    this.unit = window.devicePixelRatio || 1;
    Object.assign(this, { canvas, size, mirrored, affine });
  }

  // The same view with what it shows moved by `affine`.
  moved(affine) {
    const { canvas, size, mirrored } = this;
    return new View({ canvas, size, mirrored, affine });
  }

  // Points lie at pixel centres, half a pixel from the picture's corner.
  at(x, y) {
    if (this.affine) {
      const [a, b, c, d, e, f] = this.affine;
      [x, y] = [a * x + c * y + e, b * x + d * y + f];
    }
    if (this.mirrored) x = this.size[0] - 1 - x;
    return [this.left + (x + 0.5) * this.scale, this.top + (y + 0.5) * this.scale];
  }

  // The frame's point under a place on the canvas, in canvas pixels.
  under(right, down) {
    const x = (right - this.left) / this.scale - 0.5;
    const y = (down - this.top) / this.scale - 0.5;
    return [this.mirrored ? this.size[0] - 1 - x : x, y];
  }

  trace(paths) {
    const traced = new Path2D();
    for (const path of paths) {
      for (let at = 0; at < path.length; at += 2) {
        const to = at === 0 ? "moveTo" : "lineTo";
        traced[to](...this.at(path[at], path[at + 1]));
      }
      traced.closePath();
    }
    return traced;
  }

  // The box around a path on the canvas.
  bounds(path) {
    const box = [Infinity, Infinity, -Infinity, -Infinity];
    for (let at = 0; at < path.length; at += 2) {
      const [x, y] = this.at(path[at], path[at + 1]);
      box[0] = Math.min(box[0], x);
      box[1] = Math.min(box[1], y);
      box[2] = Math.max(box[2], x);
      box[3] = Math.max(box[3], y);
    }
    return box;
  }
}
