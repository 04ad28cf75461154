// Swaps as they come, newest first.

import { atLeast, parseAmount } from "../amounts.js";
import { makeAmount, showAmounts, text } from "../cells.js";
import { Table, write } from "../table.js";
import { clean, clockText, countText, momentText, venueText, words } from "../texts.js";

const AWAITED =
  "Waiting for the first swap: none has passed in the rings that obs looks at. The next block that trades has one.";

const PAST = "No swap had been recorded when this block had ended.";

export function startMarket(store, activate) {
  const panel = document.querySelector('[data-panel="market"]');
  const [pair, venue, size] = ["pair", "venue", "size"].map((name) => document.getElementById(`filter-${name}`));
  const note = document.getElementById("market-note");
  const venues = new Set();
  let least = null;

  const table = new Table({
    mount: panel.querySelector(".mount"),
    caption: "Swaps, newest first. Enter shows the way of one.",
    activate,
    mark(row, swap) {
      row.dataset.ring = swap.ring;
      row.dataset.sequence = swap.sequence;
      row.dataset.venue = swap.venue;
      row.toggleAttribute("data-removed", swap.flags.includes("removed"));
      row.toggleAttribute("data-taken-back", store.takenBack.has(swap.key));
      row.toggleAttribute("data-chosen", table.chosen === swap.key);
    },
    columns: [
      {
        field: "time",
        label: "time, UTC",
        show: (cell, swap) => text(cell, clockText(swap.time_ms), false, momentText(swap.time_ms)),
      },
      {
        field: "venue",
        label: "venue",
        show: (cell, swap) => text(cell, venueText(swap.venue), false, `${swap.venue} ${swap.pool}`),
      },
      {
        field: "sold",
        label: "in: sold to the pool",
        make: makeAmount,
        show: (cell, swap) => showAmounts(cell, swap.sold, store.symbols, false),
      },
      {
        field: "bought",
        label: "out: bought from it",
        make: makeAmount,
        show: (cell, swap) => showAmounts(cell, swap.bought, store.symbols, false),
      },
      {
        field: "flags",
        label: "flags",
        show(cell, swap) {
          const back = store.takenBack.has(swap.key) ? ["taken back"] : [];
          const flags = [...swap.flags.filter((flag) => flag !== "last_in_block" && flag !== "traced"), ...back]
            .map(words)
            .join(" ");
          text(cell, flags, false, flags);
        },
      },
      {
        field: "block",
        label: "block",
        numeric: true,
        show: (cell, swap) => text(cell, countText(swap.block), false, swap.transaction),
      },
    ],
  });

  function passes(swap, terms) {
    if (venue.value && swap.venue !== venue.value) return false;
    const amounts = [...swap.sold, ...swap.bought];
    if (terms.length > 0) {
      const names = amounts.map(({ token }) => `${store.symbols.text(token)} ${token.address}`.toLowerCase());
      if (!terms.every((term) => names.some((name) => name.includes(term)))) return false;
    }
    return least === null || amounts.some(({ units, token }) => atLeast(units, token.decimals, least));
  }

  function draw() {
    const terms = pair.value
      .toLowerCase()
      .split(/[\s/,]+/)
      .filter(Boolean);
    const filtered = terms.length > 0 || venue.value !== "" || least !== null;
    const shown = [];
    for (let i = store.swaps.length - 1; i >= 0; i--) {
      if (!filtered || passes(store.swaps[i], terms)) shown.push(store.swaps[i]);
    }
    table.show(
      shown,
      store.swaps.length
        ? `None of the newest ${store.swaps.length} swaps passes the filter.`
        : store.past
          ? PAST
          : AWAITED,
    );
    const skipped = store.skipped ? `, ${countText(store.skipped)} more than could be sent` : "";
    const above = table.above ? `, ${table.above} above` : "";
    write(note, store.swaps.length ? `${shown.length} of the newest ${store.swaps.length}${skipped}${above}` : "");
  }

  function noteVenues() {
    for (const swap of store.swaps) {
      if (venues.has(swap.venue)) continue;
      venues.add(swap.venue);
      const option = new Option(venueText(swap.venue), swap.venue);
      const after = [...venue.options].slice(1).find((other) => other.text > option.text);
      venue.add(option, after ?? null);
    }
  }

  function readSize() {
    least = size.value.trim() === "" ? null : parseAmount(clean(size.value));
    const wrong = size.value.trim() !== "" && least === null;
    size.ariaInvalid = String(wrong);
    size.title = wrong ? "expected a number of whole tokens, such as 1.5" : "";
  }

  for (const input of [pair, venue, size]) {
    input.addEventListener("input", () => {
      readSize();
      draw();
    });
  }
  panel.querySelector("form").addEventListener("submit", (event) => event.preventDefault());

  return {
    topics: ["swaps", "names"],
    draw(changed) {
      if (changed.has("names") || changed.has("takenBack")) table.refresh();
      noteVenues();
      draw();
    },
  };
}
