// The page that looks on: the same picture and overlay, no control but to point.

import { getJson } from "./clip.js";
import { Feed } from "./feed.js";
import { listenToKeys } from "./keys.js";
import { LiveStage } from "./livestage.js";
import { Meter, ageOf, ageWords, isStale, rateWords, sentence, staleWords, tellNotices } from "./readout.js";

const TICK_MS = 200;
const FILL = 0.2;
const WAITING = {
  opening: "The trainee's source is being opened…",
  lost: "The trainee's source gives no picture",
  failed: "The trainee's source gives no picture",
  ended: "The trainee's recording has ended",
};

const part = (name) => document.querySelector(`[data-part="${name}"]`);

class Watch {
  constructor(code, facts) {
    this.stage = new LiveStage(part("screen"), part("over"), part("pointers"));
    this.meter = new Meter();
    this.hiding = false;
    Object.assign(this, { frame: null, overlay: null, status: null, source: null });
    this.look = {
      classes: facts.classes.map((kind) => ({ ...kind, color: kind.standard })),
      opacity: FILL, uncertainty: false, names: true, needle: facts.sees_needles,
      guidance: facts.sees_needles, needleColor: facts.needle.standard, planes: true, planeNames: {},
    };
    this.feed = new Feed(`/watch/${code}/view`, {
      onNews: (header, picture) => this.news(header, picture),
      onGap: () => this.work("The trainee's computer doesn't answer. Trying again…"),
      onEnd: (words) => this.over(words),
    });
    part("main").hidden = false;
    part("hide").addEventListener("click", () => this.hide());
    part("stage").addEventListener("pointerdown", (event) => {
      const point = event.button === 0 ? this.stage.under(event) : null;
      if (point) this.feed.point(point);
    });
    listenToKeys(part("main"), { h: () => this.hide() }, { onDigit: () => {} });
    new ResizeObserver(() => this.repaint()).observe(part("screen"));
    this.timer = setInterval(() => this.tick(), TICK_MS);
  }

  news({ frame, overlay, status, pointer }, picture) {
    if (status) this.tellStatus(status);
    if (picture) this.show(picture, frame);
    if (overlay) {
      this.overlay = overlay;
      this.paintOverlay();
    }
    if (pointer) this.stage.pointer(pointer, pointer.by === "watcher" ? "viewer" : "trainee");
  }

  show(picture, frame) {
    this.source?.close();
    if (!this.source) this.work(null);
    Object.assign(this, { source: picture, frame, cameAt: performance.now() });
    this.paintPicture();
    this.meter.tick();
    if (this.affine || this.moved) this.paintOverlay();
  }

  get affine() {
    const { moved } = this.frame ?? {};
    return moved && moved.number === this.overlay?.number ? moved.affine : null;
  }

  repaint() {
    this.stage.fit();
    this.paintPicture();
    this.paintOverlay();
  }

  paintPicture() {
    if (this.source) this.stage.picture(this.source, this.frame, [this.frame.width, this.frame.height]);
  }

  paintOverlay() {
    if (!this.source || !this.overlay) return;
    const hidden = { classes: [], names: false, needle: false, guidance: false };
    this.moved = this.affine !== null;
    const fits = this.overlay.size.join() === [this.frame.width, this.frame.height].join();
    this.stage.overlay(fits ? this.overlay : null, { ...this.look, ...(this.hiding ? hidden : {}) }, this.affine);
  }

  tellStatus(status) {
    const turned = this.status?.mirrored !== status.mirrored;
    this.status = status;
    this.stage.mirrored = status.mirrored;
    if (turned) this.repaint();
    part("stage").classList.toggle("nv-lost", status.state in WAITING && status.state !== "opening");
    this.work(WAITING[status.state] ?? (this.source ? null : "Waiting for the first picture…"));
    part("frozen").hidden = !status.frozen;
    part("watching").textContent = `${status.watching} looking on`;
    tellNotices(part("notices"), status.notices);
  }

  tick() {
    const { status, overlay, frame } = this;
    if (!status) return;
    const age = ageOf(overlay, frame, { cameAt: this.cameAt, clock: "theirs" });
    const stale = !status.frozen && isStale(age);
    part("over").classList.toggle("nv-faded", stale);
    part("stale").hidden = !stale || this.hiding;
    if (stale) part("stale").textContent = staleWords(age);
    part("age").textContent = ageWords(age, { frozen: status.frozen, own: overlay?.number === frame?.number });
    part("rates").textContent = rateWords(status, this.meter.rate);
  }

  hide() {
    this.hiding = !this.hiding;
    part("hide").setAttribute("aria-pressed", String(this.hiding));
    part("hidden").hidden = !this.hiding;
    this.paintOverlay();
  }

  work(words) {
    part("working").hidden = words === null;
    part("working").textContent = words ?? "";
  }

  over(words) {
    clearInterval(this.timer);
    part("main").hidden = true;
    this.source?.close(); // what was seen ends with the session
    Object.assign(this, { source: null, overlay: null });
    this.stage.clear();
    enter(words);
  }
}

function enter(words) {
  part("entry").hidden = false;
  if (words) part("entry-words").textContent = sentence(words);
}

const code = location.pathname.split("/")[2];
if (code) {
  getJson(`/watch/${code}/facts`).then((facts) => new Watch(code, facts), (error) => enter(error.message));
} else enter("");
