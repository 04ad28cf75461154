"""The ring protocol.  The only file that touches words shared between processes, and only through `atomics`.

It must never know who its reader or writer is, what a payload means, or what time it is (times are arguments).
Every function takes arrays and integers, returns a status or a sequence, and never raises; the same source runs
compiled, as plain Python, and under the schedule explorer.

Invariants, cited by the tests:

I1  `tail` is the only commit point.  Bytes at or beyond `tail` are never delivered.
I2  `intent` covers every byte that was ever written: a writer raises it before it writes, and it never decreases,
    not across restarts either.  So bytes at `p` are intact while `intent - p <= capacity`.
I3  A reader believes nothing it copied from `p` until, after the copy, it has seen `intent - p <= capacity`.
I4  A position is the start of a record or is not used: records are contiguous from 0, 64-byte aligned, never wrap
    (a pad fills the end), and carry `position ^ salt`.
I5  One of the two commit records always belongs to `tail`, at every instant a writer can die.
I6  Sequences of data frames are dense from 1, across restarts; so the frame at `p` has at most `p / 64 + 1`.
I7  `intent <= gate`: a reliable consumer that the last scan saw is never overwritten.
I8  A sleeper that announced itself (ticket) before it looked at `tail` is woken by the next commit.
I9  Anchors and `key_position` are hints, stored after the commit; a reader re-checks them by I3 and I4.

    publish = append + commit:  [ intent | fence ]  record words  | commit record | tail |  hints, counters | wake
    read_frame:                 tail | descriptor, checked | payload words | fence | intent | position moves
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ringbuf.atomics import (
    fence_acquire,
    fence_release,
    fence_seq_cst,
    fetch_max,
    futex_wait,
    futex_wake,
    load_acquire,
    load_monotonic,
    monotonic_ns,
    pause,
    store_monotonic,
    store_release,
    word_at,
    yield_core,
)
from ringbuf.layout import (
    ALIGNMENT,
    ALIVE,
    ANCHOR_0,
    ANCHORS,
    BATCHES,
    BYTES,
    COMMIT_0,
    COMMIT_LATEST,
    COMMIT_SEQUENCE,
    COMMIT_TAIL,
    COMMIT_WORDS,
    DATA,
    DESCRIPTOR_BYTES,
    DESCRIPTOR_WORDS,
    EPOCH,
    EPOCH_POSITION,
    EPOCH_SEQUENCE,
    EVICTED,
    FLAGS_SHIFT,
    FRAMES,
    GATE,
    HEARTBEAT,
    INTENT,
    JOINED,
    KEY,
    KEY_FRAME,
    KEY_POSITION,
    KIND_ROW,
    KIND_SHIFT,
    LENGTH_MASK,
    LENGTH_ROW,
    MAX_FRAME_SHARE,
    OFFSET_ROW,
    OLDEST,
    PAD,
    PADS,
    PID,
    PUBLISH_NS,
    SEQUENCE_ROW,
    SEQUENCE_WORD,
    SLOT_0,
    SLOT_JOINED,
    SLOT_PID,
    SLOT_POSITION,
    SLOT_STATE,
    SLOT_WORDS,
    SLOTS,
    STATE,
    TAG_WORD,
    TAIL,
    TICKET,
    TIME_ROW,
    TIME_WORD,
    VERSION,
    VERSION_SHIFT,
    WAKE,
    WAKES,
)
from ringbuf.layout import CLOSED as CLOSED_STATE
from ringbuf.status import BATCH_FULL, CLOSED, CORRUPT, EMPTY, EPOCH_CHANGED, FULL, GAP, NEED, OK, TOO_LONG
from tlv.jit import kernel

Words = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Record = NDArray[np.void]  # one element: a writer's or reader's private state

PAD_FLAG = PAD << FLAGS_SHIFT
KEY_FLAG = KEY << FLAGS_SHIFT
VERSION_BITS = VERSION << VERSION_SHIFT
KIND_MASK = (1 << 16) - 1
SEEK_TRIES = 64
LAPS_PER_POLL = 4
TURNS_BETWEEN_CLOCKS = 32


@kernel
def record_bytes(length: int) -> int:
    """Bytes a record of `length` payload bytes takes in the ring."""
    return (DESCRIPTOR_BYTES + length + ALIGNMENT - 1) & -ALIGNMENT


# ---- the writer's half


@kernel
def scan_gate(words: Words, control: Words, writer: Record) -> int:
    """Re-compute how far `intent` may go: the slowest reliable consumer plus the capacity.  Returns the gate."""
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


@kernel
def declare(words: Words, control: Words, writer: Record, new: int) -> int:
    """Raise `intent` to cover everything before `new` (I2, I7), in steps so that most frames need not."""
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


@kernel
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
def append(
    words: Words,
    control: Words,
    writer: Record,
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
    for i in range(whole):
        store_monotonic(words, at + i, word_at(buffer, offset + 8 * i))
    rest = length & 7
    if rest:
        last = 0
        for i in range(rest):
            last |= int(buffer[offset + 8 * whole + i]) << (8 * i)
        store_monotonic(words, at + whole, last)
    me["latest"] = head
    if flags & KEY:
        me["key"] = head
    me["appended_bytes"] += length
    me["head"] = new
    me["sequence"] = sequence + 1
    return sequence


@kernel
def commit(words: Words, writer: Record, now_ns: int) -> None:
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
    # SYNC tail: pairs with readable; everything written so far is visible to whoever sees it.
    store_release(words, TAIL, head)
    me["turn"] = 1 - me["turn"]
    me["tail"] = head
    if sequence - me["committed"] > 1:
        me["batches"] += 1
        store_monotonic(words, BATCHES, me["batches"])
    me["frames"] += sequence - me["committed"]
    me["committed"] = sequence
    me["bytes"] += me["appended_bytes"]
    me["appended_bytes"] = 0
    store_monotonic(words, FRAMES, me["frames"])
    store_monotonic(words, BYTES, me["bytes"])
    if me["appended_pads"]:
        me["pads"] += me["appended_pads"]
        me["appended_pads"] = 0
        store_monotonic(words, PADS, me["pads"])
    region = (tail & (me["capacity"] - 1)) // me["region_bytes"]
    if region != me["region"]:
        me["region"] = region
        # SYNC anchor: pairs with seek_oldest; a record starts at the tail of the last commit.
        store_release(words, ANCHOR_0 + region, tail)
    if me["key"] >= 0:
        # SYNC key: pairs with seek_key.
        store_release(words, KEY_POSITION, me["key"])
        me["key"] = -1


@kernel
def abandon(writer: Record) -> None:
    """Forget everything appended since the last commit.  `intent` stays: those bytes are damaged (I2)."""
    me = writer[0]
    me["head"] = me["tail"]
    me["sequence"] = me["committed"]
    me["key"] = -1
    me["appended_bytes"] = 0
    me["appended_pads"] = 0


@kernel
def wake(words: Words, control: Words, writer: Record) -> int:
    """Wake the sleepers, if any; returns 1 if there were."""
    me = writer[0]
    # SYNC ticket: pairs with sleep_on; either this load sees the ticket, or the sleeper sees the new tail (I8).
    fence_seq_cst()
    if load_monotonic(control, TICKET) <= me["wake_sequence"]:
        return 0
    me["wake_sequence"] += 1
    store_release(words, WAKE, me["wake_sequence"])
    futex_wake(words, WAKE)
    me["wakes"] += 1
    store_monotonic(words, WAKES, me["wakes"])
    return 1


@kernel
def take_over(words: Words, writer: Record, now_ns: int, pid: int) -> int:
    """Continue where the last writer was seen to stop: a new epoch at `tail`, `intent` kept (I2, I5, I6).

    The caller holds the writer's lock, so nobody else writes.  Returns OK, or CORRUPT if no commit record fits.
    """
    me = writer[0]
    tail, intent = load_acquire(words, TAIL), load_acquire(words, INTENT)
    # SYNC record: pairs with commit; wherever the dead writer stopped, one of the two belongs to its tail.
    turn = 0 if load_acquire(words, COMMIT_0 + COMMIT_TAIL) == tail else 1
    at = COMMIT_0 + turn * COMMIT_WORDS
    if load_acquire(words, at + COMMIT_TAIL) != tail or tail < 0 or tail & (ALIGNMENT - 1) or intent < tail:
        return CORRUPT
    sequence = load_monotonic(words, at + COMMIT_SEQUENCE)
    if not 0 < sequence <= tail // ALIGNMENT + 1:
        return CORRUPT
    me["tail"] = me["head"] = tail
    me["sequence"] = me["committed"] = sequence
    me["intent"] = intent
    me["gate"] = 0
    me["latest"] = load_monotonic(words, at + COMMIT_LATEST)
    me["key"] = me["region"] = -1
    me["turn"] = 1 - turn
    me["wake_sequence"] = load_monotonic(words, WAKE)
    me["frames"] = load_monotonic(words, FRAMES)
    me["bytes"] = load_monotonic(words, BYTES)
    me["pads"] = load_monotonic(words, PADS)
    me["batches"] = load_monotonic(words, BATCHES)
    me["wakes"] = load_monotonic(words, WAKES)
    store_monotonic(words, HEARTBEAT, now_ns)
    store_monotonic(words, PID, pid)
    store_monotonic(words, STATE, ALIVE)
    store_monotonic(words, EPOCH_POSITION, tail)
    store_monotonic(words, EPOCH_SEQUENCE, sequence)
    # SYNC epoch: pairs with readable and idle_status.
    store_release(words, EPOCH, load_monotonic(words, EPOCH) + 1)
    return OK


@kernel
def set_state(words: Words, writer: Record, state: int) -> None:
    """Say that the ring is alive or closed, and wake everybody who should know."""
    me = writer[0]
    # SYNC state: pairs with idle_status; everything published before is visible to whoever sees it.
    store_release(words, STATE, state)
    me["wake_sequence"] += 1
    store_release(words, WAKE, me["wake_sequence"])
    futex_wake(words, WAKE)


@kernel
def publish(
    words: Words,
    control: Words,
    writer: Record,
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
    writer: Record,
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
    words: Words, control: Words, writer: Record, buffer: Bytes, offsets: Words, lengths: Words, kind: int, now_ns: int
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


# ---- the reader's half


@kernel
def still_intact(words: Words, position: int, capacity: int) -> bool:
    """Whether nothing that was copied from `position` on had been overwritten by the end of the copy (I3)."""
    # SYNC intent: pairs with declare; if a copied word came from an overwriting frame, this load sees its intent.
    fence_acquire()
    return load_monotonic(words, INTENT) - position <= capacity


@kernel
def readable(words: Words, reader: Record) -> int:
    """How far this reader may read: `tail`, or where the next writer's epoch begins until that was reported."""
    me = reader[0]
    position: int = me["position"]
    # SYNC tail: pairs with commit.
    end = load_acquire(words, TAIL)
    # SYNC epoch: pairs with take_over; loaded after tail, so frames of a new epoch are never taken for the old one's.
    if load_acquire(words, EPOCH) != me["epoch"]:
        return max(position, min(end, load_monotonic(words, EPOCH_POSITION)))
    return end


