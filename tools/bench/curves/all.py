"""All cost curves, one after the other."""

from __future__ import annotations

from collections.abc import Iterator

from tools.bench.curves import clients, journal, pools, ring
from tools.bench.result import BenchResult


def run(seconds: float) -> Iterator[BenchResult]:
    """Every curve."""
    for axis in (ring, clients, pools, journal):
        yield from axis.run(seconds)
