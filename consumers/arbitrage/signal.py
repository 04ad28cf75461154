"""The arbitrage signal: written from a cycle, and checked from its bytes alone.

Owns which number goes into which field of ArbitrageSignal, CycleLeg, Economics and WayTick, and the check that they
agree.

A pool that was quoted through its tick map adds the initialised ticks on the way of its swap and the one ahead.  With
these alone the contract's loop runs as it would with the whole map: none other lies between its stops.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from consumers.arbitrage.concentrated import TickMap
from consumers.arbitrage.constant_product import FEE_UNIT, Hop
from consumers.arbitrage.cycle import Cycle, Leg, MapLeg, RangeLeg, ReserveLeg, StableLeg, VolatileLeg, quote
from consumers.arbitrage.gas_rate import Rate
from consumers.arbitrage.legs import unbounded_range
from consumers.arbitrage.pool_state import SOLIDLY_TYPE, Pool, Price, Reserves
from consumers.arbitrage.solidly import MOST_DECIMALS, SolidlyHop
from consumers.arbitrage.tick_math import MAX_SQRT_PRICE, MAX_TICK, MIN_SQRT_PRICE, MIN_TICK
from tlv.codes import Curve, Protocol, QuoteVerdict
from tlv.errors import TlvError
from tlv.layout import ArbitrageSignal, CycleLeg, Economics, SignalWithdrawn, WayTick
from tlv.message import Message

STATELESS = Price(0, 0, 0)
EMPTY = Reserves(0, 0)


class StateBlock(NamedTuple):
    """The block whose state a signal was computed from."""

    block_number: int
    block_hash: bytes


def describe_legs(pools: Sequence[Pool], token_in: bytes, cycle: Cycle) -> list[CycleLeg]:
    """The legs of a round trip that begins with `token_in` in the first of `pools`."""
    legs, token = [], token_in
    for number, pool in enumerate(pools, 1):
        falls = token == pool.token0
        fee_pips = pool.fee(falls=falls)
        assert fee_pips is not None
        reserve_in, reserve_out, price = _state(pool, falls)
        token_out = pool.token1 if falls else pool.token0
        decimals = (pool.decimals0, pool.decimals1) if falls else (pool.decimals1, pool.decimals0)
        # By place, in the order of the record's fields: by name it takes twice as long, and a signal is waited for.
        legs.append(
            CycleLeg(
                cycle.amounts[number - 1],
                cycle.amounts[number],
                reserve_in,
                reserve_out,
                price.sqrt_price_x96,
                price.liquidity,
                price.tick,
                fee_pips,
                pool.address,
                token,
                token_out,
                pool.venue,
                pool.protocol,
                *decimals,
                number,
                pool.curve,
            )
        )
        token = token_out
    return legs


def describe(
    opportunity: int, place: StateBlock, expires_block: int, verdict: QuoteVerdict, legs: Sequence[CycleLeg]
) -> ArbitrageSignal:
    """The signal about a round trip with these legs."""
    return ArbitrageSignal(
        block_number=place.block_number,
        expires_block=expires_block,
        opportunity=opportunity,
        block_hash=place.block_hash,
        amount_in=legs[0].amount_in,
        amount_out=legs[-1].amount_out,
        token_in=legs[0].token_in,
        decimals_in=legs[0].decimals_in,
        legs=len(legs),
        verdict=verdict,
    )


def _state(pool: Pool, falls: bool) -> tuple[int, int, Price]:
    assert pool.current is not None
    match pool.current.value:
        case Reserves(reserve0, reserve1):
            entering, leaving = (reserve0, reserve1) if falls else (reserve1, reserve0)
            return entering, leaving, STATELESS
        case Price() as price:
            return *EMPTY, price


def way_of(number: int, leg: Leg, amount_in: int) -> list[WayTick]:
    """The ticks on the way of a swap in the pool of leg `number`; none if its map played no part."""
    if not isinstance(leg, MapLeg):
        return []
    return [WayTick(leg.ticks.net[tick], tick, leg.ticks.spacing, number) for tick in leg.way(amount_in)]


def crossed_ticks(way: Sequence[WayTick]) -> int:
    """How many initialised ticks the swaps cross: of each leg all but the one ahead."""
    return len(way) - len({tick.leg for tick in way})


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


def legs_in(message: Message) -> list[CycleLeg]:
    """The legs of a signal, in the order in which they stand."""
    return [record for record in message.records if isinstance(record, CycleLeg)]


def leg_from(stated: CycleLeg, way: Sequence[WayTick]) -> Leg | str:
    """The leg that a CycleLeg and its own ticks state, or what in them cannot be the state of any pool."""
    falls = stated.token_in < stated.token_out
    if not 0 <= stated.fee_pips < FEE_UNIT:
        return f"fee_pips {stated.fee_pips}: expected less than {FEE_UNIT}"
    if stated.protocol == Protocol.UNISWAP_V2:
        if not (stated.reserve_in and stated.reserve_out):
            return f"reserve_in {stated.reserve_in}, reserve_out {stated.reserve_out}: expected both above 0"
        return ReserveLeg(Hop(stated.reserve_in, stated.reserve_out, stated.fee_pips))
    if stated.protocol in SOLIDLY_TYPE:
        return _pair_from(stated)
    price = Price(stated.sqrt_price_x96, stated.liquidity, stated.tick)
    if not MIN_SQRT_PRICE <= price.sqrt_price_x96 < MAX_SQRT_PRICE:
        return f"sqrt_price_x96 {price.sqrt_price_x96}: expected {MIN_SQRT_PRICE} to {MAX_SQRT_PRICE - 1}"
    if not way:
        if not price.liquidity:
            return "liquidity 0: expected more"
        return RangeLeg(unbounded_range(price.sqrt_price_x96, price.liquidity, stated.fee_pips), falls)
    spacing = way[0].tick_spacing
    if spacing <= 0 or any(tick.tick_spacing != spacing for tick in way):
        return f"tick_spacing {[tick.tick_spacing for tick in way]}: expected one above 0"
    stops = [price.tick, *(tick.tick for tick in way)]
    if not all(MIN_TICK <= stop <= MAX_TICK for stop in stops):
        return f"tick {stops}: expected {MIN_TICK} to {MAX_TICK}"
    net = {tick.tick: tick.liquidity_net for tick in way}
    ticks = TickMap(sorted(net), net, spacing)
    return MapLeg(price.sqrt_price_x96, price.tick, price.liquidity, stated.fee_pips, ticks, falls)


def _pair_from(stated: CycleLeg) -> Leg | str:
    """The pair of Solidly's type that a CycleLeg states, or what in it cannot be."""
    if not (stated.reserve_in and stated.reserve_out):
        return f"reserve_in {stated.reserve_in}, reserve_out {stated.reserve_out}: expected both above 0"
    if stated.curve not in frozenset(Curve):
        return f"curve {stated.curve}: expected a Curve"
    if stated.curve != Curve.VOLATILE and max(stated.decimals_in, stated.decimals_out) > MOST_DECIMALS:
        return f"decimals {stated.decimals_in}, {stated.decimals_out}: expected {MOST_DECIMALS} at most"
    falls = stated.token_in < stated.token_out
    state = stated.reserve_in, stated.reserve_out, stated.fee_pips, Curve(stated.curve)
    hop = SolidlyHop(*state, stated.decimals_in, stated.decimals_out, falls)
    return VolatileLeg(hop) if hop.curve == Curve.VOLATILE else StableLeg(hop)


