"""The fee that a swap shows, in compiled code: `solidly.shown_fee` and its question, on amounts of four limbs.

Owns the comparison of an amount's part with what left a pair.  Nothing is divided, and nothing is rounded: a part of an
amount is compared as a product.  Tests hold both to the same answers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from consumers.arbitrage.constant_product import FEE_UNIT
from consumers.arbitrage.solidly import PIPS
from tlv.buffers import Limbs
from tlv.jit import kernel

ONES, HALF_LIMB = np.uint64(0xFFFFFFFF), np.uint64(32)
POINTS = FEE_UNIT // PIPS
"""Basis points of the whole."""
UNKNOWN = -1


@kernel
def compare_products(left: Limbs, by: int, right: Limbs, other: int, more: int) -> int:
    """-1, 0 or 1 as left * by is below, equal to or above right * other + more; both have as many limbs, and what is no
    array is less than 2^31."""
    sign: Any = 0
    ours, theirs, first, second = np.uint64(0), np.uint64(more), np.uint64(by), np.uint64(other)
    for i in range(2 * left.size):
        shift = np.uint64(32 * (i & 1))
        ours += (left[i >> 1] >> shift & ONES) * first
        theirs += (right[i >> 1] >> shift & ONES) * second
        if ours & ONES != theirs & ONES:
            sign = -1 if ours & ONES < theirs & ONES else 1
        ours >>= HALF_LIMB
        theirs >>= HALF_LIMB
    if ours != theirs:
        sign = -1 if ours < theirs else 1
    return int(sign)


@kernel
def is_part(amount: Limbs, part: int, whole: int, paid: Limbs) -> bool:
    """Whether amount * part // whole is `paid`."""
    return bool(
        compare_products(amount, part, paid, whole, 0) >= 0 and compare_products(amount, part, paid, whole, whole) < 0
    )


@kernel
def shown_pips(amount: Limbs, paid: Limbs, fee_pips: int) -> int:
    """The fee of which `paid`, not more than `amount`, is what left a pair; UNKNOWN if it is `fee_pips`, if there is
    none, or if several are possible."""
    if fee_pips % PIPS == 0:
        if is_part(amount, fee_pips // PIPS, POINTS, paid):
            return UNKNOWN
    elif is_part(amount, fee_pips, FEE_UNIT, paid):
        return UNKNOWN
    least, above = 0, POINTS  # the least number of points that are as much
    while least < above:
        middle = (least + above) // 2
        if compare_products(amount, middle, paid, POINTS, 0) >= 0:
            above = middle
        else:
            least = middle + 1
    one = least < POINTS and is_part(amount, least, POINTS, paid)
    other = least + 1 < POINTS and is_part(amount, least + 1, POINTS, paid)
    if one == other:
        return UNKNOWN
    shown = PIPS * (least if one else least + 1)
    return shown if shown > 0 else UNKNOWN
