"""Where every word of a ring stands.  The only file of the package that knows an offset.

Owns the dtypes of the three shared objects and of the two private states, and the word numbers that the
kernels use.  It must never know what a payload means.

    ring object   header page (4096 B)                                          data (capacity B)
                  +----------+---------+--------+------+------+----------+---------+------+ +--------------------+
                  | identity | publish | intent | life | wake | counters | anchors | text | | frame frame pad .. |
                  +----------+---------+--------+------+------+----------+---------+------+ +--------------------+
                  immutable    tail,     intent,  epoch, wake   one word   128       name,
                               commit    gate     state  word   each       hints     schema
                               record

    control       what readers write: the wake ticket and 64 consumer slots, one line each
    frame         64-byte aligned: descriptor (32 B) + payload, zero-padded to 8 bytes

A position is a byte offset in an endless stream; it lies at `position & (capacity - 1)` in the data.  Fields that
different processes write stand on different pairs of 64-byte lines (processors fetch lines in pairs).
"""

from __future__ import annotations

import hashlib

import numpy as np

MAGIC = 0x31474E4952504C41  # "ALPRING1", little-endian
CONTROL_MAGIC = 0x314C5443_52504C41  # "ALPRCTL1"
VERSION = 1

HEADER_BYTES = 4096
ALIGNMENT = 64  # a cache line: two frames never share one, so a reader of one never waits for the writer of the next
MIN_CAPACITY = 1 << 16
MAX_CAPACITY = 1 << 40
MAX_FRAME_SHARE = 8  # a frame takes at most 1/8 of the ring: a reader one frame behind is far from being lapped
MAX_BATCH_SHARE = 4  # a batch takes at most 1/4: it becomes visible at once and must not lap those who keep up
DEFAULT_MAX_FRAME = 1 << 17  # twice the largest message
DEFAULT_RESERVE_BYTES = 1 << 16
RESERVE_SHARE = 64  # `intent` moves by capacity/64 at most: what it covers beyond `tail` is lost to late readers
ANCHORS = 128
SLOTS = 64
NAME_BYTES = 64
SCHEMA_BYTES = 1024

COMMIT = np.dtype([("tail", "<i8"), ("next_sequence", "<i8"), ("latest", "<i8")])

HEADER = np.dtype(
    {
        "names": [
            *("magic", "version", "header_bytes", "total_bytes", "capacity", "alignment", "max_frame", "uuid"),
            *("created_ns", "flags", "boot_id", "layout_digest", "reserve", "salt", "crc"),
            *("tail", "publish_ns", "commit", "key_position"),
            *("intent", "gate"),
            *("epoch", "state", "pid", "heartbeat_ns", "epoch_position", "epoch_sequence"),
            "wake_sequence",
            *("frames", "bytes", "pads", "batches", "rejects", "wakes"),
            *("back_pressure", "dropped", "evictions", "recoveries"),
            *("anchors", "name", "schema"),
        ],
        "formats": [
            *("<i8",) * 7,
            "V16",
            *("<i8", "<i8", "V16", "<i8", "<i8", "<i8", "<i8"),
            *("<i8", "<i8", (COMMIT, 2), "<i8"),
            *("<i8", "<i8"),
            *("<i8",) * 6,
            "<i8",
            *("<i8",) * 10,
            *(("<i8", ANCHORS), f"S{NAME_BYTES}", f"S{SCHEMA_BYTES}"),
        ],
        "offsets": [
            *range(0, 56, 8),
            56,
            *(72, 80, 88, 104, 112, 120, 128),
            *(256, 264, 272, 320),
            *(384, 392),
            *range(512, 560, 8),
            640,
            *range(768, 848, 8),
            *(1024, 2048, 2112),
        ],
        "itemsize": HEADER_BYTES,
    }
)

