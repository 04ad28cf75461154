"""What a pair of Solidly's type pays, exactly, in compiled code: the arithmetic of `consumers.arbitrage.solidly`.

Owns the kernels of both curves and of the pair's own check.  Numbers are digits (`wide_math`) in the rows of `work`
(`quoting.make_work`), of which a pair leaves those of a price unused.  A kernel that the contract's words do not hold
returns False: it would revert.  Tests hold every quote against the Python arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from consumers.arbitrage.constant_product import FEE_UNIT
from consumers.arbitrage.solidly import MOST_DECIMALS, MOST_STEPS, ONE, PIPS
from consumers.native.quoting import (
    AMOUNT,
    EMPTY_POOL,
    FIRST,
    GOT,
    KEPT,
    LEFT,
    OUT,
    QUOTED,
    QUOTIENT,
    REACHED,
    REMAINDER,
    RESERVE_IN,
    RESERVE_OUT,
    REVERTED,
    SCALED,
    SCALED_DIVISOR,
    SECOND,
    STOP_PRICE,
    TAKEN,
    TARGET,
    THIRD,
    TO_TARGET,
    Work,
)
from consumers.native.wide_math import (
    Digits,
    add_digits,
    compare_digits,
    digits_used,
    divide_digits,
    multiply_digits,
    set_small,
    set_zero,
    subtract_digits,
)
from tlv.codes import Curve
from tlv.jit import kernel

WORD, PRODUCT = 8, 17
"""Digits of the contract's words, and of a product of two with the one that division adds."""
SUM = WORD + 1
VOLATILE, SOLIDLY, SUPERCHAIN = int(Curve.VOLATILE), int(Curve.SOLIDLY), int(Curve.SUPERCHAIN)
X, Y, INVARIANT, HELD, SLOPE, STEP, AFTER = LEFT, GOT, TARGET, TO_TARGET, REACHED, TAKEN, STOP_PRICE
"""Rows of a stable pair."""


def _powers() -> Work:
    return np.array(
        [[10**power >> 32 * digit & 0xFFFFFFFF for digit in range(SUM)] for power in range(MOST_DECIMALS + 1)],
        np.uint32,
    )


POWERS = _powers()
"""uint32[78, 9]: a whole coin of each number of decimals."""
COIN = POWERS[18]
assert ONE == 10**18
ONE_UNIT = POWERS[0]


@kernel
def scale_into(out: Digits, left: Digits, right: Digits, divisor: Digits, work: Work) -> bool:
    """left * right / divisor, floored; False if the product is no word, or the divisor is 0.

    `out` may be one of them; none of the four is scratch of division or THIRD.
    """
    product, quotient = work[THIRD, :PRODUCT], work[QUOTIENT, :PRODUCT]
    multiply_digits(product, left[:WORD], right[:WORD])
    if digits_used(product) > WORD:
        return False
    if not divide_digits(
        quotient, work[REMAINDER, :SUM], product, divisor[:SUM], work[SCALED, :PRODUCT], work[SCALED_DIVISOR, :SUM]
    ):
        return False
    for i in range(SUM):
        out[i] = quotient[i]
    return True


@kernel
def add_word(out: Digits, left: Digits, right: Digits) -> bool:
    """left + right; False if it is no word."""
    add_digits(out[:SUM], left[:SUM], right[:SUM])
    return bool(out[WORD] == 0)


@kernel
def subtract_word(out: Digits, left: Digits, right: Digits) -> bool:
    """left - right; False if it is negative."""
    if compare_digits(left[:SUM], right[:SUM]) < 0:
        return False
    subtract_digits(out[:SUM], left[:SUM], right[:SUM])
    return True


@kernel
def put_product_form(out: Digits, x: Digits, y: Digits, work: Work) -> bool:
    """`solidly.product_form`; `out` is neither x nor y, and none of the three is FIRST or SECOND."""
    first, second = work[FIRST], work[SECOND]
    return (
        scale_into(first, x, x, COIN, work)
        and scale_into(second, y, y, COIN, work)
        and add_word(second, first, second)
        and scale_into(first, x, y, COIN, work)
        and scale_into(out, first, second, COIN, work)
    )