def recompute(message: Message) -> Cycle | None:
    """The round trip that follows from the states and ticks in a signal's message; None if these allow none."""
    signal, ways = message.first(ArbitrageSignal), [tick for tick in message.records if isinstance(tick, WayTick)]
    legs = [leg_from(leg, [tick for tick in ways if tick.leg == leg.leg]) for leg in legs_in(message)]
    usable = [leg for leg in legs if not isinstance(leg, str)]
    if signal is None or not legs or len(usable) < len(legs):
        return None
    try:
        return quote(usable, signal.amount_in)
    except ArithmeticError:  # ticks that do not follow from each other can take more liquidity away than there is
        return None


def verify_signal(message: Message) -> list[str]:
    """What in a signal does not follow from the states, the fees and the gas it states; empty if all does.

    A withdrawal states nothing to recompute.

    Raises:
        TlvError: the message carries neither a SignalWithdrawn nor an ArbitrageSignal with its Economics.
    """
    if message.first(SignalWithdrawn) is not None:
        return []
    signal, economics = message.first(ArbitrageSignal), message.first(Economics)
    if signal is None or economics is None:
        raise TlvError(
            "expected an ArbitrageSignal and its Economics, found " + str([type(r).__name__ for r in message.records])
        )
    legs = legs_in(message)
    wrong = _wrong_shape(signal, legs)
    if wrong:
        return wrong
    ways = [record for record in message.records if isinstance(record, WayTick)]
    for leg in legs:
        complaint = leg_from(leg, [tick for tick in ways if tick.leg == leg.leg])
        if isinstance(complaint, str):
            wrong.append(f"leg {leg.leg}: {complaint}")
    if wrong:
        return wrong
    cycle = recompute(message)
    if cycle is None:
        return [f"amount_in {signal.amount_in}: beyond what the stated prices can serve"]
    rate = Rate(economics.rate_native, economics.rate_profit, economics.rate_pool)
    gas_cost = rate.cost(economics.gas_units * economics.gas_price)
    expected: dict[str, tuple[object, object]] = {
        "amount_out": (cycle.amount_out, signal.amount_out),
        "gross": (cycle.gross, economics.gross),
        "gas_cost": (gas_cost, economics.gas_cost),
        "net": (cycle.gross - gas_cost, economics.net),
        "profit_token": (signal.token_in, economics.profit_token),
        "profit_decimals": (signal.decimals_in, economics.profit_decimals),
    }
    for leg, (entering, leaving) in zip(legs, pairwise(cycle.amounts), strict=True):
        expected[f"leg {leg.leg} amount_in"] = entering, leg.amount_in
        expected[f"leg {leg.leg} amount_out"] = leaving, leg.amount_out
    return [f"{name}: expected {want!r}, found {found!r}" for name, (want, found) in expected.items() if want != found]


def _wrong_shape(signal: ArbitrageSignal, legs: Sequence[CycleLeg]) -> list[str]:
    """What in a signal's legs does not make a round trip."""
    numbers = [leg.leg for leg in legs]
    if numbers != list(range(1, signal.legs + 1)) or not legs:
        return [f"legs: expected 1 to {signal.legs}, found {numbers}"]
    wrong = []
    entering = signal.token_in
    for leg in legs:
        if leg.token_in != entering:
            wrong.append(f"leg {leg.leg} token_in: expected {entering!r}, found {leg.token_in!r}")
        if leg.token_in == leg.token_out:
            wrong.append(f"leg {leg.leg} token_out: expected another token than {leg.token_in!r}")
        entering = leg.token_out
    if entering != signal.token_in:
        wrong.append(f"leg {legs[-1].leg} token_out: expected {signal.token_in!r}, found {entering!r}")
    if len({leg.pool for leg in legs}) < len(legs):
        wrong.append("legs: expected another pool in each")
    if signal.expires_block < signal.block_number:
        wrong.append(f"expires_block: expected {signal.block_number} or above, found {signal.expires_block}")
    return wrong