DESCRIPTOR = np.dtype(
    [
        ("length", "<u4"),  # payload bytes; of a pad: everything after its descriptor
        ("kind", "<u2"),  # the publisher's, opaque to the ring
        ("flags", "u1"),  # PAD, KEY
        ("version", "u1"),
        ("position_tag", "<i8"),  # position ^ salt: bytes of another lap, or a payload, do not pass for a descriptor
        ("sequence", "<i8"),  # dense from 1; of a pad: that of the next frame
        ("publish_ns", "<i8"),  # CLOCK_MONOTONIC
    ]
)

SLOT = np.dtype(
    {
        "names": ["state", "position", "pid", "joined_ns"],
        "formats": ["<i8"] * 4,
        "offsets": [0, 8, 16, 24],
        "itemsize": 64,
    }
)

CONTROL = np.dtype(
    {
        "names": ["magic", "version", "uuid", "ticket", "slots"],
        "formats": ["<i8", "<i8", "V16", "<i8", (SLOT, SLOTS)],
        "offsets": [0, 8, 16, 128, 256],
        "itemsize": 256 + SLOTS * SLOT.itemsize,
    }
)

# What a writer keeps for itself.  It never reads these back from shared memory: nobody else may decide them.
WRITER = np.dtype(
    [
        ("capacity", "<i8"),
        ("salt", "<i8"),
        ("reserve", "<i8"),
        ("max_payload", "<i8"),  # -1 once closed or forked: then every publish is refused
        ("max_batch", "<i8"),
        ("region_bytes", "<i8"),
        ("tail", "<i8"),  # committed
        ("head", "<i8"),  # appended, >= tail
        ("sequence", "<i8"),  # of the next frame to append
        ("committed", "<i8"),  # next sequence as of the last commit
        ("intent", "<i8"),
        ("gate", "<i8"),
        ("latest", "<i8"),  # start of the last appended frame
        ("key", "<i8"),  # start of the last appended key frame, -1 if none since the last commit
        ("region", "<i8"),  # the region that was anchored last
        ("turn", "<i8"),  # which of the two commit records is written next
        ("wake_sequence", "<i8"),
        ("frames", "<i8"),
        ("bytes", "<i8"),
        ("pads", "<i8"),
        ("batches", "<i8"),
        ("wakes", "<i8"),
        ("appended_bytes", "<i8"),
        ("appended_pads", "<i8"),
    ]
)

READER = np.dtype(
    [
        ("capacity", "<i8"),
        ("salt", "<i8"),
        ("max_payload", "<i8"),
        ("region_bytes", "<i8"),
        ("position", "<i8"),
        ("sequence", "<i8"),  # expected next
        ("epoch", "<i8"),
        ("on_lap", "<i8"),
        ("slot", "<i8"),  # -1: lossy
        ("evicted", "<i8"),
        ("count", "<i8"),  # frames of the last poll
        ("gap_first", "<i8"),
        ("gap_last", "<i8"),
        ("need", "<i8"),
        ("frame_length", "<i8"),
        ("frame_kind", "<i8"),
        ("frame_flags", "<i8"),
        ("frame_sequence", "<i8"),
        ("frame_ns", "<i8"),
        ("frames", "<i8"),
        ("bytes", "<i8"),
        ("lost", "<i8"),
        ("laps", "<i8"),
    ]
)

PAD = 1  # descriptor flags
KEY = 2
ALIVE = 1  # writer states
CLOSED = 2
FREE = 0  # slot states
JOINED = 1
EVICTED = 2
LATEST = 0  # where a lapped reader goes on
KEY_FRAME = 1
OLDEST = 2
SEQUENCE_ROW, OFFSET_ROW, LENGTH_ROW, TIME_ROW, KIND_ROW = range(5)  # rows of the index that poll_into fills
INDEX_ROWS = 5
NO_LIMIT = (1 << 63) - 1


def word_of(dtype: np.dtype[np.void], field: str) -> int:
    """The number of the 64-bit word that `field` starts at."""
    offset = dtype.fields[field][1]  # type: ignore[index]
    if offset % 8:
        raise AssertionError(f"{field} at offset {offset} is not on a word")
    return int(offset) // 8


