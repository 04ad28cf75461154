"""Running benchmarks: one after the other, in rounds, and whatever one of them does, the others run.

Owns the session of a run: what was measured so far, which failed and why, and whether it was interrupted.  It must
never know what is measured or how it is shown.

    a benchmark raises, or one of its processes was killed      `failed` has the reason, the next one begins
    it takes longer than `limit_s`                              so, too; processes of it that are left are killed
    Ctrl-C, SIGTERM                                             what was measured stays, `interrupted` is set
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import statistics
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tools.bench.disturbance import Disturbance, MachineWatch, tree_of
from tools.bench.result import BenchResult

CLEANING_S = 5.0
"""For what a benchmark that took too long does on its way out."""
SERVERS = b"from multiprocessing."
"""In the command line of what begins the others, and notes what they leave."""
NO_TIME = "there was no time left for it"
Run = Callable[[float], Iterable[BenchResult]]


class TookTooLong(Exception):
    """A benchmark did not end within its limit."""


@dataclass(frozen=True)
class TakenReading:
    """A result, and what the machine did meanwhile."""

    benchmark: str
    result: BenchResult
    disturbance: Disturbance

    @property
    def disturbed(self) -> bool:
        """Whether something else used the machine, as it or the benchmark itself says."""
        return bool(self.disturbance.reasons) or self.result.disturbed


@dataclass
class BenchSession:
    """What a run has measured so far."""

    rounds_of: dict[tuple[str, str], list[TakenReading]] = field(default_factory=dict)
    """By benchmark and name, one for each round."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why, by benchmark."""
    left_out: dict[str, str] = field(default_factory=dict)
    """The same of those for which there was no time."""
    done: list[str] = field(default_factory=list)
    """Benchmarks that came to their end."""
    interrupted: bool = False

    def add(self, reading: TakenReading) -> None:
        """Keep a reading as another round of its name."""
        self.rounds_of.setdefault((reading.benchmark, reading.result.name), []).append(reading)

    @property
    def readings(self) -> list[TakenReading]:
        """One for each name, its rounds made one."""
        return [combined(rounds) for rounds in self.rounds_of.values()]


def noise(result: BenchResult) -> float | None:
    """From the least to the greatest of its rounds, as a share of their median; None without two of them."""
    middle = statistics.median(result.rounds) if len(result.rounds) > 1 else 0.0
    return (max(result.rounds) - min(result.rounds)) / abs(middle) if middle else None


def combined(rounds: list[TakenReading]) -> TakenReading:
    """The readings of several rounds as one: medians, and the worst of what happened beside."""
    last = rounds[-1]
    if len(rounds) == 1:
        return last
    results = [reading.result for reading in rounds]
    beside = [reading.disturbance for reading in rounds]
    result = replace(
        last.result,
        value=statistics.median(result.value for result in results),
        baseline_value=statistics.median(result.baseline_value for result in results),
        ratio=statistics.median(result.ratio for result in results),
        rounds=tuple(value for result in results for value in result.rounds or (result.value,)),
        disturbed=any(result.disturbed for result in results),
    )
    worst = Disturbance(
        max(one.steal_share for one in beside),
        max(one.others_share for one in beside),
        max(one.longest_gap_us for one in beside),
        max(one.preempted_per_s for one in beside),
    )
    return TakenReading(last.benchmark, result, worst)


def run_of(module: str) -> Run:
    """A benchmark's `run`."""
    run: Run = importlib.import_module(module).run
    return run


def run_all(
    modules: Mapping[str, str],
    seconds: float,
    rounds: int,
    session: BenchSession,
    began: Callable[[str, int], None],
    ended: Callable[[str], None],
    *,
    limit_s: float,
    until: float | None = None,
) -> None:
    """Run each of the modules so often, into `session`.

    Args:
        seconds: for each reading of a round.
        began: told a benchmark's name and the round, from 1 on, before it runs.
        ended: told the name behind its last round, or when it failed.
        limit_s: for a benchmark's round.
        until: of time.monotonic(), when all of it is to end; None: whenever it does.
    """
    with terminated_as_interrupted():
        there = tree_of(os.getpid())
        try:
            for name, module in modules.items():
                there = tree_of(os.getpid())
                left_s = limit_s if until is None else min(limit_s, until - time.monotonic())
                if left_s <= 0:
                    session.left_out[name] = NO_TIME
                    ended(name)
                    continue
                try:
                    for number in range(rounds):
                        began(name, number + 1)
                        with limited(left_s):
                            take_all(name, run_of(module), seconds, session)
                    session.done.append(name)
                except TookTooLong as error:
                    where = session.failed if until is None else session.left_out
                    where[name] = said(error) if until is None else NO_TIME
                    end_children(there)
                except Exception as error:  # noqa: BLE001 - whatever one does, the others run
                    session.failed[name] = said(error)
                    end_children(there)
                ended(name)
        except KeyboardInterrupt:
            session.interrupted = True
            end_children(there)


def take_all(name: str, run: Run, seconds: float, session: BenchSession) -> None:
    """Take the results as they come; those of a list come together, and so does what happened beside them."""
    beside = MachineWatch()
    results = run(seconds)
    if not isinstance(results, Iterator):
        happened = beside.take()
        for result in results:
            session.add(TakenReading(name, result, happened))
        return
    for result in results:
        session.add(TakenReading(name, result, beside.take()))


def said(error: Exception) -> str:
    """What is told of an exception: its kind, and its text if it has one."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TookTooLong in the block after so many seconds, whatever it waits for, and again while it cleans up."""

    def tell(number: int, frame: object) -> None:
        raise TookTooLong(f"it had not ended after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, tell)
    signal.setitimer(signal.ITIMER_REAL, seconds, CLEANING_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does.

    Where Ctrl-C is ignored, as in the background of a script, it still is, but not by the programs that benchmarks
    begin: some are ended by it.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if before[signal.SIGINT] is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_children(before: Collection[int]) -> None:
    """Kill what a benchmark that did not come to its end has left running, but multiprocessing's own processes.

    before: the processes that there were before it.
    """
    for pid in tree_of(os.getpid()):
        if pid in before:
            continue
        with contextlib.suppress(OSError):
            if SERVERS not in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
