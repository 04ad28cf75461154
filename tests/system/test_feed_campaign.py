"""Rows 24 and 27 of the fault table: the collector against a real node, with everything breaking around it."""

from __future__ import annotations

from collections.abc import Callable

from tools.prove.feed.campaign import run_feeds


def test_feed_under_faults_equals_the_nodes_own_logs(tell: Callable[[str], None]) -> None:
    """P6 from the node to the ring."""
    runs = []
    for run in run_feeds(range(1, 21), jobs=6):
        runs.append(run)
        tell(f"row 24: {run.summary}")
    assert [run.seed for run in runs if not run.passed] == []
    assert all(run.connections > 1 and run.faults for run in runs)
    assert sum(run.published_reorgs for run in runs) > 10, "too weak: hardly a reorg reached a live feed"
    assert sum(run.faults["kill"] for run in runs) > 10
