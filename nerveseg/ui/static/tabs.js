// From one tab of the page to the other. A tab is mounted when it is looked at for the first time, so
// what it is to show waits for it.

import { Steering } from "./steering.js";

const TO_OPEN = "nerveseg-replay";
const AGAIN_MS = 50;

// A page that is reloaded while it scans goes on with that.
export function resume() {
  if (Steering.kept()) toTab("Live");
}

export function openInReplay(name) {
  sessionStorage.setItem(TO_OPEN, name);
  toTab("Replay");
  window.dispatchEvent(new Event(TO_OPEN));
}

// The recording that is to be opened, once; null if there is none.
export function takeToOpen() {
  const name = sessionStorage.getItem(TO_OPEN);
  sessionStorage.removeItem(TO_OPEN);
  return name;
}

export function onToOpen(act) {
  window.addEventListener(TO_OPEN, act);
}

function toTab(name, tries = 100) {
  const tabs = [...document.querySelectorAll("button[role=tab]")].filter((tab) => tab.textContent.trim() === name);
  for (const tab of tabs) tab.click();
  if (tabs.length === 0 && tries > 0) setTimeout(() => toTab(name, tries - 1), AGAIN_MS);
}
