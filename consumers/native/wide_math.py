"""Exact arithmetic on large unsigned integers in compiled code.

Owns multiplication and division of numbers given as digits: uint32[:], least significant first, of any length; what is
not used is 0.  Results go into memory that the caller gives.  A uint64 limb array is one of digits, seen as such
(`limbs.view(np.uint32)`).  Schoolbook multiplication, and division by Knuth's algorithm D (The Art of Computer
Programming, 4.3.1): amounts have 8 digits, and their products 17.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tlv.buffers import Limbs
from tlv.jit import kernel

Digits = np.ndarray[Any, np.dtype[np.uint32]]
"""uint32[:], least significant first."""
BASE_BITS = 32
ONES = 0xFFFFFFFF


@kernel
def digits_used(number: Digits) -> int:
    """Digits up to the highest that is not 0."""
    count = number.size
    while count > 0 and number[count - 1] == 0:
        count -= 1
    return count


@kernel
def set_zero(number: Digits) -> None:
    """0."""
    for i in range(number.size):
        number[i] = 0


@kernel
def set_small(number: Digits, value: int) -> None:
    """An int64 that is not negative; `number` has two digits or more."""
    set_zero(number)
    number[0], number[1] = value & ONES, value >> BASE_BITS


@kernel
def set_number(number: Digits, value: Digits) -> None:
    """A copy; digits beyond the room of `number` are the caller's to know to be 0."""
    for i in range(number.size):
        number[i] = value[i] if i < value.size else np.uint32(0)


@kernel
def set_limbs(number: Digits, limbs: Limbs) -> None:
    """The number in uint64 limbs."""
    for i in range(number.size):
        number[i] = 0
    for i in range(limbs.shape[0]):
        number[2 * i] = limbs[i] & np.uint64(ONES)
        number[2 * i + 1] = limbs[i] >> np.uint64(BASE_BITS)


@kernel
def put_limbs(limbs: Limbs, number: Digits) -> bool:
    """Write a number into uint64 limbs; whether it fits."""
    room = limbs.shape[0]
    if digits_used(number) > 2 * room:
        return False
    for i in range(room):
        limbs[i] = np.uint64(number[2 * i]) | np.uint64(number[2 * i + 1]) << np.uint64(BASE_BITS)
    return True


@kernel
def compare_digits(left: Digits, right: Digits) -> int:
    """-1, 0 or 1 as `left` is below, equal to or above `right`."""
    size = max(left.size, right.size)
    for k in range(size):
        i = size - 1 - k
        ours = left[i] if i < left.size else np.uint32(0)
        theirs = right[i] if i < right.size else np.uint32(0)
        if ours != theirs:
            return -1 if ours < theirs else 1
    return 0


@kernel
def add_digits(out: Digits, left: Digits, right: Digits) -> None:
    """left + right, for which `out` has room; it may be one of them."""
    carry: Any = 0
    for i in range(out.size):
        carry += np.int64(left[i]) if i < left.size else 0
        carry += np.int64(right[i]) if i < right.size else 0
        out[i] = carry & ONES
        carry >>= BASE_BITS


@kernel
def subtract_digits(out: Digits, left: Digits, right: Digits) -> None:
    """left - right, which is not negative; `out` may be one of them."""
    borrow: Any = 0
    for i in range(out.size):
        borrow += np.int64(left[i]) if i < left.size else 0
        borrow -= np.int64(right[i]) if i < right.size else 0
        out[i] = borrow & ONES
        borrow >>= BASE_BITS


@kernel
def multiply_digits(out: Digits, left: Digits, right: Digits) -> None:
    """left * right, for which `out` has room; it is none of them."""
    set_zero(out)
    others = digits_used(right)
    for i in range(digits_used(left)):
        carry, factor = np.uint64(0), np.uint64(left[i])
        for j in range(others):
            carry += factor * np.uint64(right[j]) + np.uint64(out[i + j])
            out[i + j] = carry & np.uint64(ONES)
            carry >>= np.uint64(BASE_BITS)
        if carry != 0:
            out[i + others] = carry


@kernel
def shift_digits_left(out: Digits, number: Digits, bits: int) -> None:
    """number * 2^bits, for which `out` has room; it is another."""
    whole, part = bits // BASE_BITS, bits % BASE_BITS
    set_zero(out)
    for i in range(digits_used(number)):
        wide = np.int64(number[i]) << part
        out[i + whole] = np.int64(out[i + whole]) | wide & ONES
        if wide >> BASE_BITS != 0:
            out[i + whole + 1] = wide >> BASE_BITS


@kernel
def divide_digits(
    quotient: Digits, remainder: Digits, number: Digits, divisor: Digits, scaled: Digits, scaled_divisor: Digits
) -> bool:
    """number // divisor and number % divisor; False if the divisor is 0.

    `scaled` has one digit more than `number` uses, `scaled_divisor` as many as `divisor`; all six are different memory,
    but that `quotient` may be `number`.
    """
    size, count = digits_used(divisor), digits_used(number)
    if size == 0:
        return False
    set_zero(remainder)
    if count < size:
        for i in range(count):
            remainder[i] = number[i]
        set_zero(quotient)
        return True
    shift = 0
    while (np.int64(divisor[size - 1]) << shift) >> (BASE_BITS - 1) == 0:
        shift += 1
    shift_digits_left(scaled, number, shift)
    shift_digits_left(scaled_divisor, divisor, shift)
    set_zero(quotient)
    high = np.uint64(scaled_divisor[size - 1])
    second = np.uint64(scaled_divisor[size - 2]) if size > 1 else np.uint64(0)
    base = np.uint64(BASE_BITS)
    for k in range(count - size + 1):
        at = count - size - k
        top = np.uint64(scaled[at + size]) << base | np.uint64(scaled[at + size - 1])
        guess = top // high
        rest = top - guess * high
        below = np.uint64(scaled[at + size - 2]) if size > 1 else np.uint64(0)
        while guess >> base != 0 or guess * second > (rest << base | below):
            guess -= np.uint64(1)
            rest += high
            if rest >> base != 0:
                break
        borrow: Any = 0
        carry = np.uint64(0)
        for i in range(size):
            carry += guess * np.uint64(scaled_divisor[i])
            borrow += np.int64(scaled[at + i]) - np.int64(carry & np.uint64(ONES))
            scaled[at + i] = borrow & ONES
            borrow >>= BASE_BITS
            carry >>= base
        borrow += np.int64(scaled[at + size]) - np.int64(carry)
        scaled[at + size] = borrow & ONES
        if borrow < 0:  # one too many: add the divisor back
            guess -= np.uint64(1)
            back: Any = 0
            for i in range(size):
                back += np.int64(scaled[at + i]) + np.int64(scaled_divisor[i])
                scaled[at + i] = back & ONES
                back >>= BASE_BITS
            scaled[at + size] = (np.int64(scaled[at + size]) + back) & ONES
        quotient[at] = guess
    for i in range(size):
        low = np.int64(scaled[i]) >> shift
        above = np.int64(scaled[i + 1]) if i + 1 < size else 0
        remainder[i] = low | above << (BASE_BITS - shift) & ONES
    return True
