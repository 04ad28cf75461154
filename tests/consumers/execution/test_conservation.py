"""Whatever is ordered, and whatever leaves the chain: no token comes from nowhere, and no fill is better than exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.execution.config import ExecutionConfig
from consumers.execution.executor import PaperExecutor
from tests.consumers.execution.paper_market import COIN, E18, OTHER, TOKEN, A, B, C, PaperMarket, feed, leg
from tlv.codes import OrderState
from tlv.layout import ExecutionReport, Fill, OrderLeg, OrderRequest, OrderStatus
from tlv.message import parse

PAIRS = {A: (COIN, TOKEN), B: (COIN, TOKEN), C: (TOKEN, OTHER), b"d" * 20: (COIN, OTHER)}
FEES = dict(zip(PAIRS, (3000, 0, 10_000, 999_999), strict=True))
ROUTES = (
    ((A, COIN, TOKEN),),
    ((A, COIN, TOKEN), (B, TOKEN, COIN)),
    ((C, OTHER, TOKEN), (A, TOKEN, COIN)),
    ((B, COIN, TOKEN), (C, TOKEN, OTHER), (b"d" * 20, OTHER, COIN)),
)
WIDE = 1 << 300
MOST_RESERVE = (1 << 112) - 1
Reserves = dict[bytes, dict[bytes, int]]
ORDERS = st.tuples(
    st.sampled_from(ROUTES),
    st.sampled_from((1, 10**9, E18, 10**24, 1 << 111, 1 << 112, 1 << 255, (1 << 256) - 1)),
    st.sampled_from((0, 0, 0, 1, E18, (1 << 256) - 1)),
)
BLOCKS = st.lists(st.tuples(st.lists(ORDERS, max_size=3), st.integers(0, 3)), min_size=1, max_size=6)
"""The orders of each block, and how many blocks leave the chain behind it."""


def walk(reserves: Reserves, legs: Sequence[OrderLeg], amount_in: int) -> list[int]:
    """What goes in, and what each V2 pool pays by the formula of its white paper; 0 from where one reverts."""
    amounts = [amount_in]
    for swap in legs:
        entering, leaving = reserves[swap.pool][swap.token_in], reserves[swap.pool][swap.token_out]
        with_fee = amounts[-1] * (1_000_000 - FEES[swap.pool])
        fits = entering + amounts[-1] <= MOST_RESERVE
        amounts.append(with_fee * leaving // (entering * 1_000_000 + with_fee) if fits else 0)
    return amounts


def held(reserves: Reserves) -> Counter[bytes]:
    """What all pools hold of each token."""
    total: Counter[bytes] = Counter()
    for sides in reserves.values():
        total.update(sides)
    return total


@settings(max_examples=60, deadline=None)
@given(
    BLOCKS,
    st.lists(st.sampled_from((1, 10**6, 1_000 * E18, MOST_RESERVE)), min_size=8, max_size=8),
    st.sampled_from((0.0, 100.0)),
)
def test_tokens_are_conserved_and_fills_are_exact(
    blocks: list[tuple[list[tuple[tuple[tuple[bytes, bytes, bytes], ...], int, int]], int]],
    amounts: list[int],
    inclusion: float,
) -> None:
    made = PaperMarket()
    made.begin()
    reserves: Reserves = {}
    for at, (pool, tokens) in enumerate(PAIRS.items()):
        reserves[pool] = dict(zip(tokens, amounts[2 * at : 2 * at + 2], strict=True))
        made.pool(pool, *reserves[pool].values(), *tokens, fee=FEES[pool])
    made.end()
    for orders, depth in blocks:
        for route, amount_in, least in orders:
            legs = [leg(*swap, number) for number, swap in enumerate(route, 1)]
            made.order(legs, amount_in, min_amount_out=least)
        made.empty_blocks(1)
        if 0 < depth < made.number - 100:
            made.reorg(depth)
    made.empty_blocks(1)
    config = ExecutionConfig(
        max_exposure_wei=WIDE, max_position_wei=WIDE, max_loss_wei=WIDE, breaker_failures=1_000,
        breaker_loss_wei=WIDE, inclusion_percent=inclusion,
    )  # fmt: skip
    executor = PaperExecutor(config)
    messages = [parse(data) for data in feed(executor, made.inputs)]

    asked = {one.sequence: parse(one.payload) for one in made.inputs if one.is_order}
    begun, done = held(reserves), dict[int, tuple[ExecutionReport, list[Fill]]]()
    for message in messages:
        status, report = message.first(OrderStatus), message.first(ExecutionReport)
        if status is not None and status.state == OrderState.UNDONE:
            for fill in reversed(done.pop(status.order_sequence)[1]):
                reserves[fill.pool][fill.token_in] -= fill.amount_in
                reserves[fill.pool][fill.token_out] += fill.amount_out
        if report is None:
            continue
        request = asked[report.order_sequence].first(OrderRequest)
        assert request is not None
        legs = [record for record in asked[report.order_sequence].records if isinstance(record, OrderLeg)]
        fills = [record for record in message.records if isinstance(record, Fill)]
        done[report.order_sequence] = report, fills
        amounts = walk(reserves, legs, request.amount_in)
        is_good = 0 < amounts[-1] >= request.min_amount_out
        assert report.state == (OrderState.FILLED if is_good else OrderState.FAILED)
        assert [(fill.amount_in, fill.amount_out) for fill in fills] == (list(pairwise(amounts)) if is_good else [])
        for fill in fills:
            reserves[fill.pool][fill.token_in] += fill.amount_in
            reserves[fill.pool][fill.token_out] -= fill.amount_out
        assert report.net == report.gross - report.gas_cost
    after, ledger = held(reserves), executor.ledger
    after.update(ledger.positions)
    assert after == begun
    assert sum(ledger.states.values()) == executor.counts["orders"] == len(asked)
    assert ledger.total.gas == sum(report.gas_units * report.gas_price for report, _ in done.values())
    assert ledger.total.net == ledger.total.gross - ledger.total.gas
    assert ledger.total.expected == (ledger.total.net if inclusion else 0)
