"""The store: a journal into Arrow, Parquet and events, and back into a ring, beside the same by other programs.

Messages are Sync events of 254 bytes, as in bench `journal`.  A reading is the best pass over some 400,000 of them; the
journal is in the page cache, so the disk is not measured.
"""

from __future__ import annotations

import secrets
import struct
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from consumers.journal import Fsync, JournalReader, JournalWriter
from consumers.store import Store
from producers.output.replay import Replay
from ringbuf import Status, Writer
from ringbuf.layout import INDEX_ROWS, LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW, TIME_ROW
from tlv.codes import Domain, Source
from tlv.layout import HEADER_SIZE, LAYOUT_DIGEST, EventOrigin, PoolSync
from tlv.message import build
from tools.bench.result import BenchResult
from tools.bench.timing import per_second

BATCH = 4096
BATCHES = 100
MESSAGES = BATCH * BATCHES
EVENTS = 20_000
"""What plain Python is timed on; all of them would take it a minute."""
SEGMENT_BYTES = 1 << 24
RING_BYTES = 1 << 24


def run(seconds: float) -> list[BenchResult]:
    """All readings, each over `seconds`."""
    with tempfile.TemporaryDirectory(prefix="bench-store") as directory:
        home = Path(directory)
        for pack in (False, True):
            write_journal(home / ("packed" if pack else "raw"), pack)
        raw, packed = Store.open(home / "raw"), Store.open(home / "packed")
        plain = rate(lambda: arrow_in_python(home / "raw"), EVENTS, seconds)
        scan = rate(lambda: read_through(home / "raw"), MESSAGES, seconds)
        to_arrow = rate(raw.to_arrow, MESSAGES, seconds)
        from_packed = rate(packed.to_arrow, MESSAGES, seconds)
        to_parquet = rate(lambda: raw.to_parquet(home / "tables"), MESSAGES, seconds)
        table = raw.to_arrow()["PoolSync"]
        arrow_parquet = rate(lambda: write_parquet(table, home / "plain.parquet"), MESSAGES, seconds)
        events = rate(lambda: deque(raw, maxlen=0), MESSAGES, seconds)
        replayed = replay_rate(home / "raw", seconds)
    python = ("struct and pyarrow in Python", plain)
    return [
        reading("store to Arrow", to_arrow, *python, 5.0, "22 columns, every record checked; a thread per core"),
        reading("store to Arrow, packed segments", from_packed, *python, None, "zstd included"),
        reading("store to Arrow, against a bare scan", to_arrow, "JournalReader.poll", scan),
        reading("store to Parquet", to_parquet, "pyarrow, of a table in memory", arrow_parquet),
        reading("store events", events, *python, 1.0, "typed records, one by one"),
        reading("replay into a ring", replayed, "JournalReader.poll", scan, None, "marked, sealed and published"),
    ]


def reading(
    name: str, value: float, baseline: str, baseline_value: float, target: float | None = None, note: str = ""
) -> BenchResult:
    """A rate beside another."""
    return BenchResult(name, value, "M messages/s", baseline, baseline_value, value / baseline_value, target, note)


def rate(work: Callable[[], Any], count: int, seconds: float) -> float:
    """The best rate of `work`, in millions a second."""
    return per_second(work, count, seconds) / 1e6


def write_journal(directory: Path, pack: bool, batches: int = BATCHES) -> None:
    """A journal of so many batches of Sync events."""
    with JournalWriter(
        directory,
        ring_name="market.bench",
        ring_uuid=secrets.token_bytes(16),
        fsync=Fsync.NEVER,
        segment_bytes=SEGMENT_BYTES,
        pack=pack,
    ) as journal:
        for number in range(batches):
            journal.append(*batch(number))


def batch(number: int) -> tuple[Any, Any, int]:
    """(buffer, table, count) of a poll that brought batch `number`; amounts and hashes differ as real ones do."""
    source = np.random.default_rng(number)
    sync = PoolSync(bytes(20), bytes(20), bytes(20), 400, 18, 6, 2, 1 << 200, 1 << 100)
    origin = EventOrigin(number, 0, 0, 0, 0, bytes(32), bytes(32))
    message = np.frombuffer(build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [sync, origin]), np.uint8)
    stride = (message.size + 7) // 8 * 8
    rows = np.zeros((BATCH, stride), np.uint8)
    rows[:, : message.size] = message
    # The last 32 bytes are the transaction's hash.  This breaks the message's checksum, which these readings skip.
    rows[:, message.size - 32 : message.size] = source.integers(0, 256, (BATCH, 32), np.uint8)
    table = np.zeros((INDEX_ROWS, BATCH), np.int64)
    table[SEQUENCE_ROW] = np.arange(BATCH) + 1 + number * BATCH
    table[OFFSET_ROW] = np.arange(BATCH) * stride
    table[LENGTH_ROW] = message.size
    table[TIME_ROW] = table[SEQUENCE_ROW]
    return rows.reshape(-1), table, BATCH


def arrow_in_python(directory: Path) -> Any:
    """What a program without kernels does: unpack each of EVENTS messages with `struct`, then build the columns."""
    header, sync = struct.Struct("<IBBBBqqII"), PoolSync.layout.codec
    rows: list[tuple[Any, ...]] = []
    with JournalReader(directory) as reader:
        while len(rows) < EVENTS:
            for frame in reader.poll():
                start = HEADER_SIZE + 2
                origin = EventOrigin.layout.codec.unpack_from(frame.payload, start + sync.size + 2)
                rows.append((*header.unpack_from(frame.payload), *sync.unpack_from(frame.payload, start), *origin))
    return pa.table({str(i): pa.array(column) for i, column in enumerate(zip(*rows, strict=True))})


def read_through(directory: Path) -> int:
    """Poll every frame and count."""
    frames = 0
    with JournalReader(directory) as reader:
        while True:
            poll = reader.poll()
            frames += len(poll)
            if poll.status is Status.CLOSED:
                return frames


def write_parquet(table: Any, path: Path) -> None:
    """A table that is in memory already."""
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression="zstd")


def replay_rate(directory: Path, seconds: float) -> float:
    """From the journal into a ring, as fast as possible."""
    with Writer.create(f"bench.{secrets.token_hex(4)}", capacity=RING_BYTES, layout_digest=LAYOUT_DIGEST) as writer:

        def replay() -> None:
            with JournalReader(directory) as reader:
                Replay(writer).play(iter_polls(reader))

        replayed = rate(replay, MESSAGES, seconds)
        writer.close(unlink=True)
    return replayed


def iter_polls(reader: JournalReader) -> Any:
    """Every poll of a journal that is no longer written."""
    while True:
        poll = reader.poll()
        yield poll
        if poll.status is Status.CLOSED:
            return
