"""What a proof reports: one line per row of the fault table.

Owns the shape of a result and how it is timed.  It must never know what was proven.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ParamSpec

P = ParamSpec("P")
Progress = Callable[[str], None]


def say_nothing(text: str) -> None:
    """The default of `progress`: does nothing."""


@dataclass(frozen=True)
class Outcome:
    """One proof: which promise, what was seen, whether it holds."""

    row: int  # of the fault table; 0 if the campaign raised
    title: str
    passed: bool
    summary: str  # counts, as text
    seed: int | None = None
    seconds: float = 0.0

    def line(self) -> str:
        """`row 1: 1000 kills, 412 inside a publish, 0 torn, ...`"""
        seed = "" if self.seed is None else f" [seed {self.seed}]"
        verdict = "" if self.passed else "FAILED "
        return f"row {self.row}: {verdict}{self.title}: {self.summary}{seed} ({self.seconds:.1f} s)"


def timed(campaign: Callable[P, Outcome]) -> Callable[P, Outcome]:
    """Fill in how long a campaign took."""

    @functools.wraps(campaign)
    def run(*args: P.args, **kwargs: P.kwargs) -> Outcome:
        begin = time.monotonic()
        return replace(campaign(*args, **kwargs), seconds=time.monotonic() - begin)

    return run
