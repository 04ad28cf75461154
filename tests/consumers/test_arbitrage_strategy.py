"""The flash-arbitrage strategy on the recording and on made-up markets: what it says, and when it keeps quiet."""

from __future__ import annotations

import msgspec
import pytest

from consumers.arbitrage.config import WMATIC, ArbitrageConfig, GasConfig, read_config
from consumers.arbitrage.constant_product import Hop
from consumers.arbitrage.flash_arbitrage import FlashArbitrage
from consumers.arbitrage.signal import legs_in, verify_signal
from consumers.arbitrage.tick_math import sqrt_price_at
from consumers.strategy import Draft, Driver, drive
from tests.consumers.recorded_market import RING, Publisher, canonical_events, canonical_frames, pool_states
from tlv.codes import (
    Completeness,
    Domain,
    Flag,
    InvalidationScope,
    Protocol,
    QuoteVerdict,
    Reason,
    Source,
    Venue,
    WithdrawalReason,
)
from tlv.errors import TlvError, UsageError
from tlv.layout import (
    ArbitrageSignal,
    Block,
    BlockEnd,
    CycleLeg,
    Economics,
    EventOrigin,
    Gap,
    PoolMint,
    PoolState,
    PoolSwap,
    PoolSync,
    Reorg,
    Session,
    SignalIdentity,
    SignalWithdrawn,
    StateInvalidation,
)
from tlv.message import Message, build, parse
from tlv.record import Record

E18 = 10**18
NATIVE = bytes.fromhex(WMATIC[2:])
TOKEN = b"\xee" * 20
OTHER = b"\xff" * 20
NO_FLAGS = Flag(0)
A, B, C = b"a" * 20, b"b" * 20, b"c" * 20


def message_of(draft: Draft) -> Message:
    """A draft as a reader of the signal ring gets it."""
    return parse(build(Domain.SIGNAL, draft.source, draft.records, sequence=1))


def signal_of(draft: Draft) -> tuple[ArbitrageSignal, Economics]:
    """The two records that matter."""
    message = message_of(draft)
    signal, economics = message.first(ArbitrageSignal), message.first(Economics)
    assert signal is not None and economics is not None
    return signal, economics


def signal_id_of(draft: Draft) -> int:
    """What a withdrawal names."""
    identity = draft.records[0]
    assert isinstance(identity, SignalIdentity)
    return identity.signal_id


def legs_of(draft: Draft) -> list[CycleLeg]:
    """The legs of a signal."""
    return legs_in(message_of(draft))


def withdrawals(drafts: list[Draft]) -> list[SignalWithdrawn]:
    """What is taken back."""
    return [record for draft in drafts for record in draft.records if isinstance(record, SignalWithdrawn)]


def signals(drafts: list[Draft]) -> list[Draft]:
    """Those that are signals."""
    return [draft for draft in drafts if isinstance(draft.records[1], ArbitrageSignal)]


