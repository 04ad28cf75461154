"""Many frames as one NATS message.

Owns the bytes of a batch; knows neither NATS nor rings.

    BatchHeader (56 bytes) | u32 length of each frame | zeros to a multiple of 8 | frames, each padded to 8 bytes

Sequences are dense inside a batch; a loss lies between two batches and shows in their first sequences.  The frames' own
checksums guard the content: `find_damaged` verifies all of a batch in one call.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from consumers.bridge.errors import LayoutDiffers
from ringbuf import Poll
from ringbuf.identity import Identity
from tlv.buffers import Bytes, Longs
from tlv.copying import copy_bytes
from tlv.errors import FrameError
from tlv.fields import I64, U32, U64, Uuid
from tlv.jit import kernel
from tlv.kernels import check_message
from tlv.layout import LAYOUT_DIGEST
from tlv.record import Record, record
from tlv.status import OK

MAGIC = 0x3148435442504C41
"""The bytes `ALPBTCH1`."""
VERSION = 1
FRAME_ALIGNMENT = 8
BATCH_FRAMES = 256
BATCH_BYTES = 1 << 18
"""A quarter of the server's default limit of 1 MiB a message."""


@record(type=0)
class BatchHeader(Record, frozen=True):
    """What a batch begins with.  `publish_ns` is the first frame's, on the sending host's monotonic clock."""

    magic: U64
    layout_digest: U64
    first_sequence: I64
    publish_ns: I64
    ring_uuid: Uuid
    count: U32
    version: U32


HEADER_SIZE = BatchHeader.layout.size
HEADERS_ROOM = 512
"""Bytes left for the headers that NATS puts before a message."""
FRAME_COST = 4 + FRAME_ALIGNMENT
"""Bytes that a frame takes beyond its own: its length, and the zeros behind it."""


class Limits(NamedTuple):
    """How much goes into one batch."""

    frames: int = BATCH_FRAMES
    bytes: int = BATCH_BYTES
    """Of frames together."""
    largest: int = BATCH_BYTES
    """Of a frame that goes alone; a larger one cannot be sent."""


def limits_of(largest_message: int) -> Limits:
    """The batches that fit into messages of `largest_message` bytes, headers included."""
    room = largest_message - HEADERS_ROOM - HEADER_SIZE - FRAME_ALIGNMENT
    frames = min(max(room // 64, 1), BATCH_FRAMES)
    return Limits(frames, max(min(BATCH_BYTES, room - frames * FRAME_COST), 1), max(room - FRAME_COST, 0))


class UnpackedBatch(NamedTuple):
    """An unpacked batch: frame i is `buffer[offsets[i] : offsets[i] + lengths[i]]`, of sequence first_sequence + i."""

    ring_uuid: bytes
    first_sequence: int
    publish_ns: int
    buffer: Bytes
    offsets: Longs
    lengths: Longs

    @property
    def last_sequence(self) -> int:
        """Sequence of the last frame."""
        return self.first_sequence + len(self.lengths) - 1


def limits_of_ring(identity: Identity) -> Limits:
    """The pieces of a batch that a ring takes with one commit, of which it takes a quarter of itself."""
    frames, size = min(BATCH_FRAMES, identity.capacity // 1024), min(BATCH_BYTES, identity.capacity // 16)
    return Limits(max(frames, 1), size, identity.max_payload)


@kernel
def gather(buffer: Bytes, offsets: Longs, lengths: Longs, out: Bytes) -> int:
    """Copy frames one behind the other into `out` (zeroed, large enough), each padded to 8 bytes; returns the bytes."""
    at = 0
    for i in range(len(offsets)):
        copy_bytes(out, at, buffer, offsets[i], lengths[i])
        at += (lengths[i] + FRAME_ALIGNMENT - 1) & -FRAME_ALIGNMENT
    return at


@kernel
def find_damaged(buffer: Bytes, offsets: Longs, lengths: Longs) -> int:
    """The first frame that is no valid message, checksum included; -1 if all are."""
    for i in range(len(offsets)):
        if check_message(buffer, offsets[i], offsets[i] + lengths[i], True) != OK:
            return i
    return -1


def pack(ring_uuid: bytes, poll: Poll) -> bytes:
    """The frames of a poll, of a ring or of a journal, as one batch."""
    count = len(poll)
    header = BatchHeader(
        MAGIC, LAYOUT_DIGEST, int(poll.sequences[0]), int(poll.timestamps[0]), ring_uuid, count, VERSION
    ).pack()
    table = poll.lengths.astype("<u4").tobytes()
    frames = np.zeros(int(poll.lengths.sum()) + count * FRAME_ALIGNMENT, np.uint8)
    size = gather(poll.buffer, poll.offsets, poll.lengths, frames)
    return b"".join((header, table, bytes(-len(table) % FRAME_ALIGNMENT), frames[:size].data))


def portions(lengths: Longs, limits: Limits) -> Iterator[tuple[int, int]]:
    """Cut a run of frames into batches: `first` to `last` - 1, each within `limits` or a single frame."""
    if 0 < len(lengths) <= limits.frames and int(lengths.sum()) <= limits.bytes:
        yield 0, len(lengths)
        return
    first = total = 0
    for i, length in enumerate(lengths.tolist()):
        if i > first and (i - first == limits.frames or total + length > limits.bytes):
            yield first, i
            first, total = i, 0
        total += length
    if first < len(lengths):
        yield first, len(lengths)


def read_header(data: bytes) -> BatchHeader:
    """The header of a batch.

    Raises:
        FrameError: no batch, or one of another version.
        LayoutDiffers: a batch whose messages have another layout.
    """
    if len(data) < HEADER_SIZE:
        raise FrameError(f"expected a batch of at least {HEADER_SIZE} bytes, found {len(data)}")
    header = BatchHeader.unpack(data)
    if header.magic != MAGIC or header.version != VERSION:
        raise FrameError(
            f"expected batch magic {MAGIC:#018x} version {VERSION}, found {header.magic:#018x} version {header.version}"
        )
    if header.layout_digest != LAYOUT_DIGEST:
        raise LayoutDiffers(
            f"a batch of another version of the wire format: expected layout digest {LAYOUT_DIGEST:#x}, "
            f"found {header.layout_digest:#x}; run both directions of the bridge with one version, on a new stream"
        )
    return header


def unpack(data: bytes) -> UnpackedBatch:
    """The frames of a batch, without copying them.

    Raises:
        FrameError: the lengths do not add up to the bytes that are there.
        FrameError, LayoutDiffers: `read_header` refuses.
    """
    header = read_header(data)
    table = -(-header.count * 4 // FRAME_ALIGNMENT) * FRAME_ALIGNMENT
    if header.count == 0 or len(data) - HEADER_SIZE < table:
        raise FrameError(f"a batch of {header.count} frames does not fit its {len(data)} bytes")
    buffer = np.frombuffer(data, np.uint8)
    lengths = np.frombuffer(data, "<u4", header.count, HEADER_SIZE).astype(np.int64)
    ends = HEADER_SIZE + table + np.cumsum((lengths + (FRAME_ALIGNMENT - 1)) & -FRAME_ALIGNMENT)
    if ends[-1] != len(data):
        raise FrameError(f"expected a batch of {ends[-1]} bytes by its frame lengths, found {len(data)}")
    offsets = np.concatenate(([HEADER_SIZE + table], ends[:-1]))
    return UnpackedBatch(header.ring_uuid, header.first_sequence, header.publish_ns, buffer, offsets, lengths)
