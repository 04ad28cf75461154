"""Running benchmarks: whatever one does, the others run; what was measured is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator

import pytest

from tools.bench.disturbance import Disturbance, MachineMoment, MachineWatch, between, ticks_of_tree
from tools.bench.result import BenchResult, unmeasured
from tools.bench.running import NO_TIME, BenchSession, TakenReading, combined, noise, run_all

QUIET = Disturbance(0.0, 0.0, 20.0, 3.0)


def result(name: str, value: float = 1.0, **fields: object) -> BenchResult:
    return BenchResult(name, value, "M/s", "baseline", 2.0, value / 2.0, **fields)  # type: ignore[arg-type]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, object], str]:
    """Makes a module with this `run`; returns its name."""

    def make(name: str, run: object) -> str:
        made = types.ModuleType(f"made_{name}")
        made.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, made.__name__, made)
        return made.__name__

    return make


def run_these(
    modules: dict[str, str], *, rounds: int = 1, limit_s: float = 30.0, until: float | None = None
) -> BenchSession:
    session, seen = BenchSession(), []
    run_all(
        modules,
        0.01,
        rounds,
        session,
        lambda name, number: seen.append((name, number)),
        lambda name: seen.append((name, 0)),
        limit_s=limit_s,
        until=until,
    )
    assert session.interrupted or [name for name, number in seen if number == 0] == list(modules)
    return session


def names(session: BenchSession) -> list[str]:
    return [reading.result.name for reading in session.readings]


def test_run_of_a_benchmark_that_raises_keeps_what_it_yielded_and_the_others_run(
    module: Callable[[str, object], str],
) -> None:
    def broken(seconds: float) -> Iterator[BenchResult]:
        yield result("before")
        raise ConnectionResetError("the peer was killed")

    found = run_these({"broken": module("broken", broken), "sound": module("sound", lambda seconds: [result("list")])})
    assert names(found) == ["before", "list"]
    assert found.failed == {"broken": "ConnectionResetError: the peer was killed"}
    assert found.done == ["sound"] and not found.interrupted


def test_run_of_a_benchmark_that_never_ends_is_given_up(module: Callable[[str, object], str]) -> None:
    found = run_these({"hanging": module("hanging", lambda seconds: time.sleep(600))}, limit_s=0.05)
    assert found.failed == {"hanging": "TookTooLong: it had not ended after 0.05 s"} and not found.done


def test_run_that_is_given_up_leaves_no_process_of_its_own(module: Callable[[str, object], str]) -> None:
    left: list[subprocess.Popen[bytes]] = []

    def leaving(seconds: float) -> list[BenchResult]:
        left.append(subprocess.Popen(["sh", "-c", "sleep 600 & wait"]))
        raise ValueError("nobody ends it")

    with subprocess.Popen(["sleep", "600"]) as ours:
        assert "leaving" in run_these({"leaving": module("leaving", leaving)}).failed
        assert left[0].wait(30) == -signal.SIGKILL
        assert ours.poll() is None
        ours.kill()


def test_run_in_the_background_of_a_script_begins_programs_that_can_be_interrupted(
    module: Callable[[str, object], str],
) -> None:
    def ending(seconds: float) -> list[BenchResult]:
        os.kill(os.getpid(), signal.SIGINT)  # ignored, as it was
        program = subprocess.Popen(["sleep", "600"])
        program.send_signal(signal.SIGINT)
        return [result("ended by", program.wait(30))]

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        found = run_these({"ending": module("ending", ending)})
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert [reading.result.value for reading in found.readings] == [-signal.SIGINT]


def test_run_that_has_no_time_left_says_what_it_left_out(module: Callable[[str, object], str]) -> None:
    sound = module("sound", lambda seconds: [result("list")])
    found = run_these({"one": sound, "two": sound}, until=time.monotonic() - 1)
    assert found.left_out == {"one": NO_TIME, "two": NO_TIME} and not found.failed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_that_is_interrupted_keeps_what_was_measured(
    module: Callable[[str, object], str], number: signal.Signals
) -> None:
    def ended(seconds: float) -> Iterator[BenchResult]:
        yield result("before")
        os.kill(os.getpid(), number)
        time.sleep(600)

    before = signal.getsignal(signal.SIGTERM)
    found = run_these({"ended": module("ended", ended), "never": module("never", lambda seconds: [result("never")])})
    assert found.interrupted and names(found) == ["before"] and found.done == []
    assert signal.getsignal(signal.SIGTERM) is before


def test_rounds_are_one_reading_with_their_median_and_noise(module: Callable[[str, object], str]) -> None:
    values = iter((10.0, 14.0, 11.0))
    found = run_these({"three": module("three", lambda seconds: [result("name", next(values))])}, rounds=3)
    (reading,) = found.readings
    assert reading.result.value == 11.0 and reading.result.rounds == (10.0, 14.0, 11.0)
    assert noise(reading.result) == pytest.approx(4 / 11)
    assert noise(result("one")) is None


def test_combined_rounds_are_as_disturbed_as_the_worst_of_them() -> None:
    rounds = [TakenReading("b", result("n"), QUIET), TakenReading("b", result("n"), Disturbance(0.2, 0.0, 9000.0, 1.0))]
    assert combined(rounds).disturbance == Disturbance(0.2, 0.0, 9000.0, 3.0)
    assert combined(rounds).disturbed and not combined(rounds[:1]).disturbed
    assert combined([TakenReading("b", result("n", disturbed=True), QUIET)]).disturbed


def test_disturbance_counts_steal_and_others_and_not_what_is_ours() -> None:
    begin = MachineMoment(ns=0, busy=0, steal=0, ours=0, switches=0)
    ours = between(begin, MachineMoment(10**9, busy=200, steal=0, ours=199, switches=5), 2, 30.0)
    assert (ours.others_share, ours.steal_share, ours.preempted_per_s, ours.reasons) == (0.0, 0.0, 5.0, ())
    others = between(begin, MachineMoment(10**9, busy=150, steal=24, ours=50, switches=0), 2, 2500.0)
    assert (others.others_share, others.steal_share) == (0.48, 0.1)
    assert others.reasons == ("10% stolen by the host", "48% used by others", "a gap of 2,500 us")


def test_ticks_of_the_tree_are_of_a_process_and_its_children_that_run_or_have_ended() -> None:
    before = ticks_of_tree(os.getpid())
    pid = os.fork()
    if not pid:
        while time.process_time() < 0.1:
            pass
        signal.pause()
    try:
        while ticks_of_tree(pid) < 5:
            time.sleep(0.01)
        assert ticks_of_tree(os.getpid()) >= before + 5
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert ticks_of_tree(os.getpid()) >= before + 5


def test_watch_reads_its_clock_on_each_core_and_leaves_a_process_that_pinned_itself_where_it_is() -> None:
    watch, before = MachineWatch(), os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert watch.take().longest_gap_us > 0
        assert os.sched_getaffinity(0) == {min(before)}
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("found", "meets"),
    [
        (BenchResult("n", 2.0, "x", "b", 1.0, 2.0, target=3.0), True),
        (BenchResult("n", 2.0, "x", "b", 1.0, 2.0, target=3.0, higher_is_better=True), False),
        (BenchResult("n", 2.0, "M/s", "b", 1.0, 2.0, target=1.0, higher_is_better=False), False),
        (unmeasured("n", "M/s", "no g++"), False),
    ],
)
def test_result_says_itself_which_way_is_better_and_one_without_reading_meets_nothing(
    found: BenchResult, meets: bool
) -> None:
    assert found.meets_target is meets
