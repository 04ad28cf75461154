// One pool as a picture: its reserves as a bar, or liquidity around the price as steps; and the line of its prices.

import { decimalText, share } from "../amounts.js";
import { makeAmount, showAmount } from "../cells.js";
import { ask } from "../api.js";
import { element } from "../table.js";
import { clean, countText, venueText } from "../texts.js";

const SVG = "http://www.w3.org/2000/svg";
/** The pool's picture follows its events, and no faster than this. */
const AGAIN_MS = 2000;

export class Picture {
  #pool = null;
  #shown = null;
  #asked = 0;
  #abort = null;

  /** `place()` is {} for live, else {journal, block}. */
  constructor(symbols, place) {
    Object.assign(this, { symbols, place });
    this.mount = document.getElementById("pool-picture");
    this.#say(
      "Choose a pool (click, or Enter) to see its reserves or its liquidity around the price, and how that moved.",
    );
  }

  choose(pool) {
    this.#pool = pool;
    this.#load();
  }

  /** Draw again when the chosen pool changed. */
  follow(pools) {
    if (this.#pool === null) return;
    const pool = pools.get(this.#pool.key);
    if (pool === undefined || pool === this.#shown || performance.now() - this.#asked < AGAIN_MS) return;
    this.#pool = pool;
    this.#load();
  }

  async #load() {
    this.#abort?.abort();
    const abort = (this.#abort = new AbortController());
    const pool = this.#pool;
    this.#shown = pool;
    this.#asked = performance.now();
    try {
      const { ring, venue, pool: address } = pool;
      const pair = { token0: pool.token0.address, token1: pool.token1.address };
      const detail = await ask("/api/pool", { ring, venue, pool: address, ...pair, ...this.place() }, abort.signal);
      if (!abort.signal.aborted) this.#draw(detail);
    } catch (error) {
      if (!abort.signal.aborted) this.#say(`No picture of this pool: ${clean(error.message)}`);
    }
  }

  #say(words_) {
    this.mount.replaceChildren(element("p", "empty", words_));
  }

  #draw({ row, steps, ticks_block, prices }) {
    const { symbols } = this;
    const title = element("h3", "", `${symbols.text(row.token0)}/${symbols.text(row.token1)}`);
    title.append(element("span", "", `${venueText(row.venue)} ${row.pool}`));
    const parts = [title];
    if (row.stateless) parts.push(element("p", "fine", "Its events tell what was swapped, and neither price nor reserves."));
    else if (row.sqrt_price_x96 === "0") parts.push(...this.#reserves(row));
    else parts.push(...this.#liquidity(row, steps, ticks_block));
    parts.push(...this.#prices(row, prices));
    this.mount.replaceChildren(...parts);
  }

  #reserves(row) {
    const bar = element("div", "reserves");
    for (const [units, token] of [
      [row.reserve0, row.token0],
      [row.reserve1, row.token1],
    ]) {
      const side = element("div");
      showAmount(makeAmount(side), { units, token }, this.symbols);
      bar.append(side);
    }
    if (!row.known)
      return [
        bar,
        element("p", "fine", "Its reserves are not certain: events of this pool are missing. The next one tells them."),
      ];
    // Of x*y = k, the price moves by 1 % when x grows by a factor of sqrt(1.01).
    const [in0, in1] = [
      [row.reserve0, row.token0],
      [row.reserve1, row.token1],
    ].map(([units, token]) => {
      const moved = (BigInt(units) * 4987562n) / 1_000_000_000n;
      return `${cutFraction(decimalText(String(moved), token.decimals))} ${this.symbols.text(token)}`;
    });
    return [
      bar,
      element(
        "p",
        "fine",
        `Reserves, both of the same worth. About ${in0} or ${in1}, sold to it, moves its price by 1 %.`,
      ),
    ];
  }

  #liquidity(row, steps, ticksBlock) {
    if (steps.length === 0) {
      return [
        element(
          "p",
          "fine",
          `Liquidity at the price ${row.liquidity}. No tick map is known, so what lies around is not, either.`,
        ),
      ];
    }
    const [width, height] = [400, 110];
    const picture = drawing(
      width,
      height,
      `Liquidity by tick, from ${steps[0].tick} to ${steps.at(-1).tick}; the price is at tick ${row.tick}`,
    );
    const first = steps[0].tick;
    const span = Math.max(1, steps.at(-1).tick - first);
    const most = steps.reduce((max, { liquidity }) => (BigInt(liquidity) > max ? BigInt(liquidity) : max), 1n);
    steps.forEach(({ tick, price, liquidity }, i) => {
      const end = steps[i + 1]?.tick ?? tick;
      const tall = share(liquidity, most) * (height - 4);
      const holds = tick <= row.tick && row.tick < end;
      const step = shape("rect", {
        x: ((tick - first) / span) * width,
        y: height - tall,
        width: Math.max(0.5, ((end - tick) / span) * width),
        height: tall,
        class: holds ? "step now" : row.tick < tick ? "step above" : "step",
      });
      const told = document.createElementNS(SVG, "title");
      told.textContent = `tick ${tick}, price ${price}: liquidity ${liquidity}`;
      step.append(told);
      picture.append(step);
    });
    const at = Math.min(Math.max(((row.tick - first) / span) * width, 0), width);
    picture.append(shape("line", { x1: at, x2: at, y1: 0, y2: height, class: "at" }));
    const ends = element("p", "ends");
    ends.append(
      element("span", "", steps[0].price),
      element("span", "", row.price ?? ""),
      element("span", "", steps.at(-1).price),
    );
    return [
      picture,
      ends,
      element(
        "p",
        "fine",
        `Liquidity ${row.liquidity} at tick ${row.tick}; tick map of block ${countText(ticksBlock ?? -1)}.`,
      ),
    ];
  }

  #prices(row, prices) {
    if (prices.length < 2) return [element("p", "fine", "No change of its price has been seen yet.")];
    const [width, height] = [400, 60];
    const values = prices.map(([, , price]) => Number(price));
    const low = Math.min(...values);
    const high = Math.max(...values);
    const scale = (height - 6) / (high - low || 1);
    const points = values.map((value, i) => {
      const x = (i / (values.length - 1)) * width;
      return `${x.toFixed(1)},${(height - 3 - (value - low) * scale).toFixed(1)}`;
    });
    const picture = drawing(width, height, `Price over its newest ${prices.length} changes, from ${low} to ${high}`);
    picture.append(shape("polyline", { points: points.join(" "), class: "price" }));
    const ends = element("p", "ends");
    ends.append(
      element("span", "", `block ${countText(prices[0][1])}`),
      element("span", "", `${Number(low.toPrecision(7))} to ${Number(high.toPrecision(7))}`),
      element("span", "", `block ${countText(prices.at(-1)[1])}`),
    );
    return [picture, ends];
  }
}

/** At most four digits behind the point: for words that say "about". */
function cutFraction(text) {
  return text.replace(/(\.0*\d{1,4})\d*$/, "$1");
}

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function drawing(width, height, label) {
  return shape("svg", {
    viewBox: `0 0 ${width} ${height}`,
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": label,
  });
}
