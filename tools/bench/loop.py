"""How long an event loop was blocked: the time between two polls of its sockets.

Owns the stopwatch.  It is the loop's selector, so it measures every callback, garbage collections and page faults
included, and costs two clock readings a turn.  The CPU time beside it distinguishes a long callback from a busy
machine.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class Stopwatch(selectors.DefaultSelector):
    """A selector that keeps the longest time between two calls of `select`."""

    def __init__(self) -> None:
        super().__init__()
        self.start()

    def start(self) -> None:
        """Measure from the next turn of the loop on."""
        self.longest_s = self.longest_cpu_s = 0.0
        self._left: tuple[float, float] | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait, as the loop asks."""
        if self._left is not None:
            self.longest_s = max(self.longest_s, time.perf_counter() - self._left[0])
            self.longest_cpu_s = max(self.longest_cpu_s, time.thread_time() - self._left[1])
        ready = super().select(timeout)
        self._left = time.perf_counter(), time.thread_time()
        return ready


def run_watched(work: Callable[[Stopwatch], Coroutine[Any, Any, Result]]) -> tuple[Result, Stopwatch]:
    """Run `work` in a loop of its own; its stopwatch may be started anew when the part that counts begins."""
    stopwatch = Stopwatch()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(stopwatch)) as runner:
        return runner.run(work(stopwatch)), stopwatch
