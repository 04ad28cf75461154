"""What a swap, and a row of swaps, pays against given states: exact, or refused.

Owns the step from a pool's state to the amounts and the state behind the swap, by the contracts' own arithmetic of
`consumers.arbitrage`.  Pure: the same states and amount always give the same fill.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from consumers.arbitrage.concentrated import TickMap, current_range, swap, swap_step
from consumers.arbitrage.constant_product import FEE_UNIT, MAX_RESERVE, Hop
from consumers.arbitrage.legs import CURVES
from consumers.arbitrage.pool_state import Price, Reserves
from consumers.arbitrage.solidly import MOST_DECIMALS, SolidlyHop
from consumers.arbitrage.tick_math import MAX_SQRT_PRICE, MAX_TICK, MIN_SQRT_PRICE, MIN_TICK, tick_at
from tlv.codes import Curve, OrderReason

MOST_V3_AMOUNT = (1 << 255) - 1
"""A V3 pool takes its amount as an int256."""


class SolidlyPair(NamedTuple):
    """What the quotes of a pair of Solidly's type follow from beside its reserves."""

    curve: int
    """Of `tlv.codes.Curve`; 0: not known."""
    decimals0: int
    decimals1: int


class PoolPlace(NamedTuple):
    """A pool at one place in a block."""

    value: Reserves | Price
    fee_pips: int
    ticks: TickMap | None = None
    """None where the map is not known: then only the current range can be used."""
    tick_spacing: int = 0
    pair: SolidlyPair | None = None
    """None of any other kind."""


class Swapped(NamedTuple):
    """One swap: what went in and came out, the state behind it, and the initialised ticks that it crossed."""

    amount_in: int
    amount_out: int
    after: Reserves | Price
    crossed: int


class Shortage(NamedTuple):
    """Why a swap has no amounts.  `certain`: the contract reverts; else nothing is known beyond the current range."""

    reason: OrderReason
    certain: bool


def swap_through(place: PoolPlace, amount_in: int, *, falls: bool) -> Swapped | Shortage:
    """Swap an exact input; `falls`: token0 goes in."""
    if amount_in <= 0:
        return Shortage(OrderReason.TOO_LITTLE_OUT, certain=True)  # the leg before paid nothing
    match place.value:
        case Reserves() as reserves if place.pair is not None:
            return _through_pair(reserves, place.pair, place.fee_pips, amount_in, falls=falls)
        case Reserves() as reserves:
            return _through_reserves(reserves, place.fee_pips, amount_in, falls=falls)
        case Price() as price:
            if amount_in > MOST_V3_AMOUNT:
                return Shortage(OrderReason.LIQUIDITY, certain=True)
            ticks = place.ticks
            # Map and price come by different messages; where they disagree only the current range is used.
            if (
                ticks is not None
                and ticks.spacing == place.tick_spacing
                and ticks.active(price.tick) == price.liquidity
            ):
                return _through_map(price, place.fee_pips, ticks, amount_in, falls=falls)
            return _within_range(price, place, amount_in, falls=falls)


def _through_reserves(reserves: Reserves, fee_pips: int, amount_in: int, *, falls: bool) -> Swapped | Shortage:
    entering, leaving = reserves if falls else (reserves.reserve1, reserves.reserve0)
    if entering + amount_in > MAX_RESERVE:
        return Shortage(OrderReason.LIQUIDITY, certain=True)
    out = Hop(entering, leaving, fee_pips).out(amount_in)
    if out == 0:
        return Shortage(OrderReason.TOO_LITTLE_OUT, certain=True)  # INSUFFICIENT_OUTPUT_AMOUNT
    entering, leaving = entering + amount_in, leaving - out
    after = Reserves(entering, leaving) if falls else Reserves(leaving, entering)
    return Swapped(amount_in, out, after, 0)


