// How Updates add up, and how much of each topic is kept.

export const KEPT = { swaps: 500, signals: 200, blocks: 256, happenings: 200, rates: 600 };

/** Two Updates as one.  `earlier` may be null, and may be changed; `later` is left alone. */
export function merge(earlier, later) {
  if (earlier === null || later.whole) return { ...later };
  earlier.time_ms = later.time_ms;
  earlier.skipped_swaps = (earlier.skipped_swaps ?? 0) + (later.skipped_swaps ?? 0);
  if (later.summary) earlier.summary = later.summary;
  if (later.health) earlier.health = later.health;
  for (const [topic, most] of Object.entries(KEPT)) {
    if (later[topic]) earlier[topic] = newest([...(earlier[topic] ?? []), ...later[topic]], most);
  }
  if (later.pools) earlier.pools = newestOfEach(earlier.pools, later.pools);
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
  return `${row.ring} ${row.venue} ${row.pool}`;
}

export function blockKey(row) {
  return `${row.ring} ${row.number} ${row.hash}`;
}

function newestOfEach(earlier, later) {
  if (!earlier) return later;
  const byKey = new Map(earlier.map((row) => [poolKey(row), row]));
  for (const row of later) byKey.set(poolKey(row), row);
  return [...byKey.values()];
}
