"""The array types that kernels take, and the kernel that reads a byte as an int64.

`int(buf[pos])` stays a uint8 in compiled code, and shifting or adding that yields an uint64 and then a float; every
byte that enters arithmetic goes through `byte_at`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tlv.jit import kernel

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
"""Contiguous uint8[:]: a buffer that holds one or many messages."""
Longs = np.ndarray[Any, np.dtype[np.int64]]
"""Contiguous int64[:]: offsets, lengths, statuses."""
Words = np.ndarray[Any, np.dtype[np.int64]]
"""int64[:]: the 64-bit words of a ring or control object, shared: only `ringbuf.atomics` may touch one."""
State = np.ndarray[Any, np.dtype[np.void]]
"""A structured array of one element: the private state of a ring's writer or reader."""
Limbs = np.ndarray[Any, np.dtype[np.uint64]]
"""uint64[2] or uint64[4], least significant first: one wide integer.  uint64[:, 4]: a column of them."""
Floats = np.ndarray[Any, np.dtype[np.float64]]
"""float64[:]."""
Flags = np.ndarray[Any, np.dtype[np.bool_]]
"""bool[:]."""
Structs = np.ndarray[Any, np.dtype[np.void]]
"""A structured array, one element for each struct."""


@kernel
def byte_at(buf: Bytes, pos: int) -> int:
    """The byte at `pos`, which the caller knows to lie within `buf`."""
    return int(np.int64(buf[pos]))
