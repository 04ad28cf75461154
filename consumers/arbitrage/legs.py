"""From a pool's state to one leg of a cycle.

Owns the translation of pools into the arithmetic of `cycle`, and which pools can be quoted at all.
"""

from __future__ import annotations

from math import inf

from consumers.arbitrage.concentrated import PriceRange, TickMap, current_range
from consumers.arbitrage.constant_product import FEE_UNIT, MAX_RESERVE, Hop
from consumers.arbitrage.cycle import Leg, MapLeg, RangeLeg, ReserveLeg, StableLeg, VolatileLeg
from consumers.arbitrage.cycle_table import Slope
from consumers.arbitrage.pool_state import Pool, Price, Reserves
from consumers.arbitrage.solidly import MOST_DECIMALS, SolidlyHop
from consumers.arbitrage.stable_curve import marginal_rate
from consumers.arbitrage.tick_math import MAX_SQRT_PRICE, MAX_TICK, MIN_SQRT_PRICE, MIN_TICK, Q96, sqrt_price_at
from tlv.codes import Curve

CURVES = frozenset(Curve)
MAX_LIQUIDITY = (1 << 128) - 1
"""The contract's is a uint128."""


def refusal(pool: Pool) -> str | None:
    """Why a pool cannot be quoted; None if it can.

    `state` and `fee` that are not known, or `fee`s of all there is; `reserves` that are empty, or more than the
    contract's 112 bits hold; `liquidity` that is none, or more than 128 bits; a `price` or a `tick` that no pool of
    its spacing can have, or that contradict each other; `tokens` that are no two; a `curve` that is not known, or
    `decimals` that its pair reads and are not.
    """
    if pool.current is None:
        return "state"
    if not all(fee is not None and 0 <= fee < FEE_UNIT for fee in (pool.fee_pips, pool.fee_pips_back)):
        return "fee"
    if pool.token0 >= pool.token1:
        return "tokens"
    match pool.current.value:
        case Reserves(reserve0, reserve1) if pool.is_solidly:
            if pool.curve not in CURVES:
                return "curve"
            if pool.curve != Curve.VOLATILE and max(pool.decimals0, pool.decimals1) > MOST_DECIMALS:
                return "decimals"
            return None if reserve0 > 0 and reserve1 > 0 else "reserves"
        case Reserves(reserve0, reserve1):
            return None if 0 < reserve0 <= MAX_RESERVE and 0 < reserve1 <= MAX_RESERVE else "reserves"
        case Price(sqrt_price_x96, liquidity, tick):
            if not 0 < liquidity <= MAX_LIQUIDITY:
                return "liquidity"
            if not MIN_SQRT_PRICE <= sqrt_price_x96 < MAX_SQRT_PRICE:
                return "price"
            if pool.tick_spacing <= 0 or not MIN_TICK <= tick < MAX_TICK:
                return "tick"
            # On a tick that it has just crossed downwards the contract's price is that of the next tick already.
            return None if sqrt_price_at(tick) <= sqrt_price_x96 <= sqrt_price_at(tick + 1) else "tick"


def reserves_of(pool: Pool) -> tuple[int, int]:
    """Reserves of a pool that can be quoted, whose ratio is its price; of a V3 pool the virtual ones, rounded down, of
    a stable pair those of a constant-product one with as much of token0."""
    assert pool.current is not None
    match pool.current.value:
        case Reserves(reserve0, _) if pool.is_solidly and pool.curve != Curve.VOLATILE:
            return reserve0, int(reserve0 * marginal_rate(pool_hop(pool, falls=True)))
        case Reserves() as reserves:
            return reserves
        case Price(price, liquidity):
            return (liquidity << 96) // price, liquidity * price >> 96


