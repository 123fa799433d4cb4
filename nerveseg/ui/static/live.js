// The Live tab: ties a session's news, the stage, the tools and the panel together.

import { Camera } from "./camera.js";
import { CAMERA, Chooser } from "./chooser.js";
import { numbersPlanes } from "./drawing.js";
import { Feed } from "./feed.js";
import { listenToKeys } from "./keys.js";
import { LivePanel } from "./livepanel.js";
import { LiveStage } from "./livestage.js";
import { mountOnce } from "./mounting.js";
import { NeedlePanel } from "./needle.js";
import { Orders } from "./orders.js";
import { Panel } from "./panel.js";
import { PlanesPanel } from "./planes.js";
import { Meter, ageOf, ageWords, isStale, rateWords, sentence, staleWords, tellNotices } from "./readout.js";
import { Saying } from "./saying.js";
import { Steering } from "./steering.js";
import { Tools } from "./tools.js";

const TICK_MS = 200;
const WAITING = {
  opening: "Opening the source…",
  lost: "The source gives no picture. Trying again…",
  ended: "The recording has ended. Stop and Start play it again.",
};
const NOTHING = {
  classes: {}, planes: [], guidance: null, warnings: [], targets: [], mm_per_px: null,
  needle: { status: "lost", age: null, shaft: null },
};

export function mount(root) {
  return mountOnce(root, (part, facts) => new Live(root, part, facts).start());
}

