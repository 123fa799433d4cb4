// A live session's news by WebSocket. The server sends the newest, one message at a time, and
// waits for "ack": a page that is slow gets less, never what is old.

const decoder = new TextDecoder();
const AGAIN_MS = 400;
const FINAL = [4404, 4409, 4410]; // no such session, taken by another tab, ended

export class Feed {
  // `onNews({frame, overlay, status, pointer}, picture)`; `onText` for what is no picture; `onGap`
  // when the app doesn't answer; `onEnd(words)` when it is over.
  constructor(url, { onNews, onText = () => {}, onGap = () => {}, onEnd, once = false }) {
    Object.assign(this, { url, onNews, onText, onGap, onEnd, once });
    this.closed = false;
    // A page that is left may be kept asleep, and would hold its socket for as long.
    this.leave = () => this.socket.close();
    this.return = (event) => { if (event.persisted && !this.closed) this.open(); };
    window.addEventListener("pagehide", this.leave);
    window.addEventListener("pageshow", this.return);
    this.open();
  }

  open() {
    clearTimeout(this.timer);
    const address = new URL(this.url, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    this.socket = new WebSocket(address);
    this.socket.binaryType = "arraybuffer";
    this.socket.onmessage = ({ data }) => this.take(data);
    const { socket } = this;
    socket.onclose = ({ code, reason }) => { if (socket === this.socket) this.gone(code, reason); };
  }

  get ready() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  send(message) {
    if (this.ready) this.socket.send(message);
  }

  point([x, y]) {
    this.send(JSON.stringify({ point: [Math.round(x * 10) / 10, Math.round(y * 10) / 10] }));
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    window.removeEventListener("pagehide", this.leave);
    window.removeEventListener("pageshow", this.return);
    this.socket.close();
  }

  async take(data) {
    if (typeof data === "string") {
      this.onText(data);
      return;
    }
    const { socket } = this;
    try {
      const length = new DataView(data).getUint32(0, true);
      const header = JSON.parse(decoder.decode(new Uint8Array(data, 4, length)));
      const jpeg = new Uint8Array(data, 4 + length);
      const picture = jpeg.length ? await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" })) : null;
      if (this.closed) picture?.close();
      else this.onNews(header, picture);
    } finally {
      if (socket.readyState === WebSocket.OPEN) socket.send("ack");
    }
  }

  gone(code, reason) {
    if (this.closed) return;
    if (FINAL.includes(code) || this.once) {
      this.closed = true;
      this.onEnd(reason || "The connection to the app is gone.", code);
      return;
    }
    this.onGap();
    this.timer = setTimeout(() => this.open(), AGAIN_MS);
  }
}
