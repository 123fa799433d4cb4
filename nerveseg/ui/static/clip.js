// One clip on the server: follows its analysis and keeps the frames around the one being shown.

const AHEAD = 24;
const AT_ONCE = 4;
const OVERLAYS_A_REQUEST = 32;
const PICTURE_BYTES = 160e6;
const OVERLAYS_KEPT = 2000;
const POLL_MS = 300;
const KEEP_ALIVE_MS = 20000;
const USUAL_SECONDS = 1 / 25;

export class Clip {
  // `onStatus` is called whenever more is known; `onFrame` with the number of a frame that came.
  constructor(id, { onStatus, onFrame }) {
    this.id = id;
    this.status = null;
    this.starts = [];
    this.letters = ""; // what is known of the needle's tip, a letter a frame
    this.names = {}; // of planes, by their keys
    this.onStatus = onStatus;
    this.onFrame = onFrame;
    this.pictures = new Map();
    this.overlays = new Map();
    this.loading = new Map();
    this.blocks = new Map();
    this.wanted = [];
    this.closed = false;
    this.follow();
  }

  get count() {
    return this.starts.length;
  }

  get growing() {
    return this.status === null || ["waiting", "running"].includes(this.status.state);
  }

  get size() {
    return [this.status.width, this.status.height];
  }

  // How many frames there will be, as far as that is known.
  get total() {
    return this.growing ? Math.max(this.count, this.status?.declared ?? 0) : this.count;
  }

  // Seconds that the whole clip takes so far.
  get length() {
    return this.count === 0 ? 0 : this.starts[this.count - 1] + this.step;
  }

  get step() {
    const last = this.count - 1;
    return last > 0 ? Math.max(0.001, this.starts[last] / last) : USUAL_SECONDS;
  }

  // The frame to show `seconds` after the first one.
  at(seconds) {
    let [low, high] = [0, this.count - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.starts[middle] <= seconds + 1e-6) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  // Frame and overlay of the same number, or null while one of them is missing.
  shot(number) {
    const picture = this.pictures.get(number);
    const overlay = this.overlays.get(number);
    return picture && overlay ? { number, picture, overlay } : null;
  }

  // Fetch `number` first, then those that come after it in the direction of play.
  want(number, { loop }) {
    this.wanted = [];
    for (let ahead = 0; ahead < Math.min(AHEAD, this.count); ahead += 1) {
      const next = number + ahead;
      if (next < this.count) this.wanted.push(next);
      else if (loop && !this.growing) this.wanted.push(next - this.count);
    }
    if (number > 0) this.wanted.push(number - 1);
    this.work();
  }

  // Call a plane something; an empty name takes it away.
  async rename(key, name) {
    const url = `/replay/clips/${this.id}/planes/${key}?${new URLSearchParams({ name })}`;
    this.names = (await getJson(url, { method: "POST" })).names;
  }

  close({ leaving = false } = {}) {
    this.closed = true;
    clearTimeout(this.timer);
    for (const picture of this.pictures.values()) picture.close();
    this.pictures.clear();
    const url = `/replay/clips/${this.id}/release`;
    if (leaving) navigator.sendBeacon(url);
    else fetch(url, { method: "POST" }).catch(() => {});
  }

  async follow() {
    let pause = POLL_MS;
    try {
      const status = await getJson(`/replay/clips/${this.id}?since=${this.count}`);
      if (this.closed) return;
      this.take(status);
      pause = this.growing ? POLL_MS : KEEP_ALIVE_MS;
    } catch (error) {
      if (this.closed) return;
      if (error.gone) {
        this.status = { ...this.status, state: "failed", note: error.message };
        this.onStatus(this);
        return;
      }
      pause = 2000; // the server is busy or away: it may come back
    }
    this.timer = setTimeout(() => this.follow(), pause);
  }

  take(status) {
    for (const time of status.times) {
      if (this.count === 0) this.first = time;
      const before = this.starts[this.count - 1] ?? -USUAL_SECONDS;
      const start = time - this.first;
      // Some sources give every frame the same time.
      this.starts.push(start > before ? start : before + USUAL_SECONDS);
    }
    this.letters += status.needle;
    this.names = status.names;
    this.status = status;
    this.onStatus(this);
  }

  work() {
    for (const number of this.wanted) {
      if (this.loading.size >= AT_ONCE) return;
      if (!this.shot(number) && !this.loading.has(number)) this.load(number);
    }
  }

  async load(number) {
    this.loading.set(number, true);
    try {
      await Promise.all([this.loadPicture(number), this.loadOverlay(number)]);
    } catch {
      // Asked for again as long as it is wanted, but not in a tight loop.
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    this.loading.delete(number);
    if (this.closed) return;
    this.forget();
    if (this.shot(number)) this.onFrame(number);
    this.work();
  }

  async loadPicture(number) {
    if (this.pictures.has(number)) return;
    const answer = await get(`/replay/clips/${this.id}/frames/${number}.jpg`);
    const picture = await createImageBitmap(await answer.blob());
    if (this.closed) picture.close();
    else this.pictures.set(number, picture);
  }

  async loadOverlay(number) {
    if (this.overlays.has(number)) return;
    const start = number - (number % OVERLAYS_A_REQUEST);
    if (!this.blocks.has(start)) {
      const block = this.loadOverlays(start).finally(() => this.blocks.delete(start));
      this.blocks.set(start, block);
    }
    await this.blocks.get(start);
    // The block may have been asked for before this frame was analysed.
    if (!this.overlays.has(number)) await this.loadOverlays(start);
  }

  async loadOverlays(start) {
    const query = `start=${start}&count=${OVERLAYS_A_REQUEST}`;
    const overlays = await getJson(`/replay/clips/${this.id}/overlays?${query}`);
    overlays.forEach((overlay, at) => this.overlays.set(start + at, overlay));
  }

  // Keep what is wanted and, of the rest, what came last.
  forget() {
    const wanted = new Set(this.wanted);
    const most = Math.max(AHEAD + 8, PICTURE_BYTES / (this.size[0] * this.size[1] * 4));
    for (const [number, picture] of this.pictures) {
      if (this.pictures.size <= most) break;
      if (wanted.has(number)) continue;
      picture.close();
      this.pictures.delete(number);
    }
    for (const number of this.overlays.keys()) {
      if (this.overlays.size <= OVERLAYS_KEPT) break;
      if (!wanted.has(number)) this.overlays.delete(number);
    }
  }
}

// The answer, or an Error whose message can be shown; `gone` if the server has no such thing.
export async function get(url, options = {}) {
  const answer = await fetch(url, options);
  if (answer.ok) return answer;
  const error = new Error(await problemOf(answer.status, await answer.text()));
  error.gone = answer.status === 404;
  throw error;
}

export async function getJson(url, options) {
  return (await get(url, options)).json();
}

export function problemOf(status, text) {
  try {
    const { detail } = JSON.parse(text);
    if (typeof detail === "string") return detail;
  } catch {
    // not ours: say it in our own words
  }
  return `The app answered with an error (${status}). Try again.`;
}
