"""Messages as the rows that the page shows.

Owns which field of a message becomes which field of a row.  Amounts are decimal digits of base units: nothing here is a
float, so that wei in is wei out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import msgspec

from tlv.codes import BreakerState, Completeness, Flag, OrderReason, QuoteVerdict
from tlv.layout import (
    ArbitrageSignal,
    Block,
    BlockEnd,
    CircuitBreaker,
    CycleLeg,
    Economics,
    EventOrigin,
    Fill,
    Heartbeat,
    PoolSwap,
    SignalIdentity,
)
from tlv.message import Message
from tlv.units import MS, NS
from tools.code_names import code_key
from tools.dashboard.shapes import (
    Amount,
    BlockRow,
    BreakerRow,
    FeedRow,
    FillRow,
    PoolToken,
    SignalLeg,
    SignalRow,
    SwapRow,
)
from tools.feed_stat import stat_of

MS_PER_S = 1000
LATEST_MS = 8_640_000_000_000_000
"""The latest time that a browser can show (ECMA-262, time values); a block may state any."""
Symbols = Mapping[bytes, str]
"""Of tokens, by address."""
Venues = Mapping[int, str]
"""Names of venues, by code."""


def hex_of(raw: bytes) -> str:
    """An address, a pool or a hash as an explorer prints it."""
    return f"0x{raw.hex()}"


@cache
def flag_names(flags: int) -> tuple[str, ...]:
    """Names of header flags, in lower case."""
    return tuple(str(flag.name).lower() for flag in Flag if flags & flag)


def swap_row(ring: str, sequence: int, message: Message, symbols: Symbols, venues: Venues) -> SwapRow | None:
    """The row of a swap; None if the message is not one."""
    swap, origin = message.first(PoolSwap), message.first(EventOrigin)
    if swap is None or origin is None:
        return None
    token0 = token_of(swap.token0, swap.decimals0, symbols)
    token1 = token_of(swap.token1, swap.decimals1, symbols)
    return SwapRow(
        ring=ring,
        sequence=sequence,
        time_ms=message.header.timestamp_ns // MS,
        block=origin.block_number,
        log_index=origin.log_index,
        transaction=hex_of(origin.transaction_hash),
        venue=venue_name(swap.venue, venues),
        pool=hex_of(swap.pool),
        sold=amounts(swap.amount0_in, token0, swap.amount1_in, token1),
        bought=amounts(swap.amount0_out, token0, swap.amount1_out, token1),
        flags=list(flag_names(message.header.flags)),
    )


def venue_name(code: int, venues: Venues) -> str:
    """The name of a venue; its code if nobody named it."""
    return venues.get(code, str(code))


def amounts(units0: int, token0: PoolToken, units1: int, token1: PoolToken) -> list[Amount]:
    """One side of a swap: what is not 0 of the two."""
    return [Amount(str(units), token) for units, token in ((units0, token0), (units1, token1)) if units]


def signal_row(
    ring: str, sequence: int, message: Message, market: str, symbols: Symbols, venues: Venues
) -> SignalRow | None:
    """The row of an arbitrage signal, about the ring called `market`; None if the message is not one."""
    identity = message.first(SignalIdentity)
    signal, worth = message.first(ArbitrageSignal), message.first(Economics)
    if identity is None or signal is None or worth is None:
        return None
    start = token_of(signal.token_in, signal.decimals_in, symbols)
    profit = token_of(worth.profit_token, worth.profit_decimals, symbols)
    arrived_ns, built_ns = identity.trigger_receive_time_ns, message.header.timestamp_ns
    return SignalRow(
        ring=ring,
        sequence=sequence,
        signal_id=str(identity.signal_id),
        opportunity=str(signal.opportunity),
        time_ms=built_ns // MS,
        strategy=identity.strategy,
        block=signal.block_number,
        expires_block=signal.expires_block,
        market_ring=market,
        trigger_sequence=identity.trigger_sequence,
        legs=[leg_row(leg, symbols, venues) for leg in message.records if isinstance(leg, CycleLeg)],
        amount_in=Amount(str(signal.amount_in), start),
        amount_out=Amount(str(signal.amount_out), start),
        gross=Amount(str(worth.gross), profit),
        gas_cost=Amount(str(worth.gas_cost), profit),
        net=Amount(str(worth.net), profit),
        gas_priced=bool(worth.rate_native or worth.rate_profit),
        verdict=code_key(QuoteVerdict, signal.verdict),
        state="stands",
        reason="",
        latency_ns=built_ns - arrived_ns if arrived_ns > 0 and built_ns >= arrived_ns else None,
    )


def token_of(address: bytes, decimals: int, symbols: Symbols) -> PoolToken:
    """A token, by the name that a ring said."""
    return PoolToken(hex_of(address), symbols.get(address, ""), decimals)


def leg_row(leg: CycleLeg, symbols: Symbols, venues: Venues) -> SignalLeg:
    """One swap of a signal."""
    return SignalLeg(
        venue=venue_name(leg.venue, venues),
        pool=hex_of(leg.pool),
        amount_in=Amount(str(leg.amount_in), token_of(leg.token_in, leg.decimals_in, symbols)),
        amount_out=Amount(str(leg.amount_out), token_of(leg.token_out, leg.decimals_out, symbols)),
    )


def fill_row(fill: Fill, symbols: Symbols, venues: Venues) -> FillRow:
    """One swap of an order."""
    out = token_of(fill.token_out, fill.decimals_out, symbols)
    return FillRow(
        venue=venue_name(fill.venue, venues),
        pool=hex_of(fill.pool),
        amount_in=Amount(str(fill.amount_in), token_of(fill.token_in, fill.decimals_in, symbols)),
        amount_out=Amount(str(fill.amount_out), out),
        expected_out=Amount(str(fill.expected_out), out) if fill.expected_out else None,
        swaps_before=fill.swaps_before,
    )


def breaker_row(ring: str, breaker: CircuitBreaker) -> BreakerRow:
    """How a circuit breaker stands."""
    return BreakerRow(
        ring=ring,
        state=code_key(BreakerState, breaker.state),
        reason=reason_key(breaker.reason),
        block=breaker.block_number,
        until_block=breaker.until_block,
        loss=str(breaker.loss),
        failures=breaker.failures,
    )


def reason_key(reason: int) -> str:
    """Why something happened to an order; empty for no reason."""
    return "" if reason == OrderReason.NONE else code_key(OrderReason, reason)


def block_row(ring: str, block: Block) -> BlockRow:
    """The row of a block that is open."""
    return BlockRow(
        ring=ring,
        number=block.number,
        hash=hex_of(block.hash),
        time_ms=min(block.timestamp * MS_PER_S, LATEST_MS),
        received_ms=block.receive_time_ns // MS or None,
        ended_ms=None,
        verdict="open",
        logs=0,
        events=0,
        held_back=0,
        gas_used=block.gas_used,
        gas_limit=block.gas_limit,
        base_fee=str(block.base_fee),
    )


def ended_row(ring: str, end: BlockEnd, ended_ns: int, before: BlockRow | None) -> BlockRow:
    """The row of a block that ended; of one whose Block was not seen, time and gas are not known."""
    if before is None:
        before = block_row(ring, Block(end.number, 0, 0, 0, 0, 0, end.hash, bytes(32)))
    return msgspec.structs.replace(
        before,
        ended_ms=ended_ns // MS,
        verdict=code_key(Completeness, end.verdict),
        logs=end.log_count,
        events=end.event_count,
        held_back=end.held_back,
    )


def feed_row(ring: str, heartbeat: Heartbeat, age_ns: int) -> FeedRow:
    """A feed as its newest heartbeat, of that age, says."""
    stat = stat_of(heartbeat, max(age_ns, 0) / NS)
    return FeedRow(
        ring=ring,
        state=stat.state,
        reason=stat.reason,
        healthy=stat.healthy,
        endpoint=stat.endpoint,
        head=stat.head_number,
        head_age_ms=round(stat.head_age_s * MS_PER_S),
        blocks_behind=stat.blocks_behind,
        held_back=stat.held_back,
        heartbeat_age_ms=round(stat.heartbeat_age_s * MS_PER_S),
    )
