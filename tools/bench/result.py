"""One reading of a benchmark, beside its baseline of the same run.

Owns what a reading is, when it meets its target, and a reading that could not be taken.  It must never know how one is
shown or what else the machine did meanwhile: `tools.bench.command` adds that.
"""

from __future__ import annotations

from dataclasses import dataclass

LOWER_IS_BETTER = frozenset({"ns", "us", "ms", "s", "MB", "x"})
"""Units of which a target is an upper bound, where the reading does not say otherwise."""


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
    higher_is_better: bool | None = None
    """None: as its unit says."""
    rounds: tuple[float, ...] = ()
    """The reading of each round, in its unit, if it had several: they tell its noise."""
    points: tuple[tuple[float, float], ...] = ()
    """Of a cost curve: what grows, and the reading there, in its unit."""
    exponent: float | None = None
    """Of a cost curve: the slope of log y over log x."""
    exponent_error: float | None = None
    """Its standard error."""
    disturbed: bool = False
    """The benchmark itself saw that something else used the machine in its rounds."""
    missing: str = ""
    """Why there is no reading; its value is 0 then, and it does not meet its target."""

    @property
    def rises(self) -> bool:
        """Whether more of it is better."""
        return self.unit not in LOWER_IS_BETTER if self.higher_is_better is None else self.higher_is_better

    @property
    def meets_target(self) -> bool:
        """Whether it reaches its target; one without a target does, unless there is no reading."""
        if self.missing:
            return False
        if self.target is None:
            return True
        return self.value >= self.target if self.rises else self.value <= self.target


def unmeasured(name: str, unit: str, reason: str, target: float | None = None) -> BenchResult:
    """A row for a reading that could not be taken, and why: a peer is not installed, there is one core."""
    return BenchResult(name, 0.0, unit, "", 0.0, 0.0, target, reason, missing=reason)
