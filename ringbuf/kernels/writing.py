"""The writer's half: records and the words that publish them (I1, I2, I4 to I7).

publish = append + commit:  [ intent | fence ]  record words  | commit record | tail |  hints, rare counters
"""

from __future__ import annotations

from ringbuf.atomics import (
    FOUR,
    WORD_BYTES,
    fence_release,
    fence_seq_cst,
    load_acquire,
    store_four,
    store_monotonic,
    store_release,
    word_at,
)
from ringbuf.kernels.waiting import wake
from ringbuf.kernels.words import record_bytes
from ringbuf.layout import (
    ANCHOR_0,
    BATCHES,
    COMMIT_0,
    COMMIT_LATEST,
    COMMIT_SEQUENCE,
    COMMIT_TAIL,
    COMMIT_WORDS,
    DATA,
    DESCRIPTOR_BYTES,
    DESCRIPTOR_WORDS,
    FLAGS_SHIFT,
    GATE,
    INTENT,
    JOINED,
    KEY,
    KEY_POSITION,
    KIND_SHIFT,
    PAD,
    PADS,
    PUBLISH_NS,
    SEQUENCE_WORD,
    SLOT_0,
    SLOT_POSITION,
    SLOT_STATE,
    SLOT_WORDS,
    SLOTS,
    TAG_WORD,
    TAIL,
    TIME_WORD,
    VERSION,
    VERSION_SHIFT,
)
from ringbuf.status import BATCH_FULL, FULL, OK, TOO_LONG
from tlv.buffers import Bytes, State, Words, byte_at
from tlv.jit import inline_kernel, kernel, outline_kernel

PAD_FLAG = PAD << FLAGS_SHIFT
VERSION_BITS = VERSION << VERSION_SHIFT
KIND_MASK = (1 << 16) - 1


@kernel
def scan_gate(words: Words, control: Words, writer: State) -> int:
    """Compute anew how far `intent` may go: the slowest reliable consumer plus the capacity.  Returns the gate."""
    me = writer[0]
    slowest = me["tail"]
    # SYNC join: pairs with announce_slot; either this scan sees the slot, or the consumer sees a later tail.
    fence_seq_cst()
    for slot in range(SLOTS):
        at = SLOT_0 + slot * SLOT_WORDS
        if load_acquire(control, at + SLOT_STATE) == JOINED:
            # SYNC gate: pairs with mark_read; the consumer's copies are done before its position moves.
            slowest = min(slowest, load_acquire(control, at + SLOT_POSITION))
    gate: int = max(me["gate"], slowest + me["capacity"])
    me["gate"] = gate
    store_release(words, GATE, gate)
    return gate


