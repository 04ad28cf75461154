"""An executor that is killed and started again, and one that reads its inputs in another order: the same messages."""

from __future__ import annotations

import random

import pytest

from consumers.execution.config import ExecutionConfig
from consumers.execution.executor import PaperExecutor
from consumers.strategy import Driver
from tests.consumers.execution.paper_market import (
    COIN,
    E18,
    OTHER,
    RING,
    TOKEN,
    A,
    B,
    C,
    Input,
    PaperMarket,
    encode,
    feed,
    leg,
)
from tlv.codes import Domain, GapScope, OrderState, Reason
from tlv.layout import BlockEnd, ExecutionReport, Gap, OrderRecord, OrderStatus
from tlv.message import parse

DEEP = 1_000 * E18
CONFIG = ExecutionConfig(
    share_percent=50,
    max_orders_per_block=3,
    max_exposure_wei=40 * E18,
    breaker_failures=3,
    cool_down_blocks=4,
    max_position_wei=30 * E18,
)


def busy_market(seed: int, blocks: int = 40, ring: bytes = RING) -> PaperMarket:
    """Swaps, orders that fill and fail, signals, withdrawals, reorgs and gaps, all drawn from a seed."""
    draw = random.Random(seed)
    made = PaperMarket(ring)
    made.begin()
    made.pool(A, DEEP, DEEP)
    made.pool(B, DEEP, DEEP)
    made.pool(C, DEEP, DEEP, TOKEN, OTHER)
    made.end()
    for _ in range(blocks):
        for _ in range(draw.randrange(4)):
            _order(made, draw)
        made.begin()
        for _ in range(draw.randrange(4)):
            made.swap(draw.choice((A, B)), DEEP + draw.randrange(E18 * 80), DEEP - draw.randrange(E18 * 80))
            if draw.random() < 0.3:
                _order(made, draw)
        made.end()
        if draw.random() < 0.08 and made.number > 104:
            made.reorg(draw.randrange(1, 3))
        if draw.random() < 0.03:
            made.tell(Gap(1, 2, GapScope.BLOCK_NUMBERS, Reason.NODE_HAS_NO_BLOCK), domain=Domain.SYSTEM)
    made.empty_blocks(6)
    return made


def _order(made: PaperMarket, draw: random.Random) -> None:
    delay_ns = draw.choice((10**6, 10**8, 3 * 10**9))
    kind = draw.randrange(6)
    if kind == 0:
        made.order([leg(draw.choice((A, B)), COIN, TOKEN)], draw.randrange(1, 12 * E18), delay_ns=delay_ns)
    elif kind == 1:
        made.order([leg(A, TOKEN, COIN)], E18, min_amount_out=E18, delay_ns=delay_ns, expires=draw.randrange(1, 4))
    elif kind == 2:
        made.order([leg(C, TOKEN, OTHER)], E18, order_id=draw.randrange(50))
    elif kind == 3 and made.orders:
        made.withdraw(5000 + draw.randrange(made.orders), made.number - draw.randrange(2))
    else:
        pools = draw.choice(((A, B), (B, A)))
        made.signal(pools, draw.randrange(1, 9 * E18), 10 * E18, opportunity=draw.randrange(4), delay_ns=delay_ns)


def ends(inputs: list[Input]) -> list[int]:
    """Where blocks end."""
    return [at for at, one in enumerate(inputs) if not one.is_order and parse(one.payload).first(BlockEnd) is not None]


def shuffled(inputs: list[Input], draw: random.Random) -> list[Input]:
    """The same frames of both rings, each in its order, with orders read earlier, or later in their block."""
    keys: list[tuple[float, int]] = []
    block_ends = ends(inputs)
    least = 0.0
    for at, one in enumerate(inputs):
        if one.is_order:
            last = next((end for end in block_ends if end > at), len(inputs))
            least = max(least, draw.uniform(min(least, last), last))
            keys.append((least - 0.001, at))
        else:
            keys.append((float(at), at))
    return [inputs[at] for _, at in sorted(keys)]


@pytest.mark.parametrize("seed", range(6))
def test_interleaving_of_market_and_orders_does_not_matter(seed: int) -> None:
    made = busy_market(seed)
    expected = feed(PaperExecutor(CONFIG), made.inputs)
    states = {
        record.state for data in expected for record in parse(data).records if isinstance(record, ExecutionReport)
    }
    assert states == {OrderState.FILLED, OrderState.FAILED}
    for other in range(3):
        inputs = shuffled(made.inputs, random.Random(other))
        assert inputs != made.inputs
        assert feed(PaperExecutor(CONFIG), inputs) == expected


def test_orders_that_were_all_read_before_the_market_give_the_same() -> None:
    """As an executor that starts late reads: what a later frame caused takes back nothing decided before it."""
    made = busy_market(3, 300)
    ahead = sorted(made.inputs, key=lambda one: not one.is_order)
    assert feed(PaperExecutor(CONFIG), ahead) == feed(PaperExecutor(CONFIG), made.inputs)


