// How old and how fast a live picture is, and what is wrong with it, in words. All text is
// textContent.

import { make, picture } from "./panel.js";

const STALE_MS = 500;
const MOST_NOTICES = 3;
const SIGN = [["path", { d: "M10 1.2 19.4 18.4H.6z" }]];

// Pictures painted a second, over the last two.
export class Meter {
  constructor() {
    this.times = [];
  }

  tick() {
    this.times.push(performance.now());
  }

  get rate() {
    const now = performance.now();
    this.times = this.times.filter((time) => now - time < 2000);
    return this.times.length / 2;
  }
}

// How old what is drawn is: {ms, frames} or null. Pages on another computer have another clock,
// so the age counts from when the newest picture came.
export function ageOf(overlay, frame, { cameAt, clock }) {
  if (!overlay || !frame) return null;
  if (overlay.stamp !== null && overlay.stamp !== undefined) {
    return { ms: performance.now() - overlay.stamp, frames: null };
  }
  const since = clock === "own" ? Date.now() - frame.captured_at : performance.now() - cameAt;
  const ms = Math.max(0, frame.captured_at - overlay.captured_at + since);
  return { ms, frames: Math.max(0, frame.number - overlay.number) };
}

export function isStale(age) {
  return age !== null && age.ms > STALE_MS;
}

export function ageWords(age, { frozen, own }) {
  if (!age) return "no overlay yet";
  if (frozen) return own ? "frozen · overlay of this very frame" : "frozen · analysing this frame…";
  const frames = age.frames === null ? "" : ` · ${age.frames} ${age.frames === 1 ? "frame" : "frames"}`;
  return `overlay ${Math.round(age.ms)} ms old${frames}`;
}

export function staleWords(age) {
  return `overlay is ${(age.ms / 1000).toFixed(1)} s old`;
}

export function rateWords(status, shown) {
  const promised = status.promised_fps ? ` of ${round(status.promised_fps)}` : "";
  const passed = status.passed_over ? ` · ${status.passed_over} passed over in all` : "";
  return `per second ${round(status.delivered_fps)}${promised} delivered · ${round(shown)} shown · `
    + `${round(status.analysed_fps)} analysed${passed}`;
}

function capital(words) {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function sentence(words) {
  return capital(words) + (/[.!?…]$/.test(words) ? "" : ".");
}

function round(value) {
  return Number(value).toFixed(value < 10 ? 1 : 0);
}

// The notices on the picture: what is wrong, and what to do. A figure that changes in one that
// stands there already is written into it: it isn't news, and not read out again.
export function tellNotices(list, notices) {
  const shown = notices.slice(0, MOST_NOTICES);
  const rows = new Map([...list.children].map((row) => [row.dataset.key, row]));
  const kept = shown.map(({ key }) => rows.get(key) ?? noticeRow(key));
  if (kept.length !== list.children.length || kept.some((row, at) => row !== list.children[at])) {
    list.replaceChildren(...kept);
  }
  shown.forEach(({ text, advice }, at) => {
    write(kept[at].querySelector("strong"), text);
    write(kept[at].querySelector("span"), capital(advice));
  });
}

function noticeRow(key) {
  const row = make("div", "nv-tell");
  row.dataset.key = key;
  const sign = picture("0 0 20 20", [...SIGN, ["text", { x: 10, y: 16.2, "text-anchor": "middle" }]], "nv-sign");
  sign.lastChild.textContent = "!";
  const told = make("p");
  told.append(make("strong"), make("span"));
  row.append(sign, told);
  return row;
}

function write(element, words) {
  if (element.textContent !== words) element.textContent = words;
}
