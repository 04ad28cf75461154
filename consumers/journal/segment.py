"""One segment file: its name, its header, its bytes.

Owns the naming of a journal's files and the check of a header.  A segment that is still written is read with `pread`
and never mapped: a map would end its reader with SIGBUS when the writer cuts the file.  A sealed segment is unpacked
into memory as a whole.  This file does not know what a record is.
"""

from __future__ import annotations

import os
import re
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
import zstandard

from consumers.journal.errors import ForeignFileError, JournalDamaged, JournalError, SegmentGone
from consumers.journal.layout import CHECKSUM_BYTES, HEADER_BYTES, SEGMENT_MAGIC, VERSION, SegmentHeader
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
    found: dict[int, SegmentFile] = {}
    for path in sorted(directory.iterdir()):
        match = SEGMENT_NAME.fullmatch(path.name)
        if match:
            segment = SegmentFile(path, int(match[1]), bool(match[2]))
            found[segment.ordinal] = segment
    return [found[ordinal] for ordinal in sorted(found)]


def header_checksum(packed: bytes) -> int:
    """CRC-32 of a packed header, its own checksum left out."""
    return zlib.crc32(packed[CHECKSUM_END:HEADER_BYTES], zlib.crc32(packed[:CHECKSUM_AT]))


def parse_header(path: Path, data: bytes, layout_digest: int) -> SegmentHeader:
    """The header at the beginning of a segment.  `layout_digest` 0 takes any layout.

    Raises:
        ForeignFileError: no segment, or one of another version or layout.
        JournalDamaged: the header's checksum does not fit.
    """
    if len(data) < HEADER_BYTES:
        raise ForeignFileError(f"{path}: expected a segment header of {HEADER_BYTES} bytes, found {len(data)}")
    header = SegmentHeader.unpack(data)
    if header.magic != SEGMENT_MAGIC:
        raise ForeignFileError(f"{path}: expected magic {SEGMENT_MAGIC:#018x}, found {header.magic:#018x}")
    if header.version != VERSION:
        raise ForeignFileError(f"{path}: expected journal version {VERSION}, found {header.version}")
    if header_checksum(data) != header.checksum:
        raise JournalDamaged(path, 0, "a header with a wrong checksum")
    if layout_digest and header.layout_digest != layout_digest:
        raise ForeignFileError(
            f"{path}: expected layout digest {layout_digest:#x}, found {header.layout_digest:#x}; "
            "it was recorded by another version of the wire format: read it with that version "
            "(`alphapulse export` there), or record into a new directory"
        )
    return header


def open_present(segment: SegmentFile) -> tuple[SegmentFile, BinaryIO]:
    """Open `segment`, packed if the raw form is gone: it may have been packed since the directory was listed.

    Raises:
        SegmentGone: it exists in neither form.
    """
    packed = segment if segment.packed else SegmentFile(Path(f"{segment.path}.zst"), segment.ordinal, packed=True)
    for form in (segment, packed):
        try:
            return form, form.path.open("rb", buffering=0)
        except FileNotFoundError:
            continue
    raise SegmentGone(f"{segment.path}: was dropped or taken away")


def read_head(segment: SegmentFile) -> bytes:
    """The first bytes of a segment, enough for its header, without unpacking the rest."""
    segment, opened = open_present(segment)
    with opened as file:
        if not segment.packed:
            return file.read(HEADER_BYTES)
        try:
            return zstandard.ZstdDecompressor().stream_reader(file).read(HEADER_BYTES)
        except zstandard.ZstdError as error:
            raise JournalDamaged(segment.path, 0, f"bytes that zstd refuses ({error})") from None


UNPACKED: WeakValueDictionary[tuple[int, int, int], Bytes] = WeakValueDictionary()
"""Sealed segments in memory, by device, inode and time, for as long as somebody reads them: a relay has a reader for
each client that catches up, and 64 MiB for each of these would be more than the machine has."""


def unpack(path: Path, data: bytes) -> Bytes:
    """The bytes of a packed segment.

    Raises:
        JournalDamaged: zstd refuses them.
    """
    try:
        return np.frombuffer(zstandard.decompress(data), np.uint8)
    except zstandard.ZstdError as error:
        raise JournalDamaged(path, 0, f"bytes that zstd refuses ({error})") from None


class SegmentBytes:
    """Random access to a segment, packed or not.  Close it, or use it as a context manager."""

    def __init__(self, segment: SegmentFile) -> None:
        segment, file = open_present(segment)
        self.path = segment.path
        self._file: BinaryIO | None = None
        self._memory = np.empty(0, np.uint8)
        if not segment.packed:
            self._file = file
            return
        with file:
            status = os.fstat(file.fileno())
            key = status.st_dev, status.st_ino, status.st_mtime_ns
            shared = UNPACKED.get(key)
            self._memory = shared if shared is not None else unpack(segment.path, file.read())
            UNPACKED[key] = self._memory

    @property
    def size(self) -> int:
        """Bytes now; a segment that is being written grows."""
        return os.fstat(self._file.fileno()).st_size if self._file else self._memory.size

    def read_at(self, offset: int, into: Bytes) -> int:
        """Copy bytes from `offset` on into `into`; returns how many there were."""
        if self._file:
            try:
                return os.preadv(self._file.fileno(), [into.data], offset)
            except OSError as error:
                raise JournalError(f"{self.path}: cannot read at byte {offset} ({error.strerror})") from error
        part = self._memory[offset : offset + into.size]
        into[: part.size] = part
        return int(part.size)

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()
            self._file = None

    def __enter__(self) -> SegmentBytes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
