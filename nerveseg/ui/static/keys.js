// Keys act on the picture of the tab that is in sight: not where text is typed, and not where they
// mean something of their own to the control that has the focus.

const TYPED_IN = "select, textarea, input:not([type=checkbox], [type=range], [type=file])";
const CONTROLS = "button, select, input, textarea, a";
const THEIR_OWN = /^( |Arrow\w+|Home|End)$/;

// `acts` has what each key does, letters in lower case; `onDigit` gets 1 to 9; `free` is a control
// to which no key means anything of its own.
export function listenToKeys(root, acts, { onDigit, free = null }) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !root.offsetParent) return;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const target = event.target.closest?.(CONTROLS) ?? null;
    if (target?.matches(TYPED_IN)) return;
    if (target && target !== free && THEIR_OWN.test(name)) return;
    const act = /^[1-9]$/.test(name) ? () => onDigit(Number(name)) : acts[name];
    if (!act) return;
    event.preventDefault();
    if (!event.repeat || name.startsWith("Arrow")) act();
  });
  freeAfterMouse(root);
}

// A control that was used with the mouse doesn't keep the keys to itself.
function freeAfterMouse(root) {
  let byMouse = false;
  root.addEventListener("pointerdown", () => { byMouse = true; }, true);
  root.addEventListener("keydown", () => { byMouse = false; }, true);
  root.addEventListener("click", ({ target, detail }) => {
    if (detail > 0) target.closest("button")?.blur();
  });
  root.addEventListener("change", ({ target }) => {
    if (byMouse && target.matches("select, [type=checkbox], [type=range], [type=file]")) target.blur();
  });
}
