"""A cost curve: points, the exponent that is fitted to them, and the row that shows both.

The exponent is the slope of the least-squares line through log y over log x, its error the slope's standard error from
the scatter about that line (any textbook on linear regression).  A point at x = 0 has no logarithm and is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from tools.bench.result import BenchResult

Points = Sequence[tuple[float, float]]


class FittedSlope(NamedTuple):
    """A slope and its standard error; None of two points, through which a line always goes."""

    slope: float
    error: float | None

    def __str__(self) -> str:
        return f"{self.slope:+.2f}" + ("" if self.error is None else f" ± {self.error:.2f}")


def exponent_of(points: Points) -> FittedSlope | None:
    """y ~ x^slope; None of fewer than two points with different x."""
    return line_of([(math.log(x), math.log(y)) for x, y in points if x > 0 and y > 0])


def line_of(points: Points) -> FittedSlope | None:
    """The slope of the least-squares line through points; None of fewer than two with different x."""
    count = len(points)
    if count < 2:
        return None
    mean_x, mean_y = (sum(column) / count for column in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if not spread:
        return None
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    scatter = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points)
    return FittedSlope(slope, math.sqrt(scatter / (count - 2) / spread) if count > 2 else None)


def curve(name: str, unit: str, points: Points, note: str, *, rises: bool = False) -> BenchResult:
    """The row of a curve: its last point beside its first.  `rises`: more of its unit is better."""
    (first_x, first), (last_x, last) = points[0], points[-1]
    found = exponent_of(points)
    return BenchResult(
        name,
        last,
        unit,
        f"at {first_x:,.12g}",
        first,
        (last / first if rises else first / last) if first and last else 0.0,
        note=f"at {last_x:,.12g}; {'' if found is None else f'exponent {found}; '}{note}",
        higher_is_better=rises,
        points=tuple((float(x), float(y)) for x, y in points),
        exponent=found and found.slope,
        exponent_error=found and found.error,
    )
