// The browser's own camera: shown here at its own rate, sent as the newest JPEG, one at a time.

const LONGEST = 960; // pixels a side that are sent; the network sees fewer
const QUALITY = 0.8;
const TAKEN = { audio: false, video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } } };

const REFUSED = {
  NotAllowedError: "The browser wasn't allowed to use the camera. Allow it in the address bar, then start again.",
  NotFoundError: "The browser finds no camera. Plug the probe in, then start again.",
  NotReadableError: "The camera is in use by another program, or doesn't answer. Close that program, then start again.",
  OverconstrainedError: "The camera has no picture of a size that can be used here.",
};

export class Camera {
  constructor(onFrame) {
    this.onFrame = onFrame;
    this.video = document.createElement("video");
    Object.assign(this.video, { muted: true, playsInline: true });
    this.sender = document.createElement("canvas");
    this.trips = [];
    this.free = false;
    this.stopped = false;
  }

  // Begin, or an Error whose message can be shown.
  async start() {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("The browser gives a page its camera only over HTTPS or on this computer (localhost).");
    }
    try {
      this.stream = await navigator.mediaDevices.getUserMedia(TAKEN);
      this.video.srcObject = this.stream;
      await this.video.play();
    } catch (error) {
      this.stop();
      throw new Error(REFUSED[error.name] ?? `The camera can't be used: ${error.message}`);
    }
    for (const track of this.stream.getTracks()) track.onended = () => this.onLost?.();
    this.next();
  }

  get size() {
    return [this.video.videoWidth, this.video.videoHeight];
  }

  // The size that is sent, in which the answers come.
  get sent() {
    const scale = Math.min(1, LONGEST / Math.max(...this.size));
    return this.size.map((side) => Math.round(side * scale));
  }

  next() {
    if (this.stopped) return;
    const seen = () => {
      if (this.stopped) return;
      this.onFrame(this.video);
      this.offer();
      this.next();
    };
    if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(seen);
    else requestAnimationFrame(seen);
  }

  // One is on its way at a time: `feed` takes the next when the app has said so.
  async offer() {
    if (!this.free || !this.feed?.ready) return;
    this.free = false;
    const stamp = performance.now();
    const [width, height] = this.sent;
    Object.assign(this.sender, { width, height });
    this.sender.getContext("2d").drawImage(this.video, 0, 0, width, height);
    const jpeg = await new Promise((done) => this.sender.toBlob(done, "image/jpeg", QUALITY));
    if (this.stopped) return;
    if (!jpeg) {
      this.free = true; // a camera that has no size yet
      return;
    }
    const message = new Uint8Array(8 + jpeg.size);
    new DataView(message.buffer).setFloat64(0, stamp, true);
    message.set(new Uint8Array(await jpeg.arrayBuffer()), 8);
    this.feed.send(message);
  }

  // An answer came to the picture with this stamp.
  answered(stamp) {
    this.trips = [...this.trips.slice(-29), performance.now() - stamp];
  }

  // Median milliseconds from a picture to its outlines.
  get trip() {
    const sorted = [...this.trips].sort((one, other) => one - other);
    return sorted[Math.floor(sorted.length / 2)] ?? null;
  }

  stop() {
    this.stopped = true;
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.video.srcObject = null;
  }
}
