"""One reading of a benchmark, beside its baseline of the same run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BenchResult:
    """What was measured, what it is compared with, and what is asked of it."""

    name: str
    value: float
    unit: str
    baseline_name: str
    baseline_value: float
    ratio: float
    """How many times better than the baseline: above 1 is faster, whatever the unit."""
    target: float | None = None
    note: str = ""
