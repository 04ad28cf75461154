"""`alphapulse bench`: every part measured beside a baseline of the same run.

Owns the list of benchmarks, the command line and the exit code; what is measured stands in the other files of this
folder, how a run goes in `running`, how it is kept in `report`, shown in `tables`, and compared in `compare`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from consumers.extras import missing
from tlv.errors import UsageError
from tools.command.needs import is_installed

if TYPE_CHECKING:
    from tools.bench.report import BenchReport

BENCHMARKS = {
    "tlv": "tools.bench.tlv",
    "ring": "tools.bench.ring.topologies",
    "decode": "tools.bench.collector.decode",
    "collector": "tools.bench.collector.rates",
    "endpoints": "tools.bench.collector.endpoints",
    "hand_over": "tools.bench.collector.hand_over",
    "ticks": "tools.bench.collector.ticks",
    "strategy": "tools.bench.strategy",
    "execution": "tools.bench.execution",
    "backtest": "tools.bench.backtest",
    "relay": "tools.bench.relay",
    "catch_up": "tools.bench.catch_up",
    "journal": "tools.bench.journal",
    "store": "tools.bench.store",
    "bridge": "tools.bench.bridge",
    "obs": "tools.bench.obs",
    "browser": "tools.bench.browser",
    "time_travel": "tools.bench.time_travel",
    "start": "tools.bench.start",
    "live_view": "tools.bench.live_view",
    "peers": "tools.bench.peers.table",
    "curves": "tools.bench.curves.all",
    "sustained": "tools.bench.sustained",
    "limits": "tools.bench.limits.all",
}
"""The module of each benchmark, in the order in which a message meets what they measure; each has `run(seconds)`, which
returns its results or yields them as they come."""
LIBRARIES = {"store": ("pyarrow", "polars", "pandas", "duckdb"), "bridge": ("nats",), "obs": ("uvicorn",)}
"""Of extras, that a benchmark needs."""
TAKES_S = {
    "browser": 50,
    "obs": 40,
    "time_travel": 30,
    "collector": 30,
    "hand_over": 20,
    "start": 20,
    "peers": 60,
    "limits": 60,
    "curves": 60,
    "sustained": 30,
    "ring": 5,
    "relay": 5,
    "strategy": 9,
    "store": 8,
    "endpoints": 8,
    "tlv": 3,
    "ticks": 3,
    "execution": 3,
}
"""Roughly, on two cores, with a few tenths of a second a reading: for the time that is left; others USUAL_S."""
USUAL_S = 6
LIMIT_S, LIMIT_PER_S = 300.0, 60.0
"""A benchmark that has not ended after so long never will: this and so much for each second of `--seconds`."""
QUICK_SECONDS, QUICK_LIMIT_S = 0.03, 52.0
"""A quick run says what works, and roughly how fast, the shortest first: what has not ended within this is left out."""


def lacking(name: str) -> str:
    """What a benchmark needs that is not installed, and how it is; empty if it has everything."""
    return next((missing(library) for library in LIBRARIES.get(name, ()) if not is_installed(library)), "")


class BenchProgress:
    """Says on stderr what is measured, which of how many it is, and roughly how long the rest takes."""

    def __init__(self, names: Iterable[str], rounds: int) -> None:
        self._left = list(names)
        self._count, self._rounds = len(self._left), rounds
        self._began, self._expected = time.monotonic(), 0.0

    def began(self, name: str, number: int) -> None:
        """A round of a benchmark begins."""
        took = time.monotonic() - self._began
        left = sum(map(takes, self._left)) * (took / self._expected if self._expected else self._rounds)
        round_said = f", round {number} of {self._rounds}" if self._rounds > 1 else ""
        at = self._count - len(self._left) + 1
        click.echo(f"measuring {name} ({at} of {self._count}{round_said}; some {left:.0f} s left) ...", err=True)

    def ended(self, name: str) -> None:
        """A benchmark came to its end, or failed."""
        self._left.remove(name)
        self._expected += takes(name)


def takes(name: str) -> float:
    """Roughly, in seconds."""
    return TAKES_S.get(name, USUAL_S)


@click.command("bench", epilog="Example:  alphapulse bench --only ring --seconds 2 --json")
@click.option("--only", "names", multiple=True, type=click.Choice(list(BENCHMARKS)), help="Run this one (repeatable).")
@click.option("--seconds", default=1.0, show_default=True, type=click.FloatRange(0.01, 600), help="For each reading.")
@click.option(
    "--rounds",
    default=1,
    show_default=True,
    type=click.IntRange(1, 99),
    help="Run each benchmark so often: a reading is the median, its noise the spread.",
)
@click.option("--quick", is_flag=True, help="Within a minute: what works, and how fast, roughly.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--strict", is_flag=True, help="Exit with 1 if a reading misses its target, or is slower (--compare).")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Keep the JSON in this file, which is written after each benchmark.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in --output, if that was interrupted.")
@click.option(
    "--read",
    "earlier",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Measure nothing: take the readings of this file.",
)
@click.option(
    "--compare",
    "other",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Say what changed beyond the noise since this file of an earlier run.",
)
@click.option(
    "--page",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="FOLDER",
    help="Write pictures and tables of the page docs/performance there.",
)
def command(
    names: tuple[str, ...],
    seconds: float,
    rounds: int,
    quick: bool,
    as_json: bool,
    strict: bool,
    output: Path | None,
    resume: bool,
    earlier: Path | None,
    other: Path | None,
    page: Path | None,
) -> int:
    """Measure codec, ring, decoder, collector, strategy, executor, relay, journal, obs, starts of commands, live views.

    Every reading stands beside a baseline measured in the same run; the ratio says how many times better it is.
    Absolute numbers depend on the machine and on what else it does: a reading taken while something else used it is
    marked.  `store`, `bridge` and `obs` need the extras `analysis`, `nats` and `obs`.

    `curves` says how costs grow with readers, clients, pools, frames and payloads, `sustained` what a million messages
    a second do, for a minute with --seconds 10 or more.

    Exit code 1 if a benchmark failed, 130 if the run was interrupted; either way what was measured is printed.
    """
    from tools.bench.compare import compare, show_changes
    from tools.bench.page import write_page
    from tools.bench.report import read_report
    from tools.bench.tables import show

    before = read_report(other) if other is not None else None
    if resume and output is None:
        raise UsageError("--resume: expected --output FILE, the file of the run to go on with, found none")
    if earlier is not None:
        report = read_report(earlier)
    else:
        chosen = tuple(dict.fromkeys(names)) or tuple(BENCHMARKS)
        if quick:
            seconds, rounds = min(seconds, QUICK_SECONDS), 1
        report = measure(chosen, seconds, rounds, quick=quick, output=output, resume=resume)
    changes = compare(before, report) if before is not None else None
    if as_json:
        import msgspec

        found = msgspec.to_builtins(report) | ({"changes": msgspec.to_builtins(changes)} if changes else {})
        click.echo(msgspec.json.encode(found))
    elif changes is not None:
        show_changes(changes)
    else:
        show(report)
    if page is not None and (earlier is not None or not report.interrupted):
        write_page(page, report)
    if earlier is None and report.interrupted:
        return 130
    misses = not all(row.meets_target for row in report.results) if changes is None else changes.slower
    return 1 if (report.failed and earlier is None) or (strict and misses) else 0


def measure(
    chosen: tuple[str, ...],
    seconds: float,
    rounds: int,
    *,
    quick: bool,
    output: Path | None,
    resume: bool,
) -> BenchReport:
    """Run what was chosen, keeping what there is in `output` after each.

    Raises:
        UsageError: nothing of it can run for want of libraries.
    """
    from tools.bench.machine import machine
    from tools.bench.report import BenchReport, fill, read_report, taken_up, write_report
    from tools.bench.running import BenchSession, run_all

    wanting = {name: reason for name in chosen if (reason := lacking(name))}
    if len(wanting) == len(chosen):
        raise UsageError(next(iter(wanting.values())))
    when = datetime.now(UTC).isoformat(timespec="seconds")
    report = BenchReport(machine=machine(), seconds=seconds, rounds=rounds, results=[], when=when, chosen=list(chosen))
    session = BenchSession()
    if resume and output is not None and output.exists():
        kept = read_report(output)
        if kept.interrupted:
            report, session = kept, taken_up(kept)
    session.failed |= {name: reason for name, reason in wanting.items() if name in report.chosen}
    session.failed |= {name: "there is no such benchmark" for name in report.chosen if name not in BENCHMARKS}
    left = [name for name in report.chosen if name not in session.done and name not in session.failed]
    if quick:
        left.sort(key=takes)
    progress = BenchProgress(left, report.rounds)

    def ended(name: str) -> None:
        progress.ended(name)
        if output is not None:
            write_report(output, fill(report, session))

    until = time.monotonic() + QUICK_LIMIT_S if quick else None
    limit_s = LIMIT_S + LIMIT_PER_S * report.seconds
    run_all(
        {name: BENCHMARKS[name] for name in left},
        report.seconds,
        report.rounds,
        session,
        progress.began,
        ended,
        limit_s=limit_s,
        until=until,
    )
    if output is not None:
        write_report(output, fill(report, session))
    return fill(report, session)