class Market:
    """A small market on which tests can move a pool and hear what the strategy says."""

    def __init__(self, config: ArbitrageConfig | None = None) -> None:
        self.strategy = FlashArbitrage(config)
        self.driver = Driver(self.strategy, RING)
        self.sequence = 0
        self.number = 100

    def tell(self, *records: Record, flags: Flag = NO_FLAGS, domain: Domain = Domain.MARKET_DATA) -> list[Draft]:
        """Deliver one message."""
        self.sequence += 1
        data = build(domain, Source.POLYGON_COLLECTOR, records, sequence=self.sequence, flags=flags)
        drafts = self.driver.deliver(self.sequence, self.sequence, data)
        assert not self.driver.poison, self.driver.poison[0].reason
        return drafts

    def system(self, record: Record) -> list[Draft]:
        """Deliver one system message."""
        return self.tell(record, domain=Domain.SYSTEM)

    def head(
        self, pool: bytes, tokens: tuple[bytes, bytes], protocol: Protocol = Protocol.UNISWAP_V2
    ) -> tuple[bytes, bytes, bytes, Venue, int, int, Protocol]:
        """What every pool record begins with."""
        return (pool, *tokens, Venue.QUICKSWAP_V2, 18, 18, protocol)

    def know(
        self,
        pool: bytes,
        tokens: tuple[bytes, bytes] = (NATIVE, TOKEN),
        fee: int = 3000,
        protocol: Protocol = Protocol.UNISWAP_V2,
        spacing: int = 0,
    ) -> None:
        """Tell identity and fee of a pool."""
        record = PoolState(*self.head(pool, tokens, protocol), 0, 0, 0, 0, 0, fee, 0, spacing, bytes(20), "", "")
        self.tell(record, flags=Flag.SNAPSHOT)

    def origin(self, log: int = 0) -> EventOrigin:
        """An origin in the block of the moment."""
        return EventOrigin(self.number, 0, 77, 0, log, self.number.to_bytes(32, "big"), bytes(32))

    def sync(
        self,
        pool: bytes,
        reserve0: int,
        reserve1: int,
        tokens: tuple[bytes, bytes] = (NATIVE, TOKEN),
        flags: Flag = NO_FLAGS,
        log: int = 0,
    ) -> list[Draft]:
        """A Sync of a V2 pool."""
        return self.tell(PoolSync(*self.head(pool, tokens), reserve0, reserve1), self.origin(log), flags=flags)

    def price(
        self, pool: bytes, sqrt_price: int, liquidity: int, tick: int, protocol: Protocol = Protocol.UNISWAP_V3
    ) -> list[Draft]:
        """A Swap of a V3 pool."""
        head = self.head(pool, (NATIVE, TOKEN), protocol)
        record = PoolSwap(*head, 1, 0, 0, 1, sqrt_price, liquidity, tick, bytes(20), bytes(20))
        return self.tell(record, self.origin())

    def end_block(self) -> list[Draft]:
        """Close the block of the moment; the next one begins."""
        drafts = self.system(BlockEnd(self.number, 1, 1, 0, 0, self.number.to_bytes(32, "big"), Completeness.REFETCHED))
        self.number += 1
        return drafts


def two_pools(config: ArbitrageConfig | None = None) -> Market:
    """Two V2 pools of one pair at the same price."""
    market = Market(config)
    for pool in (A, B):
        market.know(pool)
        assert market.sync(pool, 1_000 * E18, 1_000 * E18) == []
    return market


def test_strategy_price_gap_is_signalled_and_recomputes() -> None:
    market = two_pools()
    (draft,) = market.sync(B, 1_000 * E18, 1_100 * E18)
    signal, economics = signal_of(draft)

    assert verify_signal(message_of(draft)) == []
    legs = legs_of(draft)
    assert [(leg.pool, leg.token_in, leg.token_out, leg.leg) for leg in legs] == [
        (B, NATIVE, TOKEN, 1),
        (A, TOKEN, NATIVE, 2),
    ]
    assert (signal.token_in, signal.legs) == (NATIVE, 2)
    assert (signal.block_number, signal.block_hash) == (100, (100).to_bytes(32, "big"))
    assert (legs[0].reserve_in, legs[0].reserve_out) == (1_000 * E18, 1_100 * E18)
    assert signal.verdict == QuoteVerdict.SPECULATIVE
    first, second = Hop(1_000 * E18, 1_100 * E18, 3000), Hop(1_000 * E18, 1_000 * E18, 3000)
    assert legs[0].amount_in == signal.amount_in
    assert legs[0].amount_out == legs[1].amount_in == first.out(signal.amount_in)
    assert signal.amount_out == legs[1].amount_out == second.out(legs[1].amount_in)
    assert economics.gas_units == 200_000 and economics.gas_cost == 200_000 * 10**9
    assert economics.net == economics.gross - economics.gas_cost > 0


def test_strategy_closed_block_makes_the_verdict_exact() -> None:
    market = two_pools()
    (early,) = market.sync(B, 1_000 * E18, 1_100 * E18)
    (settled,) = market.end_block()

    assert signal_of(settled)[0].verdict == QuoteVerdict.EXACT
    assert msgspec.structs.replace(signal_of(settled)[0], verdict=QuoteVerdict.SPECULATIVE) == signal_of(early)[0]
    assert market.end_block() == []


