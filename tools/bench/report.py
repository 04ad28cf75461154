"""A run of the benchmarks as one JSON object, and back.

Owns the form of the file that `--output` writes and `--resume`, `--read` and `--compare` read:

    machine       what the readings were taken on (`tools.bench.machine`)
    when          ISO 8601, UTC, when the run began
    seconds       for each reading of a round;  rounds: how many
    interrupted   whether something is missing that had been chosen: the run was ended, or is still going on
    chosen        the benchmarks that were to run;  done: those that did
    results       a row for each reading: `BenchResult`, and
                      benchmark, meets_target, rises (more is better), disturbed, disturbance (`Disturbance`)
                      noise: from the least to the greatest of its rounds, as a share of it; null: there was one
    failed        [{benchmark, reason}];  left_out: the same of those for which a quick run had no time
    disturbed     how many of the results are
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from tlv.errors import UsageError
from tools.bench.disturbance import Disturbance
from tools.bench.result import BenchResult
from tools.bench.running import BenchSession, TakenReading, noise


class ReportRow(msgspec.Struct, frozen=True, kw_only=True):
    """One reading, as the file has it.  Of rows of an older version what they lack has a default."""

    name: str
    value: float
    unit: str
    baseline_name: str
    baseline_value: float
    ratio: float
    target: float | None = None
    note: str = ""
    rounds: tuple[float, ...] = ()
    points: tuple[tuple[float, float], ...] = ()
    exponent: float | None = None
    exponent_error: float | None = None
    missing: str = ""
    benchmark: str = ""
    meets_target: bool = True
    rises: bool = True
    noise: float | None = None
    disturbed: bool = False
    disturbance: dict[str, float] = {}


class FailedBenchmark(msgspec.Struct, frozen=True):
    """A benchmark that did not come to its end."""

    benchmark: str
    reason: str


class BenchReport(msgspec.Struct, kw_only=True):
    """A run; this file's docstring has the fields."""

    machine: dict[str, str | int | float | bool]
    seconds: float
    results: list[ReportRow]
    when: str = ""
    rounds: int = 1
    interrupted: bool = False
    chosen: list[str] = []
    done: list[str] = []
    failed: list[FailedBenchmark] = []
    left_out: list[FailedBenchmark] = []
    disturbed: int = 0


def row_of(reading: TakenReading) -> ReportRow:
    """A reading as a row."""
    result = reading.result
    return ReportRow(
        name=result.name,
        value=result.value,
        unit=result.unit,
        baseline_name=result.baseline_name,
        baseline_value=result.baseline_value,
        ratio=result.ratio,
        target=result.target,
        note=result.note,
        rounds=result.rounds,
        points=result.points,
        exponent=result.exponent,
        exponent_error=result.exponent_error,
        missing=result.missing,
        benchmark=reading.benchmark,
        meets_target=result.meets_target,
        rises=result.rises,
        noise=noise(result),
        disturbed=reading.disturbed,
        disturbance=msgspec.to_builtins(reading.disturbance),
    )


def reading_of(row: ReportRow) -> TakenReading:
    """A row as the reading that it was."""
    fields = {name: getattr(row, name) for name in BenchResult.__dataclass_fields__ if hasattr(row, name)}
    beside = {name: row.disturbance.get(name, 0.0) for name in Disturbance.__dataclass_fields__}
    result = BenchResult(**fields | {"higher_is_better": row.rises})
    return TakenReading(row.benchmark, result, Disturbance(**beside))


def taken_up(report: BenchReport) -> BenchSession:
    """The session of a run that was interrupted, to go on with; what failed in it is tried again."""
    session = BenchSession(done=list(report.done))
    for row in report.results:
        if row.benchmark in report.done:
            session.add(reading_of(row))
    return session


def fill(report: BenchReport, session: BenchSession) -> BenchReport:
    """The report with what a session has measured so far."""
    report.results = [row_of(reading) for reading in session.readings]
    report.failed = [FailedBenchmark(name, reason) for name, reason in session.failed.items()]
    report.left_out = [FailedBenchmark(name, reason) for name, reason in session.left_out.items()]
    report.done = [name for name in report.chosen if name in session.done]
    report.interrupted = len(report.done) + len(report.failed) + len(report.left_out) < len(report.chosen)
    report.disturbed = sum(row.disturbed for row in report.results)
    return report


def write_report(path: Path, report: BenchReport) -> None:
    """Write the file; it is whole at any moment."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    fresh.replace(path)


def read_report(path: Path) -> BenchReport:
    """A file that `--output` or `--json` wrote.

    Raises:
        UsageError: it cannot be read, or is none.
    """
    try:
        found: Any = msgspec.json.decode(path.read_bytes(), type=BenchReport)
    except OSError as error:
        raise UsageError(f"{path}: expected the JSON of an earlier run, found {error.strerror or error}") from None
    except msgspec.MsgspecError as error:
        raise UsageError(f"{path}: expected the JSON of an earlier run of `bench`, found: {error}") from None
    report: BenchReport = found
    return report
