// The Replay tab: ties the clip, the player, the stage and the panel together.

import { Clip, getJson, problemOf } from "./clip.js";
import { NeedlePanel } from "./needle.js";
import { Panel, make } from "./panel.js";
import { PlanesPanel } from "./planes.js";
import { Player } from "./player.js";
import { Recordings, choice, recordingIn } from "./recordings.js";
import { Stage, numbersPlanes } from "./stage.js";
import { Timeline } from "./timeline.js";

const TYPED_IN = "select, textarea, input:not([type=checkbox], [type=range], [type=file])";

export async function mount(root) {
  if (root.dataset.mounted) return;
  root.dataset.mounted = "yes";
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  try {
    const facts = await getJson("/replay/facts");
    new Replay(root, part, facts).start();
  } catch (error) {
    part("notice-text").textContent = error.message;
    part("notice").hidden = false;
  }
}

class Replay {
  constructor(root, part, facts) {
    Object.assign(this, { root, part, facts });
    this.clip = null;
    this.pending = null;
    this.hiding = false;
    this.shown = null;
    this.stage = new Stage(part("screen"));
    this.player = new Player({
      show: (number) => this.show(number),
      onChange: () => this.tellPlayer(),
    });
    const repaint = () => this.repaint();
    this.panel = new Panel(part, facts, repaint);
    this.needle = new NeedlePanel(part, facts, repaint);
    this.planes = new PlanesPanel(part, facts, {
      onLook: repaint,
      onNames: repaint,
      onProblem: (words) => this.complain(words),
    });
    this.timeline = new Timeline(part("timeline"), (number) => this.seek(number));
  }

  start() {
    this.listen();
    for (const { name, label } of this.facts.demos) {
      this.part("demo").append(choice(`Demo: ${label}`, name));
    }
    this.recordings = new Recordings(this.part("demo"));
    this.part("file").accept = this.facts.suffixes.join(",");
    this.openDemo(this.facts.demos[0].name);
  }