@kernel
def read_frame(words: Words, reader: Record, end: int, out: Words, at: int) -> int:
    """Copy the frame at the reader's position to `out[at:]` and move behind it.

    Returns OK (and the frame_* fields), EMPTY at `end`, NEED (and `need`), CORRUPT, or GAP if the frame was
    overwritten: then `skip_ahead` finds where to go on.  Only OK moves the position (pads apart).
    """
    me = reader[0]
    capacity, salt, position = me["capacity"], me["salt"], me["position"]
    while position != end:
        if end - position > capacity:
            return GAP
        source = DATA + ((position & (capacity - 1)) >> 3)
        bits = load_monotonic(words, source)
        tag = load_monotonic(words, source + TAG_WORD)
        sequence = load_monotonic(words, source + SEQUENCE_WORD)
        stamp = load_monotonic(words, source + TIME_WORD)
        length = bits & LENGTH_MASK
        size = record_bytes(length)
        room = capacity - (position & (capacity - 1))
        is_pad = bits & PAD_FLAG != 0
        fits = size <= room and size <= end - position and tag == position ^ salt and sequence == me["sequence"]
        if is_pad:
            fits = fits and size == room and size <= capacity // MAX_FRAME_SHARE
        else:
            fits = fits and length <= me["max_payload"]
        if not fits:
            return CORRUPT if still_intact(words, position, capacity) else GAP
        if is_pad:
            if not still_intact(words, position, capacity):
                return GAP
            position += size
            me["position"] = position
            continue
        count = (length + 7) >> 3
        if count > len(out) - at:
            me["need"] = length
            return NEED if still_intact(words, position, capacity) else GAP
        for i in range(count):
            out[at + i] = load_monotonic(words, source + DESCRIPTOR_WORDS + i)
        if not still_intact(words, position, capacity):
            return GAP
        me["frame_length"] = length
        me["frame_kind"] = (bits >> KIND_SHIFT) & KIND_MASK
        me["frame_flags"] = (bits >> FLAGS_SHIFT) & 255
        me["frame_sequence"] = sequence
        me["frame_ns"] = stamp
        me["position"] = position + size
        me["sequence"] = sequence + 1
        me["frames"] += 1
        me["bytes"] += length
        return OK
    return EMPTY


