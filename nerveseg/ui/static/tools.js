// What is done on the picture with the mouse or a finger: point, draw a crop, click two marks.

const SVG = "http://www.w3.org/2000/svg";
const LEAST = 6;

export class Tools {
  constructor(stage, area, marks, { onPoint, onCrop, onMarks, onChange }) {
    Object.assign(this, { stage, area, marks, onPoint, onCrop, onMarks, onChange });
    this.tool = null;
    this.points = [];
    area.addEventListener("pointerdown", (event) => this.down(event));
    area.addEventListener("pointermove", (event) => this.move(event));
    area.addEventListener("pointerup", (event) => this.up(event));
    area.addEventListener("pointercancel", () => this.choose(null));
  }

  // `crop`, `ruler` or null, which is to point.
  choose(tool) {
    this.tool = tool;
    this.points = [];
    this.area.classList.toggle("nv-aiming", tool !== null);
    this.draw();
    this.onChange(tool);
  }

  down(event) {
    if (event.button !== 0 || event.target.closest("button, a")) return;
    const point = this.under(event);
    if (!point) return;
    if (this.tool === null) {
      this.onPoint(point);
      return;
    }
    event.preventDefault();
    this.points.push(point);
    if (this.tool === "crop") this.area.setPointerCapture(event.pointerId);
    if (this.tool === "ruler" && this.points.length === 2) this.finish();
    else this.draw();
  }

  move(event) {
    if (this.points.length === 0) return;
    const point = this.under(event);
    if (point) this.draw(point);
  }

  up(event) {
    if (this.tool !== "crop" || this.points.length === 0) return;
    const end = this.under(event);
    if (!end || Math.hypot(end[0] - this.points[0][0], end[1] - this.points[0][1]) < LEAST) {
      this.points = []; // a click: wait for a rectangle
      this.draw();
      return;
    }
    this.points.push(end);
    this.finish();
  }

  // A rectangle may be drawn from beyond the picture, and ends at its edge.
  under(event) {
    return this.stage.under(event, { beyond: this.tool === "crop" });
  }

  finish() {
    const { tool, points } = this;
    this.choose(null);
    if (tool === "crop") this.onCrop([...points[0], ...points[1]]);
    else this.onMarks(points);
  }

  draw(end = null) {
    const ends = [...this.points, ...(end ? [end] : [])].map((point) => this.stage.place(point));
    this.marks.replaceChildren();
    if (ends.length === 0) return;
    const [[x0, y0], [x1, y1] = ends[0]] = ends;
    if (this.tool === "crop") {
      this.shape("rect", {
        x: Math.min(x0, x1), y: Math.min(y0, y1), width: Math.abs(x1 - x0), height: Math.abs(y1 - y0),
      });
      return;
    }
    this.shape("line", { x1: x0, y1: y0, x2: x1, y2: y1 });
    for (const [cx, cy] of ends) this.shape("circle", { cx, cy, r: 5 });
  }

  shape(tag, values) {
    const shape = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(values)) shape.setAttribute(name, value);
    this.marks.append(shape);
  }
}
