// How Updates add up, and how much of each topic is kept.

export const KEPT = { swaps: 500, signals: 200, orders: 200, blocks: 256, happenings: 200, rates: 600 };

/** Topics that come as a whole. */
export const REPLACED = ["summary", "health", "profits", "breakers"];

/** Topics whose rows change: what names one. */
const KEYS = { signals: messageKey, orders: orderKey };

/** Two Updates as one.  `earlier` may be null, and may be changed; `later` is left alone. */
export function merge(earlier, later) {
  if (earlier === null || later.whole) return { ...later };
  earlier.time_ms = later.time_ms;
  earlier.skipped_swaps = (earlier.skipped_swaps ?? 0) + (later.skipped_swaps ?? 0);
  for (const topic of REPLACED) if (later[topic]) earlier[topic] = later[topic];
  for (const [topic, most] of Object.entries(KEPT)) {
    if (!later[topic]) continue;
    const before = earlier[topic] ?? [];
    const keyOf = KEYS[topic];
    earlier[topic] = keyOf
      ? newestOfEach(before, later[topic], keyOf, most)
      : newest([...before, ...later[topic]], most);
  }
  if (later.pools) earlier.pools = lastOfEach(earlier.pools ?? [], later.pools, poolKey);
  return earlier;
}

/** The last `most` of a list. */
export function newest(list, most) {
  return list.length > most ? list.slice(-most) : list;
}

/** Names a row that a message of a ring gave. */
export function messageKey(row) {
  return `${row.ring} ${row.sequence}`;
}

export function poolKey(row) {
  return `${row.ring} ${row.venue} ${row.pool} ${row.token0.address} ${row.token1.address}`;
}

export function blockKey(row) {
  return `${row.ring} ${row.number} ${row.hash}`;
}

export function orderKey(row) {
  return `${row.ring} ${row.order_ring} ${row.order_sequence}`;
}

/** The `most` newest rows, each as it was told last.  By time, so that whoever adds up in parts drops the same ones:
 * a row whose change was dropped on its way is not kept as it was before. */
export function newestOfEach(earlier, later, keyOf, most) {
  const rows = lastOfEach(earlier, later, keyOf);
  return newest(
    rows.sort((one, other) => one.time_ms - other.time_ms),
    most,
  );
}

function lastOfEach(earlier, later, keyOf) {
  const byKey = new Map(earlier.map((row) => [keyOf(row), row]));
  for (const row of later) byKey.set(keyOf(row), row);
  return [...byKey.values()];
}
