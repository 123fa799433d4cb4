// The needle's part of the panel, and the warnings above the picture. All text is textContent.

import { distanceRows, distanceWords } from "./guides.js";
import { make, picture } from "./panel.js";

const SPOKEN_MS = 2000;
const SYMBOLS = {
  question: [["circle", { cx: 10, cy: 10, r: 9 }], "?", 14.4],
  triangle: [["path", { d: "M10 1.2 19.4 18.4H.6z" }], "!", 16.2],
  octagon: [["path", { d: "M6.2 1h7.6L19 6.2v7.6L13.8 19H6.2L1 13.8V6.2z" }], "!", 14.4],
};

// Each mark as on the picture and, of the tip, beside it as on the timeline.
const RING = { cx: 22, cy: 9, r: 7 };
const DASHED = { "stroke-dasharray": "5 4" };
const FORMS = [
  [
    "Tip seen", ["path", { d: "M1 9h14" }], ["circle", RING],
    ["circle", { ...RING, r: 2.2, class: "nv-full" }], ["path", { d: "M36 3h14v12H36z", class: "nv-full" }],
  ],
  [
    "Tip predicted", ["path", { d: "M1 9h14", ...DASHED }],
    ["circle", { ...RING, "stroke-dasharray": "4.4 4.4" }],
    ["path", { d: "M37 4h12v10H37zM37 10l6-6M37 14.5L47.5 4M43 14l6-6", "stroke-width": 1.5 }],
  ],
  [
    "Tip lost", ["path", { d: "M1 9h28", ...DASHED, "stroke-width": 1.4 }],
    ["path", { d: "M38 5v8M43 5v8M48 5v8", class: "nv-lost" }],
  ],
  ["Path ahead", ["path", { d: "M2 9h30", "stroke-dasharray": "0.1 6.5", "stroke-linecap": "round" }]],
  ["Met on path", ["path", { d: "M16 3l6 6-6 6-6-6z", class: "nv-any" }]],
];

export class NeedlePanel {
  constructor(part, facts, onLook) {
    this.part = part;
    this.notices = facts.warnings;
    this.color = facts.needle;
    this.shown = "";
    // What was never looked for is not lost: nothing is said of it.
    this.blind = facts.model !== null && !facts.model.sees_needles;
    part("no-needles").hidden = !this.blind;
    for (const name of ["needle-settings", "timeline"]) part(name)?.toggleAttribute("hidden", this.blind);
    for (const name of ["needle", "guidance"]) part(name).addEventListener("input", onLook);
    this.legend();
  }

  get look() {
    const palette = this.part("safe").checked ? "safe" : "standard";
    return {
      needle: !this.blind && this.part("needle").checked,
      guidance: !this.blind && this.part("guidance").checked,
      needleColor: this.color[palette],
    };
  }

  tellFrame(overlay, { hiding }) {
    const hidden = (words) => (hiding ? "hidden" : words);
    this.set("tip", hidden(tipWords(overlay.needle)));
    this.set("distances", hidden(distanceRows(overlay).map(({ words }) => words).join(" · ") || "–"));
    this.set("insertion", hidden(insertionWords(overlay.guidance)));
    this.warn(hiding ? [] : this.warnings(overlay));
    this.part("needle-forms").style.color = this.look.needleColor;
  }

  // What is out of sight belongs to the needle, everything else to the guidance.
  warnings({ needle, guidance, warnings, mm_per_px: millimetres }) {
    const rows = [];
    const { look } = this;
    const shaftOnly = needle.status === "lost" && needle.age === null && needle.shaft;
    if (look.needle && shaftOnly) rows.push({ key: "tip not seen", symbol: "question" });
    for (const key of warnings) {
      if (!(key === "tip lost" ? look.needle : look.guidance)) continue;
      const { text, symbol } = this.notices[key] ?? { symbol: "triangle" };
      const crossing = guidance?.crossings.find(({ structure }) => key === `${structure} on path`);
      const ahead = crossing ? `, ${distanceWords(crossing.distance, millimetres)} ahead` : "";
      rows.push({ key, symbol, ahead, text });
    }
    return rows;
  }

  warn(rows) {
    const words = rows.map(({ key, ahead = "" }) => capital(key) + ahead);
    const line = words.join("\n");
    if (line !== this.shown) {
      this.shown = line;
      this.part("warnings").replaceChildren(...rows.map(({ symbol }, at) => warning(symbol, words[at])));
      this.part("warnings").hidden = rows.length === 0;
    }
    this.speak(rows.map(({ key, text }) => text ?? capital(key)).join(". "));
  }

  // For those who listen: not at every frame of a clip that plays.
  speak(words) {
    this.toSay = words;
    if (this.waiting || words === this.part("spoken").textContent) return;
    this.part("spoken").textContent = words;
    this.waiting = setTimeout(() => {
      this.waiting = null;
      this.speak(this.toSay);
    }, SPOKEN_MS);
  }

  set(name, words) {
    if (this.part(name).textContent !== words) this.part(name).textContent = words;
  }

  legend() {
    for (const [words, ...shapes] of FORMS) {
      const row = make("li");
      row.append(picture("0 0 52 18", shapes, "nv-form"), make("span", "", words));
      this.part("needle-forms").append(row);
    }
  }
}

function warning(symbol, words) {
  const row = make("div", `nv-warned nv-${symbol}`);
  const [shape, mark, base] = SYMBOLS[symbol] ?? SYMBOLS.triangle;
  const sign = picture("0 0 20 20", [shape, ["text", { x: 10, y: base, "text-anchor": "middle" }]], "nv-sign");
  sign.lastChild.textContent = mark;
  row.append(sign, make("span", "", words));
  return row;
}

function tipWords({ status, confidence, age, shaft }) {
  if (status === "seen") return `Tip seen · confidence ${percent(confidence)}`;
  if (status === "predicted") return `Tip predicted · last seen ${age?.toFixed(2) ?? "?"} s ago`;
  if (age !== null) return `Tip lost · last seen ${age.toFixed(1)} s ago`;
  return shaft ? "Shaft seen, tip not seen" : "No needle seen yet";
}

function insertionWords(guidance) {
  if (!guidance) return "";
  const angle = `angle to the horizontal ${Math.round(guidance.angle)}°`;
  return `${angle}\n${percent(guidance.visible)} of the shaft visible`;
}

function percent(share) {
  return `${Math.round(100 * share)} %`;
}

function capital(words) {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
