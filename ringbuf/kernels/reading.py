"""The reader's half: copy a frame, then check that the copy is whole (I1, I3, I4).

read_frame:  tail | descriptor, checked | payload words | fence | intent | position moves
"""

from __future__ import annotations

from ringbuf.atomics import load_acquire, load_monotonic, pause, store_release
from ringbuf.kernels.seeking import skip_ahead
from ringbuf.kernels.words import copy_words, record_bytes, still_intact
from ringbuf.layout import CLOSED as CLOSED_STATE
from ringbuf.layout import (
    DATA,
    DESCRIPTOR_WORDS,
    EPOCH,
    EPOCH_POSITION,
    EVICTED,
    FLAGS_SHIFT,
    KIND_ROW,
    KIND_SHIFT,
    LENGTH_MASK,
    LENGTH_ROW,
    MAX_FRAME_SHARE,
    OFFSET_ROW,
    PAD,
    SEQUENCE_ROW,
    SEQUENCE_WORD,
    SLOT_0,
    SLOT_POSITION,
    SLOT_STATE,
    SLOT_WORDS,
    STATE,
    TAG_WORD,
    TAIL,
    TIME_ROW,
    TIME_WORD,
)
from ringbuf.status import CLOSED, CORRUPT, EMPTY, EPOCH_CHANGED, GAP, NEED, OK
from tlv.buffers import State, Words
from tlv.jit import inline_kernel, kernel

PAD_FLAG = PAD << FLAGS_SHIFT
KIND_MASK = (1 << 16) - 1
LAPS_PER_POLL = 4
SHORT, PAUSES = 8, 4
"""A poll of fewer frames than SHORT met the writer at its tail; so the next one leaves it the line of `tail` a while.

The line changes cores twice a poll.  Writer and reader flat out, each alone on its core: 4.9 M frames/s and 2 frames a
poll without or with one pause of 24 ns, 11 M/s and 5 frames with 4, 13 M/s and 7 frames with 8.  A poll for one frame
never pauses.
"""


@kernel
def readable(words: Words, reader: State) -> int:
    """How far this reader may read: `tail`, or, until a new epoch was reported to it, the position where it begins."""
    me = reader[0]
    position: int = me["position"]
    # SYNC tail: pairs with commit.
    end = load_acquire(words, TAIL)
    # SYNC epoch: pairs with take_over; loaded after tail, so frames of a new epoch are never taken for the old one's.
    if load_acquire(words, EPOCH) != me["epoch"]:
        return max(position, min(end, load_monotonic(words, EPOCH_POSITION)))
    return end


@inline_kernel
def copy_frame(
    words: Words, reader: State, end: int, position: int, expected: int, out: Words, at: int
) -> tuple[int, int, int, int]:
    """Copy the frame at `position` to `out[at:]`: (status, where it ends, its first word, its time).

    The status is OK, EMPTY at `end`, NEED (and `need`), CORRUPT or GAP; where it is not OK, the second is where the
    reader stands, behind pads.  For a loop that keeps position and sequence in registers: the state is only read.
    """
    me = reader[0]
    capacity, salt = me["capacity"], me["salt"]
    while position != end:
        if end - position > capacity:
            return GAP, position, 0, 0
        source = DATA + ((position & (capacity - 1)) >> 3)
        bits = load_monotonic(words, source)
        tag = load_monotonic(words, source + TAG_WORD)
        sequence = load_monotonic(words, source + SEQUENCE_WORD)
        stamp = load_monotonic(words, source + TIME_WORD)
        length = bits & LENGTH_MASK
        size = record_bytes(length)
        room = capacity - (position & (capacity - 1))
        is_pad = bits & PAD_FLAG != 0
        fits = size <= room and size <= end - position and tag == position ^ salt and sequence == expected
        if is_pad:
            fits = fits and size == room and size <= capacity // MAX_FRAME_SHARE
        else:
            fits = fits and length <= me["max_payload"]
        if not fits:
            return CORRUPT if still_intact(words, position, capacity) else GAP, position, 0, 0
        if is_pad:
            if not still_intact(words, position, capacity):
                return GAP, position, 0, 0
            position += size
            continue
        count = (length + 7) >> 3
        if count > len(out) - at:
            me["need"] = length
            return NEED if still_intact(words, position, capacity) else GAP, position, 0, 0
        copy_words(words, source + DESCRIPTOR_WORDS, count, out, at)
        if not still_intact(words, position, capacity):
            return GAP, position, 0, 0
        return OK, position + size, bits, stamp
    return EMPTY, position, 0, 0


