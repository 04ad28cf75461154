"""What pools pay, exactly, in compiled code: the arithmetic of `constant_product` and `concentrated`, to the wei.

Owns the kernels behind `consumers.native.book`: Uniswap V2's output, SwapMath.computeSwapStep, TickMath, and the walk
of UniswapV3Pool.swap over a tick map.  Numbers are digits (`wide_math`) in the rows of `work`, uint32[ROWS, DIGITS].
Tests hold every kernel against the Python arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from consumers.arbitrage.concentrated import WORD_TICKS
from consumers.arbitrage.constant_product import FEE_UNIT, MAX_RESERVE
from consumers.arbitrage.tick_math import HALF_STEPS, MAX_SQRT_PRICE, MAX_TICK, MIN_SQRT_PRICE, MIN_TICK
from consumers.native.wide_math import (
    Digits,
    add_digits,
    compare_digits,
    digits_used,
    divide_digits,
    multiply_digits,
    set_limbs,
    set_number,
    set_small,
    set_zero,
    shift_digits_left,
    subtract_digits,
)
from tlv.buffers import Limbs, Longs
from tlv.jit import kernel

Work = np.ndarray[Any, np.dtype[np.uint32]]
"""uint32[ROWS, DIGITS]: memory that these kernels work in."""
DIGITS = 44
"""A kept amount x L x price, the largest product, has 17; twice that and a digit for division."""
SCALED, SCALED_DIVISOR, REMAINDER, QUOTIENT = range(4)
FIRST, SECOND, THIRD = range(4, 7)
"""Scratch of the formulas; a formula's arguments and result are other rows."""
PRICE, LIQUIDITY, LEFT, OUT, TARGET, KEPT, TO_TARGET, REACHED, TAKEN, GOT, STOP_PRICE, AMOUNT = range(7, 19)
RESERVE_IN, RESERVE_OUT = PRICE, LIQUIDITY
ROWS = 19

(
    QUOTED,
    UNKNOWN_POOL,
    UNKNOWN_STATE,
    UNKNOWN_FEE,
    EMPTY_POOL,
    BEYOND_RANGE,
    NO_LIQUIDITY,
    TOO_LARGE,
    BAD_STATE,
    HOOKED,
    REVERTED,
) = range(11)
"""What came of a quote.  Only QUOTED gives an amount, and HOOKED one that the pool's hook may change.  UNKNOWN_STATE:
nothing came yet, or it was taken back.  EMPTY_POOL: it holds nothing.  BEYOND_RANGE: the swap leaves the current range,
and what lies behind is not known (`--watch-ticks`). NO_LIQUIDITY: not all of the input finds a counterpart.  TOO_LARGE:
no uint256.  BAD_STATE: what is known of the pool contradicts itself.  REVERTED: the contract would refuse the quote, or
the swap."""


def make_work() -> Work:
    """Memory for one thread."""
    return np.zeros((ROWS, DIGITS), np.uint32)


def _half_steps() -> Work:
    return np.array([[step >> 32 * i & 0xFFFFFFFF for i in range(4)] for step in HALF_STEPS], np.uint32)


HALF_STEP_DIGITS = _half_steps()


def _digits_of(number: int) -> Digits:
    return np.array([number >> 32 * i & 0xFFFFFFFF for i in range(8)], np.uint32)


FALLING_LIMIT, RISING_LIMIT = _digits_of(MIN_SQRT_PRICE + 1), _digits_of(MAX_SQRT_PRICE - 1)
LEAST_PRICE, PRICE_BOUND = _digits_of(MIN_SQRT_PRICE), _digits_of(MAX_SQRT_PRICE)
ONE, MOST_256, MOST_RESERVE = _digits_of(1), _digits_of((1 << 256) - 1), _digits_of(MAX_RESERVE)
Q96_DIGITS = 3


