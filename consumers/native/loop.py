"""The compiled loops of native strategies: over a live ring, and over frames that are all there.

Owns what happens to one frame (`deliver`), `drive_native` (poll, deliver, publish) and `run_native` (deliver, collect),
which differ in nothing else, so that a ring, a journal and a backtest give the same messages.  Knows no strategy: a
handler is called through a pointer (5 ns and its arguments), so these loops are compiled once and cached for every
strategy; `build.inlined` makes copies that have one handler compiled into them.

What is rare is left to the Python shell (`driver`), to whom the loops return: a poison frame, a loss, a frame that the
book leaves to its caller, a message that the ring did not take at once, a full log.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from consumers.arbitrage.book_kernels import DONE, FULL, NAMED, fold
from consumers.native.drafts import FINE, NativeDrafts, finish, reset, seal_draft
from consumers.native.frame import (
    BROKEN,
    SESSION_TYPE,
    NativeFrame,
    flags_of,
    read_records,
)
from consumers.native.hashing import take_message
from consumers.strategy import MESSAGES_PER_FRAME
from ringbuf.atomics import monotonic_ns, pause
from ringbuf.kernels import count_duration, poll_into, publish_and_wake
from ringbuf.layout import LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW, TIME_ROW
from ringbuf.status import EMPTY, OK
from tlv.buffers import Bytes, Longs, Structs
from tlv.codes import Flag
from tlv.copying import copy_bytes
from tlv.jit import inline_kernel, kernel
from tlv.kernels import check_header, find_tlv
from tlv.layout import HEADER, Session
from tlv.status import OK as SOUND
from tlv.viewing import record_at

COUNTS = ("frames", "lost", "lost_unreported", "published", "late", "next", "polled", "message", "folded", "why")
STORED = ("collected", "replayed")
TALLY = np.dtype([*((name, "<i8") for name in COUNTS + STORED), ("ring", "u1", (16,)), ("recorded_ring", "u1", (16,))])
"""What the loops count: frames that came, frames lost and of these not yet reported to the handler, messages published,
of these on frames from before the runner.  And where they stopped: the next frame of those that were polled, the
frame's next message to be published (-1: the frame was not delivered yet), whether the book has taken the next frame
in, why (of `fold`, or of `drafts.FAULTS`), and how many messages were collected.  `ring` is being read; a replay's
copies come from `recorded_ring`."""

DELIVERED = 0
PENDING, POISONED, BOOK, LOST, DRAIN = -1, -2, -3, -4, -5
"""Why a loop returns to its shell, beside a status of the ring: a message was not taken at once; the frame is no
message, or its handler's messages are none; the book leaves it the next frame; frames were lost; there is no
room for what it collects."""
REPLAY = int(Flag.REPLAY)
SESSION, RING_BYTES = Session.layout.dtype, 16


@inline_kernel
def call_handler(handler: Any, state: Any, frame: NativeFrame, drafts: NativeDrafts, _book: Any) -> None:
    """Call a handler; `build` puts another in its place for one that gets the book."""
    handler(state, frame, drafts)


@inline_kernel
def call_with_book(handler: Any, state: Any, frame: NativeFrame, drafts: NativeDrafts, book: Any) -> None:
    """Call a handler of a strategy that keeps a book."""
    handler(state, frame, drafts, book)


@kernel
def note_ring(drafts: NativeDrafts, payload: Bytes, start: int, end: int, flags: int, count: Any) -> int:
    """Note in which ring the frame was first published, as `Driver`; its sequence there, -1 if that is this one's."""
    count["replayed"] = flags & REPLAY
    if not flags & REPLAY:
        copy_bytes(drafts.state[0]["ring"], 0, count["ring"], 0, RING_BYTES)
        return -1
    at = find_tlv(payload, start, end, SESSION_TYPE)
    if at >= 0:
        session = record_at(payload, at, SESSION)
        copy_bytes(count["recorded_ring"], 0, session["ring_uuid"], 0, RING_BYTES)
    copy_bytes(drafts.state[0]["ring"], 0, count["recorded_ring"], 0, RING_BYTES)
    return int(record_at(payload, start, HEADER)["sequence"])


@inline_kernel
def deliver(
    handler: Any,
    state: Any,
    book: Any,
    drafts: NativeDrafts,
    payload: Bytes,
    table: Longs,
    column: int,
    wanted: Bytes,
    clock_offset_ns: int,
    tally: Structs,
) -> int:
    """Have the book and the handler take in one frame: DELIVERED, POISONED, or BOOK, and then again with `folded`
    set."""
    count = tally[0]
    start = table[OFFSET_ROW, column]
    end = start + table[LENGTH_ROW, column]
    reset(drafts)
    what, tlv_type, at, size, passes = BROKEN, 0, end, 0, False
    if check_header(payload, start, end) == SOUND:
        what, tlv_type, at, size, passes = read_records(payload, start, end, wanted)
    if what == BROKEN:
        count["frames"] += 1
        count["why"] = FINE
        return POISONED
    if book is not None:
        if count["folded"] == 0:
            _, why = fold(book.tables, payload, table, column, column + 1, clock_offset_ns)
            if why not in (DONE, NAMED):
                count["why"] = why
                count["folded"] = 0 if why == FULL else 1
                return BOOK
        count["folded"] = 0
    count["frames"] += 1
    flags = flags_of(payload, start)
    recorded = -1
    if flags & REPLAY or count["replayed"] != 0:
        recorded = note_ring(drafts, payload, start, end, flags, count)
    if not passes:
        return DELIVERED
    sequence = table[SEQUENCE_ROW, column] if recorded < 0 else recorded
    lost = count["lost_unreported"]
    count["lost_unreported"] = 0
    frame = NativeFrame(payload, start, end, what, tlv_type, at, size, flags, sequence, table[TIME_ROW, column], lost)
    call_handler(handler, state, frame, drafts, book)
    if drafts.state[0]["begun"] != 0:
        finish(drafts)
    if drafts.state[0]["status"] != FINE:
        count["why"] = drafts.state[0]["status"]
        return POISONED
    return DELIVERED