@kernel
def seek_at(words: Words, reader: Record, position: int, reserve: int) -> int:
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
def seek_latest(words: Words, reader: Record) -> int:
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
def seek_key(words: Words, reader: Record) -> int:
    """Move to the latest key frame.  Returns 1 if there is one and it is intact."""
    # SYNC key: pairs with commit.
    return seek_at(words, reader, load_acquire(words, KEY_POSITION), 0)


@kernel
def seek_oldest(words: Words, reader: Record, reserve: int) -> int:
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
def seek_sequence(words: Words, reader: Record, sequence: int) -> int:
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
def skip_ahead(words: Words, reader: Record) -> int:
    """Go on behind frames that were overwritten, where `on_lap` says, and count them.  Returns GAP, or EMPTY: retry."""
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
        if me["gap_last"] == 0:
            me["gap_first"] = expected
        me["gap_last"] = me["sequence"] - 1
        me["lost"] += me["sequence"] - expected
    me["laps"] += 1
    return GAP


@kernel
def mark_read(control: Words, reader: Record) -> None:
    """Tell the writer, if this reader is reliable, that everything before its position may be overwritten."""
    me = reader[0]
    if me["slot"] < 0:
        return
    at = SLOT_0 + me["slot"] * SLOT_WORDS
    if load_acquire(control, at + SLOT_STATE) == EVICTED:
        me["evicted"] = 1
        me["slot"] = -1
        return
    # SYNC gate: pairs with scan_gate.
    store_release(control, at + SLOT_POSITION, me["position"])


