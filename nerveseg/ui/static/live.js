// The Live tab: ties a session's news, the stage, the tools and the panel together.

import { Camera } from "./camera.js";
import { CAMERA, Chooser } from "./chooser.js";
import { getJson } from "./clip.js";
import { numbersPlanes } from "./drawing.js";
import { Feed } from "./feed.js";
import { LivePanel } from "./livepanel.js";
import { LiveStage } from "./livestage.js";
import { NeedlePanel } from "./needle.js";
import { Panel } from "./panel.js";
import { PlanesPanel } from "./planes.js";
import { Meter, ageOf, ageWords, isStale, rateWords, staleWords, tellNotices } from "./readout.js";
import { Steering } from "./steering.js";
import { Tools } from "./tools.js";

const TYPED_IN = "select, textarea, input:not([type=checkbox], [type=range])";
const TICK_MS = 200;
const TOAST_MS = 5000;
const WAITING = {
  opening: "Opening the source…",
  lost: "The source gives no picture. Trying again…",
  ended: "The recording has ended.",
};
const NOTHING = {
  classes: {}, planes: [], guidance: null, warnings: [], targets: [], mm_per_px: null,
  needle: { status: "lost", age: null, shaft: null },
};

export async function mount(root) {
  if (root.dataset.mounted) return;
  root.dataset.mounted = "yes";
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  try {
    const facts = await getJson("/replay/facts");
    await new Live(root, part, facts).start();
  } catch (error) {
    part("notice-text").textContent = error.message;
    part("notice").hidden = false;
  }
}

class Live {
  constructor(root, part, facts) {
    Object.assign(this, { root, part, facts });
    this.stage = new LiveStage(part("screen"), part("over"), part("pointers"));
    this.meter = new Meter();
    this.hiding = false;
    this.forget();
    const repaint = () => this.paintOverlay();
    this.live = new LivePanel(part, facts);
    this.panel = new Panel(part, facts, repaint);
    this.needle = new NeedlePanel(part, facts, repaint);
    this.planes = new PlanesPanel(part, facts, {
      onLook: repaint,
      onNames: repaint,
      onProblem: (words) => this.complain(words),
    });
    this.chooser = new Chooser(part, facts.blocks, {
      onStart: () => this.begin(),
      onBlock: () => this.blockChosen(),
    });
    this.tools = new Tools(this.stage, part("stage"), part("marks"), {
      onPoint: (point) => this.feed?.point(point),
      onCrop: (crop) => this.set({ crop }),
      onMarks: (points) => this.set({ scale: { points, distance_mm: this.millimetres } }),
      onChange: (tool) => this.tellTool(tool),
    });
  }

  forget() {
    Object.assign(this, { frame: null, overlay: null, status: null, source: null, cameAt: 0, moved: false });
  }

  async start() {
    this.listen();
    await this.chooser.list();
    setInterval(() => this.tick(), TICK_MS);
    const kept = Steering.kept();
    if (kept) this.follow(kept);
    else if (this.facts.live) {
      const { uri, block } = this.facts.live;
      if (block) this.chooser.block = block;
      this.begin(uri);
    }
    else this.live.idle();
  }

