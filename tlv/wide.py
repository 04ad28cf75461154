"""128- and 256-bit integers as kernels and columns see them: little-endian uint64 limbs, two or four.

Exact arithmetic on them is Python's; kernels only compare them, and turn them into floats for screening.  A column is
uint64[:, limbs], for instance the field of a structured array of many records.
"""

from __future__ import annotations

import numpy as np

from tlv.buffers import Floats, Limbs
from tlv.jit import inline_kernel, kernel

LIMB = 18446744073709551616.0
"""2^64 as a float, exactly."""


@kernel
def compare_wide(left: Limbs, right: Limbs) -> int:
    """-1, 0 or 1 as `left` is below, equal to or above `right`; both unsigned, with the same number of limbs."""
    for k in range(left.shape[0]):
        i = left.shape[0] - 1 - k
        if left[i] < right[i]:
            return -1
        if left[i] > right[i]:
            return 1
    return 0


@inline_kernel
def wide_to_float(limbs: Limbs) -> float:
    """The unsigned integer as a float: within 2 units in the last place, exact below 2^53."""
    value = 0.0
    for k in range(limbs.shape[0]):
        value = value * LIMB + float(limbs[limbs.shape[0] - 1 - k])
    return value


@kernel
def signed_wide_to_float(limbs: Limbs) -> float:
    """The two's complement integer as a float: within 2 units in the last place, exact within +-2^53."""
    if limbs[limbs.shape[0] - 1] >> np.uint64(63) == 0:
        return wide_to_float(limbs)
    value = 0.0
    for k in range(limbs.shape[0]):
        value = value * LIMB + float(~limbs[limbs.shape[0] - 1 - k])
    return -(value + 1.0)


@kernel
def column_to_floats(column: Limbs, signed: bool, floats: Floats) -> int:
    """The float of every row of `column`; returns the rows done, or -1 if `floats` has another length."""
    if floats.size != column.shape[0]:
        return -1
    for i in range(column.shape[0]):
        floats[i] = signed_wide_to_float(column[i]) if signed else wide_to_float(column[i])
    return floats.size