def shift_of(dtype: np.dtype[np.void], field: str) -> int:
    """The bit at which `field` starts within its little-endian word."""
    return int(dtype.fields[field][1]) % 8 * 8  # type: ignore[index]


TAIL = word_of(HEADER, "tail")
PUBLISH_NS = word_of(HEADER, "publish_ns")
COMMIT_0 = word_of(HEADER, "commit")
COMMIT_WORDS = COMMIT.itemsize // 8
COMMIT_TAIL = word_of(COMMIT, "tail")
COMMIT_SEQUENCE = word_of(COMMIT, "next_sequence")
COMMIT_LATEST = word_of(COMMIT, "latest")
KEY_POSITION = word_of(HEADER, "key_position")
INTENT = word_of(HEADER, "intent")
GATE = word_of(HEADER, "gate")
EPOCH = word_of(HEADER, "epoch")
STATE = word_of(HEADER, "state")
PID = word_of(HEADER, "pid")
HEARTBEAT = word_of(HEADER, "heartbeat_ns")
EPOCH_POSITION = word_of(HEADER, "epoch_position")
EPOCH_SEQUENCE = word_of(HEADER, "epoch_sequence")
WAKE = word_of(HEADER, "wake_sequence")
FRAMES = word_of(HEADER, "frames")
BYTES = word_of(HEADER, "bytes")
PADS = word_of(HEADER, "pads")
BATCHES = word_of(HEADER, "batches")
WAKES = word_of(HEADER, "wakes")
REJECTS = word_of(HEADER, "rejects")
BACK_PRESSURE = word_of(HEADER, "back_pressure")
DROPPED = word_of(HEADER, "dropped")
EVICTIONS = word_of(HEADER, "evictions")
RECOVERIES = word_of(HEADER, "recoveries")
ANCHOR_0 = word_of(HEADER, "anchors")
DATA = HEADER_BYTES // 8

DESCRIPTOR_BYTES = DESCRIPTOR.itemsize
DESCRIPTOR_WORDS = DESCRIPTOR_BYTES // 8
TAG_WORD = word_of(DESCRIPTOR, "position_tag")
SEQUENCE_WORD = word_of(DESCRIPTOR, "sequence")
TIME_WORD = word_of(DESCRIPTOR, "publish_ns")
LENGTH_MASK = (1 << 32) - 1
KIND_SHIFT = shift_of(DESCRIPTOR, "kind")
FLAGS_SHIFT = shift_of(DESCRIPTOR, "flags")
VERSION_SHIFT = shift_of(DESCRIPTOR, "version")

TICKET = word_of(CONTROL, "ticket")
SLOT_0 = word_of(CONTROL, "slots")
SLOT_WORDS = SLOT.itemsize // 8
SLOT_STATE = word_of(SLOT, "state")
SLOT_POSITION = word_of(SLOT, "position")
SLOT_PID = word_of(SLOT, "pid")
SLOT_JOINED = word_of(SLOT, "joined_ns")

# The publish line is one cache line: a reader that polls `tail` has the commit records with it.
assert HEADER.fields["tail"][1] % 64 == 0  # type: ignore[index]
assert HEADER.fields["commit"][1] + 2 * COMMIT.itemsize == HEADER.fields["tail"][1] + 64  # type: ignore[index]
assert HEADER.fields["schema"][1] + SCHEMA_BYTES <= HEADER_BYTES  # type: ignore[index]
assert DESCRIPTOR_BYTES == 32 and CONTROL.itemsize % ALIGNMENT == 0


def describe(dtype: np.dtype[np.void]) -> str:
    """Every field with its offset and type, one per line: what the geometry digest is made of."""
    return "\n".join(f"{name} {entry[1]} {entry[0].descr}" for name, entry in dtype.fields.items())  # type: ignore[union-attr]


def geometry_digest() -> int:
    """Digest of all shared layouts, stored in `version`'s high half: rings of another build are refused."""
    text = "\n\n".join(describe(dtype) for dtype in (HEADER, DESCRIPTOR, CONTROL))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little") >> 1


FORMAT = geometry_digest() << 32 | VERSION
