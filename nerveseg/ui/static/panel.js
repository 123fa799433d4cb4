// Fills the side panel and says what the user chose there. All text goes in as textContent.

const SVG = "http://www.w3.org/2000/svg";
const DASHES = { solid: "", dashed: "6 4", dotted: "0.1 4.5", dashdot: "7 3.5 0.1 3.5" };

export class Panel {
  constructor(part, facts, onLook) {
    this.part = part;
    this.classes = facts.model ? facts.model.classes : [];
    this.rows = new Map();
    this.onLook = onLook;
    this.classes.forEach((kind, at) => this.addClass(kind, at));
    this.tellModel(facts);
    for (const name of ["opacity", "uncertainty", "safe", "names"]) {
      part(name).addEventListener("input", () => this.changed());
    }
    this.changed();
  }

  // What the stage needs to know of the settings.
  get look() {
    const palette = this.part("safe").checked ? "safe" : "standard";
    return {
      classes: this.classes
        .filter((kind) => this.rows.get(kind.name).box.checked)
        .map((kind) => ({ ...kind, color: kind[palette] })),
      opacity: this.part("opacity").value / 100,
      uncertainty: this.part("uncertainty").checked,
      names: this.part("names").checked,
    };
  }

  toggleClass(at) {
    if (at < this.classes.length) this.rows.get(this.classes[at].name).box.click();
  }

  // The figures of the frame on the stage; hidden, they would give the answer away.
  tellFrame(overlay, { hiding }) {
    for (const { name } of this.classes) {
      const parts = overlay.classes[name];
      const { figure } = this.rows.get(name);
      const found = parts && parts.area > 0;
      const seen = found ? figures(parts, overlay.mm_per_px) : parts ? "not found" : "–";
      const text = hiding ? "hidden" : seen;
      if (figure.textContent !== text) figure.textContent = text;
    }
  }

  tellTiming(status, backend) {
    const stages = Object.entries(status.ms).map(([name, ms]) => `${name} ${ms.toFixed(1)}`);
    if (stages.length === 0) return;
    const whole = Object.values(status.ms).reduce((sum, ms) => sum + ms, 0);
    this.part("timing").textContent =
      `${whole.toFixed(1)} ms a frame on ${backend}: ${stages.join(", ")}`;
  }

  changed() {
    const { look } = this;
    this.part("opacity-value").textContent = `${Math.round(look.opacity * 100)} %`;
    const palette = this.part("safe").checked ? "safe" : "standard";
    for (const kind of this.classes) this.rows.get(kind.name).row.style.color = kind[palette];
    this.onLook(look);
  }

  addClass(kind, at) {
    const row = make("li");
    const label = make("label", "nv-row nv-setting");
    const words = make("span", "", kind.label);
    const figure = make("small", "", "–");
    figure.title = "Mean probability inside the outline, and area";
    words.append(figure);
    const box = make("input", "nv-switch");
    box.type = "checkbox";
    box.checked = true;
    box.setAttribute("role", "switch");
    box.setAttribute("aria-label", `Show ${kind.label.toLowerCase()}`);
    box.dataset.class = kind.name;
    box.title = `Key ${at + 1}`;
    box.addEventListener("input", () => this.changed());
    label.append(swatch(kind.line), words, box);
    row.append(label);
    this.part("classes").append(row);
    this.rows.set(kind.name, { row, box, figure });
  }

  tellModel({ model }) {
    if (!model) {
      this.part("model").textContent = "No model is loaded.";
      return;
    }
    const trained = model.trained_on.length ? ` Trained on ${model.trained_on.join(", ")}.` : "";
    this.part("model").textContent = `${model.id}.${trained}`;
    if (model.measured.length === 0) {
      this.part("model").textContent += " It carries no measured figures: trust it with nothing.";
      return;
    }
    const areas = "Dice on held-out images (95 % interval)";
    this.tellTable("measured", areas, model.measured.map((row) => this.measuredRow(row)));
    const needles = "Needles on single real images, none of them learnt from";
    this.tellTable("measured-needles", needles, model.needles.map(needleRow));
  }

  tellTable(name, caption, rows) {
    const table = this.part(name);
    table.hidden = rows.length === 0;
    table.append(make("caption", "", caption), ...rows);
  }

  measuredRow({ card, class: name, value, low, high }) {
    const row = make("tr");
    const label = this.classes.find((kind) => kind.name === name)?.label ?? name;
    const spread = low === null || low === undefined ? "" : ` (${fixed(low)}–${fixed(high)})`;
    row.append(make("th", "", card), make("td", "", label));
    row.append(make("td", "", `${fixed(value)}${spread}`));
    return row;
  }
}

function needleRow({ card, images, found, tip, false: wrong }) {
  const row = make("tr");
  const seen = found === null ? `false on ${percent(wrong)} of ${images}` : `found ${percent(found)} of ${images}`;
  row.append(make("th", "", card), make("td", "", seen));
  row.append(make("td", "", tip === null ? "" : `tip off ${tip.toFixed(1)} % of the diagonal`));
  return row;
}

function percent(share) {
  return `${Math.round(100 * share)} %`;
}

export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

// A small drawing of [tag, attributes] shapes, for the eye only.
export function picture(viewBox, shapes, className) {
  const drawing = document.createElementNS(SVG, "svg");
  const root = { viewBox, class: className, "aria-hidden": "true" };
  for (const [name, value] of Object.entries(root)) drawing.setAttribute(name, value);
  for (const [tag, values] of shapes) {
    const shape = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(values)) shape.setAttribute(name, value);
    drawing.append(shape);
  }
  return drawing;
}

// A stretch of the class's line, in the colour of the row.
function swatch(line) {
  const values = { x1: 2, y1: 6, x2: 26, y2: 6, "stroke-dasharray": DASHES[line] };
  return picture("0 0 28 12", [["line", values]], "nv-swatch");
}

function figures(parts, millimetres) {
  const area = millimetres
    ? `${(parts.area * millimetres ** 2).toFixed(0)} mm²`
    : `${parts.area} px`;
  return `confidence ${Math.round(parts.confidence * 100)} % · ${area}`;
}

function fixed(value) {
  return value === null || value === undefined ? "–" : value.toFixed(2);
}
