// Events and frames per second over five minutes.

import { Chart } from "../chart.js";
import { write } from "../table.js";
import { rateText } from "../texts.js";

export function startThroughput(store) {
  const panel = document.querySelector('[data-panel="throughput"]');
  const note = document.getElementById("throughput-note");
  const chart = new Chart(
    panel.querySelector(".chart"),
    [
      { label: "frames/s", ink: "--dim", width: 1, dash: [3, 3] },
      { label: "events/s", ink: "--ink", width: 1.5, fill: "--wash" },
    ],
    { range: (_, least, most) => [0, Math.max(10, (most ?? 0) * 1.15)] },
    rateText,
  );
  return {
    topics: ["rates"],
    theme: () => chart.build(),
    draw() {
      const { rates } = store;
      const last = rates.at(-1);
      chart.show(
        rates.map((sample) => sample.time_ms),
        [rates.map((sample) => sample.frames_per_s), rates.map((sample) => sample.events_per_s)],
      );
      write(
        note,
        last
          ? `solid: ${rateText(last.events_per_s)} events/s; dashed: ${rateText(last.frames_per_s)} frames/s`
          : "waiting for the first sample, twice a second",
      );
    },
  };
}
