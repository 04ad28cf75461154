"""The array types that kernels take, and how one reads a byte as an int64.

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
Limbs = np.ndarray[Any, np.dtype[np.uint64]]
"""uint64[2] or uint64[4], least significant first: one wide integer.  uint64[:, 4]: a column of them."""


@kernel
def byte_at(buf: Bytes, pos: int) -> int:
    """The byte at `pos`, which the caller knows to lie within `buf`."""
    return int(np.int64(buf[pos]))
