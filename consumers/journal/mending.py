"""What is wrong with a journal's files, and what of it can be mended.

Owns the list of faults that `alphapulse journal verify` prints, and the repairs of `journal cut`:

    torn end of the last segment                 cut, so that a recorder can go on
    damaged records, or a damaged packed block   the segment is written anew, a GAP record in their place
    damaged header, trailer or END record        the segment is written anew; nothing is lost
    missing or damaged index                     made anew by a scan
    raw segment beside its packed form           removed, as a recorder does when it starts
    header of a raw segment with over one bit    not mended: the segment is left out by every reader, a loss if others
    turned                                       of its ring stand around it
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import zstandard
from msgspec.structs import replace

from consumers.journal import kernels
from consumers.journal.blocks import unpack_frame
from consumers.journal.files import create_like
from consumers.journal.layout import (
    END,
    HEAD_BYTES,
    HEADER_BYTES,
    LENGTH_ROW,
    MAX_PAYLOAD,
    OFFSET_ROW,
    RING_ENDED,
    SKIPPABLE_MAGIC,
    PackedFooter,
    SkippableHead,
)
from consumers.journal.packed import packed_index
from consumers.journal.recovery import Examination, SegmentEnd
from consumers.journal.scan import Scanner
from consumers.journal.sealing import seal
from consumers.journal.segment import (
    SegmentFile,
    header_checksum,
    header_fits,
    open_present,
    segment_path,
    stored_index,
)

NOTHING = np.zeros(0, np.uint8)


class JournalFault(NamedTuple):
    """Something that is wrong in a file at byte `position`, and the sequences that it costs."""

    path: Path
    position: int
    found: str
    lost: int = 0

    def __str__(self) -> str:
        cost = f"; {self.lost} frames are lost" if self.lost else ""
        return f"{self.path}: at byte {self.position} {self.found}{cost}"


def faults_of(found: Examination, *, is_last: bool) -> list[JournalFault]:
    """Everything that is wrong with a segment that was examined."""
    segment = found.segment
    faults = [JournalFault(one.path, one.position, f"{one.found}, {one.bytes} bytes", one.lost) for one in found.damage]
    if found.end is SegmentEnd.TORN or (found.end is SegmentEnd.OPEN and not is_last):
        what = f"{found.found or 'no END record'}, {found.bytes_behind} bytes: a torn end"
        faults.append(JournalFault(segment.path, found.position, what))
    return faults + (packed_faults(segment) if segment.packed else raw_faults(segment, found))


def raw_faults(segment: SegmentFile, found: Examination) -> list[JournalFault]:
    """A header with a turned bit, and an index that is not one; none that is missing, which is only slower."""
    faults = []
    with segment.path.open("rb") as file:
        if not header_fits(file.read(HEADER_BYTES)):
            faults.append(JournalFault(segment.path, 0, "a header with one bit turned, which is known"))
    if found.end is SegmentEnd.SEALED and segment.index_path.exists() and stored_index(segment) is None:
        faults.append(JournalFault(segment.index_path, 0, "an index that does not fit its segment, and is not used"))
    return faults


def packed_faults(segment: SegmentFile) -> list[JournalFault]:
    """A packed segment's header, trailer or END record that is damaged; each is known from elsewhere in the file."""
    faults = []
    _, opened = open_present(segment)
    with opened as file:
        index = packed_index(file, segment.ordinal)
        size = os.fstat(file.fileno()).st_size
        if index is None:
            return [JournalFault(segment.path, size - PackedFooter.layout.size, "a damaged trailer, not used")]
        first = int(index.entries[0]["packed"]) if index.entries.size else index.header.packed_bytes
        header = unpack_frame(os.pread(file.fileno(), first, 0), HEADER_BYTES)
        if header is None or not header_fits(header.tobytes()):
            faults.append(JournalFault(segment.path, 0, "a damaged header, which the trailer has once more"))
        footer = PackedFooter.unpack(os.pread(file.fileno(), PackedFooter.layout.size, size - PackedFooter.layout.size))
        begin = index.header.packed_bytes
        end = os.pread(file.fileno(), size - footer.trailer_bytes - begin, begin)
        if not unpacks(end):
            faults.append(JournalFault(segment.path, begin, "a damaged END record, which the trailer stands for"))
        head = SkippableHead(SKIPPABLE_MAGIC, footer.trailer_bytes - SkippableHead.layout.size)
        if os.pread(file.fileno(), head.layout.size, size - footer.trailer_bytes) != head.pack():
            faults.append(JournalFault(segment.path, size - footer.trailer_bytes, "a damaged head of the trailer"))
    return faults


def unpacks(data: bytes) -> bool:
    """Whether the bytes are one zstd frame that unpacks."""
    try:
        size = zstandard.get_frame_parameters(data).content_size
    except zstandard.ZstdError:
        return False
    return size <= MAX_PAYLOAD and unpack_frame(data, size) is not None


def mend(segment: SegmentFile) -> None:
    """Write a complete segment anew, GAP records in the place of damage, in the form that it has."""
    raw = segment_path(segment.path.parent, segment.ordinal)
    fresh = raw.with_name(raw.name + ".new")
    like = segment.path.stat()
    scanner = Scanner(segment)
    try:
        with create_like(fresh, like) as file:
            header = replace(scanner.header, checksum=0)
            file.write(replace(header, checksum=header_checksum(header.pack())).pack())
            while count := scanner.advance() or scanner.pass_damage():
                file.write(records_of(scanner, count))
            file.write(end_record(scanner))
            file.flush()
            os.fsync(file.fileno())
    finally:
        scanner.close()
    fresh.replace(raw)
    segment.index_path.unlink(missing_ok=True)
    if segment.packed:
        # A kill before this leaves both forms; the damaged one is read, and mended again.
        segment.path.unlink()
    seal(SegmentFile(raw, segment.ordinal, packed=False), pack=segment.packed)


def records_of(scanner: Scanner, count: int) -> bytes:
    """The bytes of the records in the scanner's table, which follow each other in its buffer."""
    begin = int(scanner.table[OFFSET_ROW, 0]) - HEAD_BYTES
    last, length = (int(scanner.table[row, count - 1]) for row in (OFFSET_ROW, LENGTH_ROW))
    return scanner.buffer[begin : last + (length + 7 & -8)].tobytes()


def end_record(scanner: Scanner) -> bytes:
    """The END record of a segment that was scanned to its end."""
    room = np.zeros(HEAD_BYTES, np.uint8)
    kind = RING_ENDED if scanner.ring_ended else 0
    kernels.pack_record(room, 0, END, scanner.expected, 0, kind, NOTHING, 0, 0)
    return room.tobytes()
