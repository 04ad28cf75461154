"""What changed between two runs: only what moved beyond the noise of both."""

from __future__ import annotations

from typing import Any

import pytest

from tools.bench.compare import ASSUMED, LEAST, ReadingChange, compare
from tools.bench.report import BenchReport, FailedBenchmark, ReportRow

MACHINE: dict[str, str | int | float | bool] = {"processor": "one", "cores": 2, "pinned": True}


def row(value: float, name: str = "name", **fields: Any) -> ReportRow:
    about = {"unit": "M/s", "baseline_name": "b", "baseline_value": 1.0, "ratio": 1.0, "noise": 0.01, "benchmark": "b"}
    return ReportRow(name=name, value=value, **about | fields)


def report(*rows: ReportRow, **fields: Any) -> BenchReport:
    return BenchReport(**{"machine": MACHINE, "seconds": 1.0, "results": list(rows)} | fields)


def change(before: ReportRow, now: ReportRow) -> ReadingChange:
    (found,) = compare(report(before), report(now)).changes
    return found


@pytest.mark.parametrize(
    ("before", "now", "verdict"),
    [
        (row(100.0), row(110.0), "faster"),
        (row(100.0), row(90.0), "slower"),
        (row(100.0, rises=False), row(90.0, rises=False), "faster"),
        (row(100.0, rises=False), row(110.0, rises=False), "slower"),
        (row(100.0), row(100.0 + 100 * LEAST - 0.1), "same"),  # less than any two runs differ by
        (row(100.0, noise=0.05), row(90.0, noise=0.06), "same"),
        (row(100.0, noise=0.05), row(88.0, noise=0.06), "slower"),
        (row(100.0, noise=None), row(101.0 + 100 * ASSUMED), "same"),
        (row(100.0, noise=None), row(103.0 + 100 * ASSUMED), "faster"),
        (row(100.0), row(50.0, disturbed=True), "disturbed"),
        (row(100.0, disturbed=True), row(100.0), "same"),
        (row(0.0), row(5.0), "same"),  # lost frames: no share of nothing
    ],
)
def test_change_counts_only_beyond_the_noise_of_both_runs(before: ReportRow, now: ReportRow, verdict: str) -> None:
    assert change(before, now).verdict == verdict


def test_change_says_whether_its_noise_was_measured() -> None:
    assert change(row(100.0), row(90.0)).noise_assumed is False
    found = change(row(100.0), row(90.0, noise=None))
    assert found.noise_assumed is True
    assert found.noise == pytest.approx(0.01 + ASSUMED)
    assert found.change == pytest.approx(-0.1)


def test_readings_of_one_run_only_are_new_or_gone_if_their_benchmark_was_measured() -> None:
    before = report(row(1.0, "kept"), row(2.0, "lost"), row(3.0, "of another", benchmark="c"))
    found = compare(before, report(row(1.0, "kept"), row(4.0, "found")))
    assert [(one.name, one.verdict) for one in found.changes] == [("kept", "same"), ("found", "new"), ("lost", "gone")]
    failed = compare(before, report(failed=[FailedBenchmark("c", "broke")]))
    assert [(one.name, one.verdict) for one in failed.changes] == [("of another", "gone")]


def test_rows_without_a_reading_are_not_compared() -> None:
    found = compare(report(row(0.0, missing="no g++")), report(row(3.0)))
    assert [one.verdict for one in found.changes] == ["new"]


def test_runs_that_are_not_alike_say_in_what() -> None:
    other = {"processor": "another", "cores": 2, "pinned": True}
    found = compare(report(machine=other, seconds=0.1, interrupted=True), report())
    assert found.unlike == [
        "processor: another before, one now",
        "seconds: 0.1 before, 1 now",
        "the run before was interrupted",
    ]
    assert compare(report(), report()).unlike == []
    assert not compare(report(row(1.0)), report(row(1.0))).slower
    assert compare(report(row(1.0)), report(row(0.5))).slower
