"""One segment file: its name, its header, its bytes.

Owns the naming of a journal's files, which of them there are, and the check of a header.  A segment that is still
written is read with `pread` and never mapped: a map would end its reader with SIGBUS when the writer cuts the file.  A
packed one is read block by block.  This file does not know what a record is.
"""

from __future__ import annotations

import itertools
import os
import re
import stat
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from consumers.journal.errors import ForeignFileError, JournalDamaged, JournalError, SegmentGone
from consumers.journal.index import RecordPlace, SegmentIndex, load_index
from consumers.journal.layout import CHECKSUM_BYTES, HEAD_BYTES, HEADER_BYTES, SEGMENT_MAGIC, VERSION, SegmentHeader
from consumers.journal.opened import OpenedSegment
from consumers.journal.packed import PackedBytes, packed_index, read_packed_header
from tlv.buffers import Bytes
from tlv.errors import UsageError

CHECKSUM_AT = int(SegmentHeader.layout.dtype.fields["checksum"][1])  # type: ignore[index]
CHECKSUM_END = CHECKSUM_AT + CHECKSUM_BYTES
SEGMENT_NAME = re.compile(r"segment-(\d{8})\.journal(\.zst)?")


class SegmentFile(NamedTuple):
    """A segment file of a directory."""

    path: Path
    ordinal: int
    packed: bool

    @property
    def index_path(self) -> Path:
        """The path of its index, existing or not."""
        return self.path.with_name(f"segment-{self.ordinal:08d}.index")


def segment_path(directory: Path, ordinal: int) -> Path:
    """The path at which segment `ordinal` is written."""
    return directory / f"segment-{ordinal:08d}.journal"


def list_segments(directory: Path) -> list[SegmentFile]:
    """The segments of a journal, oldest first.

    Where both forms of a segment exist (a crash between packing and removing), the packed one is listed.

    Raises:
        UsageError: there is no such directory.
    """
    if not directory.is_dir():
        raise UsageError(f"{directory} is no journal: expected a directory; `alphapulse record` makes one")
    found = listed_once(directory) or listed_once(directory)
    if not found:
        return []
    # A segment that is packed while the directory is read may show up in neither form.
    first, last = min(found), max(found)
    for ordinal in (number for number in range(first, last) if number not in found):
        found |= present(directory, ordinal)
    for beyond in (itertools.count(first - 1, -1), itertools.count(last + 1)):
        for ordinal in beyond:
            there = present(directory, ordinal)
            if not there:
                break
            found |= there
    return [found[ordinal] for ordinal in sorted(found)]


def listed_once(directory: Path) -> dict[int, SegmentFile]:
    """The segments whose names one reading of the directory gave."""
    found: dict[int, SegmentFile] = {}
    for path in sorted(directory.iterdir()):
        match = SEGMENT_NAME.fullmatch(path.name)
        if match:
            found[int(match[1])] = SegmentFile(path, int(match[1]), bool(match[2]))
    return found


def present(directory: Path, ordinal: int) -> dict[int, SegmentFile]:
    """Segment `ordinal` by itself, in the form that it has just now; empty if it has none."""
    raw = SegmentFile(segment_path(directory, ordinal), ordinal, packed=False)
    # Raw first: packing makes the packed form before it removes the raw one.
    forms = [form for form in (raw, packed_form(raw)) if form.path.exists()]
    return {ordinal: forms[-1]} if forms else {}


def packed_form(segment: SegmentFile) -> SegmentFile:
    """The packed form of a raw segment, existing or not."""
    return SegmentFile(Path(f"{segment.path}.zst"), segment.ordinal, packed=True)


def header_checksum(packed: bytes | bytearray) -> int:
    """CRC-32 of a packed header, its own checksum left out."""
    return zlib.crc32(packed[CHECKSUM_END:HEADER_BYTES], zlib.crc32(packed[:CHECKSUM_AT]))


def header_fits(data: bytes | bytearray) -> bool:
    """Whether the checksum of a header is that of its bytes."""
    return header_checksum(data) == int.from_bytes(data[CHECKSUM_AT:CHECKSUM_END], "little")