@kernel
def divide_into(out: Digits, number: Digits, divisor: Digits, round_up: bool, work: Work) -> None:
    """number / divisor, which is not 0, rounded down or up.  `number` is neither scratch of division nor `divisor`."""
    divide_digits(work[QUOTIENT], work[REMAINDER], number, divisor, work[SCALED], work[SCALED_DIVISOR])
    if round_up and digits_used(work[REMAINDER]) > 0:
        add_digits(out, work[QUOTIENT], ONE)
    else:
        set_number(out, work[QUOTIENT])


@kernel
def is_reserve(reserve: Digits) -> bool:
    """Whether it fits the 112 bits that the pair contract has for it."""
    return compare_digits(reserve, MOST_RESERVE) <= 0


@kernel
def quote_reserves(work: Work, fee_pips: int) -> int:
    """Into OUT what AMOUNT brings from RESERVE_IN to RESERVE_OUT (UniswapV2Library.getAmountOut); a status.

    A pair that would hold more than its words can reverts (UniswapV2Pair._update).
    """
    if digits_used(work[RESERVE_IN]) == 0 or digits_used(work[RESERVE_OUT]) == 0:
        return EMPTY_POOL
    add_digits(work[FIRST], work[RESERVE_IN], work[AMOUNT])
    if not is_reserve(work[FIRST]):
        return REVERTED
    set_small(work[FIRST], FEE_UNIT - fee_pips)
    multiply_digits(work[KEPT], work[AMOUNT], work[FIRST])
    multiply_digits(work[THIRD], work[KEPT], work[RESERVE_OUT])
    set_small(work[FIRST], FEE_UNIT)
    multiply_digits(work[SECOND], work[RESERVE_IN], work[FIRST])
    add_digits(work[SECOND], work[SECOND], work[KEPT])
    divide_into(work[OUT], work[THIRD], work[SECOND], False, work)
    return QUOTED


@kernel
def put_sqrt_price_at(out: Digits, tick: int, work: Work) -> None:
    """sqrtPriceX96 at a tick, as `tick_math.sqrt_price_at` (TickMath.getSqrtRatioAtTick)."""
    ratio, product = work[FIRST], work[SECOND]
    set_zero(ratio)
    ratio[4] = 1  # 2^128
    distance = abs(tick)
    for bit in range(HALF_STEP_DIGITS.shape[0]):
        if distance >> bit & 1:
            multiply_digits(product, ratio, HALF_STEP_DIGITS[bit])
            set_number(ratio, product[4:])
    if tick > 0:
        set_number(product, MOST_256)
        divide_into(ratio, product, work[FIRST], False, work)
    rounds = ratio[0] != 0
    set_number(out, ratio[1:])
    if rounds:
        add_digits(out, out, ONE)


@kernel
def put_amount0(out: Digits, low: Digits, high: Digits, liquidity: Digits, round_up: bool, work: Work) -> None:
    """Token0 between two prices (SqrtPriceMath.getAmount0Delta)."""
    shift_digits_left(work[FIRST], liquidity, 96)
    subtract_digits(work[SECOND], high, low)
    multiply_digits(work[THIRD], work[FIRST], work[SECOND])
    divide_into(work[FIRST], work[THIRD], high, round_up, work)
    divide_into(out, work[FIRST], low, round_up, work)


@kernel
def put_amount1(out: Digits, low: Digits, high: Digits, liquidity: Digits, round_up: bool, work: Work) -> None:
    """Token1 between two prices (SqrtPriceMath.getAmount1Delta)."""
    subtract_digits(work[SECOND], high, low)
    multiply_digits(work[THIRD], liquidity, work[SECOND])
    rounds = round_up and digits_used(work[THIRD][:Q96_DIGITS]) > 0
    set_number(out, work[THIRD][Q96_DIGITS:])
    if rounds:
        add_digits(out, out, ONE)


