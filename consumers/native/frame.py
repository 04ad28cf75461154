"""One frame as a native handler sees it, and typed views of its records.

Owns `NativeFrame` and what a frame is about (`what`), the cases of `consumers.strategy.dispatch`:

    if frame.what == EVENT and has(frame, PoolSync):
        sync = view(frame, PoolSync)            # a record: sync["reserve0"] are four limbs, sync["pool"] 32 bytes
        block = view(frame, EventOrigin)["block_number"]

`view` and `has` take a record class of `tlv.layout`, or one of your own made with `@record(type=200)`.  A record that
the message has not is seen as zeros, never as other memory.  Amounts are uint64 limbs, least significant first.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tlv.buffers import Bytes, byte_at
from tlv.codes import VENDOR_TYPES, Flag
from tlv.filter import IS_POOL
from tlv.jit import inline_kernel, kernel
from tlv.kernels import check_tlv, next_tlv
from tlv.layout import (
    HEADER_SIZE,
    SIZE_OF_TYPE,
    Block,
    BlockEnd,
    EventOrigin,
    FeeState,
    Gap,
    Header,
    PoolFee,
    PoolState,
    PoolTicks,
    Reorg,
    Session,
    StateInvalidation,
)
from tlv.record import Record
from tlv.status import OK
from tlv.viewing import blank_record, record_at

(
    OTHER,
    EVENT,
    REMOVED,
    SNAPSHOT,
    TICKS,
    FEE,
    BLOCK,
    BLOCK_END,
    REORG,
    INVALIDATION,
    GAP,
    SESSION,
    UNPROVEN,
    FEE_STATE,
) = range(14)
"""What a frame is about.  REMOVED: an event whose block left the chain; UNPROVEN: of an emitter that may be anything,
for which no handler is called; OTHER: heartbeats, signals, records of users."""
BROKEN = -1
"""No message, or a pool event without its origin."""

DOMAIN_AT, FLAGS_AT = Header.layout.offsets["domain"], Header.layout.offsets["flags"]
ORIGIN_TYPE = EventOrigin.layout.type
STATE_TYPE, TICKS_TYPE, FEE_TYPE = PoolState.layout.type, PoolTicks.layout.type, PoolFee.layout.type
SESSION_TYPE, FEE_STATE_TYPE = Session.layout.type, FeeState.layout.type
FIRST_VENDOR, LAST_VENDOR = VENDOR_TYPES[0], VENDOR_TYPES[-1]
IS_UNPROVEN, IS_REMOVED, IS_SNAPSHOT = int(Flag.UNPROVEN), int(Flag.REMOVED), int(Flag.SNAPSHOT)


def _what_of_type() -> np.ndarray[Any, np.dtype[np.int64]]:
    what = np.zeros(256, np.int64)
    alone: dict[type[Record], int] = {
        Block: BLOCK,
        BlockEnd: BLOCK_END,
        Reorg: REORG,
        StateInvalidation: INVALIDATION,
        Gap: GAP,
        Session: SESSION,
    }
    for cls, code in alone.items():
        what[cls.layout.type] = code
    what.flags.writeable = False
    return what


WHAT_OF_TYPE = _what_of_type()


class NativeFrame(NamedTuple):
    """The message in payload[start:end], and what was found in it."""

    payload: Bytes
    start: int
    end: int
    what: int
    """EVENT, REMOVED, ...: see above."""
    type: int
    """TLV type of its first record, 0 if it has none."""
    at: int
    """Where in `payload` that record stands."""
    size: int
    """Bytes of that record."""
    flags: int
    """`tlv.codes.Flag` bits of the header."""
    sequence: int
    """Where it was first published: of a replayed copy the sequence in the recorded ring."""
    published_ns: int
    """When its ring took it: CLOCK_MONOTONIC."""
    lost: int
    """Frames that the handler lacks since its last call: what it knows may be out of date."""


def view(frame: NativeFrame, cls: type[Record]) -> Any:
    """The record of class `cls` in the message, to read; zeros if it has none."""
    at = find_record(frame, cls.layout.type, cls.layout.size)
    if at < 0:
        return blank_record(cls.layout.dtype)
    return record_at(frame.payload, at, cls.layout.dtype)


def has(frame: NativeFrame, cls: type[Record]) -> bool:
    """Whether the message's first record is of class `cls`."""
    return frame.type == cls.layout.type and frame.size == cls.layout.size


