"""`alphapulse backtest`: strategies and the paper executor over a journal, once or for every combination of a sweep.

Owns the command line, what is printed, and where a report goes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from consumers.arbitrage.warm import warm
from consumers.backtest.mapped_journal import MappedJournal, map_journal
from consumers.backtest.run import RunResult, run_backtest
from consumers.execution.config import ExecutionConfig
from consumers.execution.executor import PaperExecutor
from consumers.journal.segment import list_segments
from consumers.loading import AnyStrategy, load_strategy, make_strategy
from consumers.parameters import read_parameters, shown_parameters, split_set
from tlv.errors import UsageError
from tools.backtest.journals import NO_JOURNALS, AskedJournals
from tools.backtest.memory import private_bytes
from tools.backtest.report import claimed_directories, empty_directory, write_report
from tools.backtest.summary import best_first, run_line, run_text, sweep_text
from tools.backtest.sweeps import read_sweeps, runs_of, share, texts_of
from tools.backtest.workers import Advance, Workers
from tools.command.interrupt import Interrupt
from tools.command.needs import needs
from tools.command.progress import progress, progress_option
from tools.command.say import say
from tools.command.stderr_log import tell_operator

EXIT_LOST = 3
"""The exit status of a backtest over a journal in which frames are missing, as of a strategy that lost some."""
INTERRUPTED = 130
COIN_KEY = "wrapped_native"
MOST_JOBS = 256
"""Each takes two descriptors, and a process has 1,024 where nobody raised that."""
DELAYS = (1, 2, 3)
"""Blocks behind the state at which a report tries the same orders."""
TELL_FRAMES = 1 << 15
"""A run says how far it is after so many frames."""


class Planned(NamedTuple):
    """A run: what its sweep sets, and whose that is."""

    settings: dict[str, str]
    strategies: list[list[str]]
    """`key=value` texts of each strategy."""
    config: ExecutionConfig


@click.command(
    "backtest", epilog="Example:  alphapulse backtest journal/ --sweep min_net_wei=0,1000000 --report report/ --json"
)
@click.argument("journal", type=click.Path(path_type=Path))
@click.option(
    "--strategy",
    "references",
    multiple=True,
    metavar="REF",
    help="module:Class, file.py:Class, or the name of a bundled one; repeatable.  [default: flash_arbitrage]",
)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="A strategy's parameter; repeatable.")
@click.option("--execute-set", "execute_sets", multiple=True, metavar="KEY=VALUE", help="A setting of the executor.")
@click.option(
    "--sweep",
    "sweep_texts",
    multiple=True,
    metavar="KEY=A,B,C",
    help="Run once for each value, and for every combination with other sweeps; execute.KEY is the executor's.",
)
@click.option("--jobs", type=click.IntRange(1, MOST_JOBS), help="Runs at a time.  [default: one a core]")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write report.html and Parquet tables into this folder.",
)
@click.option(
    "--executions",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write what the executor said as a journal, for `alphapulse reconcile DIR --market JOURNAL`; of one run only.",
)
@click.option(
    "--orders",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write what each strategy published as a journal DIR/NAME, for --signals-journal of reconcile; one run only.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON line for each run.")
@progress_option
@needs("pyarrow", option="--report")
def command(
    journal: Path,
    references: tuple[str, ...],
    sets: tuple[str, ...],
    execute_sets: tuple[str, ...],
    sweep_texts: tuple[str, ...],
    jobs: int | None,
    report: Path | None,
    executions: Path | None,
    orders: Path | None,
    as_json: bool,
) -> int:
    """Run strategies over JOURNAL, fill their orders on paper, and say what they earned.

    Strategies get the frames that they would have got live, and publish the same: order_hash is that of a live run.
    Amounts in JSON are wei, as text.  Exit status 1 if a run failed, 3 if frames are missing in the journal.
    """
    classes = strategies_of(references)
    fixed = [*sets, *(f"execute.{text}" for text in execute_sets)]
    sweeps = read_sweeps(sweep_texts, fixed, [cls.name for cls in classes])
    plan = planned(classes, sets, execute_sets, runs_of(sweeps))
    journals = AskedJournals(executions, orders)
    for directory, option in ((executions, "--executions"), (orders, "--orders")):
        if directory is not None and len(plan) > 1:
            raise UsageError(f"{option}: expected one run, found {len(plan)}; leave --sweep out")
    claimed = {"--report": report, "--executions": executions, "--orders": orders}
    with claimed_directories(claimed), Interrupt() as asked:
        total = sum(segment.path.stat().st_size for segment in list_segments(journal) if segment.path.exists())
        with progress("read", total) as bar:
            mapped = map_journal(journal, bar.advance, asked)
        if mapped is None:
            return INTERRUPTED
        with mapped:
            warm()
            for reason in mapped.facts.missing():
                tell_operator(f"backtest: not complete: {reason}", reason, logging.WARNING, journal=str(journal))
            results, failures = run_all(
                mapped, classes, plan, jobs or cores(), asked, as_json, report is not None, journals
            )
            if not results:
                for directory in filter(None, journals):
                    empty_directory(directory)
            if asked():
                return INTERRUPTED
            if len(plan) > 1 and results and not as_json:
                say({}, sweep_text(results), as_json=False)
            if report is not None and results:
                best = best_first(results)[0]
                told = [f"run {number}: {why}" for number, why in failures.items()]
                rows = write_report(report, str(journal), mapped.facts, plan[best.number].config, results, told)
                if as_json:
                    say({"report": str(report / "report.html"), "rows": rows}, "", as_json=True)
                else:
                    say({}, f"report: {report / 'report.html'}", as_json=False)
            lost = bool(mapped.facts.losses)
    if failures or any(one.stopped for result in results for one in result.strategies):
        return 1
    return EXIT_LOST if lost else 0


def strategies_of(references: Sequence[str]) -> list[type[AnyStrategy]]:
    """The classes that references mean.

    Raises:
        UsageError: one cannot be loaded; two have one name, so that their orders could not be told apart.
    """
    classes = [load_strategy(reference) for reference in references or ("flash_arbitrage",)]
    names = [cls.name for cls in classes]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"--strategy: expected strategies of different names, found {name} {names.count(name)} times"
            )
    return classes


def planned(
    classes: Sequence[type[AnyStrategy]],
    sets: Sequence[str],
    execute_sets: Sequence[str],
    runs: Sequence[dict[str, str]],
) -> list[Planned]:
    """The runs, each found good before the first begins.

    Raises:
        UsageError: a setting is nobody's or no value of its kind; two runs are the same.
    """
    plan: list[Planned] = []
    known: dict[str, int] = {}
    checked: dict[tuple[type[AnyStrategy], tuple[str, ...]], dict[str, Any]] = {}
    """What strategies were made with."""
    for number, settings in enumerate(runs):
        shares = share(classes, [*sets, *texts_of(settings)])
        executor = [*execute_sets, *shares.executor]
        texts = [*coin_of(shares.strategies, executor), *executor]
        [config] = read_parameters(ExecutionConfig, {}, texts, "executor")
        makers = [(cls, tuple(texts)) for cls, texts in zip(classes, shares.strategies, strict=True)]
        for maker in makers:
            if maker not in checked:  # once: in a sweep of the executor's settings all runs have the same
                make_strategy(maker[0], {}, maker[1])
                checked[maker] = parameters(*maker)
        shown = repr(([checked[maker] for maker in makers], config))
        if settings and known.setdefault(shown, number) != number:
            same = runs[known[shown]]
            raise UsageError(f"--sweep: {' '.join(texts_of(settings))} is the same run as {' '.join(texts_of(same))}")
        plan.append(Planned(settings, shares.strategies, config))
    return plan


def coin_of(strategies: Sequence[Sequence[str]], executor: Sequence[str]) -> list[str]:
    """`wrapped_native` as the strategies have it: the executor's too, unless that is set otherwise.

    Raises:
        UsageError: they do not agree, and the executor's is not set.
    """
    *sets, executors = (dict(split_set(text, "backtest") for text in texts) for texts in (*strategies, executor))
    coins = sorted({found[COIN_KEY] for found in sets if COIN_KEY in found})
    if COIN_KEY in executors:
        return []
    if len(coins) > 1:
        raise UsageError(
            f"{COIN_KEY}: expected one for all strategies, or --execute-set {COIN_KEY}=... to say which is the "
            f"executor's, found {' and '.join(coins)}"
        )
    return [f"{COIN_KEY}={coin}" for coin in coins[:1]]


def parameters(cls: type[AnyStrategy], texts: Sequence[str]) -> dict[str, Any]:
    """A strategy's parameters as JSON has them."""
    return shown_parameters(*read_parameters(cls.params, {}, texts, f"strategy {cls.name}") or (None,))


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


