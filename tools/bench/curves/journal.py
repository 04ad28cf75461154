"""What opening, seeking and scanning a journal cost as it gets longer.

Owns the making of long journals.  Up to REAL frames all of it is written.  Beyond, every segment has its real header,
its real index and its real size, but only the segment in the middle, to which the seeks go, has records: the others are
holes of sparse files, which nobody may read.  A billion frames would be 300 GB.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from consumers.journal import Fsync, JournalReader, JournalWriter
from consumers.journal.index import SegmentIndex, load_index, pack_index
from consumers.journal.layout import SegmentHeader
from consumers.journal.segment import SegmentFile, header_checksum, list_segments, read_head, segment_path
from ringbuf.layout import SEQUENCE_ROW
from tlv.layout import LAYOUT_DIGEST
from tools.bench.curves.fit import curve
from tools.bench.journal import FRAMES, batch
from tools.bench.result import BenchResult
from tools.bench.timing import per_second

SIZES = (10**6, 10**7, 10**8, 10**9)
REAL = 10**6
BLOCK = 1
"""Mentioned by all frames of `tools.bench.journal.batch`; segments before the middle say that they have lower ones."""
UUID = bytes(range(16))
SCANNED = 100_000
"""Frames of one scan: less than half a segment."""
MILLION = 1e6


def run(seconds: float) -> Iterator[BenchResult]:
    """Four curves, in microseconds."""
    readings: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-curves") as folder:
        home = Path(folder)
        write(home / "real", 1, REAL)
        for size in SIZES:
            directory = home / "real"
            if size > REAL:
                directory = home / "simulated"
                simulate(home / "real", directory, size)
            for name, value in timed(directory, seconds).items():
                readings.setdefault(name, []).append((float(size), value))
            if size > REAL:
                shutil.rmtree(directory)
    note = (
        f"64-MiB segments; beyond {REAL:,} frames simulated: real headers and indices, records in the middle only, "
        "which is where the seeks and the scan go"
    )
    for name, points in readings.items():
        yield curve(f"journal: {name}", "us", points, note)


def write(directory: Path, first: int, frames: int) -> None:
    """A journal of so many frames (FRAMES more at most), whose first sequence is `first`."""
    buffer, table = batch()
    with JournalWriter(directory, ring_name="market.bench", ring_uuid=UUID, fsync=Fsync.NEVER, pack=False) as journal:
        for sequence in range(first, first + frames, FRAMES):
            table[SEQUENCE_ROW] = np.arange(sequence, sequence + FRAMES)
            journal.append(buffer, table, FRAMES)


def first_of(segment: SegmentFile) -> SegmentHeader:
    """A segment's header."""
    return SegmentHeader.unpack(read_head(segment))


def simulate(real: Path, directory: Path, frames: int) -> None:
    """A journal of so many frames, as this file's docstring says, of which `real` is the model."""
    first, second, *_ = list_segments(real)
    head = first_of(first)
    each = first_of(second).first_sequence - head.first_sequence
    count = -(-frames // each)
    middle = count // 2
    # Two segments, so that the first one, which is taken, is sealed as those of `real` are.
    write(directory / "middle", 1 + middle * each, each + FRAMES)
    records = list_segments(directory / "middle")[0]
    index, size = index_of(first), first.path.stat().st_size
    for number in range(count):
        found = index
        if number == middle:
            found = index_of(records)
            records.path.rename(segment_path(directory, number + 1))
        put_segment(directory, number, each, head, found, size, BLOCK - (number < middle))
    shutil.rmtree(directory / "middle")


def index_of(segment: SegmentFile) -> SegmentIndex:
    """A segment's stored index."""
    index = load_index(segment.index_path, segment.ordinal)
    assert index is not None  # it was sealed
    return index


def put_segment(
    directory: Path, number: int, each: int, head: SegmentHeader, index: SegmentIndex, size: int, block: int
) -> None:
    """Write the header and the index of segment `number`, from 0 on; what it has of records stays."""
    ordinal, sequence = number + 1, 1 + number * each
    header = replace(head, ordinal=ordinal, first_sequence=sequence, checksum=0)
    packed = replace(header, checksum=header_checksum(header.pack())).pack()
    path = segment_path(directory, ordinal)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.pwrite(file, packed, 0)
    if not os.fstat(file).st_size > len(packed):
        os.truncate(file, size)
    os.close(file)
    stated = replace(
        index.header,
        ordinal=ordinal,
        first_sequence=sequence,
        next_sequence=sequence + each,
        first_block=block,
        last_block=block,
    )
    SegmentFile(path, ordinal, packed=False).index_path.write_bytes(pack_index(SegmentIndex(stated, index.entries)))


def timed(directory: Path, seconds: float) -> dict[str, float]:
    """Microseconds of opening, of two kinds of seeks to the middle, and of scanning 1,000 frames from there."""
    segments = list_segments(directory)
    middle = segments[len(segments) // 2]
    sequence = first_of(middle).first_sequence + FRAMES
    share = seconds / 4

    def open_and_close() -> None:
        JournalReader(directory, layout_digest=LAYOUT_DIGEST).close()

    with JournalReader(directory) as reader:
        found = {"open": us(open_and_close, share)}
        found["seek sequence"] = us(lambda: landed(reader, reader.seek_sequence, sequence), share)
        found["seek block"] = us(lambda: landed(reader, reader.seek_block, BLOCK), share)
        found["scan of 1,000"] = scanning_us(reader, sequence, share)
    return found


def us(work: Callable[[], object], seconds: float) -> float:
    """Microseconds of one call, the fastest."""
    return MILLION / per_second(work, 1, seconds)


def landed(reader: JournalReader, seek: Callable[[int], None], place: int) -> None:
    """Seek, and take the frames that are there."""
    seek(place)
    assert len(reader.poll())


def scanning_us(reader: JournalReader, sequence: int, seconds: float) -> float:
    """Microseconds of 1,000 frames, every checksum verified, the fastest of some scans."""
    best, end = float("inf"), time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < end:
        reader.seek_sequence(sequence)
        begin, frames = time.perf_counter(), 0
        while frames < SCANNED:
            frames += len(reader.poll())
        best = min(best, (time.perf_counter() - begin) / frames)
    return best * 1000 * MILLION
