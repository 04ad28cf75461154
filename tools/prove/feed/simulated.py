"""The simulated campaign of the feed's world."""

from __future__ import annotations

import json
import time

import click

from tools.prove.simulation import PROGRESS_S, Simulation
from tools.prove.world.endurance import LongLife, endure
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


def tell_endurance(seed: int, blocks: int, *, as_json: bool) -> int:
    """Let one collector live for so many blocks and print what it held; the exit code."""
    began = told = time.monotonic()

    def on_look(life: LongLife) -> None:
        nonlocal told
        now, look = time.monotonic(), life.looks[-1]
        if now - told > PROGRESS_S:
            told = now
            held = f"{look.entries} entries, {look.resident_bytes >> 20} MiB"
            speed = life.blocks / (now - began)
            click.echo(f"{life.blocks} of {blocks} blocks, {held}, {speed:.0f} blocks a second", err=True)

    life = endure(seed, blocks, on_look)
    if as_json:
        click.echo(json.dumps(_described(life)))
    else:
        click.echo(life.summary)
    return 0 if life.passed else 1


def _described(life: LongLife) -> dict[str, object]:
    looks = [
        {"blocks": look.blocks, "entries": look.entries, "resident_bytes": look.resident_bytes, "tables": look.tables}
        for look in life.looks
    ]
    counts = {name: getattr(life, name) for name in ("seed", "blocks", "messages", "gaps", "reorgs", "passed")}
    return {**counts, "faults": [fault._asdict() for fault in life.faults], "looks": looks}
