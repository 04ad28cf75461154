"""Unsigned integers of 128 bits in compiled code, as two uint64: the low and the high half.

Owns the few operations that sums over time need; factors and divisors are below 2^32.  Nothing is allocated: halves are
arguments and results.  Longer numbers are `consumers.native.wide_math`'s.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tlv.jit import inline_kernel

ONES = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
ONE, NOTHING = np.uint64(1), np.uint64(0)
MOST = 1 << 62
"""What `to_long` makes of everything from there on."""


@inline_kernel
def add_pair(low: Any, high: Any, other_low: Any, other_high: Any) -> tuple[Any, Any]:
    """The sum, modulo 2^128."""
    total = low + other_low
    return total, high + other_high + (ONE if total < low else NOTHING)


@inline_kernel
def subtract_pair(low: Any, high: Any, other_low: Any, other_high: Any) -> tuple[Any, Any]:
    """The difference, modulo 2^128."""
    return low - other_low, high - other_high - (ONE if low < other_low else NOTHING)


@inline_kernel
def multiply_pair(low: Any, high: Any, factor: Any) -> tuple[Any, Any]:
    """Times a uint64 below 2^32, modulo 2^128."""
    first = (low & ONES) * factor
    second = (low >> HALF) * factor + (first >> HALF)
    return second << HALF | first & ONES, high * factor + (second >> HALF)


@inline_kernel
def divide_pair(low: Any, high: Any, divisor: Any) -> tuple[Any, Any]:
    """The quotient by a uint64 from 1 to 2^32 - 1."""
    if high == NOTHING:
        return low // divisor, NOTHING
    top = high // divisor
    middle = (high - top * divisor) << HALF | low >> HALF
    third = middle // divisor
    bottom = (middle - third * divisor) << HALF | low & ONES
    return third << HALF | bottom // divisor, top


@inline_kernel
def to_long(low: Any, high: Any) -> int:
    """As int64, and MOST for every number from there on."""
    return MOST if high != NOTHING or low >= np.uint64(MOST) else int(np.int64(low))
