// The user's own recordings as a group in the list of clips.

import { getJson } from "./clip.js";
import { make } from "./panel.js";

const MARK = "recording:";
const STAMP = /^(\d{4}-\d\d-\d\d) (\d\d-\d\d-\d\d) ?(.*)$/;

export function choice(label, value) {
  const option = make("option", "", label);
  option.value = value;
  return option;
}

// The name of the recording that a choice stands for, or null if it is none.
export function recordingIn(value) {
  return value.startsWith(MARK) ? value.slice(MARK.length) : null;
}

export class Recordings {
  constructor(list) {
    this.list = list;
    this.group = make("optgroup", "", "");
    this.group.label = "My recordings";
    this.told = null;
    this.refresh();
  }

  async refresh() {
    let found;
    try {
      found = await getJson("/replay/recordings");
    } catch {
      return; // the list stays as it was; opening one of it tells what is wrong
    }
    const told = JSON.stringify(found);
    if (told === this.told) return;
    this.told = told;
    const chosen = this.list.value;
    this.group.replaceChildren(...found.map((entry) => choice(words(entry), MARK + entry.name)));
    if (found.length) this.list.append(this.group);
    else this.group.remove();
    if (recordingIn(chosen) !== null) this.list.value = chosen;
  }

  // Show a recording as the one that is chosen.
  async choose(name) {
    await this.refresh();
    this.list.value = MARK + name;
  }
}

// What it shows comes first: a closed list has room for little more.
function words({ name, kind, seconds, note }) {
  const [, day, clock, title] = name.match(STAMP) ?? [null, null, null, name];
  const facts = [title || "recording"];
  if (day) facts.push(`${day} ${clock.replaceAll("-", ":")}`);
  if (kind === "snapshot") facts.push("snapshot");
  else if (kind === "recording") facts.push(length(seconds));
  if (note) facts.push(kind === "damaged" ? "damaged" : note.split(":")[0]);
  return facts.join(" · ");
}

function length(seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