def parse_header(path: Path, data: bytes, layout_digest: int) -> SegmentHeader:
    """The header at the beginning of a segment, one flipped bit mended.  `layout_digest` 0 takes any layout.

    Raises:
        ForeignFileError: a segment of another version or layout.
        JournalDamaged: the header's checksum does not fit, whatever else it says, or half of it is missing.
    """
    if len(data) < HEADER_BYTES:
        raise JournalDamaged(path, 0, f"{len(data)} bytes of a header of {HEADER_BYTES}")
    if not header_fits(data):
        data = mended(data) or data
    header = SegmentHeader.unpack(data)
    is_older = header.magic == SEGMENT_MAGIC and header.version < VERSION  # whose header may be another
    if not (is_older or header_fits(data)):
        raise JournalDamaged(path, 0, "no segment header, or one with a wrong checksum")
    if header.magic != SEGMENT_MAGIC:
        raise ForeignFileError(f"{path}: expected magic {SEGMENT_MAGIC:#018x}, found {header.magic:#018x}")
    if header.version != VERSION:
        raise ForeignFileError(
            f"{path}: expected journal version {VERSION}, found {header.version}; "
            "read it with the version of AlphaPulse that recorded it, or record into a new directory"
        )
    if layout_digest and header.layout_digest != layout_digest:
        raise ForeignFileError(
            f"{path}: expected layout digest {layout_digest:#x}, found {header.layout_digest:#x}; "
            "it was recorded by another version of the wire format: read it with that version "
            "(`alphapulse export` there), or record into a new directory"
        )
    return header


def mended(data: bytes) -> bytes | None:
    """The header with the one bit turned back that makes its checksum fit; None if there is no such bit."""
    for bit in range(HEADER_BYTES * 8):
        turned = bytearray(data[:HEADER_BYTES])
        turned[bit >> 3] ^= 1 << (bit & 7)
        if header_fits(turned):
            return bytes(turned)
    return None


def without_waiting(path: str, flags: int) -> int:
    """Open for `open`: of a FIFO no writer is waited for."""
    return os.open(path, flags | os.O_NONBLOCK)


def open_present(segment: SegmentFile) -> tuple[SegmentFile, BinaryIO]:
    """Open `segment`, packed if the raw form is gone: it may have been packed since the directory was listed.

    Raises:
        SegmentGone: it exists in neither form.
        JournalDamaged: what has its name is no file: a folder, a FIFO.
    """
    for form in (segment,) if segment.packed else (segment, packed_form(segment)):
        try:
            file = open(form.path, "rb", buffering=0, opener=without_waiting)  # noqa: SIM115 - given away
        except FileNotFoundError:
            continue
        except IsADirectoryError:
            raise JournalDamaged(form.path, 0, "a folder") from None
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return form, file
        file.close()
        raise JournalDamaged(form.path, 0, "no regular file")
    raise SegmentGone(f"{segment.path}: was dropped or taken away")


def read_head(segment: SegmentFile) -> bytes:
    """The first bytes of a segment, enough for its header."""
    form, file = open_present(segment)
    with file:
        return read_packed_header(file) if form.packed else file.read(HEADER_BYTES)


def stored_index(segment: SegmentFile) -> SegmentIndex | None:
    """The index that was stored when the segment was sealed; None if there is none that fits it.

    Raises:
        SegmentGone: the segment was dropped.
    """
    form, file = open_present(segment)
    with file:
        return packed_index(file, form.ordinal) if form.packed else RawBytes(form, file).index


class RawBytes(OpenedSegment):
    """Random access to the raw segment in `file`, which may still be written and is closed with it."""

    def __init__(self, segment: SegmentFile, file: BinaryIO) -> None:
        super().__init__(segment.path, file)
        self._segment = segment

    @property
    def size(self) -> int:
        """Bytes now; a segment that is being written grows."""
        return self.bytes_on_disk

    def read_at(self, offset: int, into: Bytes) -> int:
        """Copy bytes from `offset` on into `into`; returns how many there were."""
        try:
            return os.preadv(self._file.fileno(), [into.data], offset)
        except OSError as error:
            raise JournalError(f"{self.path}: cannot read at byte {offset} ({error.strerror})") from error

    @property
    def index(self) -> SegmentIndex | None:
        """The stored index; None if there is none that fits."""
        index = load_index(self._segment.index_path, self._segment.ordinal)
        return index if index and index.header.segment_bytes + HEAD_BYTES == self.size else None

    def boundary(self, offset: int) -> RecordPlace | None:
        """The next record behind `offset` of which the stored index tells; None if there is no index."""
        index = self.index
        return index.behind(offset) if index else None


def open_bytes(segment: SegmentFile) -> RawBytes | PackedBytes:
    """The bytes of a segment in the form that it has just now."""
    form, file = open_present(segment)
    try:
        return PackedBytes(form.path, file, form.ordinal) if form.packed else RawBytes(form, file)
    except BaseException:
        file.close()
        raise