@kernel
def put_price_after_token0(out: Digits, price: Digits, liquidity: Digits, kept: Digits, work: Work) -> None:
    """The price after token0 came in, as `concentrated.price_after_token0`."""
    shift_digits_left(work[FIRST], liquidity, 96)
    multiply_digits(work[SECOND], kept, price)
    add_digits(work[SECOND], work[SECOND], work[FIRST])
    if digits_used(work[SECOND]) <= 8:
        multiply_digits(work[THIRD], work[FIRST], price)
        divide_into(out, work[THIRD], work[SECOND], True, work)
        return
    # The contract's 256-bit words would overflow here, so it takes a less precise formula; so must we.
    divide_into(work[SECOND], work[FIRST], price, False, work)
    add_digits(work[SECOND], work[SECOND], kept)
    divide_into(out, work[FIRST], work[SECOND], True, work)


@kernel
def step_towards_target(work: Work, fee_pips: int) -> None:
    """One computeSwapStep of LEFT from PRICE towards TARGET, no further: into REACHED, TAKEN and GOT."""
    price, target, liquidity = work[PRICE], work[TARGET], work[LIQUIDITY]
    falls = compare_digits(price, target) >= 0
    low, high = (target, price) if falls else (price, target)
    kept, reached = work[KEPT], work[REACHED]
    set_small(work[FIRST], FEE_UNIT - fee_pips)
    multiply_digits(work[THIRD], work[LEFT], work[FIRST])
    set_small(work[SECOND], FEE_UNIT)
    divide_into(kept, work[THIRD], work[SECOND], False, work)
    if falls:
        put_amount0(work[TO_TARGET], low, high, liquidity, True, work)
    else:
        put_amount1(work[TO_TARGET], low, high, liquidity, True, work)
    if compare_digits(kept, work[TO_TARGET]) >= 0:
        set_number(reached, target)
    elif falls:
        put_price_after_token0(reached, price, liquidity, kept, work)
    else:
        shift_digits_left(work[THIRD], kept, 96)
        divide_into(work[FIRST], work[THIRD], liquidity, False, work)
        add_digits(reached, price, work[FIRST])
    if compare_digits(reached, target) == 0:
        # Rounding alone can reach the target too; the contract then charges the step like one that arrived.
        set_small(work[FIRST], fee_pips)
        multiply_digits(work[THIRD], work[TO_TARGET], work[FIRST])
        set_small(work[SECOND], FEE_UNIT - fee_pips)
        divide_into(work[TAKEN], work[THIRD], work[SECOND], True, work)
        add_digits(work[TAKEN], work[TAKEN], work[TO_TARGET])
    else:
        set_number(work[TAKEN], work[LEFT])
    if falls:
        put_amount1(work[GOT], reached, price, liquidity, False, work)
    else:
        put_amount0(work[GOT], price, reached, liquidity, False, work)