def _through_pair(
    reserves: Reserves, pair: SolidlyPair, fee_pips: int, amount_in: int, *, falls: bool
) -> Swapped | Shortage:
    """Solidly BaseV1Pair.swap: the fee leaves the pair, which may refuse what it quotes."""
    entering, leaving = reserves if falls else (reserves.reserve1, reserves.reserve0)
    decimals = (pair.decimals0, pair.decimals1) if falls else (pair.decimals1, pair.decimals0)
    hop = SolidlyHop(entering, leaving, fee_pips, Curve(pair.curve), *decimals, token0_in=falls)
    out = hop.out(amount_in)
    if out is None:
        return Shortage(OrderReason.LIQUIDITY, certain=True)
    if out == 0:
        return Shortage(OrderReason.TOO_LITTLE_OUT, certain=True)  # InsufficientOutputAmount
    entering, leaving = entering + hop.kept(amount_in), leaving - out
    after = Reserves(entering, leaving) if falls else Reserves(leaving, entering)
    return Swapped(amount_in, out, after, 0)


def _through_map(price: Price, fee_pips: int, ticks: TickMap, amount_in: int, *, falls: bool) -> Swapped | Shortage:
    walk = swap(price.sqrt_price_x96, price.tick, price.liquidity, fee_pips, ticks, amount_in, falls=falls)
    if walk.left:
        return Shortage(OrderReason.LIQUIDITY, certain=True)
    return Swapped(amount_in, walk.out, Price(walk.sqrt_price_x96, walk.liquidity, walk.end_tick), walk.crossed)


def _within_range(price: Price, place: PoolPlace, amount_in: int, *, falls: bool) -> Swapped | Shortage:
    stretch = current_range(price.sqrt_price_x96, price.tick, price.liquidity, place.fee_pips, place.tick_spacing)
    edge = stretch.floor_price if falls else stretch.ceiling_price
    step = swap_step(price.sqrt_price_x96, edge, price.liquidity, amount_in, place.fee_pips)
    if step.sqrt_price_x96 == edge:
        return Shortage(OrderReason.LIQUIDITY, certain=False)
    moved = step.sqrt_price_x96 != price.sqrt_price_x96
    tick = tick_at(step.sqrt_price_x96) if moved else price.tick
    return Swapped(amount_in, step.out, price._replace(sqrt_price_x96=step.sqrt_price_x96, tick=tick), 0)


def fill_order(steps: Sequence[tuple[PoolPlace, bool]], amount_in: int) -> list[Swapped] | Shortage:
    """Swap through a row of pools, each of its own, one after the other.

    Args:
        steps: each pool at its place, and whether its token0 goes in (`falls`).
        amount_in: base units of what goes into the first.

    Returns:
        One `Swapped` a step, to the wei; or why there is none.
    """
    done: list[Swapped] = []
    amount = amount_in
    for place, falls in steps:
        swapped = swap_through(place, amount, falls=falls)
        if isinstance(swapped, Shortage):
            return swapped
        done.append(swapped)
        amount = swapped.amount_out
    return done


def quotable(place: PoolPlace) -> bool:
    """Whether the state is one that the arithmetic is defined for."""
    if not 0 <= place.fee_pips < FEE_UNIT:
        return False
    match place.value:
        case Reserves(reserve0, reserve1) if place.pair is not None:
            curve, decimals0, decimals1 = place.pair
            scaled = curve == Curve.VOLATILE or max(decimals0, decimals1) <= MOST_DECIMALS
            return reserve0 > 0 and reserve1 > 0 and curve in CURVES and scaled
        case Reserves(reserve0, reserve1):
            return 0 < reserve0 <= MAX_RESERVE and 0 < reserve1 <= MAX_RESERVE
        case Price(price, liquidity, tick):
            in_bounds = MIN_SQRT_PRICE <= price < MAX_SQRT_PRICE and MIN_TICK <= tick < MAX_TICK
            return place.tick_spacing > 0 and in_bounds and liquidity > 0
