"""Ticks and square-root prices of concentrated-liquidity pools (Uniswap v3-core: TickMath, SqrtPriceMath), exact.

Owns the conversion tick -> sqrtPriceX96 and the token amounts between two prices.  Every rounding is the contract's:
what a trader pays rounds up, what a trader gets rounds down.
"""

from __future__ import annotations

from functools import lru_cache

Q96 = 1 << 96
MIN_TICK, MAX_TICK = -887272, 887272
MIN_SQRT_PRICE = 4295128739
MAX_SQRT_PRICE = 1461446703485210103287273052203988822378723970342

HALF_STEPS = (
    0xFFFCB933BD6FAD37AA2D162D1A594001,
    0xFFF97272373D413259A46990580E213A,
    0xFFF2E50F5F656932EF12357CF3C7FDCC,
    0xFFE5CACA7E10E4E61C3624EAA0941CD0,
    0xFFCB9843D60F6159C9DB58835C926644,
    0xFF973B41FA98C081472E6896DFB254C0,
    0xFF2EA16466C96A3843EC78B326B52861,
    0xFE5DEE046A99A2A811C461F1969C3053,
    0xFCBE86C7900A88AEDCFFC83B479AA3A4,
    0xF987A7253AC413176F2B074CF7815E54,
    0xF3392B0822B70005940C7A398E4B70F3,
    0xE7159475A2C29B7443B29C7FA6E889D9,
    0xD097F3BDFD2022B8845AD8F792AA5825,
    0xA9F746462D870FDF8A65DC1F90E061E5,
    0x70D869A156D2A1B890BB3DF62BAF32F7,
    0x31BE135F97D08FD981231505542FCFA6,
    0x9AA508B5B7A84E1C677DE54F3E99BC9,
    0x5D6AF8DEDB81196699C329225EE604,
    0x2216E584F5FA1EA926041BEDFE98,
    0x48A170391F7DC42444E8FA2,
)
"""sqrt(1.0001)^-(2^i) in Q128, i = 0..19: a tick's price is the product over its set bits (TickMath.sol)."""


def ceil_div(numerator: int, denominator: int) -> int:
    """The quotient, rounded up."""
    return -(-numerator // denominator)


@lru_cache(maxsize=1 << 14)
def sqrt_price_at(tick: int) -> int:
    """sqrtPriceX96 at `tick`, bit for bit as TickMath.getSqrtRatioAtTick (rounded up in the last step).

    Remembered: a search asks for the same few ticks again with each input that it tries.
    """
    ratio = 1 << 128
    for bit, step in enumerate(HALF_STEPS):
        if abs(tick) >> bit & 1:
            ratio = ratio * step >> 128
    if tick > 0:
        ratio = ((1 << 256) - 1) // ratio
    return ratio + 0xFFFFFFFF >> 32


def amount0_between(price: int, other: int, liquidity: int, *, round_up: bool) -> int:
    """Token0 that moves a pool of `liquidity` between two prices (SqrtPriceMath.getAmount0Delta)."""
    low, high = (price, other) if price < other else (other, price)
    product = (liquidity << 96) * (high - low)
    return -(-product // high // low) if round_up else product // high // low


def amount1_between(price: int, other: int, liquidity: int, *, round_up: bool) -> int:
    """Token1 that moves a pool of `liquidity` between two prices (SqrtPriceMath.getAmount1Delta)."""
    product = liquidity * abs(price - other)
    return -(-product >> 96) if round_up else product >> 96


def tick_at(sqrt_price_x96: int) -> int:
    """The greatest tick whose price is not above this one (TickMath.getTickAtSqrtRatio)."""
    low, high = MIN_TICK, MAX_TICK
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if sqrt_price_at(middle) <= sqrt_price_x96 else (low, middle - 1)
    return low
