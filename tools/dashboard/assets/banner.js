// The line that says what is wrong: the worst thing first, one at a time.

import { write } from "./table.js";
import { clean, countText, words } from "./texts.js";

const byId = (id) => document.getElementById(id);

export class Banner {
  #action = null;

  constructor() {
    byId("banner-action").addEventListener("click", () => this.#action?.());
  }

  /** `trouble`: null, or {text, tone, label, act}. */
  show(trouble) {
    const banner = byId("banner");
    const button = byId("banner-action");
    this.#action = trouble?.act ?? null;
    banner.dataset.tone = trouble?.tone ?? "";
    write(byId("banner-text"), trouble?.text ?? "");
    button.hidden = !trouble?.label;
    write(button, trouble?.label ?? "");
    banner.hidden = trouble === null;
  }
}

/** What is wrong with the feeds; null if nothing is.  Its words stay as long as it does: a screen reader says each. */
export function feedTrouble(summary) {
  const dead = (summary?.feeds ?? []).filter((feed) => !feed.healthy);
  if (dead.length === 0) return null;
  const said = dead.map((feed) => {
    const head = feed.head < 0 ? "no block has come" : `its newest block is ${countText(feed.head)}`;
    return `${clean(feed.ring)} makes no progress (${words(feed.reason || feed.state)}): ${head}`;
  });
  return { text: `Feed dead. ${said.join(". ")}.`, tone: "bad" };
}
