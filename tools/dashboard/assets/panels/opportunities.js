// What strategies published, newest first.

import { makeAmount, routeText, routeTitle, showAmount, text } from "../cells.js";
import { Table, write } from "../table.js";
import { clockText, countText, durationText, words } from "../texts.js";

const AWAITED = "Waiting for the first opportunity: a round trip through two or three pools that earns more than its gas.";
const PAST =
  "No opportunity is recorded in this journal up to this block: strategies publish them in a ring of their own.";

export function startOpportunities(store, activate) {
  const { symbols } = store;
  const amount = (field, label) => ({
    field,
    label,
    make: makeAmount,
    show: (cell, signal, changed) => showAmount(cell.firstElementChild, signal[field], symbols, changed),
  });
  const table = new Table({
    mount: document.querySelector('[data-panel="opportunities"] .mount'),
    caption: "Opportunities, newest first. Enter shows the way of one.",
    activate,
    mark(row, signal) {
      row.dataset.ring = signal.ring;
      row.dataset.sequence = signal.sequence;
      row.dataset.state = signal.state;
      row.toggleAttribute("data-removed", signal.state === "removed");
      row.toggleAttribute("data-over", signal.state !== "stands");
      row.toggleAttribute("data-chosen", table.chosen === signal.key);
    },
    columns: [
      {
        field: "time",
        label: "time, UTC",
        show: (cell, signal) =>
          text(cell, clockText(signal.time_ms), false, `block ${countText(signal.block)}, ${signal.strategy}`),
      },
      {
        field: "pair",
        label: "pair",
        show(cell, signal) {
          const tokens = signal.legs.map((leg) => leg.amount_in.token);
          text(
            cell,
            tokens.map((token) => symbols.text(token)).join("/"),
            false,
            tokens.map((token) => symbols.title(token)).join(" / "),
          );
        },
      },
      {
        field: "route",
        label: "route",
        show: (cell, signal) => text(cell, routeText(signal.legs), false, routeTitle(signal.legs, symbols)),
      },
      amount("amount_in", "size"),
      amount("gross", "gross"),
      {
        field: "gas",
        label: "gas",
        make: makeAmount,
        show(cell, signal, flash) {
          showAmount(cell.firstElementChild, signal.gas_cost, symbols, flash);
          cell.toggleAttribute("data-unpriced", !signal.gas_priced);
          cell.title = signal.gas_priced ? "" : "no pool gave a price for gas: net lacks it";
        },
      },
      amount("net", "net"),
      {
        field: "verdict",
        label: "verdict",
        show: (cell, signal, flash) => text(cell, words(signal.verdict), flash, VERDICTS[signal.verdict] ?? ""),
      },
      {
        field: "state",
        label: "state",
        show: (cell, signal, flash) => text(cell, words(signal.state), flash, stateTitle(signal)),
      },
    ],
  });
  const note = document.getElementById("opportunities-note");
  return {
    topics: ["signals", "names"],
    draw(changed) {
      if (changed.has("names")) table.refresh();
      table.show(store.signals.toReversed(), store.past ? PAST : AWAITED);
      const standing = store.signals.filter((signal) => signal.state === "stands").length;
      write(note, store.signals.length ? `${standing} stand of the newest ${store.signals.length}` : "");
    },
  };
}

/** What a state means, until when it held, and how fast it was published. */
function stateTitle(signal) {
  const parts = [STATES[signal.state] ?? ""];
  if (signal.reason) parts.push(`its strategy withdrew it: ${words(signal.reason)}`);
  parts.push(`until block ${countText(signal.expires_block)} has ended`);
  if (signal.latency_ns !== null)
    parts.push(`published ${durationText(signal.latency_ns)} after what triggered it arrived`);
  return parts.filter(Boolean).join("; ");
}

const STATES = {
  stands: "it holds",
  unknown: "frames were not read, one of which may have withdrawn it",
  expired: "its last block has ended",
  replaced: "a newer signal of the same opportunity stands in its place",
  withdrawn: "it holds no more",
  removed: "a reorg took its block back",
};

const VERDICTS = {
  exact: "computed to the last unit",
  within_segment: "holds while the price stays within one step of liquidity",
  speculative: "a state was not certain when it was computed",
};
