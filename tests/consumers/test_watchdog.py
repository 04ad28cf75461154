"""A method that does not return: noticed, told with its place, and its strategy stopped; the process, if need be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from consumers.polled_frames import PolledFrames
from consumers.strategy import Driver, Strategy, StrategyStopped
from consumers.watchdog import watching
from ringbuf import Loss
from tests.consumers.polls import poll_of
from tests.consumers.recorded_market import canonical_frames
from tlv.errors import UsageError
from tlv.layout import EventOrigin, PoolRecord, PoolSync
from tlv.message import parse

ROOT = Path(__file__).parents[2]
RING = bytes(16)
LIMIT_S = 0.2
EVENT = next(data for _, _, data in canonical_frames() if parse(data).first(PoolSync) is not None)


def loop() -> None:
    while True:
        pass


def catch_and_loop() -> None:
    while True:
        try:
            time.sleep(60)
        except Exception:  # noqa: BLE001 - as a strategy that swallows everything
            continue


class Stuck(Strategy):
    """Does something without end at its second event, and perhaps at a loss."""

    name = "stuck"

    def __init__(self, endless: Callable[[], object], at_loss: Callable[[], object] = int) -> None:
        super().__init__()
        self.seen = 0
        self._endless, self._at_loss = endless, at_loss

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        self.seen += 1
        if self.seen == 2:
            self._endless()

    def on_lost(self, first: int, last: int) -> None:
        self._at_loss()


@pytest.mark.parametrize("endless", [loop, catch_and_loop, lambda: time.sleep(60)], ids=["loop", "catches", "sleeps"])
def test_watchdog_a_method_without_end_stops_its_strategy_and_is_told_with_its_place(
    endless: Callable[[], object],
) -> None:
    before = signal.getsignal(signal.SIGALRM)
    driver = Driver(Stuck(endless), RING)
    with watching([driver], LIMIT_S):
        driver.deliver(1, 0, EVENT)
        with pytest.raises(
            StrategyStopped, match=r"strategy stuck: stopped on sequence 2: (.|\n)*test_watchdog.py"
        ) as why:
            driver.deliver(2, 0, EVENT)
    assert f"the method did not return within {LIMIT_S:g} s" in str(why.value)
    assert (driver.poisoned, driver.frames) == (1, 2)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_watchdog_sees_into_polls_and_losses() -> None:
    for poll in (poll_of([EVENT] * 3), poll_of([EVENT], 9, Loss(RING, 1, 8))):
        driver = Driver(Stuck(loop, loop if poll.loss else int), RING)
        with watching([driver], LIMIT_S), pytest.raises(StrategyStopped, match="stopped on sequence"):
            list(PolledFrames(driver).deliver(poll))


def test_watchdog_many_methods_that_return_are_no_loop() -> None:
    strategy = Stuck(int)
    driver = Driver(strategy, RING)
    began = time.monotonic()
    with watching([driver], LIMIT_S):
        while time.monotonic() - began < 3 * LIMIT_S:
            driver.deliver(1, 0, EVENT)
        time.sleep(2 * LIMIT_S)  # outside of any method, as a quiet market
    assert driver.poisoned == 0 and strategy.seen > 1_000


def test_watchdog_does_nothing_in_other_threads_or_without_a_limit() -> None:
    def run() -> None:
        with watching([], LIMIT_S):
            found.append(signal.getitimer(signal.ITIMER_REAL))

    found: list[tuple[float, float]] = []
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    with watching([], 0):
        found.append(signal.getitimer(signal.ITIMER_REAL))
    assert found == [(0.0, 0.0)] * 2
    with pytest.raises(UsageError, match="limit_s"), watching([], -1.0):
        pass


HOPELESS = """
import sys, time
from consumers.strategy import Driver
from consumers.watchdog import watching
from tests.consumers.test_watchdog import EVENT, RING, Stuck

def hold():  # no Python runs meanwhile
    sum(range(10**13))

def catch_all():
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

driver = Driver(Stuck({"hold": hold, "catch": catch_all}[sys.argv[1]]), RING)
with watching([driver], 0.1):
    driver.deliver(1, 0, EVENT)
    driver.deliver(2, 0, EVENT)
"""


@pytest.mark.parametrize(("how", "place"), [("hold", "in hold"), ("catch", "in catch_all")])
def test_watchdog_a_method_that_cannot_be_interrupted_ends_the_process_with_its_place(
    tmp_path: Path, how: str, place: str
) -> None:
    script = tmp_path / "hopeless.py"
    script.write_text(HOPELESS)
    done = subprocess.run(
        [sys.executable, str(script), how],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == -signal.SIGPROF
    assert place in done.stderr


def test_watchdog_what_a_driver_does_beside_its_methods_is_not_the_strategys(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow_parse(*_: object, **__: object) -> object:
        time.sleep(3 * LIMIT_S)  # as a kernel that is compiled now
        return parse(EVENT)

    compiling = type(slow_parse)(slow_parse.__code__, {**globals(), "__name__": "tlv.message"}, "slow", None, None)
    monkeypatch.setattr("consumers.strategy.parse", compiling)
    driver = Driver(Stuck(int), RING)
    with watching([driver], LIMIT_S):
        driver.deliver(1, 0, EVENT)
    assert driver.poisoned == 0
