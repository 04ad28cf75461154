// How long each hop takes: percentiles of the last interval as rows, and those of the hop that is chosen as a chart.

import { text } from "../cells.js";
import { Chart } from "../chart.js";
import { Table, write } from "../table.js";
import { countText, durationText, words } from "../texts.js";

const PERCENTILES = [
  ["p50_ns", "p50", { ink: "--ink", width: 1.8 }],
  ["p90_ns", "p90", { ink: "--ink", width: 1, dash: [6, 3] }],
  ["p99_ns", "p99", { ink: "--dim", width: 1.2 }],
  ["p999_ns", "p99.9", { ink: "--dim", width: 1, dash: [2, 3] }],
];
/** On its way; others stand behind. */
const WAY = [
  "block_to_receive",
  "loop_late",
  "receive_to_ring",
  "ring_to_client",
  "ring_to_journal",
  "ring_to_signal",
  "receive_to_signal",
];
const FIRST = "receive_to_ring";
const AWAITED = "Waiting for durations: hops are timed as events pass, and none has passed in this interval.";

export function startLatency(store) {
  const panel = document.querySelector('[data-panel="latency"]');
  const note = document.getElementById("latency-note");
  let hop = FIRST;
  let current = new Set();
  const chart = new Chart(
    panel.querySelector(".chart"),
    PERCENTILES.map(([, label, look]) => ({ label, ...look })),
    {
      distr: 3,
      range: (_, least, most) => [
        10 ** Math.floor(Math.log10(least ?? 1e4)),
        10 ** Math.ceil(Math.log10((most ?? 1e7) * 1.01)),
      ],
    },
    (value) => (Number.isInteger(Math.log10(value)) ? durationText(value).replace(".00", "") : ""),
  );
  const table = new Table({
    mount: panel.querySelector(".mount"),
    caption: "Hops and the percentiles of their durations. Enter draws one as a chart.",
    keyOf: (row) => row.hop,
    activate(row) {
      hop = row.hop;
      draw();
    },
    mark(row, item) {
      row.dataset.hop = item.hop;
      row.toggleAttribute("data-chosen", item.hop === hop);
      row.toggleAttribute("data-idle", !current.has(item));
    },
    columns: [
      { field: "hop", label: "hop", show: (cell, row) => text(cell, words(row.hop), false, row.hop) },
      ...[...PERCENTILES, ["longest_ns", "max"]].map(([field, label]) => ({
        field,
        label,
        numeric: true,
        show: (cell, row) => text(cell, row.count ? durationText(row[field]) : "-"),
      })),
      { field: "count", label: "n", numeric: true, show: (cell, row) => text(cell, countText(row.count)) },
    ],
  });

  /** Each hop as it was timed last; one that nothing passes any more stays, dimmed. */
  function newest(rates) {
    const byHop = new Map();
    for (const sample of rates) for (const row of sample.hops) byHop.set(row.hop, row);
    current = new Set(rates.at(-1)?.hops);
    const at = ({ hop }) => (WAY.indexOf(hop) + WAY.length + 1) % (WAY.length + 1);
    return [...byHop.values()].sort((one, other) => at(one) - at(other) || (one.hop < other.hop ? -1 : 1));
  }

  function draw() {
    const { rates } = store;
    const hops = newest(rates);
    if (hops.length && !hops.some((row) => row.hop === hop)) hop = hops[0].hop;
    table.refresh();
    table.show(hops, store.past ? "A journal does not say how long hops took; the timeline of a swap does." : AWAITED);
    const rows = rates.map((sample) => sample.hops.find((row) => row.hop === hop));
    chart.show(
      rates.map((sample) => sample.time_ms),
      PERCENTILES.map(([field]) => rows.map((row) => (row && row.count && row[field] > 0 ? row[field] : null))),
    );
    write(note, hops.length ? `${words(hop)}: bold p50, dashed p90, grey p99, dotted p99.9` : "");
  }

  return { topics: ["rates"], theme: () => chart.build(), draw };
}
