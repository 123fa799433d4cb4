// What the user asks of the session that runs, and what comes of it.

import { openInReplay } from "./tabs.js";

export class Orders {
  // `live` has the `steering`, `status`, `chooser`, `tools`, `planes` and `saying` of the tab.
  constructor(part, live) {
    Object.assign(this, { part, live });
    const on = (name, act) => part(name).addEventListener("click", act);
    on("freeze", () => this.act(live.status?.frozen ? "unfreeze" : "freeze"));
    on("mirror", () => this.set({ mirrored: !live.status?.mirrored }));
    on("record", () => this.record());
    on("snapshot", () => this.snapshot());
    on("crop-auto", () => this.set({ crop: "auto" }));
    on("crop-off", () => this.set({ crop: "off" }));
    on("crop-hand", () => this.choose("crop"));
    on("depth", () => this.measured(() => this.set({ scale: { depth_mm: this.millimetres } })));
    on("ruler", () => this.measured(() => this.choose("ruler")));
    on("scale-own", () => this.set({ scale: null }));
    on("share", () => this.act("share"));
    on("unshare", () => this.act("share", { on: false }));
  }

  get millimetres() {
    return Number(this.part("millimetres").value);
  }

  // What the app answers; null where nothing runs, or where it refused and that was told.
  async act(name, body) {
    const { steering, saying } = this.live;
    if (!steering) return null;
    try {
      const done = await steering.act(name, body);
      saying.complain(null);
      return done;
    } catch (error) {
      saying.complain(error.message);
      return null;
    }
  }

  set(settings) {
    return this.act("settings", settings);
  }

  // Take up a tool, or lay it down.
  choose(tool) {
    const { tools, saying } = this.live;
    saying.complain(null);
    tools.choose(tools.tool === tool ? null : tool);
  }

  measured(then) {
    if (this.millimetres > 0) then();
    else {
      this.live.saying.complain("First type how many millimetres it is.");
      this.part("millimetres").focus();
    }
  }

  mark(points) {
    this.set({ scale: { points, distance_mm: this.millimetres } });
  }

  blockChosen() {
    const { chooser: { block }, planes, steering, camera } = this.live;
    planes.offerFor(block);
    if (!camera) steering?.keep({ block }); // a camera's session ends with its page
    this.act("block", { block });
  }

  async record() {
    const { status, saying } = this.live;
    const on = !status?.recording;
    if (!on) saying.toast("Writing the end of the recording…", { stays: true }); // a busy disk takes a while
    const folder = await this.act("record", { on });
    if (on) return;
    if (folder) this.offer("Recorded", folder);
    else saying.toast(null);
  }

  async snapshot() {
    const folder = await this.act("snapshot");
    if (folder) this.offer("Kept", folder);
  }

  // `folder` is a path on the app's computer; its last part is what Replay calls it.
  offer(what, folder) {
    const name = folder.split(/[\\/]/).at(-1);
    const offer = { words: "Open in Replay", act: () => openInReplay(name) };
    this.live.saying.toast(`${what}: ${folder}`, { offer });
  }
}