class Live {
  constructor(root, part, facts) {
    Object.assign(this, { root, part, facts });
    this.stage = new LiveStage(part("screen"), part("over"), part("pointers"));
    this.meter = new Meter();
    this.saying = new Saying(part);
    this.hiding = false;
    this.starting = false;
    this.forget();
    const repaint = () => this.paintOverlay();
    this.live = new LivePanel(part, facts);
    this.panel = new Panel(part, facts, repaint);
    this.needle = new NeedlePanel(part, facts, repaint);
    this.planes = new PlanesPanel(part, facts, {
      onLook: repaint,
      onNames: repaint,
      onProblem: (words) => this.saying.complain(words),
    });
    this.orders = new Orders(part, this);
    this.chooser = new Chooser(part, facts.blocks, {
      onStart: () => this.begin(),
      onBlock: () => this.orders.blockChosen(),
    });
    this.tools = new Tools(this.stage, part("stage"), part("marks"), {
      onPoint: (point) => this.feed?.point(point),
      onCrop: (crop) => this.orders.set({ crop }),
      onMarks: (points) => this.orders.mark(points),
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
    part("start").addEventListener("click", () => (this.feed ? this.stop() : this.begin()));
    part("hide").addEventListener("click", () => this.hide(!this.hiding));
    part("targets-on").addEventListener("input", () => this.tellOverlay());
    const press = (name) => () => part(name).click();
    const acts = {
      h: press("hide"), u: press("uncertainty"), n: press("needle"), g: press("guidance"),
      p: press("planes"), t: press("targets-on"), f: press("freeze"), " ": press("freeze"),
      m: press("mirror"), r: press("record"), s: press("snapshot"),
      Escape: () => this.tools.choose(null),
    };
    listenToKeys(this.root, acts, { onDigit: (digit) => this.panel.toggleClass(digit - 1) });
    new ResizeObserver(() => this.repaint()).observe(part("screen"));
  }

  // A session begins, goes on after a reload, and ends

  async begin(wanted = null) {
    if (this.starting || this.feed) return;
    if (!this.facts.model) {
      this.saying.complain(this.facts.problem);
      return;
    }
    this.starting = this.part("start").disabled = true;
    this.saying.complain(null);
    this.saying.toast(null);
    try {
      if (wanted) this.chooser.tell(wanted);
      const uri = wanted ?? this.chooser.source;
      if (uri === CAMERA) await this.beginCamera();
      else {
        this.saying.work("Opening the source…");
        this.follow(await Steering.start(uri, this.chooser.block));
      }
    } catch (error) {
      this.saying.complain(error.message);
    }
    this.starting = this.part("start").disabled = false;
  }

  follow(steering) {
    this.steering = steering;
    this.feed = new Feed(steering.view, this.hearing());
    this.chooser.tell(steering.uri);
    this.chooser.block = steering.block;
    this.begun();
  }

  async beginCamera() {
    const camera = new Camera((video) => this.film(video));
    this.saying.work("Asking for the camera…");
    await camera.start();
    this.camera = camera;
    camera.onLost = () => { this.stop(); this.saying.complain("The camera was unplugged or switched off."); };
    const query = new URLSearchParams({ block: this.chooser.block });
    camera.feed = this.feed = new Feed(`/live/camera?${query}`, { ...this.hearing(), once: true });
    this.begun();
  }

  hearing() {
    return {
      onNews: (header, picture) => this.news(header, picture),
      onText: (words) => this.hear(words),
      onGap: () => this.saying.work("The app doesn't answer. Trying again…"),
      onEnd: (words) => { this.over(); this.saying.complain(sentence(words)); },
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
    this.part("start").disabled = true;
    if (this.status?.recording) await this.orders.record(); // tells where it lies
    const { steering, camera } = this;
    this.over();
    if (steering && !camera) await steering.act("stop").catch(() => {});
    this.part("start").disabled = false;
  }

  // Nothing runs any more, on this page at least.
  over() {
    this.steering?.forget();
    this.feed?.close();
    this.camera?.stop();
    Object.assign(this, { steering: null, feed: null, camera: null });
    this.chooser.running = false;
    this.hold(null, null);
    this.forget();
    this.saying.work(null);
    if (this.tools.tool) this.tools.choose(null);
    this.stage.clear();
    for (const panel of [this.panel, this.needle, this.planes]) panel.tellFrame(NOTHING, { hiding: false });
    tellNotices(this.part("notices"), []);
    this.root.classList.remove("nv-old");
    this.live.idle();
  }

  // What the app tells

  hear(words) {
    if (!this.camera) return;
    const said = words === "next" ? {} : JSON.parse(words);
    if (said.problem) this.saying.complain(said.problem);
    if (said.id) this.steering = new Steering({ ...said, uri: CAMERA });
    this.camera.free = true;
  }

  news({ frame, overlay, status, pointer }, picture) {
    if (status && this.feed) this.tellStatus(status);
    if (!this.feed) { // it is over, perhaps by this very status
      picture?.close();
      return;
    }
    this.saying.work(this.waiting);
    if (picture) this.show(picture, frame);
    if (overlay) this.take(overlay);
    if (pointer) this.stage.pointer(pointer, pointer.by === "watcher" ? "viewer" : "you");
  }

  show(picture, frame) {
    this.hold(picture, frame);
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
  }

  // The browser's own camera has a new picture.
  film(video) {
    if (!this.camera || this.status?.frozen) return;
    this.hold(video, { number: (this.frame?.number ?? -1) + 1, captured_at: Date.now() });
    this.size = this.camera.sent;
    this.paintPicture();
    this.meter.tick();
  }

  // What is shown from now on.
  hold(source, frame) {
    if (this.source instanceof ImageBitmap) this.source.close();
    Object.assign(this, { source, frame, cameAt: performance.now() });
  }

  // Painting

  // What is waited for, where no notice says it.
  get waiting() {
    const { state, notices } = this.status ?? {};
    return notices?.length === 0 ? (WAITING[state] ?? null) : null;
  }

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
    // Where the picture's size has changed, it lies elsewhere.
    const fits = this.overlay.size.join() === this.size.join();
    this.stage.overlay(fits ? this.overlay : null, this.look, this.affine);
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
    const old = stale || status.state === "lost";
    part("over").classList.toggle("nv-faded", old);
    this.root.classList.toggle("nv-old", old);
    part("stale").hidden = !stale || this.hiding || status.state === "ended";
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
    tellNotices(part("notices"), status.notices);
    this.panel.tellTiming(status, this.facts.model.backend);
    const size = this.frame && !this.camera ? this.size : null;
    this.live.tell(status, { size, tool: this.tools.tool });
  }

  // Trying again is no use: the user may choose another source at once.
  giveUp({ notices }) {
    this.stop();
    this.saying.complain(notices[0]?.text ?? "The source can't be opened.");
  }

  tellTool(tool) {
    this.live.press("ruler", tool === "ruler");
    this.live.press("crop-hand", tool === "crop" || Array.isArray(this.status?.crop));
    const hints = {
      crop: "Draw a rectangle around the image · Esc ends",
      ruler: `Click two marks that are ${this.orders.millimetres} mm apart · Esc ends`,
    };
    this.saying.toast(hints[tool] ?? null, { stays: true });
  }

  hide(hiding) {
    this.hiding = hiding;
    this.live.press("hide", hiding);
    this.part("hidden").hidden = !hiding;
    this.paintOverlay();
  }
}
