"""A minute of a million messages a second."""

from __future__ import annotations

from collections.abc import Iterator

from tools.bench.result import BenchResult


def run(seconds: float) -> Iterator[BenchResult]:
    """Every topology."""
    yield from ()