  listen() {
    const { part, player } = this;
    const on = (name, event, act) => part(name).addEventListener(event, act);
    on("play", "click", () => player.toggle());
    on("back", "click", () => player.step(-1));
    on("forward", "click", () => player.step(1));
    on("hide", "click", () => this.hide(!this.hiding));
    on("speed", "change", () => player.setRate(Number(part("speed").value)));
    on("scrub", "input", () => this.seek(Number(part("scrub").value)));
    on("demo", "change", () => this.openChosen(part("demo").value));
    // The list is asked for anew whenever it may be about to open.
    for (const event of ["pointerenter", "focus"]) on("demo", event, () => this.recordings.refresh());
    on("file", "change", () => {
      if (part("file").files.length) this.openFile(part("file").files[0]);
      part("file").value = "";
    });
    on("notice-close", "click", () => { part("notice").hidden = true; });
    on("stage", "dragover", (event) => event.preventDefault());
    on("stage", "drop", (event) => {
      event.preventDefault();
      if (event.dataTransfer.files.length) this.openFile(event.dataTransfer.files[0]);
    });
    this.root.addEventListener("click", (event) => {
      // After a click with the mouse, space and arrows belong to the player again.
      if (event.detail > 0) event.target.closest("button")?.blur();
    });
    document.addEventListener("keydown", (event) => this.key(event));
    window.addEventListener("pagehide", () => this.clip?.close({ leaving: true }));
    new ResizeObserver(() => this.repaint()).observe(part("screen"));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.root.offsetParent) return;
    const target = event.target.closest?.("button, select, input, textarea") ?? null;
    const scrubbing = target === this.part("scrub");
    const acts = {
      h: () => this.hide(!this.hiding),
      u: () => this.part("uncertainty").click(),
      n: () => this.part("needle").click(),
      g: () => this.part("guidance").click(),
      p: () => this.part("planes").click(),
      " ": () => this.player.toggle(),
      ArrowLeft: () => this.player.step(-1),
      ArrowRight: () => this.player.step(1),
      Home: () => this.player.goTo(0),
      End: () => this.player.goTo(this.clip ? this.clip.count - 1 : 0),
    };
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const digit = /^[1-9]$/.test(name);
    // Space and arrows mean something of their own to a control that has the focus.
    if (target && !scrubbing && !"hungp".includes(name) && !digit) return;
    // Letters and digits are for a field that is typed in, or a list that is searched by them.
    if (target?.matches(TYPED_IN)) return;
    if (!digit && !(name in acts)) return;
    event.preventDefault();
    if (digit) this.panel.toggleClass(Number(name) - 1);
    else if (!event.repeat || name.startsWith("Arrow")) acts[name]();
  }

  seek(number) {
    this.player.playing = false;
    this.player.goTo(number);
  }

  hide(hiding) {
    this.hiding = hiding;
    this.part("hide").setAttribute("aria-pressed", String(hiding));
    this.part("hidden").hidden = !hiding;
    this.repaint();
  }

  openChosen(value) {
    const name = recordingIn(value);
    if (name === null) this.openDemo(value);
    else this.open("recordings", name, "Opening the recording…");
  }

  openDemo(name) {
    this.open("demos", name, "Opening the demo…");
  }

  // Of what the server keeps itself: `kind` is demos or recordings.
  async open(kind, name, words) {
    if (!this.facts.model) {
      this.complain(this.facts.problem);
      return;
    }
    this.work(words);
    try {
      const address = `/replay/${kind}/${encodeURIComponent(name)}`;
      const { id } = await getJson(address, { method: "POST" });
      if (this.clip?.id === id) this.work(null);
      else this.follow(id);
    } catch (error) {
      this.complain(error.message);
    }
  }

  openFile(file) {
    const suffix = file.name.toLowerCase().match(/\.[a-z0-9]+$/)?.[0] ?? "";
    const { suffixes, upload_bytes: limit } = this.facts;
    const most = Math.round(limit / 2 ** 20);
    if (!this.facts.model) this.complain(this.facts.problem);
    else if (!suffixes.includes(suffix)) {
      this.complain(`“${file.name}” can't be opened here. These can: ${suffixes.join(", ")}.`);
    } else if (file.size > limit) {
      this.complain(`“${file.name}” is larger than ${most} MB, the most that is allowed.`);
    } else this.upload(file);
  }

  upload(file) {
    const request = new XMLHttpRequest();
    request.open("POST", `/replay/clips?name=${encodeURIComponent(file.name)}`);
    request.upload.onprogress = ({ loaded, total }) => {
      this.work(`Reading ${file.name}: ${Math.round((100 * loaded) / Math.max(1, total))} %`);
    };
    request.onload = () => {
      if (request.status === 200) this.follow(JSON.parse(request.responseText).id);
      else this.complain(problemOf(request.status, request.responseText));
    };
    request.onerror = () => this.complain("The file could not be sent. Is the app still running?");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.send(file);
  }

  // The clip on the stage stays until the new one has something to show.
  follow(id) {
    this.pending?.close();
    this.part("notice").hidden = true;
    this.pending = new Clip(id, {
      onStatus: (clip) => this.news(clip),
      onFrame: (number) => this.frameCame(number),
    });
  }

  news(clip) {
    if (clip === this.pending) {
      if (clip.count > 0) this.swap(clip);
      else if (clip.status.state === "failed") this.giveUp(clip);
      else if (!clip.growing) this.giveUp(clip, "There is no picture in this file.");
      else this.work(`Analysing ${clip.status.name}…`);
    }
    if (clip !== this.clip) return;
    if (clip.status.note && clip.status.note !== this.told) this.complain(clip.status.note);
    this.told = clip.status.note;
    this.panel.tellTiming(clip.status, this.facts.model.backend);
    if (!this.shown) this.player.goTo(this.player.number);
    this.tellClip();
    this.tellPlayer();
    this.tellTimeline();
  }

  swap(clip) {
    this.clip?.close();
    this.clip = clip;
    this.pending = null;
    this.shown = null;
    this.told = null;
    this.work(null);
    this.planes.open(clip);
    this.player.open(clip, { play: clip.growing || clip.count > 1 });
  }

  giveUp(clip, words = clip.status.note) {
    this.pending = null;
    clip.close();
    this.complain(words);
  }

  frameCame(number) {
    if (this.clip && number === this.player.number && this.shown?.number !== number) {
      this.show(number);
    }
  }

  // Paint a frame if both its parts are here; say whether they are.
  show(number) {
    const shot = this.clip?.shot(number);
    if (!shot) return false;
    this.shown = shot;
    this.repaint();
    this.tellPosition();
    return true;
  }

  repaint() {
    if (!this.shown?.picture.width) return; // none yet, or let go while a far frame loads
    this.stage.fit();
    const { hiding } = this;
    const look = { ...this.panel.look, ...this.needle.look, ...this.planes.look };
    if (hiding) Object.assign(look, { classes: [], names: false, needle: false, guidance: false });
    this.stage.paint(this.shown, this.clip.size, look);
    const { overlay } = this.shown;
    for (const panel of [this.panel, this.needle]) panel.tellFrame(overlay, { hiding });
    this.planes.tellFrame(overlay, { hiding: !numbersPlanes(look) });
    this.tellTimeline();
  }

  tellPlayer() {
    const { part, player, clip } = this;
    const { playing } = player;
    this.root.classList.toggle("nv-playing", playing);
    part("play").setAttribute("aria-label", playing ? "Pause" : "Play");
    const still = !clip || (clip.count < 2 && !clip.growing);
    for (const name of ["play", "back", "forward", "scrub", "speed"]) part(name).disabled = still;
    part("scrub").max = String(Math.max(0, (clip?.total ?? 1) - 1));
    part("scrub").value = String(player.number);
    this.tellPosition();
  }

  tellPosition() {
    const { clip, player } = this;
    if (!clip || clip.count === 0) return;
    const text = `Frame ${player.number + 1} / ${clip.total} · ${clock(clip.starts[player.number])}`;
    this.part("where").textContent = text;
    this.part("scrub").setAttribute("aria-valuetext", text);
  }

  tellTimeline() {
    const { clip, player } = this;
    if (clip && !this.needle.blind) this.timeline.paint(clip.letters, clip.total, player.number, this.needle.look.needleColor);
  }

  tellClip() {
    const { status, count, total, growing } = this.clip;
    this.part("analysed").style.width = `${(100 * count) / Math.max(1, total)}%`;
    const scale = status.mm_per_px
      ? `${status.mm_per_px.toFixed(3)} mm per pixel`
      : "scale unknown: pixels";
    const facts = [status.name, `${status.width} × ${status.height}`, scale];
    if (status.broken) facts.push(`${status.broken} broken frames skipped`);
    if (growing) facts.push(`analysing: ${count} of ${status.declared ?? "?"} frames`);
    this.part("facts").textContent = facts.join(" · ");
  }

  work(words) {
    this.part("working").hidden = words === null;
    this.part("working").textContent = words ?? "";
  }

  complain(words) {
    this.work(null);
    this.part("notice-text").textContent = words;
    this.part("notice").hidden = false;
  }
}

function clock(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds % 60).toFixed(2).padStart(5, "0")}`;
}
