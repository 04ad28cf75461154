"""What every test can use: ring names of its own.  And what is held against all of them: none leaves a segment behind,
and none of them, with our loggers at DEBUG, prints or logs the key that stands in the relays' URLs.
"""

from __future__ import annotations

import gc
import logging
import os
import secrets
import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tools.rig.evm.faults import KEY

hypothesis.settings.register_profile("alphapulse", deadline=None)  # a first call compiles; no test asserts wall time
hypothesis.settings.load_profile("alphapulse")

SHARED_MEMORY = Path("/dev/shm")
SESSION = f"test{os.getpid()}"
"""Every ring name given out by `ring_name` begins with it, so that sessions at the same time do not meet."""

ONE_AT_A_TIME = {
    "tests/consumers/test_strategy_bench.py",
    "tests/system/test_demo.py",
    "tests/system/test_obs_prometheus.py",
    "tests/tools/test_bench.py",
    "tests/tools/test_warm.py",
}
"""Demos, benchmarks and warm-ups: what they make bears the same names in each."""

STORIES = {
    "tests/consumers/native/test_book.py",
    "tests/system/test_second_copy.py",
    "tests/system/test_up.py",
    "tests/test_docs_site.py",
    "tests/tools/bench/limits/test_twin.py",
    "tests/tools/dashboard/browser/test_published.py",
    "tests/tools/dashboard/browser/test_recorded.py",
    "tests/tools/test_trace.py",
}
"""Their tests are steps of one story, or look at what was made once: a pipeline's run, a browser, the docs' site, a
strategy that takes ten seconds to compile."""

LONG = ("tests/docs/test_pages.py", "tests/fuzz/", "tests/system/", "tests/tools/dashboard/", "tests/tools/prove/")
"""Where tests take seconds each: they begin first, so that no process still has one when the others have ended."""

LINE = "line"
"""The property of a test's report that `tell` sets."""


def segments(marker: str) -> set[str]:
    """This user's segments whose ring name begins with `marker`."""
    return {path.name for path in SHARED_MEMORY.glob(f"alphapulse-{os.getuid()}-{marker}*")}


@pytest.fixture
def new_ring_name() -> Iterator[Callable[[], str]]:
    """A function that gives a name no other test has; what bears it is removed after the test."""
    given: list[str] = []

    def give() -> str:
        given.append(f"{SESSION}.{secrets.token_hex(4)}")
        return given[-1]

    yield give
    for name in given:
        for left in segments(name):
            (SHARED_MEMORY / left).unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    """What a test does to the environment ends with it: a command that only looks turns compiling off for its process,
    which in a test is this one, and every process that a later test starts would run kernels as plain Python.
    """
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture
def ring_name(new_ring_name: Callable[[], str]) -> str:
    """One such name."""
    return new_ring_name()


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Says a line for whoever waits for the tests: it is printed when the test ends, in whichever process that ran."""
    return lambda line: record_property(LINE, line)


def pytest_configure(config: pytest.Config) -> None:
    """Whatever we log, we log in the tests; and whoever runs them, an interrupt interrupts."""
    logging.getLogger("alphapulse").setLevel(logging.DEBUG)
    # For matrices, which nothing here has, numpy starts threads: a quarter of its import, in a thousand processes.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    # A shell that runs the tests in its background has them ignore Ctrl-C, and all their children with them.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.pluginmanager.register(Session(config))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and found stays to the end: the garbage collector looks through it neither now nor later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each test to whichever process is free, but those of `ONE_AT_A_TIME` to the same one, first and in order;
    and each file of `STORIES` to one.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            if file in ONE_AT_A_TIME:
                return "one at a time"
            return file if file in STORIES else nodeid

        def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
            """Forget a unit that is done: those assigned are counted behind each test, thousands in the end."""
            super().mark_test_complete(node, item_index, duration)
            units, scope = self.assigned_work[node], self._split_scope(self.registered_collections[node][item_index])
            if all(units[scope].values()):
                del units[scope]

    return Scheduling(config, log)


class Session:
    """What is held against all tests together.  Where several processes run them, one of these is in each; the one in
    charge gets the reports of all tests, and what the others left behind.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._leaking: set[str] = set()
        """Tests that repeated `tools.rig.evm.faults.KEY`."""
        self._left: set[str] = set()
        """Segments."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print what the test wants to say; remember it if it repeated the key, on stdout, on stderr or in the log."""
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None and report.when == "call":
            for line in [value for name, value in report.user_properties if name == LINE]:
                terminal.write(f"\n{line}\n")
        if any(KEY in text for _, text in report.sections):
            self._leaking.add(report.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """One of the processes under us has ended."""
        self._left |= set(getattr(node, "workeroutput", {}).get("left", ()))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A segment that bears a session's mark and is still there is a leak, and fails the run; so does a key."""
        self._left |= segments(SESSION)
        above = getattr(self._config, "workeroutput", None)
        if above is not None:
            above["left"] = sorted(self._left)
            return
        for complaint, found in (
            ("repeated the key of an endpoint", sorted(self._leaking)),
            (f"left in {SHARED_MEMORY}", sorted(self._left)),
        ):
            if found:
                print(f"\n{complaint}: {', '.join(found)}")
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