@kernel
def run_native(
    handler: Any,
    states: Structs,
    book: Any,
    drafts: NativeDrafts,
    payload: Bytes,
    table: Longs,
    first: int,
    last: int,
    wanted: Bytes,
    clock_offset_ns: int,
    tally: Structs,
    out: Bytes,
    rows: Longs,
) -> tuple[int, int]:
    """Deliver the frames in columns `first` to `last` - 1 and collect the messages; (column to go on with, why).

    `rows` gets for each message its frame's column, its offset and its length in `out`.  Their times are those at which
    their frames were published, plus `clock_offset_ns`.  DELIVERED: all are done; DRAIN: `out` or `rows` is full;
    POISONED, BOOK: the frame at the column is the caller's to see.
    """
    count = tally[0]
    count["collected"], end = 0, 0
    for column in range(first, last):
        if end > out.size - drafts.buffer.size or count["collected"] > rows.shape[1] - MESSAGES_PER_FRAME:
            return column, DRAIN
        status = deliver(handler, states[0], book, drafts, payload, table, column, wanted, clock_offset_ns, tally)
        if status != DELIVERED:
            return column, status
        for number in range(drafts.state[0]["messages"]):
            count["published"] += 1
            start, behind = seal_draft(drafts, number, count["published"], table[TIME_ROW, column] + clock_offset_ns)
            copy_bytes(out, end, drafts.buffer, start, behind - start)
            at = count["collected"]
            rows[0, at], rows[1, at], rows[2, at] = column, end, behind - start
            count["collected"] = at + 1
            end += behind - start
    return last, DELIVERED


@kernel
def drive_native(
    handler: Any,
    states: Structs,
    book: Any,
    drafts: NativeDrafts,
    words: Longs,
    control: Longs,
    reader: Any,
    out: Longs,
    index: Longs,
    writer_words: Longs,
    writer_control: Longs,
    writer: Any,
    wanted: Bytes,
    orders: Structs,
    wall_offset_ns: int,
    tally: Structs,
    histogram: Longs,
    at: int,
    began_ns: int,
    slice_ns: int,
    spin_ns: int,
) -> int:
    """Poll, deliver, publish; returns after `slice_ns` with the ring's status, or with a reason for its shell to act.

    An empty ring is watched for `spin_ns` of that, then EMPTY is returned.

    words..index: a Reader's; writer_*: a Writer's; wall_offset_ns: CLOCK_REALTIME - CLOCK_MONOTONIC; histogram, at: of
    the time from the publishing of a frame, since `began_ns`, to that of its message.
    """
    payload = out.view(np.uint8)
    count = tally[0]
    began = monotonic_ns()
    until, watched_until = began + slice_ns, began + spin_ns
    status = OK
    while status in (EMPTY, OK):
        if count["next"] == count["polled"]:
            status = poll_into(words, control, reader, out, index, index.shape[1])
            count["next"], count["polled"] = 0, reader[0]["count"]
            if reader[0]["lost_last"] != 0:
                lost = reader[0]["lost_last"] - reader[0]["lost_first"] + 1
                count["lost"] += lost
                count["lost_unreported"] += lost
                if book is not None:
                    return LOST
        while count["next"] < count["polled"]:
            column = count["next"]
            if count["message"] < 0:
                done = deliver(handler, states[0], book, drafts, payload, index, column, wanted, wall_offset_ns, tally)
                if done != DELIVERED:
                    return done
                count["message"] = 0
            while count["message"] < drafts.state[0]["messages"]:
                now = monotonic_ns()
                start, end = seal_draft(drafts, count["message"], writer[0]["sequence"], now + wall_offset_ns)
                if (
                    publish_and_wake(writer_words, writer_control, writer, drafts.buffer, start, end - start, 0, 0, now)
                    <= 0
                ):
                    return PENDING
                note_published(tally, index[TIME_ROW, column], began_ns, histogram, at)
                take_message(orders[0], drafts.buffer, start, end)
                count["message"] += 1
            count["message"] = -1
            count["next"] += 1
        now = monotonic_ns()
        if status == OK:
            watched_until = now + spin_ns
            if now >= until:
                break
        elif now >= min(until, watched_until):
            break
        else:
            pause()
    return status


@kernel
def note_published(tally: Structs, frame_ns: int, began_ns: int, histogram: Longs, at: int) -> None:
    """Count a message on a frame that was published at `frame_ns`."""
    count = tally[0]
    count["published"] += 1
    if frame_ns < began_ns:
        count["late"] += 1
    else:
        count_duration(histogram, at, monotonic_ns() - frame_ns, 1)
