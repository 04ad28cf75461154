"""Things to do later, on somebody else's clock.

Owns a heap of due times.  It never reads a clock: `run` is told what time it is, so a test can let a minute pass in a
microsecond.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count


class Timers:
    """Callbacks by due time (monotonic ns); equal times run in the order in which they were set."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._ties = count()

    def at(self, due_ns: int, callback: Callable[[], None]) -> None:
        """Call `callback` in the first `run` at or after `due_ns`."""
        heapq.heappush(self._heap, (due_ns, next(self._ties), callback))

    def run(self, now_ns: int) -> None:
        """Call what is due."""
        while self._heap and self._heap[0][0] <= now_ns:
            heapq.heappop(self._heap)[2]()

    @property
    def deadline_ns(self) -> int | None:
        """When the next callback is due."""
        return self._heap[0][0] if self._heap else None