def test_strategy_chance_gone_within_the_block_is_not_confirmed() -> None:
    market = two_pools()
    (made,) = market.sync(B, 1_000 * E18, 1_100 * E18)
    (gone,) = withdrawals(market.sync(B, 1_000 * E18, 1_001 * E18, log=1))
    assert gone == SignalWithdrawn(
        signal_id_of(made), signal_of(made)[0].opportunity, 100, (100).to_bytes(32, "big"), WithdrawalReason.GONE
    )
    assert market.end_block() == []


def test_strategy_both_pools_moved_in_a_block_is_one_confirmation() -> None:
    market = two_pools(ArbitrageConfig(early=False))
    assert market.sync(B, 1_000 * E18, 1_100 * E18) == market.sync(A, 1_001 * E18, 1_000 * E18, log=1) == []
    assert len(market.end_block()) == 1


def test_strategy_block_end_of_an_older_block_leaves_newer_moves_unconfirmed() -> None:
    market = two_pools(ArbitrageConfig(early=False))
    market.number = 105
    market.sync(B, 1_000 * E18, 1_100 * E18)
    assert market.system(BlockEnd(104, 1, 1, 0, 0, bytes(32), Completeness.REFETCHED)) == []
    assert len(market.end_block()) == 1


def test_strategy_gap_within_fees_is_no_candidate() -> None:
    market = two_pools()
    assert market.sync(B, 1_000 * E18, 1_005 * E18) == []
    assert market.strategy.counts["candidates"] == 0


def test_strategy_gain_eaten_by_gas_is_counted_and_said_only_on_request() -> None:
    dear = GasConfig(legacy_price_wei=10**15)
    quiet, gross = two_pools(ArbitrageConfig(gas=dear)), two_pools(ArbitrageConfig(gas=dear, gross=True))

    assert quiet.sync(B, 1_000 * E18, 1_100 * E18) == []
    assert (quiet.strategy.counts["below_gas"], quiet.strategy.counts["gross_positive"]) == (1, 0)
    (draft,) = gross.sync(B, 1_000 * E18, 1_100 * E18)
    assert signal_of(draft)[1].net < 0 < signal_of(draft)[1].gross
    assert verify_signal(message_of(draft)) == []


def test_strategy_threshold_in_wei_is_obeyed() -> None:
    (draft,) = two_pools().sync(B, 1_000 * E18, 1_100 * E18)
    net = signal_of(draft)[1].net

    assert two_pools(ArbitrageConfig(min_net_wei=net)).sync(B, 1_000 * E18, 1_100 * E18)
    assert two_pools(ArbitrageConfig(min_net_wei=net + 1)).sync(B, 1_000 * E18, 1_100 * E18) == []


def test_strategy_base_fee_bounds_the_next_blocks_price() -> None:
    market = two_pools(ArbitrageConfig(gas=GasConfig(tip_wei=7)))
    market.tell(Block(101, 0, 0, 0, 0, 101, bytes(32), bytes(32)))
    (draft,) = market.sync(B, 1_000 * E18, 1_100 * E18)
    assert signal_of(draft)[1].gas_price == 107 + 7  # ceil(101 * 1.05) = 107


def pair_without_native(config: ArbitrageConfig | None = None) -> Market:
    """Two pools of a pair that the wrapped coin is not part of."""
    market = Market(config)
    for pool in (A, B):
        market.know(pool, (TOKEN, OTHER))
        market.sync(pool, 1_000 * E18, 1_000 * E18, (TOKEN, OTHER))
    return market


