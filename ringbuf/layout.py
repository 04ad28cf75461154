"""Where every word of a ring stands.  The only file of the package that states an offset.

Owns the dtypes of the three shared objects of a ring, of the counters beside it, and of the two private states, and
the word numbers that the kernels use.  It must never know what a payload means.

    ring object   header page (4096 B)                                          data (capacity B)
                  +----------+---------+--------+------+------+----------+---------+------+ +--------------------+
                  | identity | publish | intent | life | wake | counters | anchors | text | | frame frame pad .. |
                  +----------+---------+--------+------+------+----------+---------+------+ +--------------------+
                  immutable    tail,     intent,  epoch, wake   one word   128       name,
                               commit    gate     state  word   each       hints     schema
                               record

    control       what readers write: the wake ticket and 64 consumer slots, one line each
    frame         64-byte aligned: descriptor (32 B) + payload, zero-padded to 8 bytes

    counters      one object a process: header (256 B), then its counts, then its histograms (`counters.layout_of`)

A position is a byte offset in an endless stream; it lies at `position & (capacity - 1)` in the data.  Fields that
different processes write stand on different pairs of 64-byte lines (processors fetch lines in pairs).
"""

from __future__ import annotations

from ringbuf.declare import digest_of, lines, offset_of, packed, page, shift_of, word_of
from tlv.fields import I64, U8, U16, U32, Text64, Text1024, Uuid

MAGIC = 0x31474E4952504C41  # "ALPRING1", little-endian
CONTROL_MAGIC = 0x314C5443_52504C41  # "ALPRCTL1"
COUNTERS_MAGIC = 0x31544E43_52504C41  # "ALPRCNT1"
VERSION = 1

HEADER_BYTES = 4096
ALIGNMENT = 64  # a cache line: two frames never share one, so writing a frame never slows the reader of the one before
MIN_CAPACITY = 1 << 16
MAX_CAPACITY = 1 << 40
MAX_FRAME_SHARE = 8  # a frame takes at most 1/8 of the ring: a reader one frame behind is far from being lapped
MAX_BATCH_SHARE = 4  # a batch takes at most 1/4: it becomes visible at once and must not lap readers that keep up
DEFAULT_MAX_FRAME = 1 << 17  # twice the largest message
DEFAULT_RESERVE_BYTES = 1 << 16
RESERVE_SHARE = 64  # `intent` moves by capacity/64 at most: what it covers beyond `tail` is lost to late readers
ANCHORS = 128
SLOTS = 64

COMMIT = packed(
    tail=I64,
    next_sequence=I64,
    latest=I64,
)

HEADER = page(
    HEADER_BYTES,
    lines(  # identity: immutable
        0,
        magic=I64,
        version=I64,
        header_bytes=I64,
        total_bytes=I64,
        capacity=I64,
        alignment=I64,
        max_frame=I64,
        uuid=Uuid,
        created_ns=I64,
        flags=I64,
        boot_id=Uuid,
        layout_digest=I64,
        reserve=I64,
        salt=I64,
        crc=I64,
    ),
    lines(  # publish: a reader that polls `tail` has the commit records with it
        256,
        tail=I64,
        publish_ns=I64,
        commit=(COMMIT, 2),
    ),
    lines(320, key_position=I64),
    lines(
        384,
        intent=I64,
        gate=I64,
    ),
    lines(  # life of the writer
        512,
        epoch=I64,
        state=I64,
        pid=I64,
        heartbeat_ns=I64,
        epoch_position=I64,
        epoch_sequence=I64,
    ),
    lines(640, wake_sequence=I64),
    lines(  # counters; frames and bytes are told by the commit record and the tail
        768,
        pads=I64,
        batches=I64,
        rejects=I64,
        wakes=I64,
        back_pressure=I64,
        dropped=I64,
        evictions=I64,
        recoveries=I64,
    ),
    lines(1024, anchors=(I64, ANCHORS)),
    lines(  # text
        2048,
        name=Text64,
        schema=Text1024,
    ),
)

NAME_BYTES = HEADER["name"].itemsize
SCHEMA_BYTES = HEADER["schema"].itemsize

DESCRIPTOR = packed(
    length=U32,  # payload bytes; of a pad: everything after its descriptor
    kind=U16,  # the publisher's own, opaque to the ring
    flags=U8,  # PAD, KEY
    version=U8,
    position_tag=I64,  # position ^ salt: bytes of another lap, or a payload, do not pass for a descriptor
    sequence=I64,  # dense from 1; of a pad: that of the next frame
    publish_ns=I64,  # CLOCK_MONOTONIC
)

