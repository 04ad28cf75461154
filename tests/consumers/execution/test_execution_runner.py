"""The executor's loop between real rings: orders that come late, rings that are made anew, frames that were lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count

import pytest

from consumers import held
from consumers.execution import runner
from consumers.execution.config import ExecutionConfig
from consumers.execution.executor import PaperExecutor
from consumers.execution.runner import ExecutionRunner, OrderRing
from ringbuf import Reader, Status, Writer, unlink
from tests.consumers.execution.paper_market import COIN, E18, TOKEN, A, PaperMarket, leg
from tlv.codes import BreakerState
from tlv.errors import UsageError
from tlv.layout import LAYOUT_DIGEST


class Rig:
    """A market's ring, the name of a strategy's, and an executor between them."""

    def __init__(self, market: Writer, signals: str, loop: ExecutionRunner) -> None:
        self.market = market
        self.signals = signals
        self.loop = loop
        self.made = PaperMarket(market.uuid)
        self.fed = 0

    def feed(self, orders: Writer | None = None) -> None:
        """Publish what the market has made since the last time, and have all of it read."""
        for one in self.made.inputs[self.fed :]:
            writer = orders if one.is_order else self.market
            assert writer is not None
            writer.publish(one.payload)
        self.fed = len(self.made.inputs)
        while self.loop.step() is not Status.EMPTY:
            pass


@contextmanager
def rig(new_ring_name: Callable[[], str], config: ExecutionConfig | None = None) -> Iterator[Rig]:
    """With a pool that everybody knows, and without the strategy's ring."""
    with ExitStack() as stack:
        market, execution = (
            stack.enter_context(Writer.create(new_ring_name(), capacity=1 << 20, layout_digest=LAYOUT_DIGEST))
            for _ in range(2)
        )
        reader = stack.enter_context(Reader.attach(market.name, start="oldest", layout_digest=LAYOUT_DIGEST))
        signals = new_ring_name()
        orders = [OrderRing(signals, reliable=False)]
        loop = stack.enter_context(ExecutionRunner(PaperExecutor(config), reader, orders, execution))
        made = Rig(market, signals, loop)
        made.made.begin()
        made.made.pool(A, 1_000 * E18, 1_000 * E18)
        made.made.end()
        made.feed()
        yield made


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring that is not there, or another of its name, is looked for each time."""
    monkeypatch.setattr(runner, "LOOK_S", 0.0)
    monkeypatch.setattr(held, "LOOK_S", 0.0)


def test_strategys_ring_may_come_later_and_be_made_anew(new_ring_name: Callable[[], str]) -> None:
    with rig(new_ring_name) as made:
        made.made.empty_blocks(1)
        made.feed()
        for filled in (1, 2):
            with Writer.create(made.signals, capacity=1 << 20, layout_digest=LAYOUT_DIGEST) as orders:
                made.made.orders = 0
                made.made.order([leg(A, COIN, TOKEN)], E18, order_id=filled)
                made.made.empty_blocks(1)
                made.feed(orders)
                orders.close()
            assert made.loop.counts.filled == filled
            unlink(made.signals)


def test_market_made_anew_goes_on_and_fills_what_waited(
    new_ring_name: Callable[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    with (
        rig(new_ring_name) as made,
        Writer.create(made.signals, capacity=1 << 20, layout_digest=LAYOUT_DIGEST) as orders,
    ):
        made.made.order([leg(A, COIN, TOKEN)], E18)
        made.feed(orders)
        name, made.made.inputs = made.market.name, []
        made.market.close()
        unlink(name)
        with Writer.create(name, capacity=1 << 20, layout_digest=LAYOUT_DIGEST) as anew:
            made.made.empty_blocks(1)
            for one in made.made.inputs:
                anew.publish(one.payload)
            turns = count()
            made.loop.run(lambda: made.loop.counts.filled == 1 or next(turns) > 1_000)
        assert made.loop.counts.filled == 1 and made.loop.counts.lost == 0
        assert f"ring {name} was replaced behind sequence" in caplog.text


def test_lost_frames_are_counted_and_told(new_ring_name: Callable[[], str], caplog: pytest.LogCaptureFixture) -> None:
    with (
        rig(new_ring_name) as made,
        Writer.create(made.signals, capacity=1 << 16, layout_digest=LAYOUT_DIGEST) as orders,
    ):
        made.made.order([leg(A, COIN, TOKEN)], E18)
        made.made.empty_blocks(1)
        made.feed(orders)
        for _ in range(500):
            made.made.order([leg(A, COIN, TOKEN)], E18)
        made.made.empty_blocks(1)
        made.feed(orders)
        counts = made.loop.counts
        assert counts.orders_lost == 501 - counts.orders > 0
        assert f"{counts.orders_lost} frames of strategies' rings were lost" in caplog.text
        assert made.loop.summary()["orders_lost"] == counts.orders_lost


@pytest.mark.parametrize("is_market", [True, False])
def test_ring_that_is_no_market_or_no_strategys_is_refused_with_what_it_holds(
    new_ring_name: Callable[[], str], is_market: bool
) -> None:
    with (
        rig(new_ring_name) as made,
        Writer.create(made.signals, layout_digest=LAYOUT_DIGEST) as orders,
        Writer.create(new_ring_name(), layout_digest=LAYOUT_DIGEST) as other,
    ):
        made.made.signal((A, A), E18, 2 * E18)
        other.publish(made.made.inputs.pop().payload)
        if is_market:
            reader = Reader.attach(other.name, start="oldest", layout_digest=LAYOUT_DIGEST)
            loop = ExecutionRunner(PaperExecutor(), reader, [], orders)
            with reader, loop, pytest.raises(UsageError, match=r"messages of a market, found one of .* signal"):
                loop.step()
        else:
            orders.publish(made.made.inputs[0].payload)
            with pytest.raises(UsageError, match=r"sequence 1: expected .* a strategy, found .* market"):
                made.loop.step()


def test_counts_say_what_became_of_orders_and_the_state_of_the_breaker(new_ring_name: Callable[[], str]) -> None:
    with (
        rig(new_ring_name, ExecutionConfig(breaker_failures=2)) as made,
        Writer.create(made.signals, layout_digest=LAYOUT_DIGEST) as orders,
    ):
        for least in (0, E18, E18, 0):
            made.made.order([leg(A, COIN, TOKEN)], E18, min_amount_out=least)
        made.made.empty_blocks(1)
        made.feed(orders)
        counts = made.loop.counts
        assert (counts.filled, counts.failed, counts.refused, counts.undone) == (1, 2, 1, 0)
        assert counts.breaker == BreakerState.OPEN
        made.made.reorg(1)
        made.feed(orders)
        assert made.loop.counts.undone == 3
        summary = made.loop.summary()
        assert (summary["breaker"], summary["pnl"]["orders"]) == ("open", 0)
        assert summary["end_to_report_ns"]["samples"] == 3
        assert made.loop.order_hash.messages == summary["published"]
