"""What time it is, and what is to be done later.

Owns the clock of one feed and a heap of due times.  It never reads a system clock, so a test can let a minute pass
in a microsecond.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from tlv.units import NS

OVERSLEPT_NS = NS
"""A look later than that after the last: a suspended machine, a stopped process.  Answers may lie in the socket."""


@dataclass(slots=True)
class Clock:
    """The time of one feed: its owner sets it, once per call from outside."""

    now_ns: int = 0
    """Monotonic: for every decision.  It stands still while nobody looks: no patience ends in such a time."""
    wall_ns: int = 0
    """For what is only shown."""
    skipped_ns: int = 0
    """By so much `now_ns` is behind the clock of whoever sets it."""

    @property
    def outside_ns(self) -> int:
        """Monotonic, and goes on while nobody looks: for how long something has lasted at a node."""
        return self.now_ns + self.skipped_ns


class Timers:
    """Callbacks by due time (monotonic ns); equal times run in the order in which they were set."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._ties = count()

    def __len__(self) -> int:
        return len(self._heap)

    def after(self, delay_ns: int, callback: Callable[[], None]) -> None:
        """Call `callback` in the first `run` that is at least `delay_ns` from now."""
        heapq.heappush(self._heap, (self._clock.now_ns + delay_ns, next(self._ties), callback))

    def run(self) -> None:
        """Call what is due."""
        now_ns = self._clock.now_ns
        while self._heap and self._heap[0][0] <= now_ns:
            heapq.heappop(self._heap)[2]()

    @property
    def deadline_ns(self) -> int | None:
        """When the next callback is due."""
        return self._heap[0][0] if self._heap else None