def run_all(
    mapped: MappedJournal,
    classes: Sequence[type[AnyStrategy]],
    plan: Sequence[Planned],
    jobs: int,
    asked: Interrupt,
    as_json: bool,
    with_report: bool,
    journals: AskedJournals = NO_JOURNALS,
) -> tuple[list[RunResult], dict[int, str]]:
    """Run the plan; the results in its order, and why other runs gave none.  Each is said as it ends."""

    def work(number: int, advance: Advance) -> RunResult:
        return run_one(mapped, classes, plan[number], number, advance, with_report, journals)

    results: dict[int, RunResult] = {}
    failures: dict[int, str] = {}
    frames = 2 * mapped.facts.frames * len(plan)  # the strategies read them, then the executor
    with Workers(work, len(plan), jobs) as workers, progress("backtest", frames, "frames") as bar:
        for number, result, failure in workers.run(bar.advance, asked):
            if result is None:
                failures[number] = failure
                settings = plan[number].settings
                where = f"run {number} {' '.join(texts_of(settings))}".rstrip()
                tell_operator(f"backtest: {where} failed: {failure}", f"{where} failed: {failure}")
                if as_json:
                    say({"run": number, "set": settings, "error": failure}, "", as_json=True)
                continue
            results[number] = result
            if as_json:
                say(run_line(result, mapped.data_bytes), "", as_json=True)
            elif len(plan) == 1:
                say({}, run_text(result, mapped.facts), as_json=False)
    return [results[number] for number in sorted(results)], failures


