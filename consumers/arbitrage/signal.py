"""The arbitrage signal: written from a cycle, and checked from its bytes alone.

Owns which number goes into which field of ArbitrageSignal, Economics and WayTick, and the check that they agree.

A pool that was quoted through its tick map adds the initialised ticks on the way of its swap and the one ahead.  With
these alone the contract's loop runs as it would with the whole map: none other lies between its stops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from consumers.arbitrage.concentrated import TickMap
from consumers.arbitrage.constant_product import Hop
from consumers.arbitrage.gas_rate import Rate
from consumers.arbitrage.legs import unbounded_range
from consumers.arbitrage.pool_state import Pool, Price, Reserves
from consumers.arbitrage.two_pool import Cycle, Leg, MapLeg, RangeLeg, ReserveLeg, quote
from tlv.codes import Protocol, QuoteVerdict
from tlv.errors import TlvError
from tlv.layout import ArbitrageSignal, Economics, WayTick
from tlv.message import Message

STATELESS = Price(0, 0, 0)
EMPTY = Reserves(0, 0)


class StateBlock(NamedTuple):
    """The block whose state a signal was computed from."""

    block_number: int
    block_hash: bytes


def describe(
    place: StateBlock, first: Pool, second: Pool, token_in: bytes, cycle: Cycle, verdict: QuoteVerdict
) -> ArbitrageSignal:
    """The signal for a round trip that begins with `token_in` in the pool `first`."""
    assert first.fee_pips is not None and second.fee_pips is not None
    in_a, out_a, price_a = _state(first, token_in)
    token_mid = first.token1 if token_in == first.token0 else first.token0
    in_b, out_b, price_b = _state(second, token_mid)
    decimals = {first.token0: first.decimals0, first.token1: first.decimals1}
    return ArbitrageSignal(
        block_number=place.block_number,
        block_hash=place.block_hash,
        amount_in=cycle.amount_in,
        amount_mid=cycle.amount_mid,
        amount_out=cycle.amount_out,
        reserve_in_a=in_a,
        reserve_out_a=out_a,
        sqrt_price_x96_a=price_a.sqrt_price_x96,
        liquidity_a=price_a.liquidity,
        reserve_in_b=in_b,
        reserve_out_b=out_b,
        sqrt_price_x96_b=price_b.sqrt_price_x96,
        liquidity_b=price_b.liquidity,
        tick_a=price_a.tick,
        tick_b=price_b.tick,
        fee_pips_a=first.fee_pips,
        fee_pips_b=second.fee_pips,
        venue_a=first.venue,
        venue_b=second.venue,
        protocol_a=first.protocol,
        protocol_b=second.protocol,
        decimals_in=decimals[token_in],
        decimals_mid=decimals[token_mid],
        verdict=verdict,
        pool_a=first.address,
        pool_b=second.address,
        token_in=token_in,
        token_mid=token_mid,
    )


def _state(pool: Pool, token_in: bytes) -> tuple[int, int, Price]:
    assert pool.current is not None
    match pool.current.value:
        case Reserves(reserve0, reserve1):
            entering, leaving = (reserve0, reserve1) if token_in == pool.token0 else (reserve1, reserve0)
            return entering, leaving, STATELESS
        case Price() as price:
            return 0, 0, price


def way_of(number: int, leg: Leg, amount_in: int) -> list[WayTick]:
    """The ticks on the way of a swap in the first (1) or second (2) pool; none if its map played no part."""
    if not isinstance(leg, MapLeg):
        return []
    return [WayTick(leg.ticks.net[tick], tick, leg.ticks.spacing, number) for tick in leg.way(amount_in)]


def crossed_ticks(way: Sequence[WayTick]) -> tuple[int, int]:
    """How many initialised ticks the swaps in the first and the second pool cross: all but the one ahead."""
    first, second = (sum(tick.leg == leg for tick in way) for leg in (1, 2))
    return max(first - 1, 0), max(second - 1, 0)


def value(cycle: Cycle, token: bytes, decimals: int, gas_units: int, gas_price: int, rate: Rate) -> Economics:
    """What a round trip earns, in `token`, after `gas_units` at `gas_price` wei."""
    gas_cost = rate.cost(gas_units * gas_price)
    return Economics(
        gross=cycle.gross,
        gas_cost=gas_cost,
        net=cycle.gross - gas_cost,
        gas_price=gas_price,
        rate_native=rate.wei,
        rate_profit=rate.tokens,
        gas_units=gas_units,
        profit_token=token,
        rate_pool=rate.pool,
        profit_decimals=decimals,
    )


def recompute(signal: ArbitrageSignal, way: Sequence[WayTick] = ()) -> Cycle | None:
    """The round trip that follows from the state in the signal and its ticks; None if these allow none."""
    falls = signal.token_in < signal.token_mid
    first = _leg(
        signal.protocol_a,
        Hop(signal.reserve_in_a, signal.reserve_out_a, signal.fee_pips_a),
        Price(signal.sqrt_price_x96_a, signal.liquidity_a, signal.tick_a),
        [tick for tick in way if tick.leg == 1],
        falls,
    )
    second = _leg(
        signal.protocol_b,
        Hop(signal.reserve_in_b, signal.reserve_out_b, signal.fee_pips_b),
        Price(signal.sqrt_price_x96_b, signal.liquidity_b, signal.tick_b),
        [tick for tick in way if tick.leg == 2],
        not falls,
    )
    return quote(first, second, signal.amount_in)


def _leg(protocol: int, hop: Hop, price: Price, way: Sequence[WayTick], falls: bool) -> Leg:
    if protocol == Protocol.UNISWAP_V2:
        return ReserveLeg(hop)
    if way:
        net = {tick.tick: tick.liquidity_net for tick in way}
        ticks = TickMap(sorted(net), net, way[0].tick_spacing)
        return MapLeg(price.sqrt_price_x96, price.tick, price.liquidity, hop.fee_pips, ticks, falls)
    return RangeLeg(unbounded_range(price.sqrt_price_x96, price.liquidity, hop.fee_pips), falls)


def verify_signal(message: Message) -> list[str]:
    """What in a signal does not follow from the state, the fees and the gas it states; empty if all does.

    Raises:
        TlvError: the message carries no ArbitrageSignal with its Economics.
    """
    signal, economics = message.first(ArbitrageSignal), message.first(Economics)
    if signal is None or economics is None:
        raise TlvError(
            "expected an ArbitrageSignal and its Economics, found " + str([type(r) for r in message.records])
        )
    cycle = recompute(signal, [record for record in message.records if isinstance(record, WayTick)])
    if cycle is None:
        return [f"amount_in {signal.amount_in}: beyond what the stated prices can serve"]
    rate = Rate(economics.rate_native, economics.rate_profit, economics.rate_pool)
    gas_cost = rate.cost(economics.gas_units * economics.gas_price)
    expected = {
        "amount_mid": (cycle.amount_mid, signal.amount_mid),
        "amount_out": (cycle.amount_out, signal.amount_out),
        "gross": (cycle.gross, economics.gross),
        "gas_cost": (gas_cost, economics.gas_cost),
        "net": (cycle.gross - gas_cost, economics.net),
        "profit_token": (signal.token_in, economics.profit_token),
    }
    return [f"{name}: expected {want!r}, found {found!r}" for name, (want, found) in expected.items() if want != found]