@kernel
def idle_status(words: Words, reader: Record) -> int:
    """Why there is nothing to read at the reader's position: EPOCH_CHANGED (once), CLOSED, OK (there is), EMPTY."""
    me = reader[0]
    # SYNC epoch: pairs with take_over.
    epoch = load_acquire(words, EPOCH)
    if epoch != me["epoch"] and me["position"] >= load_monotonic(words, EPOCH_POSITION):
        me["epoch"] = epoch
        return EPOCH_CHANGED
    # SYNC state: pairs with set_state; the tail is loaded after it, so nothing published before a close is missed.
    closed = load_acquire(words, STATE) == CLOSED_STATE
    if load_acquire(words, TAIL) != me["position"]:
        return OK
    return CLOSED if closed else EMPTY


@kernel
def poll_into(words: Words, control: Words, reader: Record, out: Words, index: Words, max_frames: int) -> int:
    """Read up to `max_frames` frames into `out`; `index[row, i]` says what and where frame i is.

    Sets `count`, and `gap_first`..`gap_last` if frames were lost before the first one delivered.  Returns OK if
    frames were delivered, else GAP, EMPTY, NEED, CLOSED, EPOCH_CHANGED or CORRUPT.  Never waits.  Frames delivered
    by the last call count as read: a reliable consumer must be done with them.
    """
    me = reader[0]
    mark_read(control, reader)
    me["gap_first"] = 0
    me["gap_last"] = 0
    me["count"] = 0
    count, at, laps, status = 0, 0, 0, EMPTY
    end = readable(words, reader)
    while count < max_frames:
        status = read_frame(words, reader, end, out, at)
        if status == OK:
            index[SEQUENCE_ROW, count] = me["frame_sequence"]
            index[OFFSET_ROW, count] = at << 3
            index[LENGTH_ROW, count] = me["frame_length"]
            index[TIME_ROW, count] = me["frame_ns"]
            index[KIND_ROW, count] = me["frame_kind"]
            at += (me["frame_length"] + 7) >> 3
            count += 1
        elif status == GAP and count == 0 and laps < LAPS_PER_POLL:
            laps += 1
            if skip_ahead(words, reader) != GAP:
                break
            end = readable(words, reader)
        else:
            break
    me["count"] = count
    if count:
        return OK
    if me["gap_last"]:
        return GAP
    if status == EMPTY:
        status = idle_status(words, reader)
        return EMPTY if status == OK else status
    return EMPTY if status == GAP else status


