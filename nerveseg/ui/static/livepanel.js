// What the Live tab's panel and buttons tell of a session. All text is textContent.

import { make } from "./panel.js";

const NEEDS_SESSION = [
  "freeze", "snapshot", "record", "mirror", "crop-auto", "crop-hand", "crop-off", "depth", "ruler", "share",
];
const CROPS = {
  auto: "The image is found inside the scanner's chrome.",
  off: "The whole picture is analysed.",
};

export class LivePanel {
  constructor(part, { watch_at: watchAt }) {
    Object.assign(this, { part, watchAt });
  }

  press(name, on) {
    this.part(name).setAttribute("aria-pressed", String(on));
  }

  set(name, words) {
    if (this.part(name).textContent !== words) this.part(name).textContent = words;
  }

  // `size` is the picture's [width, height], or null.
  tell(status, { size, tool }) {
    this.press("freeze", status.frozen);
    this.press("mirror", status.mirrored);
    this.part("frozen").hidden = !status.frozen;
    this.recording(status.recording);
    this.crop(status.crop, tool);
    this.scale(status);
    this.viewers(status);
    this.source(status, size);
  }

  source({ source, promised_fps: promised }, size) {
    const facts = Object.entries(source).filter(([, value]) => value !== null);
    this.set("source-facts", [
      ...(size ? [`${size[0]} × ${size[1]}`] : []),
      ...(promised ? [`${promised} a second promised`] : []),
      ...facts.map(([key, value]) => `${key} ${value}`),
    ].join(" · "));
  }

  recording(recording) {
    this.press("record", recording !== null);
    this.set("record-words", recording ? "End recording" : "Record");
    this.part("recording").hidden = !recording;
    if (!recording) return;
    const lost = recording.dropped ? ` · ${recording.dropped} frames lost` : "";
    this.set("recording-time", `REC ${clock(recording.seconds)}${lost}`);
  }

  crop(crop, tool) {
    const byHand = Array.isArray(crop);
    const drawn = byHand ? `Cropped by hand: ${crop[2] - crop[0]} × ${crop[3] - crop[1]} pixels.` : CROPS[crop];
    this.set("crop-words", drawn);
    for (const name of ["auto", "off"]) this.press(`crop-${name}`, crop === name);
    this.press("crop-hand", byHand || tool === "crop");
  }

  scale({ mm_per_px: scale, scale_from: source }) {
    const from = source ? `set by ${source}` : "by the source";
    this.set("scale-words", scale
      ? `${scale.toFixed(4)} mm per pixel, ${from}.`
      : "Scale unknown: distances are in pixels. Type millimetres, then what they are:");
    this.part("scale-own").hidden = !source;
  }

  viewers({ watching, code }) {
    const nobody = code ? "Nobody is looking on yet." : "Nobody is looking on.";
    this.set("watching", watching ? `${watching} ${watching === 1 ? "is" : "are"} looking on.` : nobody);
    this.part("share-words").hidden = !code;
    this.set("share", code ? "New code" : "Let others look on");
    this.part("unshare").hidden = !code;
    if (!code) return;
    const link = `${this.watchAt ?? location.origin}/watch/${code}`;
    this.set("code", `${code.slice(0, 4)} ${code.slice(4)}`);
    this.set("link", link);
    this.part("link").href = link;
    this.set("share-reach", this.watchAt
      ? "For other computers on this network; the picture isn't encrypted on its way."
      : "For this computer alone. To let others look on, start the app with --share.");
  }

  running(running) {
    for (const name of NEEDS_SESSION) this.part(name).disabled = !running;
    for (const name of ["source", "address"]) this.part(name).disabled = running;
    this.set("start", running ? "Stop" : "Start");
    this.part("empty").hidden = running;
  }

  // Nothing runs.
  idle() {
    this.running(false);
    for (const name of ["frozen", "stale"]) this.part(name).hidden = true;
    for (const name of ["rates", "source-facts", "crop-words", "scale-words"]) this.set(name, "");
    this.set("age", "–");
    this.part("stage").classList.remove("nv-lost");
    this.part("over").classList.remove("nv-faded");
    this.part("age").classList.remove("nv-late");
    this.part("scale-own").hidden = true;
    this.recording(null);
    this.viewers({ watching: 0, code: null });
    this.targets([], String, { hiding: false });
    for (const name of ["freeze", "mirror", "crop-auto", "crop-hand", "crop-off"]) this.press(name, false);
  }

  targets(targets, label, { hiding }) {
    this.part("targets").hidden = !this.part("targets-on").checked;
    tellTargets(this.part("targets"), targets, label, { hiding });
  }
}

// What is in view of what the block asks for. It tells what is seen, never what to do.
function tellTargets(list, targets, labels, { hiding }) {
  const rows = targets.map((target) => {
    const seen = target.known && target.found > 0 && !hiding;
    return [labels(target.class), target.names.join(", "), hiding ? "hidden" : seenWords(target), seen];
  });
  const words = JSON.stringify(rows);
  if (list.dataset.words === words) return;
  list.dataset.words = words;
  list.replaceChildren(...rows.map(([label, names, state, seen]) => {
    const row = make("li", seen ? "nv-seen" : "");
    const told = make("span", "", label);
    told.append(make("small", "", names));
    const figures = make("output", "", state);
    figures.setAttribute("aria-live", "off"); // they change every second
    row.append(make("i", "nv-lamp"), told, figures);
    return row;
  }));
  if (rows.length === 0) list.append(make("li", "nv-quiet", "With a block chosen, this tells what of it is in view."));
}

function seenWords({ known, found, seen_s: seconds, confidence }) {
  if (!known) return "the model can't tell this class";
  if (!found) return "not in view";
  const sure = confidence === null ? "" : ` · ${Math.round(100 * confidence)}\u00a0%`;
  return `${found} in view\nfor ${Math.floor(seconds)}\u00a0s${sure}`;
}

function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}
