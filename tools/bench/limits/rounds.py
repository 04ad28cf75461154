"""Readings that take turns, so that whatever else the machine does meets all of them alike.

Owns the rounds, and what is said where two processes cannot have a core each.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from statistics import median

from tools.bench.ring.setting import cores

ROUNDS = 5
QUICK_S = 0.2
"""Readings shorter than this are taken in one round."""
FEW_ROUNDS = 3
"""Of readings that start several Python processes each."""
NOT_BESIDE = "none in a run so short"
"""In a baseline's place where ours takes seconds to start."""
ONE_CORE = "one core: the two processes would take turns"


def take_turns(
    measures: Mapping[str, Callable[[float], float]], seconds: float, rounds: int = ROUNDS
) -> dict[str, tuple[float, ...]]:
    """The readings of each measure, one a round; each gets `seconds` in all.

    Each round begins with another measure.
    """
    if is_quick(seconds):
        rounds = 1
    names = list(measures)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        at = number % len(names)
        for name in names[at:] + names[:at]:
            found[name].append(measures[name](seconds / rounds))
    return {name: tuple(values) for name, values in found.items()}


def is_quick(seconds: float) -> bool:
    """Whether a reading's processes take longer to start than the reading."""
    return seconds < QUICK_S


def middle(readings: Sequence[float]) -> float:
    """Their median."""
    return float(median(readings))


def no_second_core() -> bool:
    """Whether two processes cannot run at the same time."""
    return len(cores()) < 2


def pinning() -> str:
    """What a row of two processes says where they may not choose their cores; else nothing."""
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, before)
    except OSError as refused:
        return f"not pinned ({refused.strerror})"
    return ""