SLOT = page(
    64,
    lines(
        0,
        state=I64,
        position=I64,
        pid=I64,
        joined_ns=I64,
    ),
)

CONTROL = page(
    256 + SLOTS * SLOT.itemsize,
    lines(
        0,
        magic=I64,
        version=I64,
        uuid=Uuid,
    ),
    lines(128, ticket=I64),
    lines(256, slots=(SLOT, SLOTS)),
)

COUNTERS_HEADER = page(
    256,
    lines(  # identity: immutable, the magic stored last
        0,
        magic=I64,
        version=I64,
        total_bytes=I64,
        layout_digest=I64,  # of the counts and histograms behind this header
        pid=I64,  # diagnostics only: that the process lives is said by its lock on byte 0
        began_ns=I64,  # CLOCK_MONOTONIC
        boot_id=Uuid,
        role=Text64,
        ring=Text64,
    ),
    lines(192, beat_ns=I64),  # when the counts were stored last, CLOCK_MONOTONIC
)

SUB_BITS = 5
"""A bucket is 2^-5 of its power of two wide, so a percentile is at most 3.2 % above the duration it stands for; below
64 ns it is exact.  Log-linear, as HdrHistogram has it (hdrhistogram.org), which takes 2^-7 or 2^-10; a hop differs by
more than 3 % from run to run, and its 9 KB stay in the second-level cache."""
BUCKETS = (2 + 34) << SUB_BITS  # up to 2^40 ns, 18 minutes; the last bucket takes what is longer
LONGEST_NS = 1 << 48  # three days; what is longer counts as that, so that sums of 32,000 such still fit

HISTOGRAM = packed(
    sum_ns=I64,
    longest_ns=I64,
    unused=(I64, 6),
    buckets=(I64, BUCKETS),
)

# A writer's private state.  It never reads these back from shared memory, where another process could change them.
WRITER = packed(
    capacity=I64,
    salt=I64,
    reserve=I64,
    max_payload=I64,  # -1 once closed or forked: then every publish is refused
    max_batch=I64,
    region_bytes=I64,
    tail=I64,  # committed
    head=I64,  # appended, >= tail
    sequence=I64,  # of the next frame to append
    committed=I64,  # next sequence as of the last commit
    intent=I64,
    gate=I64,
    latest=I64,  # start of the last appended frame
    key=I64,  # start of the last appended key frame, -1 if none since the last commit
    region=I64,  # the region that was anchored last
    turn=I64,  # which of the two commit records is written next
    wake_sequence=I64,
    pads=I64,
    batches=I64,
    wakes=I64,
    appended_pads=I64,
)

READER = packed(
    capacity=I64,
    salt=I64,
    max_payload=I64,
    region_bytes=I64,
    position=I64,
    sequence=I64,  # expected next
    epoch=I64,
    on_lap=I64,
    slot=I64,  # -1: lossy
    evicted=I64,
    count=I64,  # frames of the last poll
    lost_first=I64,
    lost_last=I64,
    need=I64,
    frame_length=I64,
    frame_kind=I64,
    frame_flags=I64,
    frame_sequence=I64,
    frame_ns=I64,
    frames=I64,
    bytes=I64,
    lost=I64,
    laps=I64,
    untold_first=I64,  # frames that are lost, and that no take or poll has told yet; 0 if none are
    untold_last=I64,
    taken=I64,  # outcome of the last take, a Status
    closed=I64,  # 1: every take is refused
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

HISTOGRAM_WORDS = HISTOGRAM.itemsize // 8
SUM_WORD = word_of(HISTOGRAM, "sum_ns")
LONGEST_WORD = word_of(HISTOGRAM, "longest_ns")
BUCKET_0 = word_of(HISTOGRAM, "buckets")
BEAT_WORD = word_of(COUNTERS_HEADER, "beat_ns")
COUNTS_0 = COUNTERS_HEADER.itemsize // 8

# The publish line is one cache line: a reader that polls `tail` has the commit records with it.
assert offset_of(HEADER, "commit") + 2 * COMMIT.itemsize == offset_of(HEADER, "tail") + ALIGNMENT

FORMAT = digest_of(HEADER, DESCRIPTOR, CONTROL) << 32 | VERSION  # rings of another build are refused
COUNTERS_FORMAT = digest_of(COUNTERS_HEADER, HISTOGRAM) << 32 | VERSION  # counters of another build are told apart
