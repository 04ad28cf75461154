"""All cost curves, one after the other."""

from __future__ import annotations

from collections.abc import Iterator

from tools.bench.curves import ring
from tools.bench.result import BenchResult


def run(seconds: float) -> Iterator[BenchResult]:
    """Every curve."""
    yield from ring.run(seconds)