def pool_hop(pool: Pool, *, falls: bool) -> SolidlyHop:
    """A pair of Solidly's type that can be quoted; `falls` if token0 goes in."""
    assert pool.current is not None and pool.fee_pips is not None and isinstance(pool.current.value, Reserves)
    reserve0, reserve1 = pool.current.value
    curve, known = Curve(pool.curve), (pool.decimals0, pool.decimals1)
    if falls:
        return SolidlyHop(reserve0, reserve1, pool.fee_pips, curve, *known, token0_in=True)
    return SolidlyHop(reserve1, reserve0, pool.fee_pips, curve, *known[::-1], token0_in=False)


def tangent(hop: SolidlyHop) -> Slope:
    """What a stable pair does at most: the curve lies below its tangent, which takes the whole reserve at the end."""
    rate = marginal_rate(hop) * (1.0 - hop.fee_pips / FEE_UNIT)
    return Slope(rate, 0.0, hop.reserve_out / rate if rate > 0.0 else 0.0)


def slopes_of(pool: Pool) -> tuple[Slope, Slope]:
    """What a pool that can be quoted does at most to token0 that goes in, and to token1, as real-valued maps."""
    assert pool.current is not None and pool.fee_pips is not None and pool.fee_pips_back is not None
    kept, kept_back = 1.0 - pool.fee_pips / FEE_UNIT, 1.0 - pool.fee_pips_back / FEE_UNIT
    match pool.current.value:
        case Reserves(reserve0, reserve1) if pool.is_solidly and pool.curve != Curve.VOLATILE:
            return tangent(pool_hop(pool, falls=True)), tangent(pool_hop(pool, falls=False))
        case Reserves(reserve0, reserve1):
            return Slope(kept * (reserve1 / reserve0), kept / reserve0), Slope(
                kept_back * (reserve0 / reserve1), kept_back / reserve1
            )
        case Price(price, liquidity, tick):
            root, most, down, up = price / Q96, liquidity, inf, inf
            ticks = usable_map(pool)
            if ticks is not None:
                most = max(liquidity, ticks.peak)
            else:
                reach = current_range(price, tick, liquidity, pool.fee_pips, pool.tick_spacing)
                down = liquidity * ((price - reach.floor_price) / reach.floor_price) / root / kept
                up = liquidity * ((reach.ceiling_price - price) / Q96) / kept_back
            falling = Slope(kept * root * root, kept * root / most, down)
            return falling, Slope(kept_back / root / root, kept_back / root / most, up)


def usable_map(pool: Pool) -> TickMap | None:
    """The pool's tick map.  Map and price come by different messages; where they disagree only the current range is
    used."""
    ticks, current = pool.ticks.map, pool.current
    if ticks is None or current is None or not isinstance(current.value, Price):
        return None
    price = current.value
    return ticks if ticks.active(price.tick) == price.liquidity and ticks.spacing == pool.tick_spacing else None


def leg_of(pool: Pool, token_in: bytes) -> Leg:
    """A tradable pool in the direction in which `token_in` goes in."""
    falls = token_in == pool.token0
    fee_pips = pool.fee(falls=falls)
    assert pool.current is not None and fee_pips is not None
    match pool.current.value:
        case Reserves() if pool.is_solidly:
            pair = pool_hop(pool, falls=falls)
            return VolatileLeg(pair) if pair.curve == Curve.VOLATILE else StableLeg(pair)
        case Reserves(reserve0, reserve1):
            hop = Hop(reserve0, reserve1, fee_pips) if falls else Hop(reserve1, reserve0, fee_pips)
            return ReserveLeg(hop)
        case Price(price, liquidity, tick):
            ticks = usable_map(pool)
            if ticks is not None:
                return MapLeg(price, tick, liquidity, fee_pips, ticks, falls)
            return RangeLeg(current_range(price, tick, liquidity, fee_pips, pool.tick_spacing), falls)


def unbounded_range(price: int, liquidity: int, fee_pips: int) -> PriceRange:
    """A range whose ends are those of all prices: what a reader assumes who knows no tick spacing."""
    return PriceRange(price, liquidity, fee_pips, MIN_SQRT_PRICE, MAX_SQRT_PRICE)
