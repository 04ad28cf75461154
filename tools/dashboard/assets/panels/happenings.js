// Reorgs, gaps, back-fills, invalidations, new writers: in words, newest first.

import { messageKey } from "../merge.js";
import { element, write } from "../table.js";
import { clean, clockText, countText, momentText, words } from "../texts.js";
import { mountLog } from "./log.js";

const SHOWN = 60;
const TONES = {
  gap: "bad",
  lost: "bad",
  reorg: "attention",
  invalidation: "attention",
  unproven: "attention",
  ring_replaced: "attention",
};
const AWAITED = "Nothing has happened: no reorg, no gap, no back-fill, no new writer since this process began.";

export function startHappenings(store) {
  const { note, list, empty } = mountLog("happenings", "Happenings", AWAITED);

  /** Items stay as they are: only new ones are made. */
  const items = new Map();
  function item(row) {
    const made = element("li");
    made.dataset.kind = row.kind;
    made.dataset.ring = row.ring;
    made.dataset.sequence = row.sequence;
    made.dataset.tone = TONES[row.kind] ?? "";
    const time = element("time", "", clockText(row.time_ms));
    time.title = momentText(row.time_ms);
    const range =
      row.first < 0
        ? ""
        : row.last < 0 || row.last === row.first
          ? countText(row.first)
          : `${countText(row.first)} to ${countText(row.last)}`;
    const place = element("span", "range", range);
    const told = element("span", "told", clean(row.text));
    told.title = `${clean(row.text)} (${row.ring}, sequence ${row.sequence})`;
    made.append(time, element("b", "", words(row.kind)), told, place);
    return made;
  }

  return {
    topics: ["happenings"],
    draw() {
      const shown = store.happenings.slice(-SHOWN).reverse();
      const keys = new Set();
      const nodes = shown.map((row) => {
        const key = `${messageKey(row)} ${row.kind}`;
        keys.add(key);
        if (!items.has(key)) items.set(key, item(row));
        return items.get(key);
      });
      for (const key of items.keys()) if (!keys.has(key)) items.delete(key);
      list.replaceChildren(...nodes);
      empty.hidden = shown.length > 0;
      write(empty, store.past ? "Nothing had happened when this block had ended." : AWAITED);
      const more = store.happenings.length - shown.length;
      write(note, more > 0 ? `${more} earlier are not shown` : "");
    },
  };
}