def run_one(
    mapped: MappedJournal,
    classes: Sequence[type[AnyStrategy]],
    planned_run: Planned,
    number: int,
    advance: Advance,
    with_report: bool,
    journals: AskedJournals = NO_JOURNALS,
) -> RunResult:
    """Do one run, in whatever process this is."""
    began = time.monotonic()
    strategies = [make_strategy(cls, {}, texts) for cls, texts in zip(classes, planned_run.strategies, strict=True)]
    config = planned_run.config
    later = {
        blocks: PaperExecutor(config_with_delay(config, blocks))
        for blocks in DELAYS
        if with_report and blocks != config.delay_blocks
    }
    untold = 0

    def count(more: int) -> None:
        nonlocal untold
        untold += more
        if untold >= TELL_FRAMES:
            advance(untold)
            untold = 0

    with contextlib.ExitStack() as stack:
        written = journals.open(stack, [strategy.name for strategy in strategies])
        result = run_backtest(mapped, strategies, PaperExecutor(config), later, count, *written)
    advance(untold)
    result.number, result.settings = number, planned_run.settings
    for one, cls, texts in zip(result.strategies, classes, planned_run.strategies, strict=True):
        one.params = parameters(cls, texts)
    result.seconds = time.monotonic() - began
    result.private_bytes = private_bytes(mapped.addresses)
    if not with_report:
        result.keep_sums()
    return result


def config_with_delay(config: ExecutionConfig, blocks: int) -> ExecutionConfig:
    """The same settings with another delay."""
    return msgspec.structs.replace(config, delay_blocks=blocks)


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "backtest")