@inline_kernel
def find_record(frame: NativeFrame, wanted: int, size: int) -> int:
    """Where the first record of type `wanted` and `size` bytes stands; -1 if there is none."""
    if frame.type == wanted and frame.size == size:
        return frame.at
    return find_behind(frame, wanted, size)


@kernel
def find_behind(frame: NativeFrame, wanted: int, size: int) -> int:
    """The same, by a walk over all records."""
    pos = frame.start + HEADER_SIZE
    while pos < frame.end:
        status, tlv_type, value, length, pos = next_tlv(frame.payload, pos, frame.end)
        if status == OK and tlv_type == wanted and length == size:
            return value
    return -1


@inline_kernel
def read_records(buf: Bytes, start: int, end: int, wanted: Bytes) -> tuple[int, int, int, int, bool]:
    """(what, type, position, size, whether it is wanted) of a message whose header was checked, in one walk.

    Type, position and size are those of the first record that has a layout, or is a user's.  `wanted` is
    `FilterTables.types`.  what is BROKEN if a record is not what its type says, or an origin lacks.
    """
    domain = byte_at(buf, start + DOMAIN_AT)
    first, at, size, origin = 0, end, 0, False
    passes = wanted.size == 0
    pos = start + HEADER_SIZE
    while pos < end:
        status, tlv_type, value, length, pos = next_tlv(buf, pos, end)
        if status != OK or check_tlv(domain, tlv_type, length) != OK:
            return BROKEN, 0, end, 0, False
        if first == 0 and (SIZE_OF_TYPE[tlv_type] >= 0 or FIRST_VENDOR <= tlv_type <= LAST_VENDOR):
            first, at, size = tlv_type, value, length
        origin |= tlv_type == ORIGIN_TYPE
        passes = passes or wanted[tlv_type] != 0
    if IS_POOL[first] == 0:
        return int(WHAT_OF_TYPE[first]), first, at, size, passes
    flags = flags_of(buf, start)
    if flags & IS_UNPROVEN:
        return UNPROVEN, first, at, size, False
    if flags & IS_SNAPSHOT and first == STATE_TYPE:
        what = SNAPSHOT
    elif first == TICKS_TYPE:
        what = TICKS
    elif first == FEE_TYPE:
        what = FEE
    elif first == FEE_STATE_TYPE:
        what = FEE_STATE
    elif not origin:
        what = BROKEN
    else:
        what = REMOVED if flags & IS_REMOVED else EVENT
    return what, first, at, size, passes


@inline_kernel
def fill(target: Any, value: Any) -> None:
    """Copy an address, a pool, a hash or an amount from one record's field to another's of the same kind."""
    for i in range(target.shape[0]):
        target[i] = value[i]


@inline_kernel
def hash_of_pool(pool: Bytes) -> int:
    """A number of 31 bits that two pools seldom share, for a table in a handler's state."""
    words = pool.view(np.uint64)
    mixed = words[0] ^ words[1] * np.uint64(0x9E3779B97F4A7C15) ^ words[2] ^ words[3]
    mixed = (mixed ^ mixed >> np.uint64(29)) * np.uint64(0xBF58476D1CE4E5B9)
    return int(np.int64(mixed >> np.uint64(33)))


@inline_kernel
def same_pool(left: Bytes, right: Bytes) -> bool:
    """Whether the 32 bytes of two pools are the same."""
    ours, theirs = left.view(np.uint64), right.view(np.uint64)
    return bool(((ours[0] ^ theirs[0]) | (ours[1] ^ theirs[1]) | (ours[2] ^ theirs[2]) | (ours[3] ^ theirs[3])) == 0)


@inline_kernel
def flags_of(buf: Bytes, start: int) -> int:
    """The header's flags of a checked message."""
    return byte_at(buf, start + FLAGS_AT)
