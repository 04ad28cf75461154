"""Processes of runs: each gives its result, one that is killed costs its run alone, and none is left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from tlv.errors import UsageError
from tools.backtest.workers import Advance, Finished, Workers


def never() -> bool:
    return False


def outcomes(
    work: Callable[[int, Advance], int], count: int, jobs: int
) -> tuple[dict[int, int | None], dict[int, str], int]:
    """Results and failures by run, and how far all of them said to be."""
    told: list[int] = []
    with Workers(work, count, jobs) as workers:
        ended: list[Finished[int]] = list(workers.run(told.append, never))
    assert len({one.number for one in ended}) == len(ended) == count
    failures = {one.number: one.failure for one in ended if one.failure}
    return {one.number: one.result for one in ended if not one.failure}, failures, sum(told)


def test_every_run_gives_its_result_whatever_the_number_of_processes() -> None:
    def work(number: int, advance: Advance) -> int:
        advance(number)
        return number * number

    for jobs in (1, 2, 5, 50):
        results, failures, told = outcomes(work, 7, jobs)
        assert results == {number: number * number for number in range(7)}
        assert failures == {}
        assert told == sum(range(7))


def test_runs_work_in_processes_of_their_own_and_none_is_left() -> None:
    results, _, _ = outcomes(lambda number, advance: os.getpid(), 4, 2)
    pids = {pid for pid in results.values() if pid is not None}
    assert 1 <= len(pids) <= 2 and os.getpid() not in pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_process_that_is_killed_is_told_and_the_others_do_the_rest() -> None:
    def work(number: int, advance: Advance) -> int:
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    results, failures, _ = outcomes(work, 5, 2)
    assert sorted(results) == [0, 2, 3, 4]
    assert failures == {1: "its process was ended by SIGKILL"}


def test_runs_without_a_process_left_are_told() -> None:
    def work(number: int, advance: Advance) -> int:
        os._exit(7)

    results, failures, _ = outcomes(work, 3, 1)
    assert results == {}
    assert failures == {0: "its process exited (7)", **dict.fromkeys((1, 2), "no process was left for it")}


def test_what_a_run_raises_is_why_it_failed() -> None:
    def work(number: int, advance: Advance) -> int:
        raise [UsageError("a fault of ours"), ValueError("foreign"), SystemExit(3), MemoryError()][number]

    _, failures, _ = outcomes(work, 4, 1)
    assert failures[0] == "a fault of ours"
    assert "ValueError: foreign" in failures[1] and "test_workers.py" in failures[1]
    assert "SystemExit: 3" in failures[2]
    assert failures[3] == "there was no memory left for it"


def test_result_that_cannot_be_sent_is_a_failure_and_no_hang() -> None:
    _, failures, _ = outcomes(lambda number, advance: lambda: number, 1, 1)  # type: ignore[arg-type,return-value]
    assert "pickle" in failures[0].lower()


def test_asked_to_stop_ends_every_process_at_once() -> None:
    asked = False

    def work(number: int, advance: Advance) -> int:
        advance(os.getpid())
        while True:
            signal.pause()

    pids: list[int] = []

    def note(pid: int) -> None:
        nonlocal asked
        pids.append(pid)
        asked = len(pids) == 2

    began = time.monotonic()
    with Workers(work, 9, 2) as workers:
        assert list(workers.run(note, lambda: asked)) == []
    assert time.monotonic() - began < 60
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_what_a_run_prints_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    def work(number: int, advance: Advance) -> int:
        os.write(1, b"printed\n")
        return number

    outcomes(work, 1, 1)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "printed\n")