def test_strategy_gas_is_priced_through_the_deepest_own_pool() -> None:
    market = pair_without_native()
    for pool, depth in ((C, 10), (b"d" * 20, 20)):
        market.know(pool, (NATIVE, OTHER))
        market.sync(pool, depth * E18, 3 * depth * E18, (NATIVE, OTHER))
    (draft,) = market.sync(B, 1_000 * E18, 1_100 * E18, (TOKEN, OTHER))
    signal, economics = signal_of(draft)

    assert signal.token_in == economics.profit_token == OTHER
    assert (economics.rate_pool, economics.rate_native, economics.rate_profit) == (b"d" * 20, 20 * E18, 60 * E18)
    assert economics.gas_cost == 3 * 200_000 * 10**9
    assert verify_signal(message_of(draft)) == []


def test_strategy_gas_is_not_priced_by_a_pool_without_fee_or_state() -> None:
    market = pair_without_native()
    market.sync(C, 10 * E18, 30 * E18, (NATIVE, OTHER))
    assert market.sync(B, 1_000 * E18, 1_100 * E18, (TOKEN, OTHER)) == []
    assert market.strategy.counts["unpriced"] == 1


def test_strategy_gain_smaller_than_a_unit_is_no_cycle() -> None:
    market = Market(ArbitrageConfig(gross=True))
    for pool in (A, B):
        market.know(pool)
    market.sync(A, 1_000, 1_000)
    assert market.sync(B, 1_000, 1_007) == []
    assert (market.strategy.counts["candidates"], market.strategy.counts["gross_positive"]) == (1, 0)


def test_strategy_gas_that_no_pool_prices_is_never_called_net() -> None:
    quiet, gross = pair_without_native(), pair_without_native(ArbitrageConfig(gross=True))
    assert quiet.sync(B, 1_000 * E18, 1_100 * E18, (TOKEN, OTHER)) == []
    assert quiet.strategy.counts["unpriced"] == 1
    (draft,) = gross.sync(B, 1_000 * E18, 1_100 * E18, (TOKEN, OTHER))
    assert (signal_of(draft)[1].rate_native, signal_of(draft)[1].gas_cost) == (0, 0)
    assert verify_signal(message_of(draft)) == []


def test_strategy_pool_without_fee_is_not_traded() -> None:
    market = Market()
    market.know(A)
    market.sync(A, 1_000 * E18, 1_000 * E18)
    assert market.sync(B, 1_000 * E18, 1_100 * E18) == []
    market.know(B)
    assert market.sync(A, 1_000 * E18, 1_001 * E18)


@pytest.mark.parametrize(
    "loss",
    [
        StateInvalidation(0, InvalidationScope.ALL_POOLS, Reason.DISCONNECTED, bytes(20)),
        StateInvalidation(0, InvalidationScope.ONE_POOL, Reason.LATE_LOGS, A),
        Gap(90, 95, 2, Reason.NODE_HAS_NO_BLOCK),
        Session(RING, 2, 1, 137, 0),
        Reorg(50, 101, 101, 51, 0, bytes(32), bytes(32), bytes(32)),
    ],
    ids=["disconnected", "one pool", "gap", "new session", "unknown fork"],
)
def test_strategy_unknown_state_is_not_traded_until_the_next_sync(loss: Record) -> None:
    market = two_pools()
    market.system(loss)
    assert market.sync(B, 1_000 * E18, 1_100 * E18) == []
    assert market.sync(A, 1_000 * E18, 1_000 * E18)


def test_strategy_lost_frames_make_every_state_unknown() -> None:
    market = two_pools()
    market.driver.lose(50, 60)
    assert market.sync(B, 1_000 * E18, 1_100 * E18) == []


def test_strategy_reorg_restores_and_trades_on_the_restored_state() -> None:
    market = two_pools()
    market.end_block()
    market.sync(A, 1_000 * E18, 1_100 * E18)
    market.system(Reorg(100, 101, 101, 1, 1, b"f" * 32, bytes(32), bytes(32)))
    market.sync(A, 1_000 * E18, 1_100 * E18, flags=Flag.REMOVED)
    (draft,) = market.sync(B, 1_000 * E18, 1_100 * E18)
    assert legs_of(draft)[1].reserve_in == 1_000 * E18