@kernel
def put_power_form(out: Digits, x: Digits, y: Digits, work: Work) -> bool:
    """`solidly.power_form`, as above."""
    first, second = work[FIRST], work[SECOND]
    return (
        scale_into(first, y, y, COIN, work)
        and scale_into(first, first, y, COIN, work)
        and scale_into(first, x, first, COIN, work)
        and scale_into(second, x, x, COIN, work)
        and scale_into(second, second, x, COIN, work)
        and scale_into(second, second, y, COIN, work)
        and add_word(out, first, second)
    )


@kernel
def put_slope(out: Digits, x: Digits, y: Digits, work: Work) -> bool:
    """`solidly.slope_at`, as above."""
    first, second = work[FIRST], work[SECOND]
    return (
        scale_into(first, y, y, COIN, work)
        and add_word(second, x, x)
        and add_word(second, second, x)
        and scale_into(first, second, first, COIN, work)
        and scale_into(second, x, x, COIN, work)
        and scale_into(second, second, x, COIN, work)
        and add_word(out, first, second)
    )


@kernel
def put_invariant(out: Digits, x: Digits, y: Digits, unit_x: Digits, unit_y: Digits, work: Work) -> bool:
    """The invariant of so much of two coins (`_k`); it works in AFTER and STEP, which may be x and y."""
    return (
        scale_into(work[AFTER], x, COIN, unit_x, work)
        and scale_into(work[STEP], y, COIN, unit_y, work)
        and put_product_form(out, work[AFTER], work[STEP], work)
    )


@kernel
def find_other_reserve(work: Work, curve: int, unit0: Digits, unit1: Digits) -> bool:
    """Move Y to where it and X have INVARIANT, as the contract finds it (`_get_y`)."""
    x, y, invariant, held, step = work[X], work[Y], work[INVARIANT], work[HELD], work[STEP]
    for _ in range(MOST_STEPS):
        fits = put_power_form(held, x, y, work) if curve == SOLIDLY else put_product_form(held, x, y, work)
        if not fits or not put_slope(work[SLOPE], x, y, work):
            return False
        order = compare_digits(held[:SUM], invariant[:SUM])
        if order < 0:
            subtract_word(step, invariant, held)
        else:
            subtract_word(step, held, invariant)
        if not scale_into(step, step, COIN, work[SLOPE], work):
            return False
        if digits_used(step[:SUM]) == 0 and curve != SOLIDLY:
            if order == 0:
                return True
            if order < 0:
                if not add_word(y, y, ONE_UNIT):
                    return False
                if curve == SUPERCHAIN:
                    fits = put_product_form(held, x, y, work)
                else:
                    fits = put_invariant(held, x, y, unit0, unit1, work)
                if not fits:
                    return False
                if compare_digits(held[:SUM], invariant[:SUM]) > 0:
                    return True
            else:
                if not subtract_word(y, y, ONE_UNIT) or not put_product_form(held, x, y, work):
                    return False
                if compare_digits(held[:SUM], invariant[:SUM]) < 0:
                    add_digits(y[:SUM], y[:SUM], ONE_UNIT)
                    return True
            continue
        if not (add_word(y, y, step) if order < 0 else subtract_word(y, y, step)):
            return False
        if curve == SOLIDLY and compare_digits(step[:SUM], ONE_UNIT) <= 0:
            return True
    return curve == SOLIDLY


