import assert from "node:assert/strict";
import test from "node:test";

import { KEPT, merge } from "../../../../tools/dashboard/assets/merge.js";
import { Store } from "../../../../tools/dashboard/assets/store.js";

const RING = "market.test";
const token = (symbol) => ({ symbol, address: `0x${symbol}`, decimals: 18 });
const amount = (units, symbol) => ({ units, token: token(symbol) });
const swap = (sequence, changes = {}) => ({
  ring: RING,
  sequence,
  time_ms: sequence,
  block: 7,
  log_index: sequence,
  transaction: "0xt",
  venue: "v",
  pool: "p",
  sold: [amount("1", "A")],
  bought: [amount("2", "B")],
  flags: [],
  ...changes,
});
const pool = (name, changes = {}) => ({
  ring: RING,
  venue: "v",
  pool: name,
  token0: token("A"),
  token1: token("B"),
  events: 1,
  ...changes,
});
const block = (number, hash, verdict = "open") => ({ ring: RING, number, hash, verdict });
const signal = (sequence, state = "stands") => ({
  ring: "s",
  sequence,
  time_ms: sequence,
  state,
  legs: [{ amount_in: amount("1", "A"), amount_out: amount("1", "B") }],
});
const order = (order_sequence, time_ms, state) => ({ ring: "e", order_ring: "s", order_sequence, time_ms, state, legs: [] });
const update = (changes) => ({ type: "update", time_ms: 1, ...changes });

/** What a store holds, without its methods. */
function held(store) {
  const { swaps, signals, orders, profits, breakers, blocks, happenings, rates, pools, summary, health, takenBack, skipped } = store;
  return {
    swaps,
    signals,
    orders,
    profits,
    breakers,
    blocks,
    happenings,
    rates,
    pools: [...pools],
    summary,
    health,
    takenBack: [...takenBack],
    skipped,
  };
}

const STREAM = [
  update({
    whole: true,
    swaps: [swap(1), swap(2)],
    pools: [pool("x")],
    blocks: [block(1, "a")],
    signals: [signal(1)],
    orders: [order(1, 1, "approved"), order(2, 2, "approved")],
    profits: [{ net: "1" }],
    rates: [{ time_ms: 1 }],
    summary: { block: 1 },
    health: { boxes: [] },
  }),
  update({
    swaps: [swap(3)],
    pools: [pool("x", { events: 2 }), pool("y")],
    blocks: [block(2, "b"), block(1, "a", "tombstone")],
  }),
  update({
    swaps: [swap(4, { log_index: 3, flags: ["removed"] })],
    signals: [signal(1, "withdrawn"), signal(2)],
    orders: [order(1, 3, "filled")],
    profits: [{ net: "2" }],
    breakers: [{ state: "open" }],
    skipped_swaps: 5,
  }),
  update({
    blocks: [block(2, "b", "removed"), block(2, "c")],
    pools: [pool("x", { events: 3 })],
    rates: [{ time_ms: 2 }],
    happenings: [{ ring: RING, sequence: 9 }],
    summary: { block: 2 },
  }),
];

test("Updates that were merged on their way leave the page where each by itself would have", () => {
  const one = new Store();
  for (const each of STREAM) one.apply(structuredClone(each));
  for (let cut = 0; cut < STREAM.length; cut++) {
    const other = new Store();
    for (const part of [STREAM.slice(0, cut), STREAM.slice(cut)]) {
      const merged = structuredClone(part).reduce(merge, null);
      if (merged) other.apply(merged);
    }
    assert.deepEqual(held(other), held(one), `cut at ${cut}`);
  }
  assert.equal(one.pools.get(`${RING} v x 0xA 0xB`).events, 3);
  assert.deepEqual(
    one.blocks.map(({ hash, verdict }) => [hash, verdict]),
    [
      ["a", "tombstone"],
      ["b", "removed"],
      ["c", "open"],
    ],
  );
  assert.deepEqual(
    one.signals.map(({ state }) => state),
    ["withdrawn", "stands"],
  );
  assert.deepEqual(
    one.orders.map(({ order_sequence, state }) => [order_sequence, state]),
    [
      [2, "approved"],
      [1, "filled"],
    ],
  );
  assert.deepEqual([one.profits, one.breakers], [[{ net: "2" }], [{ state: "open" }]]);
  assert.equal(one.skipped, 5);
});

