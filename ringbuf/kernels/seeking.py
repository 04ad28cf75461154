"""Where a reader may start, or go on after it was lapped (I3, I6, I9)."""

from __future__ import annotations

from ringbuf.atomics import fence_acquire, load_acquire, load_monotonic, pause
from ringbuf.kernels.words import still_intact
from ringbuf.layout import (
    ALIGNMENT,
    ANCHOR_0,
    ANCHORS,
    COMMIT_0,
    COMMIT_SEQUENCE,
    COMMIT_TAIL,
    COMMIT_WORDS,
    DATA,
    INTENT,
    KEY_FRAME,
    KEY_POSITION,
    OLDEST,
    SEQUENCE_WORD,
    TAG_WORD,
    TAIL,
)
from ringbuf.status import EMPTY, GAP
from tlv.buffers import State, Words
from tlv.jit import kernel

SEEK_TRIES = 64


@kernel
def seek_at(words: Words, reader: State, position: int, reserve: int) -> int:
    """Move to the record that starts at `position`, if it is committed and `reserve` bytes away from being lost.

    Returns 1 if moved.
    """
    me = reader[0]
    capacity = me["capacity"]
    if position < 0 or position & (ALIGNMENT - 1) or position >= load_acquire(words, TAIL):
        return 0
    source = DATA + ((position & (capacity - 1)) >> 3)
    tag = load_monotonic(words, source + TAG_WORD)
    sequence = load_monotonic(words, source + SEQUENCE_WORD)
    if not still_intact(words, position, capacity - reserve) or tag != position ^ me["salt"]:
        return 0
    if not 0 < sequence <= position // ALIGNMENT + 1:
        return 0
    me["position"] = position
    me["sequence"] = sequence
    return 1


@kernel
def seek_latest(words: Words, reader: State) -> int:
    """Move to `tail`, so that the next frame published is the next one read.  Returns 1 if moved."""
    me = reader[0]
    for _ in range(SEEK_TRIES):
        tail = load_acquire(words, TAIL)
        if tail < 0 or tail & (ALIGNMENT - 1):
            return 0  # no writer stores that, and reading there would run over the edge of the map (I4)
        for turn in range(2):
            at = COMMIT_0 + turn * COMMIT_WORDS
            # SYNC record: pairs with commit; the record of `tail` is whole as long as `tail` is still the tail.
            if load_acquire(words, at + COMMIT_TAIL) == tail:
                sequence = load_monotonic(words, at + COMMIT_SEQUENCE)
                fence_acquire()
                if load_monotonic(words, TAIL) == tail and 0 < sequence <= tail // ALIGNMENT + 1:
                    me["position"] = tail
                    me["sequence"] = sequence
                    return 1
        pause()
    return 0


@kernel
def seek_key(words: Words, reader: State) -> int:
    """Move to the latest key frame.  Returns 1 if there is one and it is intact."""
    # SYNC key: pairs with commit.
    return seek_at(words, reader, load_acquire(words, KEY_POSITION), 0)


@kernel
def seek_oldest(words: Words, reader: State, reserve: int) -> int:
    """Move to the oldest anchor that is `reserve` bytes away from being overwritten.  Returns 1 if there is one."""
    me = reader[0]
    floor = load_acquire(words, INTENT) - me["capacity"] + reserve
    while True:
        oldest = load_acquire(words, TAIL)
        for i in range(ANCHORS):
            # SYNC anchor: pairs with commit.
            anchor = load_acquire(words, ANCHOR_0 + i)
            if floor <= anchor < oldest:
                oldest = anchor
        if oldest >= load_acquire(words, TAIL):
            return 0
        if seek_at(words, reader, oldest, reserve):
            return 1
        floor = oldest + 1


@kernel
def seek_sequence(words: Words, reader: State, sequence: int) -> int:
    """Move to the last anchor at or before `sequence`, or to the oldest one.  Returns 1 if moved."""
    me = reader[0]
    if not seek_oldest(words, reader, 0):
        return 0
    position, found = me["position"], me["sequence"]
    for i in range(ANCHORS):
        if seek_at(words, reader, load_acquire(words, ANCHOR_0 + i), 0) and found < me["sequence"] <= sequence:
            position, found = me["position"], me["sequence"]
    me["position"] = position
    me["sequence"] = found
    return 1


@kernel
def skip_ahead(words: Words, reader: State) -> int:
    """Move behind overwritten frames, to where `on_lap` says, and count them.  Returns GAP, or EMPTY: retry."""
    me = reader[0]
    expected = me["sequence"]
    moved = 0
    if me["on_lap"] == KEY_FRAME:
        moved = seek_key(words, reader)
    if me["on_lap"] == OLDEST:
        # A quarter of the ring ahead of the writer: the very oldest frame would be lost again before it is read.
        moved = seek_oldest(words, reader, me["capacity"] // 4)
    if not moved:
        moved = seek_latest(words, reader)
    if not moved:
        moved = seek_oldest(words, reader, 0)
    if not moved:
        return EMPTY
    if me["sequence"] > expected:
        if me["lost_last"] == 0:
            me["lost_first"] = expected
        me["lost_last"] = me["sequence"] - 1
        me["lost"] += me["sequence"] - expected
    me["laps"] += 1
    return GAP
