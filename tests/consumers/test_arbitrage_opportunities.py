"""Opportunities: one signal that holds, its identity, its renewal, its withdrawal; and cycles of three pools."""

from __future__ import annotations

import pytest

from consumers.arbitrage.config import ArbitrageConfig
from consumers.arbitrage.constant_product import MAX_RESERVE
from consumers.arbitrage.flash_arbitrage import MAX_LIVE
from consumers.arbitrage.signal import verify_signal
from consumers.arbitrage.tick_math import MAX_SQRT_PRICE, sqrt_price_at
from consumers.strategy import Draft
from tests.consumers.recorded_market import RING
from tests.consumers.test_arbitrage_strategy import (
    NATIVE,
    OTHER,
    TOKEN,
    A,
    B,
    C,
    Market,
    legs_of,
    message_of,
    signal_id_of,
    signal_of,
    signals,
    two_pools,
    withdrawals,
)
from tests.consumers.three_coins import pairs_of_three_coins, swap_of
from tlv.codes import Flag, GapScope, InvalidationScope, Protocol, QuoteVerdict, Reason, WithdrawalReason
from tlv.layout import Gap, PoolBurn, Reorg, Session, StateInvalidation
from tlv.record import Record

E18 = 10**18
TRIANGLE = {A: (NATIVE, TOKEN), B: (TOKEN, OTHER), C: (NATIVE, OTHER)}


def three_pools(config: ArbitrageConfig | None = None) -> Market:
    """Three pools of three tokens, all at the price 1."""
    market = Market(config)
    for pool, tokens in TRIANGLE.items():
        market.know(pool, tokens)
        assert market.sync(pool, 1_000 * E18, 1_000 * E18, tokens) == []
    return market


@pytest.mark.parametrize(
    ("moved", "reserve1", "path"),
    [
        (A, 1_100 * E18, [(A, NATIVE, TOKEN), (B, TOKEN, OTHER), (C, OTHER, NATIVE)]),
        (A, 900 * E18, [(C, NATIVE, OTHER), (B, OTHER, TOKEN), (A, TOKEN, NATIVE)]),
        (B, 1_100 * E18, [(A, NATIVE, TOKEN), (B, TOKEN, OTHER), (C, OTHER, NATIVE)]),
        (C, 1_100 * E18, [(C, NATIVE, OTHER), (B, OTHER, TOKEN), (A, TOKEN, NATIVE)]),
    ],
)
def test_strategy_cycle_of_three_pools_is_signalled_either_way_round(
    moved: bytes, reserve1: int, path: list[tuple[bytes, bytes, bytes]]
) -> None:
    (draft,) = three_pools().sync(moved, 1_000 * E18, reserve1, TRIANGLE[moved])
    assert [(leg.pool, leg.token_in, leg.token_out) for leg in legs_of(draft)] == path
    assert verify_signal(message_of(draft)) == []
    assert signal_of(draft)[0].legs == 3 and signal_of(draft)[1].gas_units == 80_000 + 3 * 60_000


def test_strategy_event_signals_the_best_cycle_and_the_blocks_end_all_in_order_of_net() -> None:
    market = three_pools()
    for extra, depth in ((b"d" * 20, 500), (b"e" * 20, 2_000)):
        market.know(extra)
        market.sync(extra, depth * E18, depth * E18)
    (best,) = market.sync(A, 1_000 * E18, 1_100 * E18)
    assert {leg.pool for leg in legs_of(best)} == {A, b"e" * 20}
    ended = market.end_block()
    nets = [signal_of(draft)[1].net for draft in ended]
    assert len(nets) == 3 and nets == sorted(nets, reverse=True) and nets[0] == signal_of(best)[1].net
    assert {signal_of(draft)[0].legs for draft in ended} == {2, 3}
    assert len({signal_of(draft)[0].opportunity for draft in ended}) == 3
    assert signal_of(ended[0])[0].opportunity == signal_of(best)[0].opportunity


def test_opportunity_keeps_its_number_while_it_earns_and_gets_another_after_it_did_not() -> None:
    market = two_pools()
    numbers = []
    for reserve in (1_100, 1_120, 1_000, 1_100):
        numbers += [signal_of(draft)[0].opportunity for draft in signals(market.sync(B, 1_000 * E18, reserve * E18))]
    assert numbers[0] == numbers[1] != numbers[2]


def test_opportunity_same_frames_give_the_same_number_and_another_trigger_another() -> None:
    first, again, later = two_pools(), two_pools(), two_pools()
    later.sync(A, 1_000 * E18, 1_000 * E18)
    numbers = [
        signal_of(market.sync(B, 1_000 * E18, 1_100 * E18)[0])[0].opportunity for market in (first, again, later)
    ]
    assert numbers[0] == numbers[1] != numbers[2]


def test_signal_is_not_repeated_while_nothing_of_it_changes() -> None:
    market = two_pools()
    market.sync(B, 1_000 * E18, 1_100 * E18)
    assert market.sync(B, 1_000 * E18, 1_100 * E18, log=1) == []
    assert market.strategy.counts["signals_unchanged"] == 1
    assert len(signals(market.sync(B, 1_000 * E18, 1_101 * E18, log=2))) == 1