test("a whole Update replaces everything, and what waits before it", () => {
  const store = new Store();
  for (const each of STREAM) store.apply(structuredClone(each));
  const whole = update({ whole: true, swaps: [swap(40)], summary: { block: 9 } });
  assert.deepEqual(merge(structuredClone(STREAM[1]), whole), whole);
  const changed = store.apply(whole);
  assert.deepEqual(
    store.swaps.map(({ sequence }) => sequence),
    [40],
  );
  assert.deepEqual(
    [store.pools.size, store.blocks, store.health, store.skipped, store.takenBack.size],
    [0, [], null, 0, 0],
  );
  for (const topic of ["swaps", "pools", "blocks", "signals", "rates", "health", "happenings"])
    assert.ok(changed.has(topic), topic);
});

test("only what came before a REMOVED copy is taken back by it", () => {
  const store = new Store();
  store.apply(update({ whole: true, swaps: [swap(1, { log_index: 3 }), swap(2, { log_index: 4 })] }));
  const changed = store.apply(
    update({ swaps: [swap(3, { log_index: 3, flags: ["removed"] }), swap(4, { log_index: 3 })] }),
  );
  assert.ok(changed.has("takenBack"));
  assert.deepEqual([...store.takenBack], [`${RING} 1`]);
});

test("what is kept is bounded, the newest", () => {
  const store = new Store();
  let pending = null;
  for (let at = 0; at < 3 * KEPT.swaps; at += 100) {
    const swaps = Array.from({ length: 100 }, (_, i) => swap(at + i, { flags: ["removed"], log_index: 0 }));
    const rates = Array.from({ length: 100 }, (_, i) => ({ time_ms: at + i }));
    const blocks = Array.from({ length: 100 }, (_, i) => block(at + i, `h${at + i}`));
    pending = merge(pending, update({ swaps, rates, blocks }));
    store.apply(update({ swaps, rates, blocks }));
  }
  for (const topic of ["swaps", "rates", "blocks"]) {
    assert.equal(pending[topic].length, KEPT[topic], topic);
    assert.equal(store[topic].length, KEPT[topic], topic);
  }
  assert.equal(store.swaps.at(-1).sequence, 3 * KEPT.swaps - 1);
  assert.ok(store.takenBack.size <= KEPT.swaps);
});

test("a signal whose end was dropped on its way does not stand", () => {
  const store = new Store();
  const many = (from, state) => Array.from({ length: KEPT.signals }, (_, i) => signal(from + i, state));
  store.apply(update({ whole: true, signals: many(0, "stands") }));
  let pending = null;
  for (const signals of [[signal(50, "withdrawn")], many(KEPT.signals, "stands"), many(KEPT.signals, "expired")])
    pending = merge(pending, update({ signals }));
  store.apply(pending);
  assert.deepEqual([...new Set(store.signals.map(({ state }) => state))], ["expired"]);
});

test("a pool of several pairs has a row for each", () => {
  const store = new Store();
  const pairs = [pool("x"), pool("x", { token1: token("C") })];
  store.apply(update({ whole: true, pools: pairs }));
  store.apply(update({ pools: [pool("x", { token1: token("C"), events: 5 })] }));
  assert.deepEqual(
    [...store.pools.values()].map(({ token1, events }) => [token1.symbol, events]),
    [
      ["B", 1],
      ["C", 5],
    ],
  );
});

test("an Update says which topics it changed", () => {
  const store = new Store();
  store.apply(update({ whole: true, pools: [pool("x")] }));
  assert.deepEqual([...store.apply(update({}))], ["time"]);
  assert.ok(!store.apply(update({ pools: [pool("x")] })).has("poolsAdded"));
  const copied = pool("z", { token0: { symbol: "A", address: "0xother", decimals: 18 } });
  assert.deepEqual([...store.apply(update({ pools: [copied] }))].sort(), ["names", "pools", "poolsAdded", "time"]);
});
