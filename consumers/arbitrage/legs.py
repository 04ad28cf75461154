"""From a pool's state to one leg of a cycle.

Owns the translation of pools into the arithmetic of `cycle`, and which pools can be quoted at all.
"""

from __future__ import annotations

from consumers.arbitrage.concentrated import PriceRange, current_range
from consumers.arbitrage.constant_product import FEE_UNIT, Hop
from consumers.arbitrage.pool_state import Pool, Price, Reserves
from consumers.arbitrage.tick_math import MAX_SQRT_PRICE, MIN_SQRT_PRICE, Q96
from consumers.arbitrage.cycle import Leg, MapLeg, RangeLeg, ReserveLeg


def tradable(pool: Pool) -> bool:
    """Whether enough is known of the pool to quote it."""
    if pool.current is None or pool.fee_pips is None or not 0 <= pool.fee_pips < FEE_UNIT:
        return False
    match pool.current.value:
        case Reserves(reserve0, reserve1):
            return reserve0 > 0 and reserve1 > 0
        case Price(sqrt_price_x96, liquidity):
            return pool.tick_spacing > 0 and liquidity > 0 and MIN_SQRT_PRICE <= sqrt_price_x96 < MAX_SQRT_PRICE


def reserves_of(pool: Pool) -> tuple[int, int]:
    """Reserves of a tradable pool; of a V3 pool the virtual ones, rounded down."""
    assert pool.current is not None
    match pool.current.value:
        case Reserves() as reserves:
            return reserves
        case Price(price, liquidity):
            return (liquidity << 96) // price, liquidity * price >> 96


def price_of(pool: Pool) -> float:
    """Token1 per token0 of a tradable pool, in base units, before fees."""
    assert pool.current is not None
    match pool.current.value:
        case Reserves(reserve0, reserve1):
            return reserve1 / reserve0
        case Price(price):
            return (price / Q96) ** 2


def leg_of(pool: Pool, token_in: bytes) -> Leg:
    """A tradable pool in the direction in which `token_in` goes in."""
    assert pool.current is not None and pool.fee_pips is not None
    falls = token_in == pool.token0
    match pool.current.value:
        case Reserves(reserve0, reserve1):
            hop = Hop(reserve0, reserve1, pool.fee_pips) if falls else Hop(reserve1, reserve0, pool.fee_pips)
            return ReserveLeg(hop)
        case Price(price, liquidity, tick):
            ticks = pool.ticks.map
            # Map and price come by different messages; where they disagree only the current range is used.
            if ticks is not None and ticks.active(tick) == liquidity and ticks.spacing == pool.tick_spacing:
                return MapLeg(price, tick, liquidity, pool.fee_pips, ticks, falls)
            return RangeLeg(current_range(price, tick, liquidity, pool.fee_pips, pool.tick_spacing), falls)


def unbounded_range(price: int, liquidity: int, fee_pips: int) -> PriceRange:
    """A range whose ends are those of all prices: what a reader assumes who knows no tick spacing."""
    return PriceRange(price, liquidity, fee_pips, MIN_SQRT_PRICE, MAX_SQRT_PRICE)