def test_signal_holds_for_the_blocks_that_are_set_and_its_opportunity_for_longer() -> None:
    market = two_pools(ArbitrageConfig(signal_blocks=3))
    (made,) = market.sync(B, 1_000 * E18, 1_100 * E18)
    assert signal_of(made)[0].expires_block == 103
    (settled,) = market.end_block()
    assert market.end_block() == market.end_block() == []
    (expired,) = withdrawals(market.end_block())
    assert (expired.reason, expired.signal_id) == (WithdrawalReason.EXPIRED, signal_id_of(settled))
    assert expired.block_number == 103
    assert market.end_block() == [], "once"
    (more,) = market.sync(B, 1_000 * E18, 1_110 * E18)
    assert signal_of(more)[0].opportunity == signal_of(made)[0].opportunity


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        (StateInvalidation(0, InvalidationScope.ALL_POOLS, Reason.DISCONNECTED, bytes(20)), "STATE_UNKNOWN"),
        (StateInvalidation(0, InvalidationScope.ONE_POOL, Reason.LATE_LOGS, A), "STATE_UNKNOWN"),
        (Gap(90, 95, GapScope.BLOCK_NUMBERS, Reason.NODE_HAS_NO_BLOCK), "STATE_UNKNOWN"),
        (Gap(90, 95, GapScope.RING_SEQUENCES, Reason.LAPPED), "STATE_UNKNOWN"),
        (Session(RING, 2, 1, 137, 0), "STATE_UNKNOWN"),
        (Reorg(99, 100, 100, 1, 1, b"f" * 32, bytes(32), bytes(32)), "REORG"),
        (Reorg(50, 100, 100, 51, 0, bytes(32), bytes(32), bytes(32)), "REORG"),
    ],
    ids=["disconnected", "one_pool", "gap", "ring_gap", "session", "reorg", "unknown_fork"],
)
def test_signal_is_withdrawn_when_its_state_is_lost(loss: Record, reason: str) -> None:
    market = two_pools()
    (made,) = market.sync(B, 1_000 * E18, 1_100 * E18)
    (gone,) = withdrawals(market.system(loss))
    assert (gone.signal_id, gone.reason) == (signal_id_of(made), WithdrawalReason[reason])
    assert len(market.strategy.live) == 0 and market.end_block() == []


def test_signal_is_withdrawn_when_frames_are_lost_or_its_event_left_the_chain() -> None:
    lost, removed = two_pools(), two_pools()
    for market in (lost, removed):
        assert market.sync(B, 1_000 * E18, 1_100 * E18, log=4)
    assert [one.reason for one in withdrawals(lost.driver.lose(50, 60))] == [WithdrawalReason.STATE_UNKNOWN]
    taken_back = removed.sync(B, 1_000 * E18, 1_100 * E18, log=4, flags=Flag.REMOVED)
    assert [one.reason for one in withdrawals(taken_back)] == [WithdrawalReason.REORG]


def test_reorg_below_a_signal_leaves_it_and_restores_what_earned_at_the_fork() -> None:
    market = two_pools()
    market.sync(B, 1_000 * E18, 1_100 * E18)
    (settled,) = market.end_block()
    assert [one.reason for one in withdrawals(market.sync(B, 1_000 * E18, 1_000 * E18))] == [WithdrawalReason.GONE]
    assert market.system(Reorg(100, 101, 101, 1, 1, b"f" * 32, bytes(32), bytes(32))) == []
    (again,) = market.end_block()
    assert legs_of(again) == legs_of(settled)


def test_signals_of_many_pools_are_bounded_and_their_loss_fits_one_frame() -> None:
    market = Market(ArbitrageConfig(gross=True, max_solved=400))
    pools = [n.to_bytes(20, "big") for n in range(1, 700)]
    for pool in pools:
        market.know(pool)
        market.sync(pool, 1_000 * E18, 1_000 * E18)
    made = [draft for pool in pools[:3] for draft in signals(market.sync(pool, 1_000 * E18, 1_100 * E18))]
    assert len(market.strategy.live) <= MAX_LIVE < len(made) + market.strategy.counts["signals_crowded"]
    assert market.strategy.counts["unsolved"] > 0
    holding = len(market.strategy.live)
    assert len(withdrawals(market.driver.lose(5, 6))) == holding > 200


def fees(pips: int) -> Market:
    """Two pools far apart, the second with this fee."""
    market = Market()
    market.know(A)
    market.know(B, fee=pips)
    market.sync(A, 1_000 * E18, 1_000 * E18)
    return market


@pytest.mark.parametrize("pips", [1_000_000, 1_000_001, (1 << 32) - 1])
def test_pool_that_takes_all_is_refused_and_counted(pips: int) -> None:
    market = fees(pips)
    assert market.sync(B, 1_000 * E18, 1_100 * E18) == []
    assert market.strategy.counts["refused_fee"] > 0
    assert fees(999_999).sync(B, 1_000 * E18, 10**9 * 1_000 * E18) != []


