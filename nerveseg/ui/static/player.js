// Which frame is shown when. A frame that isn't there yet holds the clock: none is left out
// because it came late.

export class Player {
  // `show(number)` paints a frame and says whether it could.
  constructor({ show, onChange }) {
    this.show = show;
    this.onChange = onChange;
    this.clip = null;
    this.number = 0;
    this.playing = false;
    this.rate = 1;
    this.anchor = null;
    const tick = (now) => {
      if (this.playing) this.advance(now);
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  open(clip, { play }) {
    this.clip = clip;
    this.playing = play;
    this.goTo(0);
  }

  play() {
    if (!this.clip || (this.clip.count < 2 && !this.clip.growing)) return;
    this.playing = true;
    this.anchor = null;
    this.onChange();
  }

  pause() {
    this.playing = false;
    this.onChange();
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  setRate(rate) {
    this.rate = rate;
    this.anchor = null;
  }

  step(by) {
    this.playing = false;
    this.goTo(this.number + by);
  }

  goTo(number) {
    if (!this.clip) return;
    this.number = Math.max(0, Math.min(number, this.clip.count - 1));
    this.anchor = null;
    this.clip.want(this.number, { loop: this.playing });
    this.show(this.number);
    this.onChange();
  }

  advance(now) {
    const { clip } = this;
    if (!clip || clip.count === 0) return;
    this.anchor ??= { now, seconds: clip.starts[this.number] };
    const seconds = this.anchor.seconds + ((now - this.anchor.now) / 1000) * this.rate;
    if (seconds >= clip.length && this.number >= clip.count - 1) {
      this.anchor = null; // at the end: wait for more, or begin again
      if (!clip.growing) this.move(0);
      return;
    }
    const next = clip.at(seconds);
    if (next > this.number && !this.move(next)) this.anchor = null;
  }

  move(number) {
    this.clip.want(number, { loop: true });
    if (!this.show(number)) return false;
    this.number = number;
    this.onChange();
    return true;
  }
}