@kernel
def ticks_up_to(ticks: Longs, first: int, count: int, tick: int) -> int:
    """How many of the ticks from `first` on, which rise, are not above `tick`."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if ticks[first + middle] <= tick:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def next_stop(ticks: Longs, first: int, count: int, tick: int, spacing: int, falls: bool, at_edges: bool) -> int:
    """The tick at which the contract's loop stops next, as `TickMap.next_stop`, or with `at_edges` off as
    `next_initialised`."""
    found = ticks_up_to(ticks, first, count, tick)
    compressed = tick // spacing
    if falls:
        stop = ticks[first + found - 1] if found > 0 else MIN_TICK
        return max(compressed // WORD_TICKS * WORD_TICKS * spacing, stop) if at_edges else stop
    stop = ticks[first + found] if found < count else MAX_TICK
    edge = ((compressed + 1) // WORD_TICKS * WORD_TICKS + WORD_TICKS - 1) * spacing
    return min(edge, stop) if at_edges else stop


@kernel
def cross(work: Work, net: Limbs, falls: bool) -> bool:
    """Change LIQUIDITY by what a tick adds upwards (two's complement, 128 bits); False if it becomes negative."""
    negative = net[1] >> np.uint64(63) != 0
    change = work[FIRST]
    set_limbs(change, net)
    if negative:  # its magnitude is 2^128 - the unsigned value
        set_zero(work[SECOND])
        work[SECOND][4] = 1
        subtract_digits(change, work[SECOND], change)
    if negative == falls:
        add_digits(work[LIQUIDITY], work[LIQUIDITY], change)
        return True
    if compare_digits(work[LIQUIDITY], change) < 0:
        return False
    subtract_digits(work[LIQUIDITY], work[LIQUIDITY], change)
    return True


@kernel
def is_price(work: Work) -> bool:
    """Whether PRICE is one that a pool can have."""
    return compare_digits(work[PRICE], LEAST_PRICE) >= 0 and compare_digits(work[PRICE], PRICE_BOUND) < 0


@kernel
def is_price_of(work: Work, tick: int) -> bool:
    """Whether PRICE is one that a pool at this tick can have; one just crossed downwards has the next tick's price."""
    if not MIN_TICK <= tick < MAX_TICK:
        return False
    put_sqrt_price_at(work[TARGET], tick, work)
    if compare_digits(work[PRICE], work[TARGET]) < 0:
        return False
    put_sqrt_price_at(work[TARGET], tick + 1, work)
    return compare_digits(work[PRICE], work[TARGET]) <= 0


@kernel
def quote_within_range(work: Work, tick: int, spacing: int, fee_pips: int, falls: bool) -> int:
    """Into OUT what AMOUNT brings if the price stays between the ticks around it, as `RangeLeg.out`; a status."""
    lower = tick // spacing * spacing
    edge = max(lower, MIN_TICK) if falls else min(lower + spacing, MAX_TICK)
    put_sqrt_price_at(work[TARGET], edge, work)
    set_number(work[LEFT], work[AMOUNT])
    step_towards_target(work, fee_pips)
    if compare_digits(work[REACHED], work[TARGET]) == 0:
        return BEYOND_RANGE
    set_number(work[OUT], work[GOT])
    return QUOTED


@kernel
def quote_through_ticks(
    work: Work,
    tick: int,
    spacing: int,
    fee_pips: int,
    falls: bool,
    ticks: Longs,
    nets: Limbs,
    first: int,
    count: int,
) -> int:
    """Into OUT what AMOUNT brings through as many ranges as it takes, as `concentrated.swap`; a status.

    ticks, nets: the initialised ticks in rising order, `count` from `first` on, and what each adds upwards.
    """
    set_number(work[LEFT], work[AMOUNT])
    set_zero(work[OUT])
    limit = FALLING_LIMIT if falls else RISING_LIMIT
    while digits_used(work[LEFT]) > 0 and compare_digits(work[PRICE], limit) != 0:
        stop = next_stop(ticks, first, count, tick, spacing, falls, digits_used(work[LIQUIDITY]) > 0)
        put_sqrt_price_at(work[STOP_PRICE], stop, work)
        past = compare_digits(work[STOP_PRICE], limit)
        set_number(work[TARGET], limit if (past < 0 if falls else past > 0) else work[STOP_PRICE])
        step_towards_target(work, fee_pips)
        if compare_digits(work[TAKEN], work[LEFT]) > 0:
            return BAD_STATE
        subtract_digits(work[LEFT], work[LEFT], work[TAKEN])
        add_digits(work[OUT], work[OUT], work[GOT])
        set_number(work[PRICE], work[REACHED])
        if compare_digits(work[PRICE], work[STOP_PRICE]) != 0:
            break
        found = ticks_up_to(ticks, first, count, stop)
        if found > 0 and ticks[first + found - 1] == stop and not cross(work, nets[first + found - 1], falls):
            return BAD_STATE
        tick = stop - 1 if falls else stop
    return NO_LIQUIDITY if digits_used(work[LEFT]) > 0 else QUOTED
