"""The world's clock: what happens when.  Nothing sleeps; time is the time of the next thing that happens."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

WALL_NS = 1_700_000_000 * 1_000_000_000
"""Wall time at the beginning of a world."""


class Agenda:
    """Callbacks by due time; equal times run in the order in which they were set."""

    def __init__(self) -> None:
        self.now_ns = 0
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._ties = count()

    def at(self, due_ns: int, callback: Callable[[], None]) -> None:
        """Call `callback` at that time, at once if it is over."""
        heapq.heappush(self._heap, (max(due_ns, self.now_ns), next(self._ties), callback))

    def after(self, delay_ns: int, callback: Callable[[], None]) -> None:
        """Call `callback` so much later."""
        self.at(self.now_ns + delay_ns, callback)

    def run_until(self, end_ns: int) -> None:
        """Let time pass up to `end_ns`."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= end_ns:
            self.now_ns, _, callback = pop(heap)
            callback()
        self.now_ns = end_ns

    @property
    def wall_ns(self) -> int:
        """What the wall clock shows."""
        return WALL_NS + self.now_ns

    @property
    def clocks(self) -> dict[str, int]:
        """The two times that a feed is given."""
        return {"now_ns": self.now_ns, "wall_ns": WALL_NS + self.now_ns}
