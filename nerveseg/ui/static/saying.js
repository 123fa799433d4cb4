// What stands on the picture in words: what is waited for, what was done, what went wrong. All text
// is textContent.

const TOAST_MS = 5000;
const OFFER_MS = 15000;

export class Saying {
  constructor(part) {
    this.part = part;
    part("notice-close").addEventListener("click", () => this.complain(null));
    part("toast-act")?.addEventListener("click", () => {
      const { offer } = this;
      this.toast(null);
      offer?.act();
    });
  }

  // What is waited for; null when it is there.
  work(words) {
    put(this.part("working"), this.part("working"), words);
  }

  complain(words) {
    if (words !== null) this.work(null);
    put(this.part("notice"), this.part("notice-text"), words);
  }

  // What was done, for a few seconds; `offer` is {words, act}: what may be done with it at once.
  toast(words, { stays = false, offer = null } = {}) {
    clearTimeout(this.toasting);
    this.offer = offer;
    put(this.part("toast"), this.part("toast-text"), words);
    put(this.part("toast-act"), this.part("toast-act"), offer?.words ?? null);
    if (words !== null && !stays) this.toasting = setTimeout(() => this.toast(null), offer ? OFFER_MS : TOAST_MS);
  }
}

// Only what changes is written: it would be read out again.
function put(box, text, words) {
  box.hidden = words === null;
  if (text.textContent !== (words ?? "")) text.textContent = words ?? "";
}
