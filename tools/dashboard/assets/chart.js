// A chart of the last five minutes, in the page's own colours.  Its clock runs backwards from the newest sample.

import uPlot from "./vendor/uPlot.esm.js";

const SPAN_S = 300;

/** Rebuilt when the theme changes: uPlot draws on a canvas, which knows no CSS variables. */
export class Chart {
  #plot = null;
  #data = null;

  /** `series`: [{label, ink, dash, width}]; `scale`: options of the value axis; `values`: ticks as texts. */
  constructor(mount, series, scale, values, splits) {
    Object.assign(this, { mount, series, scale, values, splits });
    new ResizeObserver(() => {
      const size = this.#size();
      if (size.width > 0) this.#plot?.setSize(size);
    }).observe(mount);
  }

  #size() {
    return { width: this.mount.clientWidth, height: this.mount.clientHeight };
  }

  /** Times in ms, oldest first, and a list of values for each series; null for none. */
  show(times, lists) {
    const now = times.at(-1) ?? 0;
    this.#data = [times.map((time) => (time - now) / 1000), ...lists];
    if (this.#plot) this.#plot.setData(this.#data);
    else this.build();
  }

  build() {
    this.#plot?.destroy();
    this.#plot = null;
    const size = this.#size();
    if (this.#data === null || size.width === 0) return;
    const style = getComputedStyle(document.documentElement);
    const ink = (name) => style.getPropertyValue(name).trim();
    const font = `11px ${ink("--mono")}`;
    const axis = {
      stroke: ink("--dim"),
      font,
      grid: { stroke: ink("--rule"), width: 1 },
      ticks: { stroke: ink("--rule"), width: 1, size: 4 },
    };
    this.#plot = new uPlot(
      {
        ...size,
        padding: [8, 12, 0, 0],
        cursor: { show: false },
        legend: { show: false },
        scales: { x: { time: false, range: [-SPAN_S, 0] }, y: this.scale },
        axes: [
          {
            ...axis,
            size: 22,
            gap: 2,
            splits: () => [-300, -240, -180, -120, -60, 0],
            values: (_, at) => at.map((second) => (second === 0 ? "now" : `${second / 60} min`)),
          },
          { ...axis, size: 58, gap: 4, values: (_, at) => at.map(this.values), splits: this.splits },
        ],
        series: [
          {},
          ...this.series.map(({ label, ...look }) => ({
            label,
            stroke: ink(look.ink),
            width: look.width,
            dash: look.dash,
            points: { show: false },
            spanGaps: false,
            fill: look.fill ? ink(look.fill) : undefined,
          })),
        ],
      },
      this.#data,
      this.mount,
    );
  }
}
