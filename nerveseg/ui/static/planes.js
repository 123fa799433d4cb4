// Naming the planes: a block's syllabus offers names, and any other may be typed. Names belong to
// the clip. All text is textContent or a field's value.

import { make } from "./panel.js";

export class PlanesPanel {
  constructor(part, facts, { onLook, onNames, onProblem }) {
    Object.assign(this, { part, onNames, onProblem });
    this.blocks = facts.blocks;
    this.letters = facts.name_letters;
    this.rows = new Map();
    this.keys = "";
    this.clip = null;
    // Replay and Live have one each.
    part("offered").id = `nv-offered-${document.querySelectorAll("datalist[id]").length}`;
    part("planes").addEventListener("input", onLook);
    for (const { name, label } of this.blocks) {
      const option = make("option", "", `Names: ${label}`);
      option.value = name;
      part("syllabus").append(option);
    }
    part("syllabus").addEventListener("change", () => this.offer());
    this.offer();
  }

  get look() {
    return { planes: this.part("planes").checked, planeNames: this.clip?.names ?? {} };
  }

  // `clip` has the planes' `names` by their keys, and `rename(key, name)`; a clip of a block is
  // called by its label, and the block's names are likely to be wanted.
  open(clip) {
    const list = this.part("plane-names");
    // What was being typed is for the clip that goes.
    if (list.contains(document.activeElement)) document.activeElement.blur();
    this.clip = clip;
    this.keys = null;
    const block = this.blocks.find(({ label }) => clip.status.name.startsWith(label));
    if (block) this.offerFor(block.name);
  }

  offerFor(block) {
    this.part("syllabus").value = block;
    this.offer();
  }

  offer() {
    const { planes } = this.blocks.find(({ name }) => name === this.part("syllabus").value);
    this.part("offered").replaceChildren(...planes.map((name) => {
      const option = make("option");
      option.value = name;
      return option;
    }));
  }

  tellFrame({ planes }, { hiding }) {
    const list = this.part("plane-names");
    // Nothing moves under the fingers of somebody who is typing.
    if (list.contains(document.activeElement)) return;
    const keys = hiding ? "hidden" : planes.map(({ key }) => key).join();
    if (keys !== this.keys) {
      this.keys = keys;
      this.rows = new Map();
      const shown = hiding ? [] : planes;
      list.replaceChildren(...shown.map(({ key }, at) => this.row(key, at + 1)));
      if (shown.length === 0) list.append(make("li", "nv-quiet", hiding ? "hidden" : "none on this frame"));
    }
    for (const [key, field] of this.rows) {
      const name = this.clip?.names[key] ?? "";
      if (field.value !== name) field.value = name;
    }
  }

  row(key, number) {
    const row = make("li", "nv-row");
    const field = make("input", "nv-field");
    Object.assign(field, { type: "text", maxLength: this.letters, placeholder: "name this plane" });
    field.setAttribute("type", "text");
    field.setAttribute("list", this.part("offered").id);
    field.setAttribute("aria-label", `Name of plane ${number}`);
    field.dataset.plane = key;
    field.addEventListener("change", () => this.name(key, field.value));
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === "Escape") field.blur();
    });
    row.append(make("span", "nv-number", String(number)), field);
    this.rows.set(key, field);
    return row;
  }

  async name(key, name) {
    const { clip } = this;
    try {
      await clip.rename(key, name);
    } catch (error) {
      this.onProblem(error.message);
    }
    this.onNames();
  }
}
