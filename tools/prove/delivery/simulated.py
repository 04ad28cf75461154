"""The simulated campaign: seed after seed of the delivery world, and the smallest history of each that fails."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import click

from tools.prove.delivery.world.mutants import DELIVERY_MUTANTS, catching
from tools.prove.delivery.world.run import DeliveryRun, run_delivery
from tools.prove.delivery.world.shrinking import shrink_delivery

PROGRESS_S = 5.0
MOST_LINES = 60
"""What is shown of a long history: its end."""


@dataclass
class DeliveryCampaign:
    """What a campaign found."""

    seeds: int = 0
    failed: list[DeliveryRun] = field(default_factory=list)
    sums: Counter[str] = field(default_factory=Counter)
    took_s: float = 0.0

    @property
    def seeds_per_minute(self) -> float:
        """So fast it went."""
        return 60 * self.seeds / max(self.took_s, 1e-9)


def simulate_delivery(
    first_seed: int,
    seeds: int,
    on_failure: Callable[[DeliveryRun], None] = lambda _: None,
    on_progress: Callable[[DeliveryCampaign], None] = lambda _: None,
) -> DeliveryCampaign:
    """Run seeds one after the other."""
    found = DeliveryCampaign()
    began = told = time.monotonic()
    for seed in range(first_seed, first_seed + seeds):
        run = run_delivery(seed)
        found.seeds += 1
        for name in ("published", "items", "lost", "rings", "successions"):
            found.sums[name] += getattr(run, name)
        now = time.monotonic()
        found.took_s = now - began
        if not run.passed:
            found.failed.append(run)
            on_failure(run)
        if now - told > PROGRESS_S:
            told = now
            on_progress(found)
    return found


def tell_campaign(first_seed: int, seeds: int, *, as_json: bool) -> int:
    """Run it and print it; the exit code."""

    def on_failure(run: DeliveryRun) -> None:
        smallest = shrink_delivery(run)
        lines = [f"smallest: {smallest.summary}", *smallest.history[-MOST_LINES:]]
        if as_json:
            broken = [one._asdict() for one in run.broken]
            click.echo(json.dumps({"seed": run.seed, "kinds": sorted(run.kinds), "broken": broken, "history": lines}))
        else:
            click.echo("\n    ".join([run.summary, *lines]))

    def on_progress(found: DeliveryCampaign) -> None:
        text = f"{found.seeds} of {seeds} seeds, {len(found.failed)} failed, {found.seeds_per_minute:.0f} a minute"
        click.echo(text, err=True)

    found = simulate_delivery(first_seed, seeds, on_failure, on_progress)
    failed = [run.seed for run in found.failed]
    sums = {"seeds": found.seeds, **found.sums}
    if as_json:
        per_minute = round(found.seeds_per_minute)
        click.echo(json.dumps({**sums, "failed_seeds": failed, "seeds_per_minute": per_minute}))
    else:
        told = ", ".join(f"{value} {name}" for name, value in sums.items())
        which = f" (seeds {failed})" if failed else ""
        click.echo(f"{told}: {len(failed)} failed{which}; {found.seeds_per_minute:.0f} seeds a minute")
    return 1 if failed else 0


def tell_mutants(seeds: range) -> int:
    """Say of each defect which seed finds it; the exit code."""
    alive = 0
    for mutant in DELIVERY_MUTANTS:
        found = catching(mutant, seeds)
        alive += found is None
        click.echo(f"{mutant.name}: " + (f"found by {found.summary}" if found is not None else "NOT FOUND"))
    click.echo(f"{len(DELIVERY_MUTANTS)} defects put back, {alive} not found within {len(seeds)} seeds each")
    return 1 if alive else 0
