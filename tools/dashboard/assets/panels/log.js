// A list of what was said, which scrolls within its panel.

import { element } from "../table.js";

/** The panel's note, its list, and the paragraph that stands there while the list is empty. */
export function mountLog(panel, label, awaited) {
  const mount = document.querySelector(`[data-panel="${panel}"] .mount`);
  const note = document.getElementById(`${panel}-note`);
  const list = element("ol", "log");
  const empty = element("p", "empty", awaited);
  mount.classList.add("scroller");
  mount.tabIndex = 0;
  mount.ariaLabel = label;
  mount.role = "group";
  mount.append(list, empty);
  return { note, list, empty };
}