def test_strategy_removed_event_takes_its_confirmation_back() -> None:
    market = two_pools(ArbitrageConfig(early=False))
    market.sync(B, 1_000 * E18, 1_100 * E18, log=4)
    market.sync(B, 1_000 * E18, 1_100 * E18, log=4, flags=Flag.REMOVED)
    assert market.end_block() == []


def test_strategy_old_state_is_stale() -> None:
    market = two_pools(ArbitrageConfig(max_state_age_blocks=10))
    market.number = 111
    assert market.sync(B, 1_000 * E18, 1_100 * E18) == []
    assert market.strategy.counts["stale"] == 2, "both, when the block was heard of"


def test_strategy_backfilled_event_of_an_old_block_moves_the_state_in_silence() -> None:
    market = two_pools()
    market.end_block()
    market.tell(Block(150, 0, 0, 0, 0, 0, bytes(32), bytes(32)))
    assert market.sync(B, 1_000 * E18, 1_100 * E18, flags=Flag.BACKFILL) == []
    assert market.end_block() == []
    assert market.sync(A, 1_000 * E18, 1_001 * E18)


def test_strategy_backfilled_event_of_the_newest_block_speaks_at_its_end() -> None:
    market = two_pools()
    market.end_block()
    assert market.sync(B, 1_000 * E18, 1_100 * E18, flags=Flag.BACKFILL) == []
    (draft,) = market.end_block()
    assert signal_of(draft)[0].verdict == QuoteVerdict.EXACT


def test_strategy_token_that_keeps_a_share_is_left_alone() -> None:
    market = two_pools(ArbitrageConfig(fee_on_transfer_tokens=("0x" + TOKEN.hex(),)))
    assert market.sync(B, 1_000 * E18, 1_100 * E18) == []
    assert market.strategy.counts["refused_untouchable"] > 0


def test_strategy_only_pools_of_the_same_pair_are_compared() -> None:
    market = two_pools()
    market.know(C, (NATIVE, OTHER))
    assert market.sync(C, 1_000 * E18, 9_000 * E18, (NATIVE, OTHER)) == []
    assert market.strategy.counts["candidates"] == 0


def test_strategy_many_pools_of_a_pair_are_all_compared() -> None:
    market = Market(ArbitrageConfig(gross=True))
    pools = [bytes([1, n] * 10) for n in range(150)]
    for pool in pools:
        market.know(pool)
        market.sync(pool, 1_000 * E18, 1_000 * E18)
    drafts = market.sync(pools[70], 1_000 * E18, 1_100 * E18)
    assert len(drafts) == 149
    assert {legs_of(draft)[1].pool for draft in drafts} == set(pools) - {pools[70]}


@pytest.mark.parametrize(
    ("protocol", "verdict"),
    [(Protocol.UNISWAP_V3, QuoteVerdict.WITHIN_SEGMENT), (Protocol.ALGEBRA, QuoteVerdict.SPECULATIVE)],
)
def test_strategy_concentrated_pool_is_quoted_within_its_range(protocol: Protocol, verdict: QuoteVerdict) -> None:
    market = Market(ArbitrageConfig(early=False))
    market.know(A)
    market.know(B, protocol=protocol, spacing=60)
    market.sync(A, 1_000 * E18, 1_100 * E18)
    market.price(B, (1 << 96) + (1 << 88), 10**24, 77, protocol)
    (draft,) = market.end_block()
    leg = legs_of(draft)[1]

    assert signal_of(draft)[0].verdict == verdict
    assert (leg.sqrt_price_x96, leg.liquidity, leg.tick) == ((1 << 96) + (1 << 88), 10**24, 77)
    assert verify_signal(message_of(draft)) == []


def test_strategy_two_concentrated_pools_make_a_cycle() -> None:
    market = Market()
    for pool in (A, B):
        market.know(pool, protocol=Protocol.UNISWAP_V3, fee=500, spacing=10)
    market.price(A, sqrt_price_at(0), 10**24, 0)
    (draft,) = market.price(B, sqrt_price_at(58), 10**24, 58)
    assert verify_signal(message_of(draft)) == []
    mint = PoolMint(*market.head(B, (NATIVE, TOKEN), Protocol.UNISWAP_V3), 1, 1, 10**24, 0, 60, bytes(20), bytes(20))
    (deeper,) = market.tell(mint, market.origin(1))
    assert {leg.liquidity for leg in legs_of(deeper)} == {10**24, 2 * 10**24}


