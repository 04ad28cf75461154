"""Row 24 and 27 of the fault table: the collector against a real node, with everything breaking around it."""

from __future__ import annotations

import pytest

from tools.prove.feed import run_feed


@pytest.mark.parametrize("seed", range(1, 21))
def test_feed_under_faults_equals_the_nodes_own_logs(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_feed(seed)
    with capsys.disabled():
        print(f"\nrow 24: {run.summary}")
    assert run.passed, run.summary
    assert run.connections > 1
    assert sum(run.faults.values()) > 5
