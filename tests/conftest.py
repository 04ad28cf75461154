"""What every test can use: ring names of its own.  And what is held against all of them: none leaves a segment behind,
and none of them, with our loggers at DEBUG, prints or logs the key that stands in the relays' URLs.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from tools.prove.evm.faults import KEY

hypothesis.settings.register_profile("alphapulse", deadline=None)  # a first call compiles; no test asserts wall time
hypothesis.settings.load_profile("alphapulse")

SHARED_MEMORY = Path("/dev/shm")
SESSION = f"test{os.getpid()}"
"""Every ring name given out by `ring_name` begins with it, so that sessions at the same time do not meet."""

LEAKING: list[str] = []
"""Tests that repeated `tools.prove.evm.faults.KEY`."""


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


@pytest.fixture
def ring_name(new_ring_name: Callable[[], str]) -> str:
    """One such name."""
    return new_ring_name()


def pytest_sessionstart() -> None:
    """Whatever we log, we log in the tests."""
    logging.getLogger("alphapulse").setLevel(logging.DEBUG)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember the tests that repeated the key, on stdout, on stderr or in the log."""
    if any(KEY in text for _, text in report.sections):
        LEAKING.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A segment that bears this session's mark and is still there is a leak, and fails the run; so does a key."""
    if LEAKING:
        print(f"\nrepeated the key of an endpoint: {', '.join(LEAKING)}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    left = sorted(segments(SESSION))
    if left:
        print(f"\nleft in {SHARED_MEMORY}: {', '.join(left)}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
