"""Prices as exact decimals: whole token1 for one whole token0, 15 significant digits, cut off."""

from __future__ import annotations

from tlv.codes import UNKNOWN_DECIMALS

DIGITS = 15
"""More than a float shows; what a page needs to tell two prices apart."""


def price_of_reserves(reserve0: int, reserve1: int, decimals0: int, decimals1: int) -> str | None:
    """The price in a constant-product pool; None without reserves or decimals."""
    if UNKNOWN_DECIMALS in (decimals0, decimals1) or reserve0 <= 0 or reserve1 <= 0:
        return None
    return decimal(reserve1 * 10**decimals0, reserve0 * 10**decimals1)


def price_on_stable_curve(reserve0: int, reserve1: int, decimals0: int, decimals1: int) -> str | None:
    """The price in a pool that keeps x^3 y + y^3 x, the ratio of its derivatives; None without reserves or decimals."""
    if UNKNOWN_DECIMALS in (decimals0, decimals1) or reserve0 <= 0 or reserve1 <= 0:
        return None
    x, y = reserve0 * 10**decimals1, reserve1 * 10**decimals0
    return decimal(y * (3 * x * x + y * y), x * (x * x + 3 * y * y))


def price_of_root(sqrt_price_x96: int, decimals0: int, decimals1: int) -> str | None:
    """The price in a concentrated pool; None without decimals."""
    if UNKNOWN_DECIMALS in (decimals0, decimals1) or sqrt_price_x96 <= 0:
        return None
    return decimal(sqrt_price_x96 * sqrt_price_x96 * 10**decimals0, 10**decimals1 << 192)


def decimal(numerator: int, denominator: int) -> str:
    """The quotient of two integers above 0 without exponent, cut off behind DIGITS significant digits."""
    # Of the two possible numbers of digits before the point, the right one leaves DIGITS digits.
    shift = DIGITS - (len(str(numerator)) - len(str(denominator)))
    digits = _shifted(numerator, denominator, shift)
    if digits >= 10**DIGITS:
        shift -= 1
        digits = _shifted(numerator, denominator, shift)
    if shift <= 0:
        return str(digits * 10**-shift)
    text = str(digits).rjust(shift + 1, "0")
    return f"{text[:-shift]}.{text[-shift:]}".rstrip("0").rstrip(".")


def _shifted(numerator: int, denominator: int, shift: int) -> int:
    above: int = 10 ** max(shift, 0)
    below: int = 10 ** max(-shift, 0)
    return numerator * above // (denominator * below)
