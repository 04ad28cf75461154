"""What every kernel shares: the size of a record, the check after a copy (I3), and single words of a page."""

from __future__ import annotations

from typing import Any

import numpy as np

from ringbuf.atomics import fence_acquire, load_acquire, load_monotonic, store_release
from ringbuf.layout import ALIGNMENT, DESCRIPTOR_BYTES, INTENT
from tlv.jit import kernel

Words = np.ndarray[Any, np.dtype[np.int64]]
"""The 64-bit words of a ring or control object, shared: only `atomics` may touch one."""
Record = np.ndarray[Any, np.dtype[np.void]]
"""One element: the private state of a writer or a reader."""


@kernel
def record_bytes(length: int) -> int:
    """Bytes a record of `length` payload bytes takes in the ring."""
    return (DESCRIPTOR_BYTES + length + ALIGNMENT - 1) & -ALIGNMENT


@kernel
def still_intact(words: Words, position: int, capacity: int) -> bool:
    """Whether nothing that was copied from `position` on had been overwritten by the end of the copy (I3)."""
    # SYNC intent: pairs with declare; if a copied word came from an overwriting frame, this load sees its intent.
    fence_acquire()
    return load_monotonic(words, INTENT) - position <= capacity


@kernel
def snapshot(words: Words, count: int, out: Words) -> None:
    """Copy the first `count` words: a header or control page to look at, each word whole but not all of one moment."""
    for i in range(count):
        out[i] = load_acquire(words, i)


@kernel
def put_word(words: Words, index: int, value: int) -> None:
    """Publish one word of a page: heartbeat, counters, and the magic that ends a creation."""
    # SYNC magic: pairs with get_word.
    store_release(words, index, value)


@kernel
def get_word(words: Words, index: int) -> int:
    """Read one word of a page; whoever sees the magic sees the whole header."""
    # SYNC magic: pairs with put_word.
    return load_acquire(words, index)
