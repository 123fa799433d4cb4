// What can be scanned with, and for which block: the lists that the user chooses from.

import { getJson } from "./clip.js";
import { make } from "./panel.js";

export const CAMERA = "camera";
const ADDRESS = "address";

export class Chooser {
  // `onStart` is called when an address was typed in, `onBlock` when another block was chosen.
  constructor(part, blocks, { onStart, onBlock }) {
    this.part = part;
    this.running = false;
    this.told = null;
    for (const { name, label } of blocks) part("block").append(option(name, `Block: ${label}`));
    part("source").addEventListener("change", () => this.chosen());
    // What has been plugged in since: asked for anew whenever the list may be about to open.
    for (const event of ["pointerenter", "focus"]) {
      part("source").addEventListener(event, () => { if (!this.running) this.list().catch(() => {}); });
    }
    part("block").addEventListener("change", onBlock);
    part("address").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !this.running) onStart();
    });
  }

  get block() {
    return this.part("block").value;
  }

  set block(name) {
    this.part("block").value = name;
  }

  // The address of what is chosen, or CAMERA.
  get source() {
    const { value } = this.part("source");
    return value === ADDRESS ? this.part("address").value : value;
  }

  async list() {
    const sources = await getJson("/live/sources");
    const told = JSON.stringify(sources);
    if (told === this.told) return;
    this.told = told;
    const list = this.part("source");
    const before = list.value;
    const groups = new Map();
    for (const { group, label, uri, block } of sources) {
      if (!groups.has(group)) groups.set(group, Object.assign(make("optgroup"), { label: group }));
      const entry = option(uri, label);
      if (block) entry.dataset.block = block;
      groups.get(group).append(entry);
    }
    const other = Object.assign(make("optgroup"), { label: "Elsewhere" });
    other.append(option(CAMERA, "This browser's camera"), option(ADDRESS, "An address…"));
    list.replaceChildren(...groups.values(), other);
    if (before) list.value = before;
    if (list.selectedIndex < 0) list.selectedIndex = 0; // what was chosen is there no more
    if (list.value !== before) this.chosen();
  }

  // Show what runs, also where it isn't in the list.
  tell(uri) {
    const list = this.part("source");
    list.value = uri;
    if (list.selectedIndex < 0) {
      list.value = ADDRESS;
      this.part("address").value = uri;
    }
    this.showAddress();
  }

  chosen() {
    this.showAddress();
    const block = this.part("source").selectedOptions[0]?.dataset.block;
    if (block && !this.running) this.block = block;
  }

  showAddress() {
    this.part("address").hidden = this.part("source").value !== ADDRESS;
  }
}

function option(value, words) {
  const entry = make("option", "", words);
  entry.value = value;
  return entry;
}