@kernel
def put_kept(work: Work, fee_pips: int) -> bool:
    """Into KEPT what is left of AMOUNT after the fee, which is rounded down."""
    unit = FEE_UNIT if fee_pips % PIPS else FEE_UNIT // PIPS
    set_small(work[FIRST, :SUM], fee_pips if fee_pips % PIPS else fee_pips // PIPS)
    set_small(work[SECOND, :SUM], unit)
    return scale_into(work[FIRST], work[AMOUNT], work[FIRST], work[SECOND], work) and subtract_word(
        work[KEPT], work[AMOUNT], work[FIRST]
    )


@kernel
def pay_volatile(work: Work) -> bool:
    """Into OUT what KEPT brings at xy = k."""
    return add_word(work[X], work[RESERVE_IN], work[KEPT]) and scale_into(
        work[OUT], work[KEPT], work[RESERVE_OUT], work[X], work
    )


@kernel
def is_product_kept(work: Work) -> bool:
    """Whether the pair takes OUT for KEPT: its product must be a word, and not become less."""
    before, after = work[FIRST, :PRODUCT], work[SECOND, :PRODUCT]
    multiply_digits(before, work[RESERVE_IN, :SUM], work[RESERVE_OUT, :SUM])
    if not subtract_word(work[Y], work[RESERVE_OUT], work[OUT]):
        return False
    multiply_digits(after, work[X, :SUM], work[Y, :SUM])
    if digits_used(before) > WORD or digits_used(after) > WORD:
        return False
    return bool(compare_digits(after, before) >= 0)


@kernel
def pay_stable(work: Work, curve: int, unit_in: Digits, unit_out: Digits, token0_in: bool) -> bool:
    """Into OUT what KEPT brings on a stable curve, and into INVARIANT that of the reserves."""
    if not put_invariant(work[INVARIANT], work[RESERVE_IN], work[RESERVE_OUT], unit_in, unit_out, work):
        return False
    x, y = work[X], work[Y]
    if not (
        scale_into(x, work[KEPT], COIN, unit_in, work)
        and scale_into(work[FIRST], work[RESERVE_IN], COIN, unit_in, work)
        and add_word(x, x, work[FIRST])
        and scale_into(y, work[RESERVE_OUT], COIN, unit_out, work)
    ):
        return False
    # VELODROME takes x for an amount of token0, whichever coin goes in.
    unit0, unit1 = (unit_in, unit_out) if token0_in else (unit_out, unit_in)
    return (
        find_other_reserve(work, curve, unit0, unit1)
        and scale_into(work[FIRST], work[RESERVE_OUT], COIN, unit_out, work)
        and subtract_word(work[OUT], work[FIRST], y)
        and scale_into(work[OUT], work[OUT], unit_out, COIN, work)
    )


@kernel
def is_invariant_kept(work: Work, unit_in: Digits, unit_out: Digits) -> bool:
    """Whether the pair takes OUT for KEPT: INVARIANT must not become less."""
    x, y = work[X], work[Y]
    return (
        add_word(x, work[RESERVE_IN], work[KEPT])
        and subtract_word(y, work[RESERVE_OUT], work[OUT])
        and put_invariant(work[HELD], x, y, unit_in, unit_out, work)
        and compare_digits(work[HELD, :SUM], work[INVARIANT, :SUM]) >= 0
    )


@kernel
def quote_solidly(work: Work, fee_pips: int, curve: int, decimals_in: int, decimals_out: int, token0_in: bool) -> int:
    """Into OUT what AMOUNT brings from RESERVE_IN to RESERVE_OUT, as `SolidlyHop.out`; a status.

    curve: of `tlv.codes.Curve`.  decimals_in, decimals_out: 0 to 77; only a stable pair reads them.
    """
    if digits_used(work[RESERVE_IN]) == 0 or digits_used(work[RESERVE_OUT]) == 0:
        return EMPTY_POOL
    set_zero(work[OUT])
    if not put_kept(work, fee_pips):
        return REVERTED
    if curve == VOLATILE:
        takes: Any = pay_volatile(work) and is_product_kept(work)
    else:
        unit_in, unit_out = POWERS[decimals_in], POWERS[decimals_out]
        takes = pay_stable(work, curve, unit_in, unit_out, token0_in) and is_invariant_kept(work, unit_in, unit_out)
    if not takes or compare_digits(work[OUT, :SUM], work[RESERVE_OUT, :SUM]) >= 0:
        return REVERTED
    return QUOTED