@pytest.mark.parametrize("seed", [0, 1, 3, 5])
def test_killed_anywhere_and_started_again_it_publishes_the_rest(seed: int) -> None:
    """At each of its messages: what one run publishes is what two do, and their sums are equal."""
    made = busy_market(seed, 16)
    whole = PaperExecutor(CONFIG)
    expected = feed(whole, made.inputs)
    for published in range(len(expected)):
        again = PaperExecutor(CONFIG)
        again.resume(expected[:published])
        rest = feed(again, made.inputs)
        assert [data[32:] for data in rest] == [data[32:] for data in expected[published:]], published
        for name in ("pnl", "pnl_by_strategy", "pnl_by_route", "positions", "states", "reasons", "breaker", "pending"):
            assert again.summary()[name] == whole.summary()[name], name


@pytest.mark.parametrize("seed", range(4))
def test_killed_again_and_again_it_publishes_what_one_run_does(seed: int) -> None:
    made = busy_market(seed, 60)
    expected = feed(PaperExecutor(CONFIG), made.inputs)
    draw, published = random.Random(seed), list[bytes]()
    while len(published) < len(expected):
        again = PaperExecutor(CONFIG)
        again.resume(published)
        published = [*published, *feed(again, made.inputs)][: len(published) + draw.randrange(1, 60)]
    assert [data[32:] for data in published] == [data[32:] for data in expected]


def test_no_order_ends_twice_and_none_is_forgotten() -> None:
    for seed in range(5):
        made = busy_market(seed)
        executor = PaperExecutor(CONFIG)
        ended: dict[int, list[OrderState]] = {}
        for data in feed(executor, made.inputs):
            for record in parse(data).records:
                if isinstance(record, OrderStatus | ExecutionReport):
                    ended.setdefault(record.order_sequence, []).append(OrderState(record.state))
        assert len(ended) == executor.counts["orders"]
        assert executor.summary()["pending"] == 0
        for states in ended.values():
            assert OrderState.UNDONE not in states[:1]
            assert states[1:] in ([], [OrderState.UNDONE])


def test_attempt_whose_block_left_the_chain_between_two_runs_is_undone() -> None:
    made = PaperMarket()
    made.begin()
    made.pool(A, DEEP, DEEP)
    made.end()
    made.order([leg(A, COIN, TOKEN)], E18)
    made.empty_blocks(1)
    before = feed(PaperExecutor(), made.inputs)
    made.inputs.clear()
    made.branch, made.number = 1, 101  # the ring holds nothing of the old branch any more, and no Reorg
    made.empty_blocks(2)
    again = PaperExecutor()
    again.resume(before)
    assert feed(again, made.inputs) == []
    again.caught_up()
    (status,) = [record for draft in again.drafts for record in draft.records]
    assert isinstance(status, OrderStatus)
    assert (status.state, status.order_sequence) == (OrderState.UNDONE, 1)
    assert again.ledger.total.net == 0


def test_order_that_the_overwritten_part_of_its_own_ring_may_have_held_is_not_filled_again() -> None:
    made = busy_market(1)
    published = feed(PaperExecutor(CONFIG), made.inputs)
    again = PaperExecutor(CONFIG)
    kept = published[len(published) // 2 :]
    again.resume(kept)
    first = next(record for record in parse(kept[0]).records)
    rest = feed(again, made.inputs)
    assert isinstance(first, OrderRecord)
    assert [record for data in rest for record in parse(data).records if isinstance(record, ExecutionReport)] == []


@pytest.mark.parametrize("is_damaged", [False, True])
def test_order_that_a_hole_in_its_own_messages_may_have_held_is_not_filled_again(is_damaged: bool) -> None:
    made = busy_market(1)
    published = feed(PaperExecutor(CONFIG), made.inputs)
    middle = len(published) // 2
    hole = range(middle, middle + 10)
    held = [data for at, data in enumerate(published) if at not in hole]
    if is_damaged:
        held[middle:middle] = [data[:-1] + bytes([data[-1] ^ 1]) for data in published[middle : middle + 10]]
    again = PaperExecutor(CONFIG)
    assert again.resume(held) == len(published) - 10
    assert again.counts["own_missing"] == 10
    rest = feed(again, made.inputs)
    assert [record for data in rest for record in parse(data).records if isinstance(record, ExecutionReport)] == []


def test_fills_of_a_run_before_move_the_pools_again() -> None:
    made = PaperMarket()
    made.begin()
    made.pool(A, DEEP, DEEP)
    made.end()
    made.order([leg(A, COIN, TOKEN)], E18)
    made.empty_blocks(1)
    before = feed(PaperExecutor(), made.inputs)
    again = PaperExecutor()
    again.resume(before)
    made.order([leg(A, COIN, TOKEN)], E18)
    made.empty_blocks(1)
    driver = Driver(again, RING)
    (first,) = [record for data in before for record in parse(data).records if isinstance(record, ExecutionReport)]
    published = []
    for one in made.inputs:
        if one.is_order:
            again.take_order(one.payload, b"s" * 16, one.sequence, one.time_ns)
        else:
            driver.deliver(one.sequence, 0, one.payload)
        published += [parse(encode(draft, 1)) for draft in again.drafts]
    (second,) = [record for message in published for record in message.records if isinstance(record, ExecutionReport)]
    assert second.amount_out < first.amount_out
