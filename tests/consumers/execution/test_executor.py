"""The paper executor: what an order gives, what stops it, and what takes it back."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

import msgspec
import pytest

from consumers.arbitrage.config import GasConfig
from consumers.arbitrage.constant_product import Hop
from consumers.arbitrage.kept_ticks import KEPT_BLOCKS
from consumers.arbitrage.solidly import SolidlyHop
from consumers.execution.config import ExecutionConfig
from consumers.execution.executor import PaperExecutor
from consumers.execution.risk import MOST_STATED
from consumers.strategy import Driver
from tests.consumers.execution.paper_market import (
    COIN,
    E18,
    GWEI,
    OTHER,
    RING,
    SIGNALS,
    TOKEN,
    A,
    B,
    C,
    PaperMarket,
    block_hash,
    feed,
    leg,
    run,
)
from tlv.codes import BreakerState, Curve, Domain, Flag, GapScope, OrderReason, OrderState, Protocol, Reason, Venue
from tlv.layout import (
    CircuitBreaker,
    ExecutionReport,
    Fill,
    Gap,
    OrderRequest,
    OrderStatus,
    PoolState,
    RiskDecision,
    Session,
    TickLiquidity,
)
from tlv.message import Message, build, parse
from tlv.record import Record

R = TypeVar("R", bound=Record)
DEEP = 1_000 * E18
GAS_WEI = 200_000 * 60 * GWEI
"""Two V2 swaps in a block of 30 gwei, with the default tip."""


def market() -> PaperMarket:
    """Two pools of COIN and TOKEN that disagree by a tenth, at the end of block 100."""
    made = PaperMarket()
    made.begin()
    made.pool(A, DEEP, DEEP)
    made.pool(B, DEEP, 900 * E18)
    made.end()
    return made


def of(kind: type[R], messages: list[Message]) -> list[R]:
    """Every record of a kind."""
    return [record for message in messages for record in message.records if isinstance(record, kind)]


def outcomes(messages: list[Message]) -> list[tuple[OrderState, OrderReason]]:
    """How orders ended, in order."""
    ended = [*of(OrderStatus, messages), *of(ExecutionReport, messages)]
    order = {id(record): at for at, message in enumerate(messages) for record in message.records}
    ended.sort(key=lambda record: order[id(record)])
    return [(OrderState(record.state), OrderReason(record.reason)) for record in ended]


def trip(amount_in: int, first: Hop, second: Hop) -> int:
    """What a round trip gives."""
    return second.out(first.out(amount_in))


def test_round_trip_is_filled_to_the_wei_and_pays_its_gas() -> None:
    made = market()
    made.signal((A, B), 10 * E18, 11 * E18)
    made.empty_blocks(1)
    messages = run(made, ExecutionConfig(inclusion_percent=40.0))
    (decision,), (report,) = of(RiskDecision, messages), of(ExecutionReport, messages)
    fills = of(Fill, messages)
    out = trip(10 * E18, Hop(DEEP, DEEP, 3000), Hop(900 * E18, DEEP, 3000))
    assert (decision.approved, decision.found, decision.reason) == (1, 10 * E18, OrderReason.NONE)
    assert [fill.amount_out for fill in fills] == [Hop(DEEP, DEEP, 3000).out(10 * E18), out]
    assert [(fill.leg, fill.pool, fill.expected_out) for fill in fills] == [(1, A, 11 * E18), (2, B, 11 * E18)]
    assert (report.gross, report.gas_cost, report.net) == (out - 10 * E18, GAS_WEI, out - 10 * E18 - GAS_WEI)
    assert (report.inclusion_ppm, report.expected_net) == (400_000, report.net * 400_000 // 1_000_000)
    assert (report.block_number, report.block_hash, report.latency_ns) == (101, block_hash(101), 10**6)
    assert (report.state, report.token, report.decimals, report.legs) == (OrderState.FILLED, COIN, 18, 2)


@pytest.mark.parametrize(("share", "seen", "before"), [(0, 1_000, 0), (50, 1_100, 1), (99, 1_100, 1), (100, 1_200, 2)])
def test_order_meets_the_pool_behind_its_share_of_the_blocks_own_swaps(share: int, seen: int, before: int) -> None:
    made = market()
    made.order([leg(A, COIN, TOKEN)], E18)
    made.begin()
    made.swap(A, 1_100 * E18, DEEP)
    made.swap(A, 1_200 * E18, DEEP)
    made.end()
    (fill,) = of(Fill, run(made, ExecutionConfig(share_percent=share)))
    assert (fill.amount_out, fill.swaps_before) == (Hop(seen * E18, DEEP, 3000).out(E18), before)


@pytest.mark.parametrize("curve", list(Curve))
def test_order_through_a_pair_of_solidlys_type_is_filled_by_its_curve_and_moves_it(curve: Curve) -> None:
    made = market()
    made.pair(C, DEEP, 2 * DEEP, curve=curve)
    for _ in range(2):
        made.order([leg(C, COIN, TOKEN)], E18)
        made.order([leg(C, TOKEN, COIN)], E18)
    made.begin()
    made.end()
    fills, held = of(Fill, run(made)), [DEEP, 2 * DEEP]
    assert [fill.token_in for fill in fills] == [COIN, TOKEN] * 2
    for fill in fills:
        side = fill.token_in == TOKEN
        hop = SolidlyHop(held[side], held[not side], 500, curve, 18, 18, token0_in=not side)
        assert (fill.amount_in, fill.amount_out, fill.fee_pips) == (E18, hop.out(E18), 500)
        held[side], held[not side] = held[side] + hop.kept(E18), held[not side] - fill.amount_out


def test_order_that_a_pair_of_solidlys_type_would_revert_fails_and_pays_its_gas() -> None:
    made = market()
    made.pair(C, 10**45, 10**45, curve=Curve.SOLIDLY)
    made.order([leg(C, COIN, TOKEN)], E18)
    made.empty_blocks(2)
    messages = run(made)
    (report,) = of(ExecutionReport, messages)
    assert (report.state, report.reason) == (OrderState.FAILED, OrderReason.LIQUIDITY)
    assert of(Fill, messages) == [] and report.gas_cost > 0


def test_events_of_later_blocks_that_are_there_already_do_not_count() -> None:
    made = market()
    made.order([leg(A, COIN, TOKEN)], E18)
    made.begin()
    end = made.number
    made.number += 1
    made.begin()
    made.swap(A, 1_500 * E18, DEEP)
    made.number = end
    made.end()
    (fill,) = of(Fill, run(made))
    assert fill.amount_out == Hop(DEEP, DEEP, 3000).out(E18)


def test_own_fill_moves_the_pool_until_its_next_event() -> None:
    made = market()
    for number in range(4):
        made.order([leg(A, COIN, TOKEN)], E18)
        if number == 0:
            made.order([leg(A, COIN, TOKEN)], E18)
        made.begin()
        if number == 2:
            made.swap(A, DEEP, DEEP)
        made.end()
    hop, expected = Hop(DEEP, DEEP, 3000), []
    for number in range(5):
        if number == 3:
            hop = Hop(DEEP, DEEP, 3000)  # somebody swapped
        expected.append(hop.out(E18))
        hop = Hop(hop.reserve_in + E18, hop.reserve_out - expected[-1], 3000)
    assert [fill.amount_out for fill in of(Fill, run(made))] == expected
    assert len(set(expected)) == 3


def test_too_little_out_reverts_and_costs_its_gas_and_moves_nothing() -> None:
    made = market()
    made.order([leg(A, COIN, TOKEN)], E18, min_amount_out=E18)
    made.order([leg(A, COIN, TOKEN)], E18)
    made.empty_blocks(1)
    executor = PaperExecutor()
    messages = [parse(data) for data in feed(executor, made.inputs)]
    first, second = of(ExecutionReport, messages)
    assert (first.state, first.reason) == (OrderState.FAILED, OrderReason.TOO_LITTLE_OUT)
    assert (first.amount_in, first.amount_out, first.gross) == (0, 0, 0)
    assert first.gas_cost == -first.net > 0
    assert second.amount_out == Hop(DEEP, DEEP, 3000).out(E18)
    assert executor.ledger.total.gas == 2 * 140_000 * 60 * GWEI


def test_round_trip_that_lost_its_profit_reverts() -> None:
    made = market()
    made.signal((A, B), 10 * E18, 11 * E18)
    made.begin()
    made.swap(A, DEEP, 850 * E18)
    made.end()
    assert outcomes(run(made)) == [(OrderState.FAILED, OrderReason.TOO_LITTLE_OUT)]
    made = market()
    made.signal((A, B), 10 * E18, 11 * E18)  # it will give 0.8 of the 1.0 that it promises
    made.empty_blocks(1)
    assert outcomes(run(made, ExecutionConfig(min_gross_percent=90))) == [
        (OrderState.FAILED, OrderReason.TOO_LITTLE_OUT)
    ]


@pytest.mark.parametrize(("as_of", "state"), [(100, OrderState.WITHDRAWN), (101, OrderState.FILLED)])
def test_withdrawal_counts_if_it_is_of_an_earlier_block(as_of: int, state: OrderState) -> None:
    made = market()
    name = made.signal((A, B), E18, 2 * E18)
    made.begin()
    made.withdraw(name, as_of)
    made.end()
    assert outcomes(run(made)) == [(state, OrderReason.NONE)]


def test_newer_signal_of_an_opportunity_takes_the_place_of_the_older() -> None:
    made = market()
    made.signal((A, B), E18, 2 * E18, opportunity=7)
    made.signal((A, B), 2 * E18, 3 * E18, opportunity=7)
    made.signal((B, A), 2 * E18, 3 * E18, opportunity=8)
    made.empty_blocks(1)
    messages = run(made)
    assert [state for state, _ in outcomes(messages)] == [OrderState.WITHDRAWN, OrderState.FILLED, OrderState.FAILED]
    assert of(Fill, messages)[0].amount_in == 2 * E18


def test_order_whose_last_block_is_over_expires() -> None:
    made = market()
    made.order([leg(A, COIN, TOKEN)], E18, expires=1)
    made.order([leg(A, COIN, TOKEN)], E18, expires=3)
    made.empty_blocks(3)
    assert outcomes(run(made, ExecutionConfig(delay_blocks=3))) == [
        (OrderState.EXPIRED, OrderReason.NONE),
        (OrderState.FILLED, OrderReason.NONE),
    ]


@pytest.mark.parametrize(
    ("delay_ns", "config", "block"),
    [
        (10**6, ExecutionConfig(), 101),
        (2 * 10**9, ExecutionConfig(), 101),
        (2 * 10**9 + 1, ExecutionConfig(), 102),
        (5 * 10**9, ExecutionConfig(), 103),
        (5 * 10**9, ExecutionConfig(latency_ms=1.0), 101),
        (10**6, ExecutionConfig(latency_ms=2_500.0), 102),
        (-1, ExecutionConfig(clock="unknown"), 101),
        (10**12, ExecutionConfig(clock="unknown"), 101),
        (10**12, ExecutionConfig(latency_ms=2_500.0), 102),
    ],
)
def test_order_that_was_out_after_its_block_came_goes_into_a_later_one(
    delay_ns: int, config: ExecutionConfig, block: int
) -> None:
    made = market()
    made.order([leg(A, COIN, TOKEN)], E18, delay_ns=delay_ns)
    made.empty_blocks(4)
    (report,) = of(ExecutionReport, run(made, config))
    assert report.block_number == block
    assert report.latency_ns == (delay_ns if 0 <= delay_ns <= 60 * 10**9 else -1)


@pytest.mark.parametrize("latency_ns", [-1, 10**12])
def test_latency_that_cannot_be_is_refused(latency_ns: int) -> None:
    made = market()
    made.order([leg(A, COIN, TOKEN)], E18, delay_ns=latency_ns)
    made.empty_blocks(1)
    messages = run(made)
    assert outcomes(messages) == [(OrderState.REJECTED, OrderReason.CLOCK)]
    (decision,) = of(RiskDecision, messages)
    assert (decision.found, decision.limit) == (latency_ns, 60 * 10**9)


@pytest.mark.parametrize(("before_s", "block"), [(3, 103), (59, 131), (61, None)])
def test_event_behind_the_header_of_the_next_block_is_none_that_was_in_time_for_it(
    before_s: int, block: int | None
) -> None:
    made = market()
    made.order([leg(A, COIN, TOKEN)], E18, expires=100)
    usual = made.received
    made.received = lambda number: usual(number - 1) - before_s * 10**9  # type: ignore[method-assign]
    made.empty_blocks(40)
    messages = run(made, ExecutionConfig(max_order_age_blocks=100))
    if block is None:
        assert outcomes(messages) == [(OrderState.REJECTED, OrderReason.CLOCK)]
    else:
        (report,) = of(ExecutionReport, messages)
        assert (report.block_number, report.latency_ns) == (block, 10**6)


def test_times_of_a_replay_are_not_compared_with_those_of_now() -> None:
    made = market()
    made.order([leg(A, COIN, TOKEN)], E18, delay_ns=10**15)
    made.empty_blocks(1)
    replayed = [one if one.is_order else one._replace(payload=as_replayed(one.payload)) for one in made.inputs]
    made.inputs[:] = replayed
    (report,) = of(ExecutionReport, run(made))
    assert (report.block_number, report.latency_ns) == (101, -1)


def as_replayed(payload: bytes) -> bytes:
    """A frame of the market as a replay publishes it."""
    message = parse(payload)
    header = message.header
    flags = header.flags | Flag.REPLAY
    return build(Domain(header.domain), header.source, message.records, sequence=header.sequence, flags=flags)


def test_reorg_takes_back_attempts_positions_profit_and_what_was_moved() -> None:
    made = market()
    made.order([leg(A, COIN, TOKEN)], E18)
    made.empty_blocks(1)
    made.order([leg(A, COIN, TOKEN)], E18)
    made.order([leg(A, COIN, TOKEN)], E18, min_amount_out=E18)
    made.empty_blocks(1)
    executor = PaperExecutor()
    before = feed(executor, made.inputs)
    assert executor.ledger.positions[COIN] == -2 * E18
    taken = len(made.inputs)
    made.reorg(2)
    made.order([leg(A, COIN, TOKEN)], E18)
    made.empty_blocks(1)
    driver = Driver(executor, RING)
    after: list[Message] = []
    for one in made.inputs[taken:]:
        if one.is_order:
            executor.take_order(one.payload, SIGNALS, one.sequence, one.time_ns)
        else:
            driver.deliver(one.sequence, one.time_ns, one.payload)
        after += [parse(build(draft.domain, draft.source, draft.records)) for draft in executor.drafts]
    assert len(before) == 6
    undone = of(OrderStatus, after)
    assert [(status.order_sequence, status.state, status.reason) for status in undone] == [
        (3, OrderState.UNDONE, OrderReason.REORG),
        (2, OrderState.UNDONE, OrderReason.REORG),
        (1, OrderState.UNDONE, OrderReason.REORG),
    ]
    (fill,) = of(Fill, after)
    assert (fill.block_number, fill.block_hash) == (101, block_hash(101, 1))
    assert fill.amount_out == Hop(DEEP, DEEP, 3000).out(E18)
    assert executor.ledger.positions[COIN] == -E18
    assert (executor.ledger.total.orders, executor.ledger.undone) == (1, 3)


def test_limits_of_a_block_count_nothing_of_the_one_that_it_replaced() -> None:
    made = market()
    made.empty_blocks(1)
    for _ in range(2):
        made.order([leg(A, COIN, TOKEN)], E18)
        made.order([leg(A, COIN, TOKEN)], E18)
        made.empty_blocks(1)
        if made.branch == 0:
            made.reorg(1)
    messages = run(made, ExecutionConfig(max_orders_per_block=1, max_exposure_wei=E18))
    states = [state for state, _ in outcomes(messages)]
    assert states == [OrderState.FILLED, OrderState.REJECTED, OrderState.UNDONE, OrderState.FILLED, OrderState.REJECTED]


def test_order_decided_on_a_block_that_left_the_chain_is_not_attempted() -> None:
    made = market()
    made.empty_blocks(2)
    made.order([leg(A, COIN, TOKEN)], E18)  # on block 102
    made.reorg(1)
    made.empty_blocks(3)
    assert outcomes(run(made)) == [(OrderState.WITHDRAWN, OrderReason.REORG)]


def unknown_pool(made: PaperMarket) -> None:
    made.order([leg(C, COIN, TOKEN)], E18)


def unproven_pool(made: PaperMarket) -> None:
    state = PoolState(
        C, COIN, TOKEN, Venue.QUICKSWAP_V2, 18, 18, Protocol.UNISWAP_V2, DEEP, DEEP, 0, 0, 100, 3000, 0, 0, bytes(20),
        "", "",
    )  # fmt: skip
    made.tell(state, flags=Flag.SNAPSHOT | Flag.UNPROVEN)
    made.order([leg(C, COIN, TOKEN)], E18)


def other_kind_of_pool(made: PaperMarket) -> None:
    state = PoolState(C, COIN, TOKEN, 402, 18, 18, 99, DEEP, DEEP, 0, 0, 100, 3000, 0, 0, bytes(20), "", "")
    made.tell(state, flags=Flag.SNAPSHOT)
    made.order([leg(C, COIN, TOKEN)], E18)


def pair_of_a_curve_that_nobody_told(made: PaperMarket) -> None:
    made.pair(C, DEEP, DEEP, curve=0)
    made.order([leg(C, COIN, TOKEN)], E18)


def pair_of_a_pool_of_three_coins(made: PaperMarket) -> None:
    head = (C, COIN, OTHER, Venue.QUICKSWAP_V2, 18, 6, Protocol.BALANCER_V2)
    made.tell(PoolState(*head, 0, 0, 0, 0, 100, 3000, 0, 0, bytes(20), "", ""), flags=Flag.SNAPSHOT)
    made.order([leg(C, COIN, TOKEN)], E18)


def whole_fee(made: PaperMarket) -> None:
    made.pool(C, DEEP, DEEP, fee=1_000_000)
    made.order([leg(C, COIN, TOKEN)], E18)


def empty_pool(made: PaperMarket) -> None:
    made.pool(C, DEEP, DEEP)
    made.begin()
    made.swap(C, 0, 0)
    made.end()
    made.order([leg(C, COIN, TOKEN)], E18)


def tokens_of_another_pool(made: PaperMarket) -> None:
    made.order([leg(A, COIN, OTHER)], E18)


def unpriced(made: PaperMarket) -> None:
    made.pool(C, DEEP, DEEP, TOKEN, OTHER)
    made.order([leg(C, TOKEN, OTHER)], E18)


def lost_frames(made: PaperMarket) -> None:
    made.tell(Gap(3, 9, GapScope.RING_SEQUENCES, Reason.LAPPED), domain=Domain.SYSTEM)
    made.order([leg(A, COIN, TOKEN)], E18)


def missing_blocks(made: PaperMarket) -> None:
    made.tell(Gap(3, 9, GapScope.BLOCK_NUMBERS, Reason.NODE_HAS_NO_BLOCK), domain=Domain.SYSTEM)
    made.order([leg(A, COIN, TOKEN)], E18)


def collector_restarted(made: PaperMarket) -> None:
    made.tell(Session(RING, 2, 1, 137, 0), domain=Domain.SYSTEM)
    made.order([leg(A, COIN, TOKEN)], E18)


def block_never_ended(made: PaperMarket) -> None:
    made.empty_blocks(1)
    made.order([leg(A, COIN, TOKEN)], E18)
    made.begin()
    made.number += 1


def too_late(made: PaperMarket) -> None:
    made.empty_blocks(1)
    made.order([leg(A, COIN, TOKEN)], E18, block_number=100)


def no_legs(made: PaperMarket) -> None:
    made.order([], E18)


def legs_apart(made: PaperMarket) -> None:
    made.order([leg(A, COIN, TOKEN), leg(B, COIN, TOKEN, 2)], E18)


def pool_twice(made: PaperMarket) -> None:
    made.order([leg(A, COIN, TOKEN), leg(A, TOKEN, COIN, 2)], E18)


def three_hundred_legs(made: PaperMarket) -> None:
    made.order([leg(A, COIN, TOKEN, at % 200) for at in range(300)], E18)


def nothing_in(made: PaperMarket) -> None:
    made.order([leg(A, COIN, TOKEN)], 0)


def token_into_itself(made: PaperMarket) -> None:
    made.order([leg(A, COIN, COIN)], E18)


def never_open(made: PaperMarket) -> None:
    made.order([leg(A, COIN, TOKEN)], E18, expires=0)


def wrong_numbers(made: PaperMarket) -> None:
    made.order([leg(A, COIN, TOKEN, 2)], E18)


def negative_block(made: PaperMarket) -> None:
    made.order([leg(A, COIN, TOKEN)], E18, block_number=-5)


def too_much(made: PaperMarket) -> None:
    made.order([leg(A, COIN, TOKEN)], 1 << 255)


def old_order(made: PaperMarket) -> None:
    made.order([leg(A, COIN, TOKEN)], E18, expires=40)


@pytest.mark.parametrize(
    ("arrange", "reason"),
    [
        (unknown_pool, OrderReason.UNKNOWN_POOL),
        (unproven_pool, OrderReason.UNKNOWN_POOL),
        (other_kind_of_pool, OrderReason.NOT_QUOTABLE),
        (pair_of_a_curve_that_nobody_told, OrderReason.NOT_QUOTABLE),
        (pair_of_a_pool_of_three_coins, OrderReason.NOT_QUOTABLE),
        (whole_fee, OrderReason.NOT_QUOTABLE),
        (empty_pool, OrderReason.NOT_QUOTABLE),
        (tokens_of_another_pool, OrderReason.MALFORMED),
        (unpriced, OrderReason.UNPRICED),
        (lost_frames, OrderReason.STATE_UNKNOWN),
        (missing_blocks, OrderReason.STATE_UNKNOWN),
        (collector_restarted, OrderReason.STATE_UNKNOWN),
        (block_never_ended, OrderReason.STATE_UNKNOWN),
        (too_late, OrderReason.LATE),
        (no_legs, OrderReason.MALFORMED),
        (legs_apart, OrderReason.MALFORMED),
        (pool_twice, OrderReason.MALFORMED),
        (three_hundred_legs, OrderReason.MALFORMED),
        (nothing_in, OrderReason.MALFORMED),
        (token_into_itself, OrderReason.MALFORMED),
        (never_open, OrderReason.MALFORMED),
        (wrong_numbers, OrderReason.MALFORMED),
        (negative_block, OrderReason.MALFORMED),
        (too_much, OrderReason.EXPOSURE),
    ],
)
def test_order_that_cannot_be_filled_is_refused_with_the_reason(
    arrange: Callable[[PaperMarket], None], reason: OrderReason
) -> None:
    made = market()
    arrange(made)
    made.empty_blocks(3)
    messages = run(made)
    assert outcomes(messages) == [(OrderState.REJECTED, reason)]
    (decision,) = of(RiskDecision, messages)
    assert (decision.approved, decision.reason) == (0, reason)


def test_states_are_known_again_after_a_loss_by_the_next_event() -> None:
    made = market()
    lost_frames(made)
    made.empty_blocks(1)
    made.begin()
    made.swap(A, DEEP, DEEP)
    made.swap(B, DEEP, DEEP)
    made.end()
    made.order([leg(A, COIN, TOKEN)], E18)
    made.empty_blocks(1)
    assert [state for state, _ in outcomes(run(made))] == [OrderState.REJECTED, OrderState.FILLED]


@pytest.mark.parametrize(
    ("share", "outcome"),
    [
        (0, (OrderState.REJECTED, OrderReason.STATE_UNKNOWN)),
        (50, (OrderState.REJECTED, OrderReason.STATE_UNKNOWN)),
        (100, (OrderState.FILLED, OrderReason.NONE)),
    ],
)
def test_share_of_swaps_that_were_not_all_seen_is_unknown_but_for_all_of_them(
    share: int, outcome: tuple[OrderState, OrderReason]
) -> None:
    made = market()
    made.order([leg(A, COIN, TOKEN)], E18)
    made.begin()
    made.tell(Gap(3, 9, GapScope.RING_SEQUENCES, Reason.LAPPED), domain=Domain.SYSTEM)
    made.swap(A, DEEP, DEEP)
    made.swap(A, DEEP + E18, DEEP)
    made.swap(B, DEEP, DEEP)
    made.end()
    assert outcomes(run(made, ExecutionConfig(share_percent=share))) == [outcome]


@pytest.mark.parametrize("seed", range(4))
def test_orders_of_absurd_numbers_end_with_a_reason(seed: int) -> None:
    draw = random.Random(seed)
    made = market()
    pool = (A, B, C, bytes(32), b"x" * 32)
    token = (COIN, TOKEN, OTHER, bytes(20))
    small, wide = (0, 1, 99, 100, 101, 1 << 40), (0, 1, E18, 1 << 112, 1 << 128, 1 << 255, (1 << 256) - 1)
    for _ in range(100):
        legs = [leg(draw.choice(pool), draw.choice(token), draw.choice(token), draw.randrange(4)) for _ in "12"]
        request = OrderRequest(
            draw.choice((0, 1, (1 << 64) - 1)),
            *(draw.choice((-(1 << 63), -1, 0, 1, (1 << 63) - 1)) for _ in range(2)),
            *(draw.choice(small) for _ in range(2)),
            *(draw.choice(wide) for _ in range(2)),
            *(draw.choice((RING, bytes(16))), "", 0),
            *(draw.choice(token) for _ in range(2)),
            draw.randrange(4),
        )
        made.ask(
            request, *legs[: draw.randrange(3)], domain=Domain.EXECUTION, published_ns=draw.choice((-5, 0, 1 << 62))
        )
        if draw.random() < 0.2:
            made.order([leg(A, COIN, TOKEN)], E18)
    made.empty_blocks(3)
    executor = PaperExecutor()
    messages = [parse(data) for data in feed(executor, made.inputs)]
    assert len(outcomes(messages)) + executor.summary()["pending"] == executor.counts["orders"] > 90


def test_order_on_a_frame_that_never_comes_expires_and_nothing_waits_for_it() -> None:
    made = market()
    made.sequence += 100_000
    made.order([leg(A, COIN, TOKEN)], E18, block_number=100)
    made.sequence -= 100_000
    made.empty_blocks(KEPT_BLOCKS + 1)
    executor = PaperExecutor()
    assert feed(executor, made.inputs) == []
    assert executor.summary()["pending"] == 1
    seen = len(made.inputs)
    made.empty_blocks(1)
    driver = Driver(executor, RING)
    for one in made.inputs[seen:]:
        driver.deliver(one.sequence, one.time_ns, one.payload)
    (status,) = (record for draft in executor.drafts for record in draft.records)
    assert (status.state, status.block_number) == (OrderState.EXPIRED, 101 + KEPT_BLOCKS + 1)
    assert executor.summary()["pending"] == 0


@pytest.mark.parametrize("base_fee", [1 << 255, 1 << 245])
def test_gas_beyond_what_a_report_can_state_is_refused_with_the_most_that_it_can(base_fee: int) -> None:
    made = market()
    made.order([leg(A, COIN, TOKEN)], E18)
    made.begin(base_fee)
    made.end()
    (decision,) = of(RiskDecision, run(made))
    assert decision.reason == OrderReason.UNPRICED
    assert decision.found == decision.limit == MOST_STATED


def test_second_order_of_an_id_is_a_duplicate_and_a_frame_that_comes_again_is_none() -> None:
    made = market()
    made.order([leg(A, COIN, TOKEN)], E18, order_id=5)
    made.order([leg(A, COIN, TOKEN)], E18, order_id=5)
    made.inputs.append(made.inputs[-1])
    made.empty_blocks(1)
    executor = PaperExecutor()
    messages = [parse(data) for data in feed(executor, made.inputs)]
    assert outcomes(messages) == [
        (OrderState.FILLED, OrderReason.NONE),
        (OrderState.REJECTED, OrderReason.DUPLICATE),
    ]
    assert executor.counts["again"] == 1


@pytest.mark.parametrize(
    ("config", "reason", "found"),
    [
        (ExecutionConfig(max_exposure_wei=3 * E18 - 1), OrderReason.EXPOSURE, 3 * E18),
        (ExecutionConfig(max_orders_per_block=2), OrderReason.RATE, 3),
        (ExecutionConfig(max_loss_wei=GWEI), OrderReason.LOSS, None),
        (ExecutionConfig(max_position_wei=2 * E18), OrderReason.POSITION, None),
        (ExecutionConfig(max_order_age_blocks=1, delay_blocks=2), OrderReason.STALE, 2),
        (ExecutionConfig(max_state_age_blocks=1, delay_blocks=2), OrderReason.STALE, 3),
        (ExecutionConfig(fee_on_transfer_tokens=(f"0x{TOKEN.hex()}",)), OrderReason.NOT_QUOTABLE, None),
    ],
)
def test_limits(config: ExecutionConfig, reason: OrderReason, found: int | None) -> None:
    made = market()
    for _ in range(3):
        made.order([leg(A, COIN, TOKEN)], E18)
    made.empty_blocks(config.delay_blocks)
    messages = run(made, config)
    assert outcomes(messages)[-1] == (OrderState.REJECTED, reason)
    decision = of(RiskDecision, messages)[-1]
    assert (decision.approved, decision.reason) == (0, reason)
    if found is not None:
        assert decision.found == found


def test_breaker_opens_cools_down_tries_one_and_closes() -> None:
    made = market()
    for number in range(12):
        fails = number < 9
        made.order([leg(A, COIN, TOKEN)], E18, min_amount_out=E18 if fails else 0)
        made.order([leg(A, COIN, TOKEN)], E18, min_amount_out=E18 if fails else 0)
        made.empty_blocks(1)
    messages = run(made, ExecutionConfig(breaker_failures=3, cool_down_blocks=3))
    turns = [(turn.block_number, turn.state, turn.reason) for turn in of(CircuitBreaker, messages)]
    assert turns == [
        (102, BreakerState.OPEN, OrderReason.FAILURES),
        (106, BreakerState.HALF_OPEN, OrderReason.COOLED_DOWN),
        (106, BreakerState.OPEN, OrderReason.FAILURES),
        (110, BreakerState.HALF_OPEN, OrderReason.COOLED_DOWN),
        (110, BreakerState.CLOSED, OrderReason.NONE),
    ]
    refused = [status.block_number for status in of(OrderStatus, messages) if status.reason == OrderReason.BREAKER_OPEN]
    assert refused == [102, 103, 103, 104, 104, 105, 105, 106, 107, 107, 108, 108, 109, 109]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (ExecutionConfig(breaker_loss_wei=GWEI), OrderReason.LOSS),
        (ExecutionConfig(breaker_shortfall_percent=10), OrderReason.PREDICTION),
    ],
)
def test_breaker_opens_by_loss_and_by_shortfall(config: ExecutionConfig, reason: OrderReason) -> None:
    made = market()
    for _ in range(12):
        if reason is OrderReason.LOSS:
            made.order([leg(A, COIN, TOKEN)], E18, min_amount_out=E18)
        else:
            made.signal((A, B), E18, 2 * E18)
        made.empty_blocks(1)
    assert of(CircuitBreaker, run(made, config))[0].reason == reason


def test_swap_that_is_no_round_trip_is_a_position_valued_at_the_rates_of_its_block() -> None:
    made = market()
    made.order([leg(A, COIN, TOKEN)], 10 * E18)
    made.empty_blocks(1)
    executor = PaperExecutor()
    (report,) = of(ExecutionReport, [parse(data) for data in feed(executor, made.inputs)])
    out = Hop(DEEP, DEEP, 3000).out(10 * E18)
    assert executor.ledger.positions == {COIN: -10 * E18, TOKEN: out}
    assert (report.gross, report.token) == (out, TOKEN)
    assert executor.ledger.total.gross == out * report.rate_native // report.rate_profit - 10 * E18
    assert executor.summary()["pnl_by_route"]["quickswap_v2"]["filled"] == 1
    assert executor.summary()["pnl_by_strategy"]["desk"]["orders"] == 1


def test_gas_is_priced_by_the_blocks_own_base_fee() -> None:
    made = market()
    for base_fee in (0, 30 * GWEI, 1 << 200):
        made.signal((A, B), E18, 2 * E18)
        made.begin(base_fee=base_fee)
        made.end()
    messages = run(made, ExecutionConfig(gas=GasConfig(tip_wei=5, legacy_price_wei=7)))
    assert [report.gas_price for report in of(ExecutionReport, messages)] == [7, 30 * GWEI + 5, (1 << 200) + 5]
    assert executor_is_broke(messages)


def executor_is_broke(messages: list[Message]) -> bool:
    """Whether the absurd gas of the last block opened the breaker."""
    return [turn.reason for turn in of(CircuitBreaker, messages)] == [OrderReason.LOSS]


def test_hostile_frames_of_a_strategys_ring_crash_nothing() -> None:
    made = market()
    made.order([leg(A, COIN, TOKEN)], E18)
    good = made.inputs[-1].payload
    executor = PaperExecutor()
    feed(executor, made.inputs)
    for sequence, cut in enumerate(range(len(good)), start=10):
        executor.take_order(good[:cut], SIGNALS, sequence, 0)
    executor.take_order(b"\xff" * 60_000, SIGNALS, 10_000, 0)
    assert executor.counts["unreadable"] == len(good) + 1
    executor.take_order(build(Domain.EXECUTION, 21, [TickLiquidity.unpack(bytes(64))][:0]), SIGNALS, 10_001, 0)
    assert executor.counts["ignored"] == 1


def test_settings_are_checked() -> None:
    for wrong in (
        {"delay_blocks": 0},
        {"share_percent": 101},
        {"inclusion_percent": 100.1},
        {"clock": "guess"},
        {"wrapped_native": "0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed"},
        {"cool_down_blocks": 1 << 63},
        {"gas": {"swap_units_by_venue": {"quickswop": 1}}},
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, ExecutionConfig)