@pytest.mark.parametrize("reserve", [0, MAX_RESERVE + 1, 1 << 255, (1 << 256) - 1])
def test_pool_with_reserves_that_no_pair_has_is_refused_and_counted(reserve: int) -> None:
    market = two_pools()
    assert market.sync(B, 1_000 * E18, reserve) == market.sync(B, reserve, 1_000 * E18, log=1) == []
    assert market.strategy.counts["refused_reserves"] == 2
    assert market.sync(B, 1_000 * E18, 1_100 * E18, log=2) != [], "the next state is good again"


@pytest.mark.parametrize("reserve", [MAX_RESERVE, MAX_RESERVE - 1, 1])
def test_pool_with_the_largest_or_least_reserves_is_exact(reserve: int) -> None:
    market = two_pools()
    for draft in market.sync(B, 1_000 * E18, reserve) + market.sync(B, reserve, 1_000 * E18, log=1):
        assert verify_signal(message_of(draft)) == []
    assert market.strategy.counts["refused_reserves"] == 0


@pytest.mark.parametrize(
    ("price", "liquidity", "tick", "reason"),
    [
        (0, E18, 0, "price"),
        (1, E18, 0, "price"),
        (MAX_SQRT_PRICE, E18, 887_271, "price"),
        ((1 << 256) - 1, E18, 0, "price"),
        (1 << 96, 0, 0, "liquidity"),
        (1 << 96, E18, 887_272, "tick"),
        (1 << 96, E18, -(1 << 31), "tick"),
        (1 << 96, E18, 5, "tick"),
    ],
)
def test_concentrated_pool_with_an_impossible_state_is_refused_and_counted(
    price: int, liquidity: int, tick: int, reason: str
) -> None:
    market = Market()
    market.know(A)
    market.know(B, protocol=Protocol.UNISWAP_V3, spacing=60)
    market.sync(A, 1_000 * E18, 2_000 * E18)
    assert market.price(B, price, liquidity, tick) == []
    assert market.strategy.counts[f"refused_{reason}"] > 0
    assert market.price(B, sqrt_price_at(5), 10**24, 5) != []


def test_concentrated_pool_of_which_more_is_burnt_than_there_is_is_refused() -> None:
    market = Market()
    for pool in (A, B):
        market.know(pool, protocol=Protocol.UNISWAP_V3, fee=500, spacing=10)
    market.price(A, sqrt_price_at(0), 10**24, 0)
    assert market.price(B, sqrt_price_at(58), 10**24, 58) != []
    head = market.head(B, (NATIVE, TOKEN), Protocol.UNISWAP_V3)
    gone = market.tell(PoolBurn(*head, 1, 1, 10**25, 0, 60, bytes(20), bytes(20)), market.origin(1))
    assert [one.reason for one in withdrawals(gone)] == [WithdrawalReason.GONE]
    assert market.strategy.counts["refused_liquidity"] > 0


@pytest.mark.parametrize("tokens", [(TOKEN, TOKEN), (TOKEN, NATIVE)], ids=["one_token", "wrong_order"])
def test_pool_of_one_token_or_of_tokens_in_the_wrong_order_is_refused(tokens: tuple[bytes, bytes]) -> None:
    market = two_pools()
    market.know(C, tokens)
    assert market.sync(C, 1_000 * E18, 5_000 * E18, tokens) == []
    assert market.strategy.counts["refused_tokens"] > 0


def test_unknown_decimals_change_no_amount() -> None:
    def said(decimals: int) -> Draft:
        market = Market()
        market.head = lambda pool, tokens, protocol=Protocol.UNISWAP_V2: (  # type: ignore[method-assign]
            pool,
            *tokens,
            400,
            decimals,
            decimals,
            protocol,
        )
        for pool in (A, B):
            market.know(pool)
        market.sync(A, 1_000 * E18, 1_000 * E18)
        (draft,) = market.sync(B, 1_000 * E18, 1_100 * E18)
        return draft

    unknown, known = said(255), said(18)
    assert signal_of(unknown)[0].decimals_in == 255
    assert signal_of(unknown)[0].amount_out == signal_of(known)[0].amount_out
    assert verify_signal(message_of(unknown)) == []
    assert signal_of(unknown)[0].verdict == QuoteVerdict.SPECULATIVE


def test_cycles_beyond_the_limit_are_left_out_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    market = Market(ArbitrageConfig(max_cycles=3))
    for number in range(1, 6):
        market.know(bytes([number]) * 20)
    assert (market.strategy.counts["cycles"], market.strategy.counts["cycles_left_out"]) == (3, 7)
    assert [record.message for record in caplog.records] == [
        "3 cycles are in the table, as many as max_cycles allows; what appears now is left out"
    ]


def test_pairs_of_a_pool_that_says_no_price_take_no_room_in_the_table() -> None:
    market, heads = Market(), [head for head, _ in pairs_of_three_coins()]
    for head in heads:
        market.tell(swap_of(head), market.origin(1))
    for pool in (A, B):
        market.know(pool, tokens=heads[0][1:3])
    assert len(market.strategy.book.pools) == 5 and market.strategy.counts["cycles"] == 1
