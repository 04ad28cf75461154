"""The ring: one writer, many readers, in POSIX shared memory.  It carries bytes that it cannot read.

    with Writer.open_or_create("market.demo") as writer:     # one process
        writer.publish(b"payload")

    for item in Reader.attach("market.demo"):                # any number of others
        ...                                                  # Frame, or Loss if this reader was too slow

`kernels` is the same interface for compiled loops: `poll_into(reader.words, reader.control, reader.state, reader.out,
reader.index, n)` and `publish(writer.words, writer.control, writer.state, buffer, offset, length, kind, flags, ns)`.
"""

from ringbuf.counters import Level, SharedCounters
from ringbuf.errors import (
    AlreadyExists,
    BadGeometry,
    BadRingName,
    BadSegment,
    BatchTooLarge,
    CorruptRing,
    FrameTooLong,
    NoFreeSlot,
    NoSharedMemory,
    NoSpace,
    NotOwner,
    RingClosed,
    RingFull,
    RingNotFound,
    RingNotReady,
    RingOrphaned,
    UnsafeSegment,
)
from ringbuf.histogram import Histogram
from ringbuf.info import RingInfo, SlotInfo, collect_garbage, unlink
from ringbuf.names import list_rings
from ringbuf.poll import Frame, Loss, Poll
from ringbuf.reader import Reader
from ringbuf.status import Status, Wait
from ringbuf.warm import warm
from ringbuf.writer import DEFAULT_CAPACITY, Full, WriteBatch, Writer
from ringbuf.writer_watch import WriterWatch

__all__ = [
    "DEFAULT_CAPACITY",
    "AlreadyExists",
    "BadGeometry",
    "BadRingName",
    "BadSegment",
    "BatchTooLarge",
    "CorruptRing",
    "Frame",
    "FrameTooLong",
    "Full",
    "Histogram",
    "Level",
    "Loss",
    "NoFreeSlot",
    "NoSharedMemory",
    "NoSpace",
    "NotOwner",
    "Poll",
    "Reader",
    "RingClosed",
    "RingFull",
    "RingInfo",
    "RingNotFound",
    "RingNotReady",
    "RingOrphaned",
    "SharedCounters",
    "SlotInfo",
    "Status",
    "UnsafeSegment",
    "Wait",
    "WriteBatch",
    "Writer",
    "WriterWatch",
    "collect_garbage",
    "list_rings",
    "unlink",
    "warm",
]