@kernel
def read_frame(words: Words, reader: State, end: int, out: Words, at: int) -> int:
    """Copy the frame at the reader's position to `out[at:]` and move behind it.

    Returns OK (and the frame_* fields), EMPTY at `end`, NEED (and `need`), CORRUPT, or GAP if the frame was
    overwritten: then `skip_ahead` finds where to go on.  Only OK moves the position (pads apart).
    """
    me = reader[0]
    status, behind, bits, stamp = copy_frame(words, reader, end, me["position"], me["sequence"], out, at)
    me["position"] = behind
    if status == OK:
        me["frame_length"] = bits & LENGTH_MASK
        me["frame_kind"] = (bits >> KIND_SHIFT) & KIND_MASK
        me["frame_flags"] = (bits >> FLAGS_SHIFT) & 255
        me["frame_sequence"] = me["sequence"]
        me["frame_ns"] = stamp
        me["sequence"] += 1
        me["frames"] += 1
        me["bytes"] += bits & LENGTH_MASK
    return status


@kernel
def mark_read(control: Words, reader: State) -> None:
    """Release everything before this reader's position for overwriting, if it is reliable."""
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
def idle_status(words: Words, reader: State) -> int:
    """The status where no frame can be read: EPOCH_CHANGED (once), CLOSED, EMPTY; OK if there is a frame by now."""
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
def poll_into(words: Words, control: Words, reader: State, out: Words, index: Words, max_frames: int) -> int:
    """Read up to `max_frames` frames into `out`; the rows of `index` describe frame i in column i.

    Sets `count`, and `lost_first`..`lost_last` if frames were lost before the first one delivered.  Returns OK if
    frames were delivered, else GAP, EMPTY, NEED, CLOSED, EPOCH_CHANGED or CORRUPT.  Never waits.  Frames delivered
    by the last call count as read: a reliable consumer must be done with them.
    """
    me = reader[0]
    if 0 < me["count"] < min(SHORT, max_frames):
        for _ in range(PAUSES):
            pause()
    mark_read(control, reader)
    me["lost_first"] = 0
    me["lost_last"] = 0
    count, at, laps, status, taken = 0, 0, 0, EMPTY, 0
    end = readable(words, reader)
    position, sequence = me["position"], me["sequence"]
    while count < max_frames:
        status, position, bits, stamp = copy_frame(words, reader, end, position, sequence, out, at)
        if status == OK:
            length = bits & LENGTH_MASK
            index[SEQUENCE_ROW, count] = sequence
            index[OFFSET_ROW, count] = at << 3
            index[LENGTH_ROW, count] = length
            index[TIME_ROW, count] = stamp
            index[KIND_ROW, count] = (bits >> KIND_SHIFT) & KIND_MASK
            at += (length + 7) >> 3
            taken += length
            sequence += 1
            count += 1
        elif status == GAP and count == 0 and laps < LAPS_PER_POLL:
            laps += 1
            me["position"] = position
            if skip_ahead(words, reader) != GAP:
                break
            end = readable(words, reader)
            position, sequence = me["position"], me["sequence"]
        else:
            break
    me["position"] = position
    me["sequence"] = sequence
    me["frames"] += count
    me["bytes"] += taken
    me["count"] = count
    if count:
        return OK
    if me["lost_last"]:
        return GAP
    if status == EMPTY:
        status = idle_status(words, reader)
        return EMPTY if status == OK else status
    return EMPTY if status == GAP else status
