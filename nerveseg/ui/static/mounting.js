// Begins a tab's page, once, with what the app tells of itself.

import { getJson } from "./clip.js";

// `begin(part, facts)` gets a function that finds a part of the page by its name.
export async function mountOnce(root, begin) {
  if (root.dataset.mounted) return;
  root.dataset.mounted = "yes";
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  try {
    await begin(part, await getJson("/replay/facts"));
  } catch (error) {
    part("notice-text").textContent = error.message;
    part("notice").hidden = false;
  }
}
