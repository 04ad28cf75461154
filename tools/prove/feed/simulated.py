"""The simulated campaign of the feed's world."""

from __future__ import annotations

from tools.prove.simulation import Simulation
from tools.prove.world.run import WorldRun, run_world
from tools.prove.world.shrinking import shrink

FIRST_LINES, LAST_LINES = 15, 45
"""What is shown of a long history."""


def both_ends(history: list[str]) -> list[str]:
    """The beginning and the end of a history."""
    left_out = len(history) - FIRST_LINES - LAST_LINES
    if left_out <= 0:
        return history
    return [*history[:FIRST_LINES], f"... {left_out} lines left out ...", *history[-LAST_LINES:]]


FEED = Simulation[WorldRun](
    run=run_world,
    shrink=shrink,
    sums=lambda run: {"messages": run.messages, "gaps": run.gaps, "virtual_s": run.virtual_s},
    described=lambda run: {"blocks": run.blocks, "faults": [fault._asdict() for fault in run.faults]},
    cut=both_ends,
    tells_kinds=True,
)