@kernel
def try_read(words: Words, control: Words, reader: Record, out: Words, index: Words) -> int:
    """`poll_into` for one frame."""
    return poll_into(words, control, reader, out, index, 1)


@kernel
def announce_slot(control: Words, slot: int, position: int) -> None:
    """Claim protection from `position` on, for the holder of the slot's lock."""
    at = SLOT_0 + slot * SLOT_WORDS
    store_monotonic(control, at + SLOT_POSITION, position)
    store_release(control, at + SLOT_STATE, JOINED)
    # SYNC join: pairs with scan_gate.
    fence_seq_cst()


@kernel
def describe_slot(control: Words, slot: int, pid: int, now_ns: int) -> None:
    """Leave word, for people, whose slot this is."""
    at = SLOT_0 + slot * SLOT_WORDS
    store_monotonic(control, at + SLOT_PID, pid)
    store_monotonic(control, at + SLOT_JOINED, now_ns)


@kernel
def set_slot(control: Words, slot: int, state: int) -> None:
    """Free or evict a consumer slot."""
    store_release(control, SLOT_0 + slot * SLOT_WORDS + SLOT_STATE, state)


@kernel
def slot_state(control: Words, slot: int) -> int:
    """FREE, JOINED or EVICTED."""
    return load_acquire(control, SLOT_0 + slot * SLOT_WORDS + SLOT_STATE)


@kernel
def blocking_slot(control: Words, limit: int) -> int:
    """The joined slot that is furthest behind `limit`, or -1."""
    found = -1
    for slot in range(SLOTS):
        at = SLOT_0 + slot * SLOT_WORDS
        if load_acquire(control, at + SLOT_STATE) == JOINED:
            position = load_acquire(control, at + SLOT_POSITION)
            if position < limit:
                found, limit = slot, position
    return found


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


# ---- waiting


@kernel
def spin(words: Words, reader: Record, until_ns: int) -> int:
    """Watch `tail` until `until_ns` of CLOCK_MONOTONIC; returns 1 as soon as there is something to read."""
    position = reader[0]["position"]
    while True:
        for _ in range(TURNS_BETWEEN_CLOCKS):
            if load_acquire(words, TAIL) != position:
                return 1
            pause()
        if monotonic_ns() >= until_ns:
            return 0


@kernel
def spin_yielding(words: Words, reader: Record, until_ns: int) -> int:
    """`spin` that lets others have the core between two looks."""
    position = reader[0]["position"]
    while True:
        if load_acquire(words, TAIL) != position:
            return 1
        if monotonic_ns() >= until_ns:
            return 0
        yield_core()


@kernel
def sleep_on(words: Words, control: Words, reader: Record, timeout_ns: int) -> int:
    """Sleep until a commit wakes us, a signal comes or the time is over; returns 1 if there is something to read."""
    position = reader[0]["position"]
    seen = load_acquire(words, WAKE)
    fetch_max(control, TICKET, seen + 1)
    # SYNC ticket: pairs with wake (I8).
    fence_seq_cst()
    if load_acquire(words, TAIL) == position:
        futex_wait(words, WAKE, seen, timeout_ns)
    return 1 if load_acquire(words, TAIL) != position else 0