@outline_kernel
def declare(words: Words, control: Words, writer: State, new: int) -> int:
    """Raise `intent` to cover everything before `new` (I2, I7), by whole reserves so that most frames need not."""
    me = writer[0]
    if new > me["gate"] and new > scan_gate(words, control, writer):
        return FULL
    step = me["reserve"]
    intent = min((new + step - 1) // step * step, me["gate"])
    store_monotonic(words, INTENT, intent)
    # SYNC intent: pairs with still_intact; no byte that intent covers is overwritten before intent is visible.
    fence_release()
    me["intent"] = intent
    return OK


@inline_kernel
def write_descriptor(
    words: Words, position: int, capacity: int, salt: int, bits: int, sequence: int, now_ns: int
) -> int:
    """Write the four descriptor words at `position`; returns the word where the payload starts."""
    at = DATA + ((position & (capacity - 1)) >> 3)
    store_monotonic(words, at, bits | VERSION_BITS)
    store_monotonic(words, at + TAG_WORD, position ^ salt)
    store_monotonic(words, at + SEQUENCE_WORD, sequence)
    store_monotonic(words, at + TIME_WORD, now_ns)
    return at + DESCRIPTOR_WORDS


@kernel
def last_word(buffer: Bytes, offset: int, length: int) -> int:
    """The last `length & 7` bytes of a payload, with zeros behind them."""
    rest = length & 7
    if length >= WORD_BYTES:
        return (word_at(buffer, offset + length - WORD_BYTES) >> 8 * (WORD_BYTES - rest)) & ((1 << 8 * rest) - 1)
    last = 0
    for i in range(rest):
        last |= byte_at(buffer, offset + i) << (8 * i)
    return last


@inline_kernel
def append(
    words: Words,
    control: Words,
    writer: State,
    buffer: Bytes,
    offset: int,
    length: int,
    kind: int,
    flags: int,
    now_ns: int,
) -> int:
    """Write `buffer[offset : offset + length]` as the next frame, invisible until `commit`.

    Returns its sequence, or TOO_LONG, BATCH_FULL, FULL: then nothing changed.
    """
    me = writer[0]
    if length > me["max_payload"]:
        return TOO_LONG
    capacity, salt, head = me["capacity"], me["salt"], me["head"]
    sequence: int = me["sequence"]
    need = record_bytes(length)
    room = capacity - (head & (capacity - 1))
    pad = room if need > room else 0
    new = head + pad + need
    if new - me["tail"] > me["max_batch"]:
        return BATCH_FULL
    if new > me["intent"] and declare(words, control, writer, new) != OK:
        return FULL
    if pad:
        write_descriptor(words, head, capacity, salt, (pad - DESCRIPTOR_BYTES) | PAD_FLAG, sequence, now_ns)
        me["appended_pads"] += 1
        head += pad
    bits = length | (kind & KIND_MASK) << KIND_SHIFT | flags << FLAGS_SHIFT
    at = write_descriptor(words, head, capacity, salt, bits, sequence, now_ns)
    whole = length >> 3
    if whole >= FOUR:
        for i in range(0, whole - FOUR, FOUR):
            store_four(words, at + i, buffer, offset + WORD_BYTES * i)
        store_four(words, at + whole - FOUR, buffer, offset + WORD_BYTES * (whole - FOUR))
    else:
        for i in range(whole):
            store_monotonic(words, at + i, word_at(buffer, offset + WORD_BYTES * i))
    if length & 7:
        store_monotonic(words, at + whole, last_word(buffer, offset, length))
    me["latest"] = head
    if flags & KEY:
        me["key"] = head
    me["head"] = new
    me["sequence"] = sequence + 1
    return sequence


@inline_kernel
def commit(words: Words, writer: State, now_ns: int) -> None:
    """Make everything appended visible at once."""
    me = writer[0]
    tail, head, sequence = me["tail"], me["head"], me["sequence"]
    if head == tail:
        return
    at = COMMIT_0 + me["turn"] * COMMIT_WORDS
    # SYNC record: pairs with seek_latest and take_over.  Release, so that no store of this record comes before the
    # tail store of the last commit: until then that record is the one that belongs to `tail` (I5).
    store_release(words, at + COMMIT_SEQUENCE, sequence)
    store_release(words, at + COMMIT_LATEST, me["latest"])
    store_release(words, at + COMMIT_TAIL, head)
    store_monotonic(words, PUBLISH_NS, now_ns)
    # SYNC tail: pairs with readable; whoever loads this tail sees everything written so far.
    store_release(words, TAIL, head)
    me["turn"] = 1 - me["turn"]
    me["tail"] = head
    if sequence - me["committed"] > 1:
        me["batches"] += 1
        store_monotonic(words, BATCHES, me["batches"])
    me["committed"] = sequence
    if me["appended_pads"]:
        me["pads"] += me["appended_pads"]
        me["appended_pads"] = 0
        store_monotonic(words, PADS, me["pads"])
    beyond = (tail & (me["capacity"] - 1)) - me["region"] * me["region_bytes"]
    if beyond < 0 or beyond >= me["region_bytes"]:
        region = (tail & (me["capacity"] - 1)) // me["region_bytes"]
        me["region"] = region
        # SYNC anchor: pairs with seek_oldest; a record starts at the tail of the last commit.
        store_release(words, ANCHOR_0 + region, tail)
    if me["key"] >= 0:
        # SYNC key: pairs with seek_key.
        store_release(words, KEY_POSITION, me["key"])
        me["key"] = -1


@kernel
def abandon(writer: State) -> None:
    """Drop everything appended since the last commit.  `intent` stays: the old frames there are overwritten (I2)."""
    me = writer[0]
    me["head"] = me["tail"]
    me["sequence"] = me["committed"]
    me["key"] = -1
    me["appended_pads"] = 0


@inline_kernel
def publish(
    words: Words,
    control: Words,
    writer: State,
    buffer: Bytes,
    offset: int,
    length: int,
    kind: int,
    flags: int,
    now_ns: int,
) -> int:
    """Append one frame and commit it, waking nobody: for rings whose readers spin, or followed by `wake`."""
    sequence = append(words, control, writer, buffer, offset, length, kind, flags, now_ns)
    if sequence > 0:
        commit(words, writer, now_ns)
    return sequence


@kernel
def publish_and_wake(
    words: Words,
    control: Words,
    writer: State,
    buffer: Bytes,
    offset: int,
    length: int,
    kind: int,
    flags: int,
    now_ns: int,
) -> int:
    """Append one frame, commit it and wake the sleepers.  The wake costs one full fence."""
    sequence = publish(words, control, writer, buffer, offset, length, kind, flags, now_ns)
    if sequence > 0:
        wake(words, control, writer)
    return sequence


@kernel
def publish_many(
    words: Words, control: Words, writer: State, buffer: Bytes, offsets: Words, lengths: Words, kind: int, now_ns: int
) -> int:
    """Append many frames and commit them at once; returns the first sequence, or why none was published."""
    first: int = writer[0]["sequence"]
    for i in range(len(offsets)):
        sequence = append(words, control, writer, buffer, offsets[i], lengths[i], kind, 0, now_ns)
        if sequence < 0:
            abandon(writer)
            return sequence
    commit(words, writer, now_ns)
    return first
