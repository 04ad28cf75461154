"""`alphapulse bench --only limits`: the parts, in the order of a message's way up from the machine."""

from __future__ import annotations

from collections.abc import Iterator

from tools.bench.limits import calls, disk, feed, hand_off, native, sockets
from tools.bench.result import BenchResult

PARTS = (hand_off, calls, native, sockets, disk, feed)


def run(seconds: float) -> Iterator[BenchResult]:
    """All readings, each over `seconds`; an interrupted run has those that were yielded before."""
    for part in PARTS:
        yield from part.run(seconds)
