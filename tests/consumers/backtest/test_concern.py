"""Frames of pools that no order needs are left out, and what an executor publishes is the same."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from consumers.backtest import run
from consumers.backtest.concern import EVERYTHING, needed_frames
from consumers.backtest.mapped_journal import MappedJournal, map_journal
from consumers.execution.config import ExecutionConfig
from consumers.execution.executor import PaperExecutor
from consumers.execution.orders import Order, read_order
from consumers.strategy import Strategy, drive
from tests.consumers.execution.paper_market import COIN, E18, OTHER, TOKEN, A, B, C, PaperMarket
from tests.consumers.journal_frames import UUID, open_writer
from tlv.codes import Domain, Flag, Source
from tlv.filter import MessageFilter
from tlv.layout import BlockEnd, EventOrigin, OrderLeg, PoolRecord, PoolSync
from tlv.message import build
from tlv.units import NS
from tools.rig.long_journal import append

CONFIG = ExecutionConfig(share_percent=50, breaker_failures=10**9)
PRICE = b"d" * 20
"""Of `TOKEN` in the chain's coin; no order goes through it."""
PRICED = (COIN, TOKEN)
UNRELATED, THIRD = b"u" * 20, b"\x77" * 20


def busy(seed: int) -> PaperMarket:
    """Pools that orders use, one that prices what they give, and some that have nothing to do with them."""
    dice, market = random.Random(seed), PaperMarket(UUID)
    used, unused = {A: (TOKEN, OTHER), B: (TOKEN, OTHER), PRICE: PRICED}, {C: (COIN, OTHER), UNRELATED: (THIRD, OTHER)}
    pairs = used | unused
    held = {pool: [1000 * E18, 1000 * E18] for pool in pairs}
    market.begin()
    for pool, tokens in pairs.items():
        market.pool(pool, *held[pool], *tokens)
    market.end()
    for _ in range(60):
        market.begin()
        for _ in range(dice.randrange(6)):
            pool = dice.choice(list(pairs))
            held[pool] = [dice.randrange(500, 2000) * E18 for _ in range(2)]
            market.swap(pool, *held[pool], *pairs[pool])
        market.end()
        if dice.random() < 0.1:
            market.reorg(dice.randrange(1, 3))
    return market


class Swapper(Strategy):
    """Orders there and back through A and B at each block's end."""

    name = "swapper"

    def on_block_end(self, end: BlockEnd) -> None:
        legs = [OrderLeg(A, TOKEN, OTHER, 1), OrderLeg(B, OTHER, TOKEN, 2)]
        self.order(legs, E18, block_number=end.number, expires_block=end.number + 3)


def journal_of(directory: Path, payloads: list[bytes]) -> MappedJournal:
    with open_writer(directory, ring_uuid=UUID) as writer:
        append(writer, [(NS + at, payload) for at, payload in enumerate(payloads)])
    journal = map_journal(directory)
    assert journal is not None
    return journal


@pytest.mark.parametrize("seed", range(4))
def test_executor_that_reads_what_orders_need_publishes_the_same(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    with journal_of(tmp_path, [one.payload for one in busy(seed).inputs]) as journal:
        for frames in (needed_frames, lambda *_: EVERYTHING):
            monkeypatch.setattr(run, "needed_frames", frames)
            executor = PaperExecutor(CONFIG)
            result = run.run_backtest(journal, [Swapper()], executor, {}, lambda _: None)
            known = {pool.address for pool in executor.book}
            found.append((result.execution_hash, result.account.ledger.total, known))
            assert result.account.ledger.total.filled > 30
    (*narrow, needed), (*whole, every) = found
    assert narrow == whole
    assert needed == {A, B, PRICE}
    assert every == needed | {C, UNRELATED}


def event(pool: bytes, token0: bytes, token1: bytes, *, origin: bool = True, flags: int = 0) -> bytes:
    """A Sync."""
    record: PoolRecord = PoolSync(pool, token0, token1, 400, 18, 18, 1, 10, 10)
    behind = [EventOrigin(1, 0, 0, 0, 0, bytes(32), bytes(32))] if origin else []
    return build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [record, *behind], sequence=1, flags=flags)


def asked() -> Order:
    """What the swapper orders."""
    end = build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [BlockEnd(1, 0, 0, 0, 0, bytes(32), 1)], sequence=1)
    (draft,) = drive(Swapper(), UUID, [(1, 1, end)])
    order = read_order(build(draft.domain, draft.source, draft.records), UUID, 1, 0)
    assert isinstance(order, Order)
    return order


@pytest.mark.parametrize(
    ("origin", "flags", "pools"),
    [
        (True, Flag(0), {A, B, PRICE}),
        (False, Flag(0), set()),
        (False, Flag.UNPROVEN, {A, B, PRICE}),
    ],
)
def test_frame_that_no_executor_can_read_has_all_of_them_read(
    tmp_path: Path, origin: bool, flags: Flag, pools: set[bytes]
) -> None:
    payloads = [event(PRICE, *PRICED), event(UNRELATED, THIRD, OTHER, origin=origin, flags=flags)]
    with journal_of(tmp_path, payloads) as journal:
        found = needed_frames(journal, [asked()], {COIN})
        assert found == MessageFilter.of(types=PaperExecutor.wants, pools=pools)
