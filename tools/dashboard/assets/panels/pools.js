// Pools with their states; the one that is chosen is drawn beside them.

import { feeText, grouped } from "../amounts.js";
import { makeAmount, showAmount, showNumber, text } from "../cells.js";
import { Table, write } from "../table.js";
import { countText, venueText, words } from "../texts.js";

/** Rows keep their places for so long, however busy the pools are. */
const ORDER_MS = 2000;
const AWAITED =
  "Waiting for the first pool: one is known from its first event on, or from the journal of the collector.";

export function startPools(store, picture) {
  const { symbols } = store;
  const panel = document.querySelector('[data-panel="pools"]');
  const note = document.getElementById("pools-note");
  const find = document.getElementById("filter-pool");
  const order = document.getElementById("order-pools");
  const names = new Map();
  let keys = [];
  let ordered = -Infinity;

  const pairText = (pool) => `${symbols.text(pool.token0)}/${symbols.text(pool.token1)}`;
  const reserve = (field, label, token) => ({
    field,
    label,
    make: makeAmount,
    show(cell, pool, flash) {
      const box = cell.firstElementChild;
      box.hidden = pool[field] === "0" && pool.sqrt_price_x96 !== "0";
      showAmount(box, { units: pool[field], token: pool[token] }, symbols, flash);
    },
  });
  const table = new Table({
    mount: panel.querySelector(".mount"),
    caption: "Pools and their states. Enter draws one.",
    activate: (pool) => picture.choose(pool),
    mark(row, pool) {
      row.dataset.ring = pool.ring;
      row.dataset.venue = pool.venue;
      row.dataset.pool = pool.pool;
      row.dataset.pair = `${pool.token0.address}/${pool.token1.address}`;
      row.dataset.known = pool.known;
      row.dataset.stateless = pool.stateless;
      row.toggleAttribute("data-chosen", table.chosen === pool.key);
    },
    columns: [
      {
        field: "pair",
        label: "pair",
        show: (cell, pool) =>
          text(cell, pairText(pool), false, `${symbols.title(pool.token0)} / ${symbols.title(pool.token1)}`),
      },
      {
        field: "venue",
        label: "venue",
        show: (cell, pool) =>
          text(cell, venueText(pool.venue), false, `${pool.venue} (${words(pool.kind)}) ${pool.pool} on ${pool.ring}`),
      },
      {
        field: "price",
        label: "price",
        show(cell, pool, flash) {
          const said = `${pool.price ?? "no price"} ${symbols.text(pool.token1)} for one ${symbols.text(pool.token0)}`;
          showNumber(
            cell,
            pool.price ?? "-",
            flash,
            pool.known
              ? said
              : pool.stateless
                ? `${said}: its events tell none`
                : `${said}; not certain: events of this pool are missing`,
          );
        },
      },
      reserve("reserve0", "reserve 0", "token0"),
      reserve("reserve1", "reserve 1", "token1"),
      {
        field: "liquidity",
        label: "liquidity",
        numeric: true,
        show: (cell, pool, flash) =>
          text(
            cell,
            pool.sqrt_price_x96 === "0" && pool.liquidity === "0" ? "" : grouped(pool.liquidity),
            flash,
            pool.tick === null ? "" : `tick ${pool.tick}`,
          ),
      },
      {
        field: "fee",
        label: "fee",
        numeric: true,
        show: (cell, pool, flash) => text(cell, feeText(pool.fee_pips), flash),
      },
      {
        field: "events",
        label: "events",
        numeric: true,
        show: (cell, pool, flash) => text(cell, countText(pool.events), flash),
      },
      {
        field: "block",
        label: "block",
        numeric: true,
        show: (cell, pool, flash) => text(cell, countText(pool.block), flash),
      },
    ],
  });

  const ORDERS = {
    events: (one, other) => other.events - one.events,
    block: (one, other) => other.block - one.block || other.sequence - one.sequence,
    pair: () => 0,
  };

  /** What a pool is sorted by and found by; it stays until tokens are called otherwise. */
  function named(pool) {
    let found = names.get(pool.key);
    if (found === undefined) {
      const pair = pairText(pool);
      const addresses = `${pool.pool} ${pool.token0.address} ${pool.token1.address}`;
      const hay = `${pair} ${venueText(pool.venue)} ${pool.venue} ${addresses}`;
      names.set(pool.key, (found = { name: `${pair} ${pool.key}`, hay: hay.toLowerCase() }));
    }
    return found;
  }

  function arrange(now) {
    ordered = now;
    const terms = find.value
      .toLowerCase()
      .split(/[\s/,]+/)
      .filter(Boolean);
    const rows = [];
    for (const pool of store.pools.values()) {
      const { hay } = named(pool);
      if (terms.every((term) => hay.includes(term))) rows.push(pool);
    }
    const compare = ORDERS[order.value];
    rows.sort((one, other) => compare(one, other) || (named(one).name < named(other).name ? -1 : 1));
    keys = rows.map(({ key }) => key);
  }

  function draw(again) {
    const now = performance.now();
    if (again || now - ordered > ORDER_MS) arrange(now);
    const rows = [];
    for (const key of keys) {
      const pool = store.pools.get(key);
      if (pool) rows.push(pool);
    }
    const all = store.pools.size;
    table.show(
      rows,
      all ? "No pool passes the filter." : store.past ? "No pool had been seen when this block had ended." : AWAITED,
    );
    const left = all - rows.length;
    write(note, all ? `${countText(rows.length)} shown${left ? `, ${countText(left)} not` : ""}` : "");
  }

  for (const input of [find, order]) input.addEventListener("input", () => draw(true));
  panel.querySelector("form").addEventListener("submit", (event) => event.preventDefault());

  return {
    topics: ["pools", "names"],
    draw(changed) {
      if (changed.has("names")) {
        names.clear();
        table.refresh();
      }
      draw(changed.has("names") || changed.has("poolsAdded"));
      picture.follow(store.pools);
    },
  };
}
