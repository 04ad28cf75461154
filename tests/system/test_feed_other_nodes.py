"""Rows 24 and 27 of the fault table against other real nodes than anvil: Hardhat 3 and Ganache 7.

Their habits are not anvil's: counted ids, reorgs by reverting, which nobody is told of, the same blocks again,
`[]` for unknown hashes, no call at a block's hash (`tools/rig/evm/kinds.py`).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tools.prove.feed.campaign import run_feeds
from tools.rig.evm.kinds import GANACHE, HARDHAT, NodeKind


@pytest.mark.parametrize("kind", [HARDHAT, GANACHE], ids=lambda kind: kind.name)
def test_feed_from_another_node_equals_its_own_logs(kind: NodeKind, tell: Callable[[str], None]) -> None:
    runs = list(run_feeds((1,), transactions=60, jobs=1, kind=kind))
    for run in runs:
        tell(f"row 24: {run.summary}")
    assert [run.seed for run in runs if not run.passed] == []
    assert all(run.connections > 1 and run.faults for run in runs)
    assert sum(run.reorgs for run in runs) > 0


@pytest.mark.soak
@pytest.mark.parametrize("kind", [HARDHAT, GANACHE], ids=lambda kind: kind.name)
def test_feed_from_another_node_for_long_equals_its_own_logs(kind: NodeKind, tell: Callable[[str], None]) -> None:
    runs = list(run_feeds(range(1, 21), jobs=4, kind=kind))
    for run in runs:
        tell(f"row 24: {run.summary}")
    assert [run.seed for run in runs if not run.passed] == []
