// The Replay tab: ties the clip, the player, the stage and the panel together.

import { Clip, getJson, problemOf } from "./clip.js";
import { listenToKeys } from "./keys.js";
import { mountOnce } from "./mounting.js";
import { NeedlePanel } from "./needle.js";
import { Panel } from "./panel.js";
import { PlanesPanel } from "./planes.js";
import { Player } from "./player.js";
import { Recordings, choice, recordingIn } from "./recordings.js";
import { Saying } from "./saying.js";
import { Stage, numbersPlanes } from "./stage.js";
import { onToOpen, takeToOpen } from "./tabs.js";
import { Timeline } from "./timeline.js";

export function mount(root) {
  return mountOnce(root, (part, facts) => new Replay(root, part, facts).start());
}

class Replay {
  constructor(root, part, facts) {
    Object.assign(this, { root, part, facts });
    this.clip = null;
    this.pending = null;
    this.hiding = false;
    this.shown = null;
    this.saying = new Saying(part);
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
      onProblem: (words) => this.saying.complain(words),
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
    onToOpen(() => this.openWanted());
    if (!this.openWanted()) this.openDemo(this.facts.demos[0].name);
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
    on("stage", "dragover", (event) => event.preventDefault());
    on("stage", "drop", (event) => {
      event.preventDefault();
      if (event.dataTransfer.files.length) this.openFile(event.dataTransfer.files[0]);
    });
    const press = (name) => () => part(name).click();
    const acts = {
      h: press("hide"), u: press("uncertainty"), n: press("needle"), g: press("guidance"),
      p: press("planes"),
      " ": () => player.toggle(),
      ArrowLeft: () => player.step(-1),
      ArrowRight: () => player.step(1),
      Home: () => player.goTo(0),
      End: () => player.goTo(this.clip ? this.clip.count - 1 : 0),
    };
    const onDigit = (digit) => this.panel.toggleClass(digit - 1);
    listenToKeys(this.root, acts, { onDigit, free: part("scrub") });
    window.addEventListener("pagehide", () => this.clip?.close({ leaving: true }));
    new ResizeObserver(() => this.show(this.player.number) || this.repaint()).observe(part("screen"));
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
    else this.openRecording(name);
  }

  openRecording(name) {
    return this.open("recordings", name, "Opening the recording…");
  }

  // What the Live tab has kept and the user wants to see; whether there is any.
  openWanted() {
    const name = takeToOpen();
    if (name === null) return false;
    this.recordings.choose(name);
    this.openRecording(name);
    return true;
  }

  openDemo(name) {
    this.open("demos", name, "Opening the demo…");
  }

  // Of what the server keeps itself: `kind` is demos or recordings.
  async open(kind, name, words) {
    if (!this.facts.model) {
      this.saying.complain(this.facts.problem);
      return;
    }
    this.saying.work(words);
    try {
      const address = `/replay/${kind}/${encodeURIComponent(name)}`;
      const { id } = await getJson(address, { method: "POST" });
      if (this.clip?.id === id) this.saying.work(null);
      else this.follow(id);
    } catch (error) {
      this.saying.complain(error.message);
    }
  }

  openFile(file) {
    const suffix = file.name.toLowerCase().match(/\.[a-z0-9]+$/)?.[0] ?? "";
    const { suffixes, upload_bytes: limit } = this.facts;
    const most = Math.round(limit / 2 ** 20);
    if (!this.facts.model) this.saying.complain(this.facts.problem);
    else if (!suffixes.includes(suffix)) {
      this.saying.complain(`“${file.name}” can't be opened here. These can: ${suffixes.join(", ")}.`);
    } else if (file.size > limit) {
      this.saying.complain(`“${file.name}” is larger than ${most} MB, the most that is allowed.`);
    } else this.upload(file);
  }

  upload(file) {
    const request = new XMLHttpRequest();
    request.open("POST", `/replay/clips?name=${encodeURIComponent(file.name)}`);
    request.upload.onprogress = ({ loaded, total }) => {
      this.saying.work(`Reading ${file.name}: ${Math.round((100 * loaded) / Math.max(1, total))} %`);
    };
    request.onload = () => {
      if (request.status === 200) this.follow(JSON.parse(request.responseText).id);
      else this.saying.complain(problemOf(request.status, request.responseText));
    };
    request.onerror = () => this.saying.complain("The file could not be sent. Is the app still running?");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.send(file);
  }

  // The clip on the stage stays until the new one has something to show.
  follow(id) {
    this.pending?.close();
    this.saying.complain(null);
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
      else this.saying.work(`Analysing ${clip.status.name}…`);
    }
    if (clip !== this.clip) return;
    if (clip.status.note && clip.status.note !== this.told) this.saying.complain(clip.status.note);
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
    this.saying.work(null);
    this.planes.open(clip);
    this.player.open(clip, { play: clip.growing || clip.count > 1 });
  }

  giveUp(clip, words = clip.status.note) {
    this.pending = null;
    clip.close();
    this.saying.complain(words);
  }

  frameCame(number) {
    if (this.clip && number === this.player.number && this.shown?.number !== number) {
      this.show(number);
    }
  }

  // Paint a frame if both its parts are here; say whether they are. Nothing plays out of sight: it
  // would take the processor from what is live in the other tab.
  show(number) {
    const shot = this.root.offsetParent && this.clip?.shot(number);
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
    const { overlay } = this.shown;
    this.stage.paint(this.shown, overlay.size, look);
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
}

function clock(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds % 60).toFixed(2).padStart(5, "0")}`;
}
