"""A campaign in a simulated world: seed after seed, a line for each that fails, and the defects that it must find.

Owns the loop and what is printed.  It must never know what a world does: that is in `Simulation`, one for each world.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, Protocol, TypeVar

import click

from tools.prove.world.mutants import SourceChange, changed

PROGRESS_S = 5.0


class SeedRun(Protocol):
    """What came of a seed."""

    seed: int
    kinds: frozenset[str]
    history: list[str]

    @property
    def passed(self) -> bool:
        """Whether no rule was broken."""

    @property
    def summary(self) -> str:
        """One line."""


Run = TypeVar("Run", bound=SeedRun)


class Defect(SourceChange, Protocol):
    """A change that the world must find."""

    @property
    def name(self) -> str:
        """What is wrong with it."""

    def run(self) -> SeedRun:
        """The world that is known to find it."""


@dataclass
class SeedCampaign(Generic[Run]):
    """What a campaign found."""

    seeds: int = 0
    failed: list[Run] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    """How many seeds had each kind of fault."""
    sums: dict[str, float] = field(default_factory=dict)
    took_s: float = 0.0

    @property
    def seeds_per_minute(self) -> float:
        """So fast it went."""
        return 60 * self.seeds / max(self.took_s, 1e-9)


@dataclass(frozen=True)
class Simulation(Generic[Run]):
    """One world, as a campaign needs it."""

    run: Callable[[int], Run]
    shrink: Callable[[Run], Run]
    """The same seed in the smallest world in which it still fails, its history included."""
    sums: Callable[[Run], dict[str, float]]
    """What a campaign adds up."""
    described: Callable[[Run], dict[str, object]]
    """What JSON says of a seed that fails, beside its seed, kinds and history."""
    cut: Callable[[list[str]], list[str]]
    """What is shown of a history."""
    tells_kinds: bool = False
    """Whether the JSON of a campaign has `kinds`."""

    def play(
        self,
        first_seed: int,
        seeds: int,
        on_failure: Callable[[Run], None] = lambda _: None,
        on_progress: Callable[[SeedCampaign[Run]], None] = lambda _: None,
    ) -> SeedCampaign[Run]:
        """Run seeds one after the other."""
        found: SeedCampaign[Run] = SeedCampaign()
        began = told = time.monotonic()
        for seed in range(first_seed, first_seed + seeds):
            run = self.run(seed)
            found.seeds += 1
            found.kinds.update(run.kinds)
            for name, value in self.sums(run).items():
                found.sums[name] = found.sums.get(name, 0) + value
            now = time.monotonic()
            found.took_s = now - began
            if not run.passed:
                found.failed.append(run)
                on_failure(run)
            if now - told > PROGRESS_S:
                told = now
                on_progress(found)
        return found

    def smallest_history(self, failed: Run) -> list[str]:
        """The lines that tell how the seed fails, in its smallest world."""
        smallest = self.shrink(failed)
        return [f"smallest: {smallest.summary}", *self.cut(smallest.history)]

    def tell(self, first_seed: int, seeds: int, *, as_json: bool) -> int:
        """Run seeds and print what came of them; the exit code."""

        def on_failure(run: Run) -> None:
            lines = self.smallest_history(run)
            if as_json:
                one = {"seed": run.seed, "kinds": sorted(run.kinds), **self.described(run), "history": lines}
                click.echo(json.dumps(one))
            else:
                click.echo("\n    ".join([run.summary, *lines]))

        def on_progress(found: SeedCampaign[Run]) -> None:
            text = f"{found.seeds} of {seeds} seeds, {len(found.failed)} failed, {found.seeds_per_minute:.0f} a minute"
            click.echo(text, err=True)

        found = self.play(first_seed, seeds, on_failure, on_progress)
        failed = [run.seed for run in found.failed]
        sums = {"seeds": found.seeds, **{name: round(value) for name, value in found.sums.items()}}
        if as_json:
            total = {**sums, "failed_seeds": failed, "seeds_per_minute": round(found.seeds_per_minute)}
            click.echo(json.dumps(total | ({"kinds": found.kinds} if self.tells_kinds else {})))
        else:
            told = ", ".join(f"{value} {name}" for name, value in sums.items())
            which = f" (seeds {failed})" if failed else ""
            click.echo(f"{told}: {len(failed)} failed{which}; {found.seeds_per_minute:.0f} seeds a minute")
        return 1 if failed else 0

    def tell_defects(self, defects: Sequence[Defect], seeds: range | None, *, as_json: bool) -> int:
        """Say of each defect which seed finds it, of `seeds` or in the world that is kept with it; the exit code."""
        alive = 0
        for defect in defects:
            worlds = [defect.run] if seeds is None else [partial(self.run, seed) for seed in seeds]
            found = _catching(defect, worlds)
            alive += found is None
            if as_json:
                row = {"defect": defect.name, "seed": found and found.seed, "summary": found and found.summary}
                click.echo(json.dumps(row))
            else:
                click.echo(f"{defect.name}: " + (f"found by {found.summary}" if found is not None else "NOT FOUND"))
        if as_json:
            click.echo(json.dumps({"defects": len(defects), "not_found": alive}))
        else:
            within = "in its own world" if seeds is None else f"within {len(seeds)} seeds each"
            click.echo(f"{len(defects)} defects put back, {alive} not found {within}")
        return 1 if alive else 0


def _catching(defect: Defect, worlds: Iterable[Callable[[], SeedRun]]) -> SeedRun | None:
    """What the first of these worlds finds that passes, and fails with the defect."""
    for world in worlds:
        with changed(defect):
            found = world()
        if not found.passed and world().passed:
            return found
    return None
