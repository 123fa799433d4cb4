// Starts a live session and steers it. What gives control is kept for this tab alone, so that a
// page that is reloaded goes on.

import { getJson } from "./clip.js";

const KEPT = "nerveseg-live";

export class Steering {
  constructor({ id, token, uri, block = "" }) {
    Object.assign(this, { id, token, uri, block });
  }

  static async start(uri, block) {
    const body = JSON.stringify({ uri, block });
    const started = await getJson("/live/sessions", { method: "POST", body });
    return new Steering(started).keep({ block });
  }

  // The one that this tab had before it was reloaded, or null.
  static kept() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(KEPT));
      return kept?.id ? new Steering(kept) : null;
    } catch {
      return null;
    }
  }

  get view() {
    return `/live/sessions/${this.id}/view?${new URLSearchParams({ token: this.token })}`;
  }

  keep({ block }) {
    this.block = block;
    sessionStorage.setItem(KEPT, JSON.stringify(this));
    return this;
  }

  forget() {
    sessionStorage.removeItem(KEPT);
  }

  // What the app answers, or an Error whose message can be shown.
  async act(name, body = {}) {
    const options = { method: "POST", headers: { "X-Token": this.token }, body: JSON.stringify(body) };
    return (await getJson(`/live/sessions/${this.id}/${name}`, options)).done;
  }
}
