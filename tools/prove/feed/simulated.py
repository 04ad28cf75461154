"""The simulated campaign: seed after seed of the world, a line for each that fails, and the smallest history of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tools.prove.world.run import WorldRun, run_world
from tools.prove.world.shrinking import shrink

PROGRESS_S = 5.0
FIRST_LINES, LAST_LINES = 15, 45
"""What is shown of a long history."""


@dataclass
class Simulated:
    """What a campaign found."""

    seeds: int = 0
    failed: list[WorldRun] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    """How many seeds had each kind of fault."""
    gaps: int = 0
    messages: int = 0
    virtual_s: float = 0.0
    took_s: float = 0.0

    @property
    def seeds_per_minute(self) -> float:
        """So fast it went."""
        return 60 * self.seeds / max(self.took_s, 1e-9)


def simulate(
    first_seed: int,
    seeds: int,
    on_failure: Callable[[WorldRun], None] = lambda _: None,
    on_progress: Callable[[Simulated], None] = lambda _: None,
) -> Simulated:
    """Run seeds one after the other."""
    found = Simulated()
    began = told = time.monotonic()
    for seed in range(first_seed, first_seed + seeds):
        run = run_world(seed)
        found.seeds += 1
        found.kinds.update(run.kinds)
        found.gaps += run.gaps
        found.messages += run.messages
        found.virtual_s += run.virtual_s
        now = time.monotonic()
        found.took_s = now - began
        if not run.passed:
            found.failed.append(run)
            on_failure(run)
        if now - told > PROGRESS_S:
            told = now
            on_progress(found)
    return found


def smallest_history(failed: WorldRun) -> list[str]:
    """The lines that tell how the seed fails, in its smallest world."""
    smallest = shrink(failed)
    told = smallest.history
    if len(told) > FIRST_LINES + LAST_LINES:
        left_out = len(told) - FIRST_LINES - LAST_LINES
        told = [*told[:FIRST_LINES], f"... {left_out} lines left out ...", *told[-LAST_LINES:]]
    return [f"smallest: {smallest.summary}", *told]