def changed(draft: Draft, kind: type[Record], **fields: object) -> list[str]:
    """What is wrong with a signal whose first record of a kind is another."""
    at = next(at for at, record in enumerate(draft.records) if isinstance(record, kind))
    records = list(draft.records)
    records[at] = msgspec.structs.replace(records[at], **fields)
    return verify_signal(message_of(Draft(draft.source, tuple(records), 0)))


def test_verify_signal_any_changed_number_is_found() -> None:
    (draft,) = two_pools().sync(B, 1_000 * E18, 1_100 * E18)
    signal, economics = signal_of(draft)
    leg = legs_of(draft)[0]
    for name in ("amount_in", "amount_out"):
        assert any(name in wrong for wrong in changed(draft, ArbitrageSignal, **{name: getattr(signal, name) * 2}))
    for name in ("gross", "gas_cost", "net", "gas_units", "rate_profit"):
        assert changed(draft, Economics, **{name: getattr(economics, name) + 1}), name
    for name in ("amount_in", "amount_out", "reserve_in", "reserve_out", "fee_pips"):
        assert changed(draft, CycleLeg, **{name: getattr(leg, name) * 2}), name


@pytest.mark.parametrize(
    ("kind", "fields", "complaint"),
    [
        (CycleLeg, {"leg": 2}, "legs: expected 1 to 2, found [2, 2]"),
        (ArbitrageSignal, {"legs": 3}, "legs: expected 1 to 3, found [1, 2]"),
        (CycleLeg, {"token_out": OTHER}, "leg 2 token_in: "),
        (CycleLeg, {"token_out": NATIVE}, "leg 1 token_out: expected another token"),
        (CycleLeg, {"pool": A}, "legs: expected another pool in each"),
        (CycleLeg, {"fee_pips": 1_000_000}, "leg 1: fee_pips 1000000: expected less"),
        (CycleLeg, {"reserve_in": 0}, "leg 1: reserve_in 0, "),
        (CycleLeg, {"protocol": Protocol.UNISWAP_V3}, "leg 1: sqrt_price_x96 0: expected"),
        (
            CycleLeg,
            {"protocol": Protocol.UNISWAP_V3, "sqrt_price_x96": 1 << 96},
            "leg 1: liquidity 0: expected more",
        ),
        (ArbitrageSignal, {"token_in": OTHER}, "leg 1 token_in: "),
        (ArbitrageSignal, {"expires_block": 1}, "expires_block: expected 100 or above, found 1"),
        (ArbitrageSignal, {"decimals_in": 6}, "profit_decimals: expected 6, found 18"),
        (Economics, {"profit_token": TOKEN}, "profit_token: "),
    ],
)
def test_verify_signal_of_what_is_no_round_trip_names_it(
    kind: type[Record], fields: dict[str, object], complaint: str
) -> None:
    (draft,) = two_pools().sync(B, 1_000 * E18, 1_100 * E18)
    assert any(wrong.startswith(complaint) for wrong in changed(draft, kind, **fields))


def test_verify_signal_amount_beyond_all_prices_is_found() -> None:
    market = Market()
    for pool in (A, B):
        market.know(pool, protocol=Protocol.UNISWAP_V3, fee=500, spacing=10)
    market.price(A, sqrt_price_at(0), 10**24, 0)
    (draft,) = market.price(B, sqrt_price_at(58), 10**24, 58)
    (complaint,) = changed(draft, ArbitrageSignal, amount_in=1 << 200)
    assert "beyond what the stated prices can serve" in complaint


def test_verify_signal_without_economics_is_refused() -> None:
    with pytest.raises(TlvError, match="expected an ArbitrageSignal and its Economics"):
        verify_signal(parse(build(Domain.SIGNAL, Source.ARBITRAGE_STRATEGY, [])))


