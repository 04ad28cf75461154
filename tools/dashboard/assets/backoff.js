// How long to wait before the next attempt, so that a server that is back is not met by all pages at once.

const FIRST_MS = 250;
const LONGEST_MS = 5000;

/** `attempt` counts from 0; `random` is in [0, 1): half of the wait is chance. */
export function backoffMs(attempt, random) {
  const whole = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 16));
  return whole / 2 + (whole / 2) * random;
}
