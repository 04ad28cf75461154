"""The one stopwatch that the rates of several benchmarks share."""

from __future__ import annotations

import time
from collections.abc import Callable


def per_second(work: Callable[[], object], count: int, seconds: float) -> float:
    """The best rate of `work`, which does `count` things, within `seconds`; the first call is not timed."""
    return count / fastest(work, seconds)


def fastest(work: Callable[[], object], seconds: float) -> float:
    """Seconds of the fastest call of `work` within `seconds`; the first is not timed."""
    work()
    best = float("inf")
    end = time.perf_counter() + seconds
    while True:
        began = time.perf_counter()
        work()
        now = time.perf_counter()
        best = min(best, now - began)
        if now > end:
            return best
