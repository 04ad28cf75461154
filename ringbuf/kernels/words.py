"""What the kernels share: the size of a record, the check after a copy (I3), and single words of a page."""

from __future__ import annotations

from ringbuf.atomics import FOUR, fence_acquire, load_acquire, load_four, load_monotonic, store_release
from ringbuf.layout import ALIGNMENT, DESCRIPTOR_BYTES, INTENT
from tlv.buffers import Words
from tlv.jit import inline_kernel, kernel


@inline_kernel
def record_bytes(length: int) -> int:
    """Bytes a record of `length` payload bytes takes in the ring."""
    return (DESCRIPTOR_BYTES + length + ALIGNMENT - 1) & -ALIGNMENT


@inline_kernel
def still_intact(words: Words, position: int, capacity: int) -> bool:
    """Whether nothing that was copied from `position` on had been overwritten by the end of the copy (I3)."""
    # SYNC intent: pairs with declare; if a copied word came from an overwriting frame, this load sees its intent.
    fence_acquire()
    return load_monotonic(words, INTENT) - position <= capacity


@kernel
def snapshot(words: Words, count: int, out: Words) -> None:
    """Copy the first `count` words of a header or control page: each word whole, but not all of one moment."""
    for i in range(count):
        out[i] = load_acquire(words, i)


@inline_kernel
def copy_words(words: Words, first: int, count: int, out: Words, at: int) -> None:
    """Copy words `first` to `first + count` of the data to `out[at:]`; believe them only if `still_intact` says so."""
    if count >= FOUR:
        for i in range(0, count - FOUR, FOUR):
            load_four(words, first + i, out, at + i)
        load_four(words, first + count - FOUR, out, at + count - FOUR)
    else:
        for i in range(count):
            out[at + i] = load_monotonic(words, first + i)


@kernel
def copy_range(words: Words, first: int, count: int, out: Words) -> None:
    """`copy_words` to the beginning of `out`, to look at."""
    copy_words(words, first, count, out, 0)


@kernel
def put_word(words: Words, index: int, value: int) -> None:
    """Publish one word of a page: heartbeat, counters, and the magic that ends a creation."""
    # SYNC magic: pairs with get_word.
    store_release(words, index, value)


@kernel
def get_word(words: Words, index: int) -> int:
    """Read one word of a page; whoever reads the magic sees the whole header."""
    # SYNC magic: pairs with put_word.
    return load_acquire(words, index)