def test_strategy_recording_holds_chances_that_their_blocks_took_away_and_some_that_nobody_took() -> None:
    """91 proven V2 pools, 276 events: some chances are gone before their block ends; of the cycles through three pools
    some stay for blocks.  All are withdrawn at last, so none is left open."""
    strategy = FlashArbitrage()
    drafts = drive(strategy, RING, canonical_frames())

    assert len(pool_states()) == 91 and len(canonical_events()) == 276
    made = [signal_of(draft)[0] for draft in signals(drafts)]
    assert len(made) == 47 and {signal.legs for signal in made} == {2, 3}
    assert {signal.verdict for signal in made} == {QuoteVerdict.SPECULATIVE, QuoteVerdict.EXACT}
    assert all(verify_signal(message_of(draft)) == [] for draft in drafts)
    open_at_end = {signal.opportunity for signal in made} - {one.opportunity for one in withdrawals(drafts)}
    assert len(open_at_end) == len(strategy.live) == 0
    print(dict(strategy.counts))


def test_strategy_recording_without_its_hole_finds_the_arbitrage_that_was_done() -> None:
    """The sessions have a hole before block 13522175.  The QuickSwap pool did not move in it: the amounts of its next
    swap prove the reserves.  Knowing that, the strategy finds the cycle two blocks before an arbitrageur took it, with
    the very amount that he chose."""
    publisher = Publisher()
    publisher.snapshots()
    events = [event for event in canonical_events() if event[1].block_number <= 13522207]
    for number in sorted({origin.block_number for _, origin in events}):
        here = [event for event in events if event[1].block_number == number]
        for event in here:
            publisher.event(event)
        publisher.block_end(number, here[0][1].block_hash)
    drafts = drive(FlashArbitrage(), RING, publisher.frames)
    last = [draft for draft in signals(drafts) if signal_of(draft)[0].legs == 2][-1]
    signal, economics = signal_of(last)

    assert (signal.block_number, signal.verdict) == (13522207, QuoteVerdict.EXACT)
    assert (signal.amount_in, signal.amount_out) == (2_541_844, 2_571_597)
    assert economics.net > 0 and signal.decimals_in == 6
    arbitrage = next(
        record
        for record, origin in canonical_events()
        if (origin.block_number, origin.log_index) == (13522209, 4) and isinstance(record, PoolSwap)
    )
    assert (arbitrage.pool, arbitrage.amount0_in) == (legs_of(last)[0].pool, signal.amount_in)


def test_read_config_full_table_is_read() -> None:
    config = read_config(
        "[arbitrage]\nmin_net_wei = 5\nearly = false\n[arbitrage.gas.swap_units_by_venue]\nquickswap_v2 = 7\n", "c.toml"
    )
    assert (config.min_net_wei, config.early) == (5, False)
    assert config.gas.units(Protocol.UNISWAP_V2, Venue.QUICKSWAP_V2) == 7
    assert config.gas.units(Protocol.UNISWAP_V2, Venue.DFYN_POLYGON) == 60_000
    assert config.gas.units(Protocol.UNISWAP_V3, 9_999) == 115_000
    assert read_config("", "c.toml") == ArbitrageConfig()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[arbitrage\n", "c.toml: "),
        ("[arbitrage]\ngorss = true\n", "c.toml: .*`gorss`"),
        ("[arbitrage.gas]\ntip_wei = -1\n", r"c.toml: .*`arbitrage.gas.tip_wei`"),
        ("[arbitrage]\nwrapped_native = '0x12'\n", r"c.toml: .*`arbitrage.wrapped_native`"),
        (
            "[arbitrage]\nwrapped_native = '0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed'\n",
            "wrapped_native: expected 0x5aAe.* by its checksum",
        ),
        (
            "[arbitrage.gas.swap_units_by_venue]\nquickswop = 1\n",
            r"quickswop: there is no such venue; did you mean quickswap_v.\?",
        ),
    ],
)
def test_read_config_bad_table_names_the_key(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        read_config(text, "c.toml")