  listen() {
    const { part } = this;
    const on = (name, event, act) => part(name).addEventListener(event, act);
    on("start", "click", () => (this.steering ? this.stop() : this.begin()));
    on("freeze", "click", () => this.act(this.status?.frozen ? "unfreeze" : "freeze"));
    on("mirror", "click", () => this.set({ mirrored: !this.status?.mirrored }));
    on("hide", "click", () => this.hide(!this.hiding));
    on("record", "click", () => this.record());
    on("snapshot", "click", () => this.snapshot());
    on("crop-auto", "click", () => this.set({ crop: "auto" }));
    on("crop-off", "click", () => this.set({ crop: "off" }));
    on("crop-hand", "click", () => this.tools.choose(this.tools.tool === "crop" ? null : "crop"));
    on("depth", "click", () => this.measured(() => this.set({ scale: { depth_mm: this.millimetres } })));
    on("ruler", "click", () => this.measured(() => this.tools.choose(this.tools.tool === "ruler" ? null : "ruler")));
    on("scale-own", "click", () => this.set({ scale: null }));
    on("share", "click", () => this.act("share"));
    on("unshare", "click", () => this.act("share", { on: false }));
    on("targets-on", "input", () => this.tellOverlay());
    on("notice-close", "click", () => { part("notice").hidden = true; });
    this.root.addEventListener("click", (event) => {
      // After a click with the mouse, the keys belong to the picture again.
      if (event.detail > 0) event.target.closest("button")?.blur();
    });
    document.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.repaint()).observe(part("screen"));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.root.offsetParent) return;
    const target = event.target.closest?.("button, select, input, textarea, a") ?? null;
    const press = (name) => () => this.part(name).click();
    const acts = {
      h: press("hide"), u: press("uncertainty"), n: press("needle"), g: press("guidance"),
      p: press("planes"), t: press("targets-on"), f: press("freeze"), " ": press("freeze"),
      m: press("mirror"), r: press("record"), s: press("snapshot"),
      Escape: () => this.tools.choose(null),
    };
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const digit = /^[1-9]$/.test(name);
    if (target?.matches(TYPED_IN) || event.repeat) return;
    if (target && name === " ") return; // means something of its own to what has the focus
    if (!digit && !(name in acts)) return;
    event.preventDefault();
    if (digit) this.panel.toggleClass(Number(name) - 1);
    else acts[name]();
  }

  get millimetres() {
    return Number(this.part("millimetres").value);
  }

  // A session begins, goes on after a reload, and ends

  async begin(wanted = null) {
    if (!this.facts.model) {
      this.complain(this.facts.problem);
      return;
    }
    const { part } = this;
    part("notice").hidden = true;
    const uri = wanted ?? this.chooser.source;
    if (uri === CAMERA) {
      await this.beginCamera();
      return;
    }
    this.work("Opening the source…");
    part("start").disabled = true;
    try {
      this.follow(await Steering.start(uri, this.chooser.block));
    } catch (error) {
      this.complain(error.message);
    }
    part("start").disabled = false;
  }

  follow(steering) {
    this.steering = steering;
    this.feed = new Feed(steering.view, this.hearing());
    this.chooser.tell(steering.uri);
    this.begun();
  }

  async beginCamera() {
    const camera = new Camera((video) => this.film(video));
    this.work("Asking for the camera…");
    this.part("start").disabled = true;
    try {
      await camera.start();
      this.camera = camera;
      camera.onLost = () => { this.stop(); this.complain("The camera was unplugged or switched off."); };
      const query = new URLSearchParams({ block: this.chooser.block });
      camera.feed = this.feed = new Feed(`/live/camera?${query}`, { ...this.hearing(), once: true });
      this.chooser.tell(CAMERA);
      this.begun();
    } catch (error) {
      this.complain(error.message);
    }
    this.part("start").disabled = false;
  }

  hearing() {
    return {
      onNews: (header, picture) => this.news(header, picture),
      onText: (words) => this.hear(words),
      onGap: () => this.work("The app doesn't answer. Trying again…"),
      onEnd: (words) => { this.over(); this.complain(words); },
    };
  }

  begun() {
    const label = this.facts.blocks.find(({ name }) => name === this.chooser.block)?.label ?? "";
    const names = {};
    this.planes.open({
      names,
      status: { name: label },
      rename: async (key, name) => { if (name) names[key] = name; else delete names[key]; },
    });
    this.chooser.running = true;
    this.live.running(true);
  }

  async stop() {
    const { steering, camera } = this;
    this.over();
    if (steering && !camera) await steering.act("stop").catch(() => {});
  }

  // Nothing runs any more, on this page at least.
  over() {
    this.steering?.forget();
    this.feed?.close();
    this.camera?.stop();
    Object.assign(this, { steering: null, feed: null, camera: null });
    this.chooser.running = false;
    if (this.source instanceof ImageBitmap) this.source.close();
    this.forget();
    this.work(null);
    this.tools.choose(null);
    this.stage.clear();
    for (const panel of [this.panel, this.needle, this.planes]) panel.tellFrame(NOTHING, { hiding: false });
    tellNotices(this.part("notices"), []);
    this.live.idle();
  }

  // What the app tells

  hear(words) {
    if (words === "next") {
      if (this.camera) this.camera.free = true;
      return;
    }
    const said = JSON.parse(words);
    if (said.problem) this.complain(said.problem);
    if (!said.id) return;
    this.steering = new Steering({ ...said, uri: CAMERA });
    this.camera.free = true;
  }

  news({ frame, overlay, status, pointer }, picture) {
    if (!this.feed) {
      picture?.close();
      return;
    }
    this.work(null);
    if (status) this.tellStatus(status);
    if (picture) this.show(picture, frame);
    if (overlay) this.take(overlay);
    if (pointer) this.stage.pointer(pointer, pointer.by === "watcher" ? "viewer" : "you");
  }

  show(picture, frame) {
    if (this.source instanceof ImageBitmap) this.source.close();
    Object.assign(this, { source: picture, frame, cameAt: performance.now() });
    this.size = [frame.width, frame.height];
    this.paintPicture();
    this.meter.tick();
    // The overlay was drawn for another frame: carry it along, or put it back.
    if (this.overlay && (this.affine || this.moved)) this.paintOverlay();
  }

  take(overlay) {
    this.overlay = overlay;
    if (this.camera && overlay.stamp !== null) this.camera.answered(overlay.stamp);
    this.paintOverlay();
    this.tellOverlay();
  }

  // The browser's own camera has a new picture.
  film(video) {
    if (!this.camera || this.status?.frozen) return;
    Object.assign(this, { source: video, cameAt: performance.now() });
    this.size = this.camera.sent;
    this.frame = { number: (this.frame?.number ?? -1) + 1, captured_at: Date.now() };
    this.paintPicture();
    this.meter.tick();
  }

  // Painting

  get affine() {
    const { moved } = this.frame ?? {};
    return moved && moved.number === this.overlay?.number ? moved.affine : null;
  }

  get look() {
    const look = { ...this.panel.look, ...this.needle.look, ...this.planes.look };
    if (this.hiding) Object.assign(look, { classes: [], names: false, needle: false, guidance: false });
    return look;
  }

  repaint() {
    this.stage.fit();
    this.paintPicture();
    this.paintOverlay();
  }

  paintPicture() {
    if (!this.source || !this.frame) return;
    if (this.stage.fit()) queueMicrotask(() => this.paintOverlay());
    this.stage.picture(this.source, this.frame, this.size);
  }

  paintOverlay() {
    if (!this.overlay || !this.source) return;
    this.moved = this.affine !== null;
    this.stage.overlay(this.overlay, this.look, this.affine);
    this.tellOverlay();
  }

  // Telling

  tellOverlay() {
    const { overlay, hiding } = this;
    if (!overlay) return;
    for (const panel of [this.panel, this.needle]) panel.tellFrame(overlay, { hiding });
    this.planes.tellFrame(overlay, { hiding: !numbersPlanes(this.look) });
    this.live.targets(overlay.targets, (name) => this.label(name), { hiding });
  }

  label(name) {
    return this.panel.classes.find((kind) => kind.name === name)?.label ?? name.charAt(0).toUpperCase() + name.slice(1);
  }

  tick() {
    const { part, overlay, frame, status } = this;
    if (!status) return;
    const age = ageOf(overlay, frame, { cameAt: this.cameAt, clock: "own" });
    const { frozen } = status;
    const own = Boolean(this.camera) || overlay?.number === frame?.number;
    const stale = !frozen && isStale(age);
    part("over").classList.toggle("nv-faded", stale || status.state === "lost");
    part("stale").hidden = !stale || this.hiding;
    if (stale) part("stale").textContent = staleWords(age);
    const trip = this.camera?.trip;
    const words = ageWords(age, { frozen, own });
    part("age").textContent = trip ? `${words} · round trip ${Math.round(trip)} ms` : words;
    part("age").classList.toggle("nv-late", stale);
    part("rates").textContent = rateWords(status, this.meter.rate);
  }

  tellStatus(status) {
    const { part } = this;
    const turned = status.mirrored !== this.status?.mirrored;
    this.status = status;
    this.stage.mirrored = status.mirrored;
    if (turned) this.repaint();
    if (status.state === "failed") {
      this.giveUp(status);
      return;
    }
    part("stage").classList.toggle("nv-lost", ["lost", "ended"].includes(status.state));
    if (WAITING[status.state] && status.notices.length === 0) this.work(WAITING[status.state]);
    tellNotices(part("notices"), status.notices);
    this.panel.tellTiming(status, this.facts.model.backend);
    const size = this.frame && !this.camera ? this.size : null;
    this.live.tell(status, { size, tool: this.tools.tool });
  }

  // Trying again is no use: the user may choose another source at once.
  giveUp({ notices }) {
    this.stop();
    this.complain(notices[0]?.text ?? "The source can't be opened.");
  }

  tellTool(tool) {
    this.live.press("ruler", tool === "ruler");
    this.live.press("crop-hand", tool === "crop" || Array.isArray(this.status?.crop));
    const hints = {
      crop: "Draw a rectangle around the image · Esc ends",
      ruler: `Click two marks that are ${this.millimetres} mm apart · Esc ends`,
    };
    this.toast(hints[tool] ?? null, { stays: true });
  }

  hide(hiding) {
    this.hiding = hiding;
    this.live.press("hide", hiding);
    this.part("hidden").hidden = !hiding;
    this.paintOverlay();
  }

  // What the user asks for

  async act(name, body) {
    if (!this.steering) return null;
    try {
      return await this.steering.act(name, body);
    } catch (error) {
      this.complain(error.message);
      return null;
    }
  }

  set(settings) {
    return this.act("settings", settings);
  }

  measured(then) {
    if (this.millimetres > 0) then();
    else {
      this.complain("Type how many millimetres it is first.");
      this.part("millimetres").focus();
    }
  }

  blockChosen() {
    const { block } = this.chooser;
    this.part("syllabus").value = block;
    this.planes.offer();
    this.act("block", { block });
  }

  async record() {
    const on = !this.status?.recording;
    const folder = await this.act("record", { on });
    if (folder && !on) this.toast(`Recorded: ${folder}`);
  }

  async snapshot() {
    const path = await this.act("snapshot");
    if (path) this.toast(`Kept: ${path}`);
  }

  work(words) {
    this.part("working").hidden = words === null;
    this.part("working").textContent = words ?? "";
  }

  toast(words, { stays = false } = {}) {
    clearTimeout(this.toasting);
    this.part("toast").hidden = words === null;
    this.part("toast").textContent = words ?? "";
    if (words && !stays) this.toasting = setTimeout(() => this.toast(null), TOAST_MS);
  }

  complain(words) {
    this.work(null);
    this.part("notice-text").textContent = words;
    this.part("notice").hidden = false;
  }
}
