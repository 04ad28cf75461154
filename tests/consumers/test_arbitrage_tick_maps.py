"""The strategy with a tick map and without: how far it quotes, what it says of that, and how the signal proves it."""

from __future__ import annotations

import msgspec
import pytest

from consumers.arbitrage.config import ArbitrageConfig
from consumers.arbitrage.signal import verify_signal
from consumers.arbitrage.tick_math import MAX_TICK, MIN_TICK, sqrt_price_at
from consumers.strategy import Draft
from tests.consumers.recorded_market import RING
from tests.consumers.test_arbitrage_strategy import NATIVE, TOKEN, A, B, Market, message_of, signal_of
from tlv.codes import Flag, GapScope, InvalidationScope, Protocol, QuoteVerdict, Reason
from tlv.layout import (
    Block,
    Gap,
    PoolBurn,
    PoolMint,
    PoolTicks,
    Reorg,
    Session,
    StateInvalidation,
    TickLiquidity,
    WayTick,
)
from tlv.record import Record

E18 = 10**18
DEEP, NARROW = 10**23, 10**24
TICKS = [
    TickLiquidity(DEEP, DEEP, -887220),
    TickLiquidity(NARROW, NARROW, -60),
    TickLiquidity(NARROW, -NARROW, 60),
    TickLiquidity(DEEP, -DEEP, 887220),
]


class MappedMarket(Market):
    """A V2 pool and a V3 pool with a narrow position; at the end of a block the V2 pool is far dearer."""

    def __init__(self) -> None:
        super().__init__(ArbitrageConfig(early=False))
        self.know(A)
        self.know(B, protocol=Protocol.UNISWAP_V3, spacing=60)
        self.block()

    def block(self) -> None:
        """The block of the moment is announced."""
        hashes = (self.number.to_bytes(32, "big"), bytes(32))
        self.tell(Block(self.number, 0, 0, 0, 0, 0, *hashes))

    def map(self, *ticks: TickLiquidity, last_tick: int = MAX_TICK) -> None:
        """A tick map as of the block before this one."""
        head = self.head(B, (NATIVE, TOKEN), Protocol.UNISWAP_V3)
        end = (MIN_TICK, last_tick, 60, len(ticks))
        self.tell(PoolTicks(*head, self.number - 1, bytes(32), *end), *ticks, flags=Flag.SNAPSHOT)

    def opportunity(self) -> Draft:
        """What the strategy says at the end of the block."""
        self.sync(A, 3_000_000 * E18, 3_300_000 * E18)
        self.price(B, sqrt_price_at(0), DEEP + NARROW, 0)
        (draft,) = self.end_block()
        return draft


def verdict(draft: Draft) -> QuoteVerdict:
    """How far a signal can be trusted; its own numbers follow from each other."""
    assert verify_signal(message_of(draft)) == []
    return QuoteVerdict(signal_of(draft)[0].verdict)


def way(draft: Draft) -> list[int]:
    """The ticks in a signal."""
    return [record.tick for record in draft.records if isinstance(record, WayTick)]


def test_strategy_with_a_whole_map_crosses_ticks_and_says_exact() -> None:
    mapped, plain = MappedMarket(), MappedMarket()
    mapped.map(*TICKS)
    across, within = mapped.opportunity(), plain.opportunity()
    assert (verdict(across), verdict(within)) == (QuoteVerdict.EXACT, QuoteVerdict.WITHIN_SEGMENT)
    assert len(way(across)) == 2 and way(within) == []
    assert signal_of(across)[1].gross > signal_of(within)[1].gross
    assert signal_of(across)[1].gas_units == signal_of(within)[1].gas_units + 50_000
    assert mapped.strategy.counts["tick_maps"] == 1


def test_strategy_map_moved_by_mint_and_burn_is_what_a_signal_crosses() -> None:
    market = MappedMarket()
    market.map(*TICKS)
    parties = (bytes(20), bytes(20))
    head = market.head(B, (NATIVE, TOKEN), Protocol.UNISWAP_V3)
    market.tell(PoolMint(*head, 1, 1, NARROW, -120, 120, *parties), market.origin(1))
    market.tell(PoolBurn(*head, 1, 1, NARROW, -60, 60, *parties), market.origin(2))
    draft = market.opportunity()
    assert verdict(draft) == QuoteVerdict.EXACT
    assert 60 not in map(abs, way(draft)) and abs(way(draft)[0]) == 120


@pytest.mark.parametrize(
    ("ticks", "last_tick"),
    [
        (TICKS[:2], 0),
        ([], MAX_TICK),
        ([TICKS[0], TICKS[3]], MAX_TICK),
    ],
    ids=["half", "empty", "of_another_liquidity"],
)
def test_strategy_map_that_is_not_whole_or_contradicts_the_pool_is_not_used(
    ticks: list[TickLiquidity], last_tick: int
) -> None:
    market = MappedMarket()
    market.map(*ticks, last_tick=last_tick)
    assert verdict(market.opportunity()) == QuoteVerdict.WITHIN_SEGMENT


@pytest.mark.parametrize(
    "loss",
    [
        StateInvalidation(0, InvalidationScope.ALL_POOLS, Reason.DISCONNECTED, bytes(20)),
        StateInvalidation(0, InvalidationScope.ONE_POOL, Reason.LATE_LOGS, B),
        Gap(90, 95, GapScope.BLOCK_NUMBERS, Reason.NODE_HAS_NO_BLOCK),
        Gap(90, 95, GapScope.RING_SEQUENCES, Reason.LAPPED),
        Session(RING, 2, 1, 137, 0),
        Reorg(50, 101, 101, 51, 0, bytes(32), bytes(32), bytes(32)),
        Reorg(98, 101, 101, 1, 0, b"f" * 32, bytes(32), bytes(32)),
    ],
    ids=["disconnected", "one_pool", "gap", "ring_gap", "session", "unknown_fork", "reorg_below"],
)
def test_strategy_map_is_not_used_after_what_voids_it(loss: Record) -> None:
    market = MappedMarket()
    market.map(*TICKS)
    market.system(loss)
    assert verdict(market.opportunity()) == QuoteVerdict.WITHIN_SEGMENT


def test_strategy_that_lost_frames_takes_a_map_only_after_the_next_block() -> None:
    market = MappedMarket()
    market.driver.lose(50, 60)
    market.map(*TICKS)
    assert verdict(market.opportunity()) == QuoteVerdict.WITHIN_SEGMENT
    market.block()
    market.map(*TICKS)
    assert verdict(market.opportunity()) == QuoteVerdict.EXACT


def test_verify_signal_finds_a_changed_or_missing_tick() -> None:
    market = MappedMarket()
    market.map(*TICKS)
    draft = market.opportunity()
    *before, crossed, ahead = draft.records
    assert isinstance(crossed, WayTick) and isinstance(ahead, WayTick)
    other_net = msgspec.structs.replace(crossed, liquidity_net=crossed.liquidity_net // 2)
    elsewhere = msgspec.structs.replace(crossed, tick=crossed.tick // 60 * 60 + 60)
    for false in ([other_net, ahead], [elsewhere, ahead], [ahead]):
        assert verify_signal(message_of(Draft(draft.source, (*before, *false), 0)))
