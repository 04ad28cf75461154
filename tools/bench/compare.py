"""What changed between two runs beyond their noise.

Owns the verdict.  A reading's noise is the spread of its rounds, from the least to the greatest, as a share of their
median.  It changed if it moved by more than the noise of both runs together, and by more than LEAST.  Where a run had
one round its noise is not known, and ASSUMED is taken for it: `--rounds 3` measures it.

    faster, slower    it changed, for the better or the worse, whichever way is better of its unit
    same              it did not
    disturbed         it changed, but something else used the machine in one of the runs
    new, gone         one of the runs has no such reading
"""

from __future__ import annotations

from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from tools.bench.machine import LIKE
from tools.bench.report import BenchReport, ReportRow
from tools.bench.tables import console

ASSUMED = 0.15
LEAST = 0.03
"""What two runs of the same build differ by on a quiet machine, whatever the rounds of one say."""
STYLES = {"faster": "green", "slower": "red", "disturbed": "yellow", "new": "cyan", "gone": "cyan"}


class ReadingChange(msgspec.Struct, frozen=True, kw_only=True):
    """One reading in both runs."""

    name: str
    unit: str
    before: float | None
    now: float | None
    change: float | None
    """(now - before) / before."""
    noise: float | None
    """Of both runs together; what is less than this tells nothing."""
    noise_assumed: bool
    verdict: str


class Changes(msgspec.Struct, frozen=True):
    """All of them, and what makes the two runs hard to compare."""

    changes: list[ReadingChange]
    unlike: list[str]

    @property
    def slower(self) -> bool:
        """Whether any reading is slower."""
        return any(change.verdict == "slower" for change in self.changes)


def compare(before: BenchReport, now: BenchReport) -> Changes:
    """The changes, in the order of the later run; what is gone comes last."""
    old = {row.name: row for row in before.results if not row.missing}
    new = {row.name: row for row in now.results if not row.missing}
    measured = {row.benchmark for row in now.results} | {failure.benchmark for failure in now.failed}
    names = [*new, *(name for name, row in old.items() if name not in new and row.benchmark in measured)]
    return Changes([change_of(old.get(name), new.get(name)) for name in names], unlike(before, now))


def change_of(before: ReportRow | None, now: ReportRow | None) -> ReadingChange:
    """What became of one reading."""
    known: Any = now or before
    if before is None or now is None:
        return ReadingChange(
            name=known.name,
            unit=known.unit,
            before=None if before is None else before.value,
            now=None if now is None else now.value,
            change=None,
            noise=None,
            noise_assumed=False,
            verdict="new" if before is None else "gone",
        )
    change = (now.value - before.value) / abs(before.value) if before.value else None
    noise = sum(ASSUMED if row.noise is None else row.noise for row in (before, now))
    moved = change is not None and abs(change) > max(noise, LEAST)
    return ReadingChange(
        name=now.name,
        unit=now.unit,
        before=before.value,
        now=now.value,
        change=change,
        noise=noise,
        noise_assumed=None in (before.noise, now.noise),
        verdict=verdict(before, now) if moved else "same",
    )


def verdict(before: ReportRow, now: ReportRow) -> str:
    """Of a reading that moved beyond the noise."""
    if before.disturbed or now.disturbed:
        return "disturbed"
    return "faster" if (now.value > before.value) == now.rises else "slower"


def unlike(before: BenchReport, now: BenchReport) -> list[str]:
    """In what the two runs differ, other than in the code."""
    found = [
        f"{what}: {before.machine.get(what, 'unknown')} before, {now.machine.get(what, 'unknown')} now"
        for what in LIKE
        if before.machine.get(what) != now.machine.get(what)
    ]
    found += [
        f"{what}: {getattr(before, what):g} before, {getattr(now, what):g} now"
        for what in ("seconds", "rounds")
        if getattr(before, what) != getattr(now, what)
    ]
    found += ["the run before was interrupted"] if before.interrupted else []
    return found


def show_changes(found: Changes) -> None:
    """Print them."""
    table = Table(box=None, pad_edge=False)
    for column in ("reading", "before", "now", "unit", "change", "noise", "verdict"):
        table.add_column(column, justify="right" if column in {"before", "now", "change", "noise"} else "left")
    for change in found.changes:
        table.add_row(
            Text(change.name),
            *("-" if value is None else f"{value:,.2f}" for value in (change.before, change.now)),
            change.unit,
            "" if change.change is None else f"{change.change:+.1%}",
            "" if change.noise is None else f"{change.noise:.1%}{' assumed' if change.noise_assumed else ''}",
            Text(change.verdict, STYLES.get(change.verdict, "")),
        )
    out = console()
    for difference in found.unlike:
        out.print(Text(f"not the same: {difference}", "yellow"))
    out.print(table)
    counts = {word: sum(change.verdict == word for change in found.changes) for word in ("same", *STYLES)}
    out.print(Text(", ".join(f"{count} {word}" for word, count in counts.items() if count) or "nothing to compare"))
