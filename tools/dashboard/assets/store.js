// What the page knows: every Update so far, added up.  It knows nothing of the page.

import { KEPT, REPLACED, blockKey, messageKey, newest, newestOfEach, orderKey, poolKey } from "./merge.js";
import { Symbols } from "./texts.js";

/** A swap that a REMOVED copy took back is told by these; its sequence is the lower one. */
const sameEvent = (one, other) =>
  one.ring === other.ring &&
  one.block === other.block &&
  one.log_index === other.log_index &&
  one.transaction === other.transaction;

export class Store {
  symbols = new Symbols();
  /** Whether what is held comes from a journal: what a panel lacks then will not come. */
  past = false;

  constructor() {
    this.clear();
  }

  clear() {
    for (const topic of REPLACED) this[topic] = null;
    this.time_ms = 0;
    this.skipped = 0;
    /** Newest last. */
    this.swaps = [];
    this.signals = [];
    this.orders = [];
    this.blocks = [];
    this.happenings = [];
    this.rates = [];
    /** By key. */
    this.pools = new Map();
    this.takenBack = new Set();
    this.symbols.clear();
  }

  /** Take an Update; the topics that changed.  `names` is one when what tokens are called changed. */
  apply(update) {
    const changed = new Set(["time"]);
    if (update.whole) {
      this.clear();
      for (const topic of [...REPLACED, "pools", "names", ...Object.keys(KEPT)]) changed.add(topic);
    }
    this.time_ms = update.time_ms;
    this.skipped += update.skipped_swaps ?? 0;
    for (const topic of REPLACED) {
      if (update[topic]) {
        this[topic] = update[topic];
        changed.add(topic);
      }
    }
    if (update.rates) this.#append("rates", update.rates, changed);
    if (update.happenings) this.#append("happenings", update.happenings, changed);
    if (update.swaps) this.#takeSwaps(update.swaps, changed);
    if (update.signals) this.#takeSignals(update.signals, changed);
    if (update.orders) this.#takeOrders(update.orders, changed);
    if (update.blocks) this.#takeBlocks(update.blocks, changed);
    if (update.pools) this.#takePools(update.pools, changed);
    return changed;
  }

  /** Rows with what names each: it is asked for often. */
  #keyed(rows, keyOf) {
    for (const row of rows) row.key = keyOf(row);
    return rows;
  }

  #append(topic, rows, changed) {
    this[topic] = newest([...this[topic], ...rows], KEPT[topic]);
    changed.add(topic);
  }

  #takeSwaps(rows, changed) {
    this.#append("swaps", this.#keyed(rows, messageKey), changed);
    for (const row of rows) {
      for (const { token } of [...row.sold, ...row.bought]) this.#name(token, changed);
      if (!row.flags.includes("removed")) continue;
      const taken = this.swaps.find(
        (other) => sameEvent(row, other) && other.sequence < row.sequence && !this.takenBack.has(other.key),
      );
      if (!taken) continue;
      this.takenBack.add(taken.key);
      changed.add("takenBack");
    }
    if (this.takenBack.size > KEPT.swaps) {
      const kept = new Set(this.swaps.map(({ key }) => key));
      for (const key of this.takenBack) if (!kept.has(key)) this.takenBack.delete(key);
    }
  }

  #takeSignals(rows, changed) {
    this.signals = newestOfEach(this.signals, this.#keyed(rows, messageKey), messageKey, KEPT.signals);
    for (const row of rows) this.#nameLegs(row.legs, changed);
    changed.add("signals");
  }

  #takeOrders(rows, changed) {
    this.orders = newestOfEach(this.orders, this.#keyed(rows, orderKey), orderKey, KEPT.orders);
    for (const row of rows) this.#nameLegs(row.legs, changed);
    changed.add("orders");
  }

  #nameLegs(legs, changed) {
    for (const { amount_in, amount_out } of legs) {
      this.#name(amount_in.token, changed);
      this.#name(amount_out.token, changed);
    }
  }

  #takeBlocks(rows, changed) {
    const blocks = new Map(this.blocks.map((row) => [row.key, row]));
    for (const row of this.#keyed(rows, blockKey)) blocks.set(row.key, row);
    this.blocks = newest(
      [...blocks.values()].sort((one, other) => one.number - other.number),
      KEPT.blocks,
    );
    changed.add("blocks");
  }

  #takePools(rows, changed) {
    for (const row of this.#keyed(rows, poolKey)) {
      if (!this.pools.has(row.key)) changed.add("poolsAdded");
      this.pools.set(row.key, row);
      this.#name(row.token0, changed);
      this.#name(row.token1, changed);
    }
    changed.add("pools");
  }

  #name(token, changed) {
    if (this.symbols.note(token)) changed.add("names");
  }
}
