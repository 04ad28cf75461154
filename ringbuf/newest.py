"""The newest frames of a ring, newest first, without reading the rest.

Owns the way backwards from `tail`.  It must never change a ring, nor know what a payload means.

A frame begins at a multiple of 64 bytes and carries `position ^ salt` (I4), so the places where one begins are found in
a copy of the last pieces by comparing words.  A piece is believed only if nothing of it was overwritten meanwhile (I3).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ringbuf.identity import Identity
from ringbuf.kernels import copy_range, get_word, still_intact
from ringbuf.layout import (
    ALIGNMENT,
    DATA,
    DESCRIPTOR_BYTES,
    FLAGS_SHIFT,
    LENGTH_MASK,
    MIN_CAPACITY,
    PAD,
    TAG_WORD,
    TAIL,
    TIME_WORD,
)
from ringbuf.ring import Ring, open_ring

PIECE = MIN_CAPACITY
"""Bytes copied at once: no piece crosses the end of the data, since it divides every capacity."""
MOST_BYTES = 4 << 20
PAD_FLAG = PAD << FLAGS_SHIFT


class NewestFrame(NamedTuple):
    """One frame."""

    payload: bytes
    publish_ns: int  # CLOCK_MONOTONIC


def newest_frames(name: str, most_bytes: int = MOST_BYTES) -> Iterator[NewestFrame]:
    """The frames of ring `name` from the last one backwards, in at most `most_bytes` of it.

    Raises:
        RingNotFound, RingNotReady, BadSegment, UnsafeSegment.
    """
    ring = open_ring(name, writable=False)
    try:
        yield from _backwards(ring, ring.identity, most_bytes)
    finally:
        ring.close()


def _backwards(ring: Ring, identity: Identity, most_bytes: int) -> Iterator[NewestFrame]:
    capacity, end = identity.capacity, get_word(ring.words, TAIL)
    lowest = max(end - min(capacity, most_bytes), 0)
    copied = np.zeros((end - lowest + PIECE) // 8, dtype=np.int64)
    high = end
    while high > lowest:
        low = max((high - 1) & -PIECE, lowest)
        piece = copied[-((end - low) // 8) :][: (high - low) // 8]
        copy_range(ring.words, DATA + ((low & (capacity - 1)) >> 3), len(piece), piece)
        if not still_intact(ring.words, low, capacity):
            return
        positions = np.arange(low, high, ALIGNMENT, dtype=np.int64)
        tags = piece.reshape(-1, ALIGNMENT // 8)[:, TAG_WORD]
        for index in np.flatnonzero(tags == positions ^ identity.salt)[::-1].tolist():
            at = len(copied) - (end - int(positions[index])) // 8
            bits = int(copied[at])
            length = bits & LENGTH_MASK
            if not bits & PAD_FLAG and DESCRIPTOR_BYTES + length <= (len(copied) - at) * 8:
                raw = copied[at:].view(np.uint8)[DESCRIPTOR_BYTES : DESCRIPTOR_BYTES + length]
                yield NewestFrame(raw.tobytes(), int(copied[at + TIME_WORD]))
        high = low
