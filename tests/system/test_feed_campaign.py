"""Rows 24 and 27 of the fault table: the collector against a real node, with everything breaking around it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tools.prove.feed.campaign import run_feeds

RUNS, RUNS_IN_SOAK = 8, 100
"""Of each four runs one has outages of the node; every mutant of `test_feed_mutants.py` is found in three."""


@pytest.mark.parametrize("runs", [RUNS, pytest.param(RUNS_IN_SOAK, marks=pytest.mark.soak)])
def test_feed_under_faults_equals_the_nodes_own_logs(runs: int, tell: Callable[[str], None]) -> None:
    """P6 from the node to the ring."""
    done = []
    for run in run_feeds(range(1, runs + 1), jobs=6):
        done.append(run)
        tell(f"row 24: {run.summary}")
    assert [run.seed for run in done if not run.passed] == []
    assert all(run.connections > 1 and run.faults for run in done)
    assert sum(run.published_reorgs for run in done) > runs // 2, "too weak: hardly a reorg reached a live feed"
    assert sum(run.faults["kill"] for run in done) > runs // 2
    assert sum(run.faults["outage"] for run in done) >= runs // 4, "too weak: the node was hardly ever killed"
