"""All cost curves, one after the other.

A curve for which the machine lacks something (room on a disk, memory, processes) is a row that says so, and the others
go on.
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.bench.curves import clients, journal, pools, ring
from tools.bench.result import BenchResult, unmeasured


def run(seconds: float) -> Iterator[BenchResult]:
    """Every curve."""
    for name, axis in (("readers, payload", ring), ("clients", clients), ("pools", pools), ("journal", journal)):
        try:
            yield from axis.run(seconds)
        except (OSError, MemoryError) as error:
            yield unmeasured(f"{name}: curves", "", f"{type(error).__name__}: {error}")
