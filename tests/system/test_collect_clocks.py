"""Row 35 of the fault table with a real process: a wall clock that steps by an hour, and a collector that is suspended.

The clock of the machine is everybody's, so it is Python's view of it that steps, in a program that is otherwise the
collector; the monotonic clock stays the real one.
"""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tools.prove.feed.campaign import run_feed
from tools.warm import warm_collector, warm_ring

STEPPING = """
    import time
    steady, real = time.monotonic_ns, time.time_ns
    def stepping():
        "An hour ahead, an hour behind, by turns, every fifth of a second."
        return real() + (1 - 2 * (steady() // 200_000_000 % 2)) * 3_600_000_000_000
    time.time_ns = stepping
    time.time = lambda: stepping() / 1e9
    import sys
    from tools.command.main import main
    main()
    """


@pytest.mark.parametrize("seed", [35, 36])
def test_feed_with_a_wall_clock_that_steps_equals_the_nodes_own_logs(seed: int, tmp_path: Path) -> None:
    warm_ring()
    warm_collector()
    program = tmp_path / "stepping.py"
    program.write_text(dedent(STEPPING))
    run = run_feed(seed, 150, program=(sys.executable, str(program), "collect"))
    assert run.passed, run.summary
    assert run.connections > 1


def test_feed_suspended_again_and_again_equals_the_nodes_own_logs() -> None:
    """SIGSTOP for up to twice the watchdog: what lies in the socket afterwards is read before anybody is judged."""
    warm_ring()
    warm_collector()
    run = run_feed(37, 150, faults=("freeze",))
    assert run.passed, run.summary
    assert run.faults["freeze"] > 5
