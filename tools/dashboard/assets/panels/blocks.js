// Blocks with the verdict on their completeness: a strip of the newest hundred, and rows.

import { text } from "../cells.js";
import { Table, element, write } from "../table.js";
import { clockText, countText, momentText, shortHex, words } from "../texts.js";

const STRIP = 100;
const AWAITED =
  "Waiting for the first block: no collector has published one yet. Processes and endpoints lists collectors.";
/** Each verdict: its letter, its class, and what it says. */
export const VERDICTS = {
  tombstone: ["T", "good", "complete: the list of its logs has an end that is proven"],
  refetched: ["R", "good", "complete: its logs were fetched again and agree"],
  bloom_negative: ["B", "good", "complete: its bloom filter proves that nothing else is in it"],
  cross_checked: ["C", "good", "complete: a second endpoint agrees"],
  pushed: ["P", "plain", "as it was pushed: the node cannot be asked for proof"],
  unknown: ["?", "attention", "nothing is known of its completeness"],
  open: ["", "open", "more of it may come"],
  removed: ["×", "bad", "a reorg took it back"],
};

export function startBlocks(store) {
  const panel = document.querySelector('[data-panel="blocks"]');
  const strip = panel.querySelector(".strip");
  const squares = Array.from({ length: STRIP }, () => element("i", "square"));
  strip.append(...squares);
  const legend = element("p", "fine legend");
  strip.after(legend);
  const note = document.getElementById("blocks-note");
  const table = new Table({
    mount: panel.querySelector(".mount"),
    caption: "Blocks, newest first, with the verdict on their completeness.",
    mark(row, block) {
      row.dataset.ring = block.ring;
      row.dataset.number = block.number;
      row.dataset.hash = block.hash;
      row.toggleAttribute("data-removed", block.verdict === "removed");
    },
    columns: [
      {
        field: "number",
        label: "block",
        numeric: true,
        show: (cell, block) =>
          text(cell, countText(block.number), false, `${block.hash} of ${block.ring}, ${momentText(block.time_ms)}`),
      },
      { field: "hash", label: "hash", show: (cell, block) => text(cell, shortHex(block.hash), false, block.hash) },
      {
        field: "verdict",
        label: "verdict",
        show(cell, block, flash) {
          const [, tone, meaning] = VERDICTS[block.verdict] ?? VERDICTS.unknown;
          cell.dataset.tone = tone;
          text(cell, words(block.verdict), flash, meaning);
        },
      },
      {
        field: "events",
        label: "events",
        numeric: true,
        show: (cell, block, flash) => text(cell, countText(block.events), flash, `of ${block.logs} logs`),
      },
      {
        field: "held_back",
        label: "held back",
        numeric: true,
        show(cell, block, flash) {
          cell.toggleAttribute("data-some", block.held_back > 0);
          text(cell, countText(block.held_back), flash, "events of emitters that are not proven to be pools");
        },
      },
      {
        field: "gas",
        label: "gas",
        numeric: true,
        show: (cell, block) =>
          text(cell, block.gas_limit ? `${Math.round((100 * block.gas_used) / block.gas_limit)} %` : "-"),
      },
      {
        field: "ended",
        label: "ended, UTC",
        show: (cell, block) =>
          text(
            cell,
            block.ended_ms === null ? "" : clockText(block.ended_ms),
            false,
            block.received_ms === null ? "" : `its head came at ${clockText(block.received_ms)}`,
          ),
      },
    ],
  });

  function drawStrip() {
    const newest = store.blocks.slice(-STRIP);
    const counts = {};
    for (let i = 0; i < STRIP; i++) {
      const block = newest[i - (STRIP - newest.length)];
      const verdict = block?.verdict ?? "";
      if (block) counts[verdict] = (counts[verdict] ?? 0) + 1;
      const [letter, tone] = VERDICTS[verdict] ?? (block ? VERDICTS.unknown : ["", "none"]);
      const square = squares[i];
      write(square, letter);
      square.dataset.tone = tone;
      square.toggleAttribute("data-held", (block?.held_back ?? 0) > 0);
      square.title = block
        ? `${countText(block.number)} ${words(verdict)}${block.held_back ? `, ${block.held_back} held back` : ""}`
        : "";
    }
    const said = Object.entries(counts)
      .map(([verdict, count]) => `${count} ${words(verdict)}`)
      .join(", ");
    strip.ariaLabel = said ? `Newest ${newest.length} blocks: ${said}` : "No blocks yet";
    write(note, newest.length ? `newest ${newest.length}` : "");
    drawLegend(counts);
  }

  function drawLegend(counts) {
    const said = Object.entries(counts).sort(([, one], [, other]) => other - one);
    if (legend.shown === JSON.stringify(said)) return;
    legend.shown = JSON.stringify(said);
    legend.replaceChildren(
      ...said.flatMap(([verdict, count]) => [
        element("b", "", VERDICTS[verdict]?.[0] || "□"),
        ` ${words(verdict)} ${count}`,
      ]),
    );
    legend.title = legend.textContent;
  }

  return {
    topics: ["blocks"],
    draw() {
      drawStrip();
      table.show(store.blocks.toReversed(), store.past ? "No block had been recorded." : AWAITED);
    },
  };
}
