"""What else the machine did: a pinned process that reads its clock between the turns, and the time stolen meanwhile.

Owns the look and the verdict.  A gap between two readings of the clock is time in which this process did not run, or
the core did not: others' work, interrupts, a hypervisor.  Not during the turns: on a small machine the look itself
would take a core from what is measured.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from tlv.units import NS

LOOK_NS = 4_000_000
GAP_NS = 10_000
MOST_MISSED = 0.05
MOST_STOLEN = 0.01
STAT = Path("/proc/stat")
STEAL = 8
"""Column of the steal time in the first line, in which user, nice, system ... follow the name."""


class GapWatch:
    """Looks at the cores in turn."""

    def __init__(self) -> None:
        self._cores = sorted(os.sched_getaffinity(0))
        self._stolen, self._jiffies = jiffies()
        self.looks = 0
        self.watched_ns = 0
        self.missed_ns = 0
        self.gaps = 0
        self.longest_ns = 0

    def look(self) -> None:
        """Read the clock for 4 ms on the next core, and note the gaps."""
        core = self._cores[self.looks % len(self._cores)]
        self.looks += 1
        with contextlib.suppress(OSError):  # not permitted: it looks from where it is
            os.sched_setaffinity(0, {core})
        try:
            self._read_clock()
        finally:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, self._cores)

    def _read_clock(self) -> None:
        clock = time.monotonic_ns
        before = begin = clock()
        deadline = begin + LOOK_NS
        while before < deadline:
            now = clock()
            if now - before > GAP_NS:
                self.gaps += 1
                self.missed_ns += now - before
                self.longest_ns = max(self.longest_ns, now - before)
            before = now
        self.watched_ns += before - begin

    @property
    def gaps_per_second(self) -> float:
        """Gaps over 10 us a second of looking."""
        return self.gaps * NS / max(self.watched_ns, 1)

    @property
    def stolen_share(self) -> float:
        """Of the whole machine's time since the watch began, what the hypervisor gave to others."""
        stolen, total = jiffies()
        return (stolen - self._stolen) / max(total - self._jiffies, 1)

    @property
    def disturbed(self) -> bool:
        """Whether readings taken meanwhile are to be trusted less."""
        return self.missed_ns > MOST_MISSED * self.watched_ns or self.stolen_share > MOST_STOLEN

    def __str__(self) -> str:
        return (
            f"between the turns gaps of up to {self.longest_ns / 1e6:.2f} ms, {self.gaps_per_second:,.0f}/s over 10 us;"
            f" {self.stolen_share:.1%} stolen"
        )


def jiffies() -> tuple[int, int]:
    """(stolen, all) since the machine started, over all cores."""
    numbers = [int(word) for word in STAT.read_text().partition("\n")[0].split()[1:]]
    return numbers[STEAL - 1], sum(numbers[:STEAL])
