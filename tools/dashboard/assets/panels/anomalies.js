// What is not as usual: what lasts first, then what is over.

import { element, write } from "../table.js";
import { clean, words } from "../texts.js";
import { mountLog } from "./log.js";

const SHOWN = 40;
const AWAITED =
  "No anomaly lasts. They come from a ring of `alphapulse anomalies`; if none is looked at, none can be shown.";

export function startAnomalies(store) {
  const { note, list, empty } = mountLog("anomalies", "Anomalies", AWAITED);

  function item(row) {
    const made = element("li");
    const lasting = row.ended === null;
    made.dataset.kind = row.kind;
    made.dataset.ring = row.ring;
    made.dataset.tone = lasting ? "bad" : "";
    const told = element("span", "told", `${clean(row.subject)}: ${clean(row.evidence)}`);
    told.title = `${told.textContent} (${row.ring}${row.block === null ? "" : `, block ${row.block}`})`;
    const since = element("time", "", lasting ? `since ${short(row.begun)}` : `until ${short(row.ended)}`);
    since.title = `${row.begun ?? "?"} to ${row.ended ?? "now"}`;
    made.append(element("b", "", words(row.kind)), told, since);
    return made;
  }

  return {
    topics: ["health"],
    draw() {
      const rows = store.health?.anomalies ?? [];
      const lasting = rows.filter((row) => row.ended === null);
      const shown = [...lasting, ...rows.filter((row) => row.ended !== null)].slice(0, SHOWN);
      list.replaceChildren(...shown.map(item));
      empty.hidden = shown.length > 0;
      write(empty, store.past ? "A journal of market data does not have them." : AWAITED);
      const more = rows.length - shown.length;
      write(note, rows.length ? `${lasting.length} last${more > 0 ? `, ${more} not shown` : ""}` : "");
    },
  };
}

/** The time of day of 2026-11-30T02:11:38.000Z. */
function short(time) {
  return /T(\d\d:\d\d:\d\d)/.exec(time ?? "")?.[1] ?? "?";
}
