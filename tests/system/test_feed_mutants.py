"""The feed's campaign against collectors that are broken on purpose: were it too weak, one of them would pass.

Each mutant is the real collector, started by a program that takes one rule away from it first.
"""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tlv.errors import FeedError
from tools.prove.feed.campaign import run_feed
from tools.rig.evm.faults import RemovedFlagRelay
from tools.warm import warm_collector, warm_ring

MUTANTS = {
    "believes-that-missed-blocks-are-empty": """
        from producers.closing import CLOSED, Closing, Completeness
        def close(self, block):
            if block.progress is not CLOSED:
                block.close(Completeness.PUSHED)
        Closing.want = close
        """,
    "believes-that-every-head-extends-the-last": """
        from producers.blocks.chain import Chain
        walk = Chain.branch
        Chain.branch = lambda self, head, limit: [head] if self.head else walk(self, head, limit)
        """,
    "takes-nothing-back": """
        from producers.output.outbox import Outbox
        put = Outbox.put_copies
        def keep(self, segment, *, removed):
            if not removed:
                put(self, segment, removed=removed)
        Outbox.put_copies = keep
        """,
}
SEEDS = (1, 2, 3)
COMES_TO_A_STANDSTILL = "believes-that-every-head-extends-the-last"
"""It is found by a time-out of two minutes."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.soak) if name == COMES_TO_A_STANDSTILL else name for name in MUTANTS]
)
def test_feed_campaign_catches_mutant(name: str, tmp_path: Path) -> None:
    warm_ring()
    warm_collector()
    program = tmp_path / "mutant.py"
    program.write_text(f"{dedent(MUTANTS[name])}\nimport sys\nfrom tools.command.main import main\nmain()\n")
    for seed in SEEDS:
        try:
            run = run_feed(seed, program=(sys.executable, str(program), "collect"))
        except FeedError as error:
            assert "was not closed" in str(error)  # it came to a standstill: that is caught too
            return
        if not run.passed:
            assert run.missing + run.extra + run.gaps + run.balance_errors
            return
    pytest.fail(f"{name} passed {len(SEEDS)} runs")


@pytest.mark.parametrize("seed", SEEDS[:1])
def test_feed_with_removed_notices_equals_the_nodes_own_logs(seed: int) -> None:
    """Derived: geth's `removed: true` notices, added by a relay, since this node sends none."""
    warm_ring()
    warm_collector()
    run = run_feed(seed, relay=RemovedFlagRelay)
    assert run.passed, run.summary
