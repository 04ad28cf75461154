"""From averages to a fee (Algebra v1-core: AdaptiveFee), exact.

Owns the contract's sigmoid and its series for e^x.  The series has terms of 152 bits, held as three uint64, the lowest
first; nothing is allocated.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from consumers.arbitrage.word_pairs import HALF, NOTHING, ONE, ONES
from tlv.buffers import Longs
from tlv.jit import inline_kernel, kernel
from tlv.wide import LIMB

ALPHA1, ALPHA2, BETA1, BETA2, GAMMA1, GAMMA2, VOLUME_BETA, VOLUME_GAMMA, BASE_FEE = range(9)
"""Places in a fee configuration, int64[9]: the fields of AdaptiveFee.Configuration, in their order."""
MOST_FEE = 65_535
STEEP = 6
"""So many widths away from its middle a sigmoid is flat."""
DEGREE = 8
Triple = tuple[Any, Any, Any]


@kernel
def adaptive_fee(config: Longs, volatility: int, volume: int) -> int:
    """Pips, from the two averages (AdaptiveFee.getFee)."""
    both = sigmoid(volatility, config[GAMMA1], config[ALPHA1], config[BETA1])
    both += sigmoid(volatility, config[GAMMA2], config[ALPHA2], config[BETA2])
    part = sigmoid(volume, config[VOLUME_GAMMA], min(both, MOST_FEE), config[VOLUME_BETA])
    return int(config[BASE_FEE]) + part


@kernel
def sigmoid(x: int, gamma: int, alpha: int, beta: int) -> int:
    """alpha / (1 + e^((beta - x) / gamma)), as the contract rounds it; gamma is from 1 to 65,535."""
    above = x > beta
    away = x - beta if above else beta - x
    if away >= STEEP * gamma:
        return alpha if above else 0
    g8 = power(np.uint64(gamma))
    ex = series(np.uint64(away), np.uint64(gamma), g8)
    divisor = add(g8, ex)
    return quotient(alpha, ex if above else g8, divisor)


@inline_kernel
def power(gamma: Any) -> Triple:
    """gamma^8."""
    result = (ONE, NOTHING, NOTHING)
    for _ in range(DEGREE):
        result = multiply(result, gamma)
    return result


@inline_kernel
def series(away: Any, gamma: Any, g8: Triple) -> Triple:
    """gamma^8 * e^(away / gamma): nine terms of the series, each rounded down (AdaptiveFee.exp)."""
    term = total = g8
    factorial = ONE
    for k in range(1, DEGREE + 1):
        factorial *= np.uint64(k)
        term = divide(multiply(term, away), gamma)  # away^k * gamma^(8 - k), nothing is left over
        total = add(total, divide(term, factorial))
    return total


@inline_kernel
def quotient(alpha: int, number: Triple, divisor: Triple) -> int:
    """alpha * number // divisor, which is at most alpha: guessed in floats, then put right."""
    product = multiply(number, np.uint64(alpha))
    guess = int(to_float(product) / to_float(divisor))
    while guess > 0 and is_less(product, multiply(divisor, np.uint64(guess))):
        guess -= 1
    while not is_less(product, multiply(divisor, np.uint64(guess + 1))):
        guess += 1
    return guess


# ---- three uint64; factors and divisors below 2^32


@inline_kernel
def add(left: Triple, right: Triple) -> Triple:
    """The sum, which fits."""
    low = left[0] + right[0]
    carry = ONE if low < left[0] else NOTHING
    middle = left[1] + right[1]
    over = ONE if middle < left[1] else NOTHING
    middle += carry
    over += ONE if middle < carry else NOTHING
    return low, middle, left[2] + right[2] + over


@inline_kernel
def multiply(number: Triple, factor: Any) -> Triple:
    """The product, which fits."""
    a = (number[0] & ONES) * factor
    b = (number[0] >> HALF) * factor + (a >> HALF)
    c = (number[1] & ONES) * factor + (b >> HALF)
    d = (number[1] >> HALF) * factor + (c >> HALF)
    return b << HALF | a & ONES, d << HALF | c & ONES, number[2] * factor + (d >> HALF)


@inline_kernel
def divide(number: Triple, divisor: Any) -> Triple:
    """The quotient."""
    high = number[2] // divisor
    rest = (number[2] - high * divisor) << HALF | number[1] >> HALF
    a = rest // divisor
    rest = (rest - a * divisor) << HALF | number[1] & ONES
    b = rest // divisor
    rest = (rest - b * divisor) << HALF | number[0] >> HALF
    c = rest // divisor
    rest = (rest - c * divisor) << HALF | number[0] & ONES
    return c << HALF | rest // divisor, a << HALF | b, high


@inline_kernel
def is_less(left: Triple, right: Triple) -> bool:
    """Whether `left` is the smaller."""
    if left[2] != right[2]:
        return bool(left[2] < right[2])
    return bool(left[0] < right[0] if left[1] == right[1] else left[1] < right[1])


@inline_kernel
def to_float(number: Triple) -> float:
    """Within a few units in the last place."""
    return (float(number[2]) * LIMB + float(number[1])) * LIMB + float(number[0])
