"""The state of a segment after a crash, and how its end is cut.

Owns the distinction between a torn end (the crash of a recorder: it is cut, and recording goes on) and damage (bytes
that changed after they were written: a loss of exactly the sequences that they held, `scan` says which).

    END record                              sealed
    zeros behind the last whole record      open      the recorder runs, or was killed between two writes
    broken, and nothing whole behind it     torn      the recorder or the machine died in a write
    broken, and a whole record behind it    damage, of which a segment may have any amount, however it ends
"""

from __future__ import annotations

import os
from enum import StrEnum
from typing import NamedTuple

from consumers.journal import kernels
from consumers.journal.errors import JournalError
from consumers.journal.indexing import build_index
from consumers.journal.layout import HEADER_BYTES
from consumers.journal.scan import FOUND, Damage, Scanner
from consumers.journal.segment import SegmentFile
from tlv.errors import UsageError


class SegmentEnd(StrEnum):
    """How a segment ends."""

    SEALED = "sealed"
    OPEN = "open"
    TORN = "torn"


class Examination(NamedTuple):
    """What a scan of one segment found.  `position` is the raw byte behind the last whole record."""

    segment: SegmentFile
    end: SegmentEnd
    ring_name: str
    ring_uuid: bytes
    frames: int
    lost: int
    first_sequence: int
    next_sequence: int
    position: int
    bytes_behind: int
    found: str
    damage: tuple[Damage, ...]


def examine(segment: SegmentFile, layout_digest: int = 0) -> Examination:
    """Read every byte of `segment` and judge it.

    Raises:
        JournalError: its header already says that it is no segment.
    """
    scanner = Scanner(segment, layout_digest)
    try:
        index = build_index(scanner)
        end = judge_end(scanner)
        return Examination(
            segment=segment,
            end=end,
            ring_name=scanner.header.ring_name,
            ring_uuid=scanner.header.ring_uuid,
            frames=index.header.frames,
            lost=index.header.lost,
            first_sequence=index.header.first_sequence,
            next_sequence=index.header.next_sequence,
            position=index.header.segment_bytes,
            bytes_behind=scanner.source.size - index.header.segment_bytes,
            found=FOUND.get(scanner.status, "") if end is SegmentEnd.TORN else "",
            damage=tuple(scanner.damage),
        )
    finally:
        scanner.close()


def judge_end(scanner: Scanner) -> SegmentEnd:
    """How a segment ends whose scan has come to its end."""
    if scanner.status == kernels.ENDED:
        return SegmentEnd.SEALED
    if scanner.status in (kernels.SCANNED, kernels.BLANK) and blank_from_here(scanner):
        return SegmentEnd.OPEN
    return SegmentEnd.TORN


def blank_from_here(scanner: Scanner) -> bool:
    """True if only zeros follow: space that was allocated and never written."""
    offset = scanner.offset
    while filled := scanner.source.read_at(offset, scanner.buffer):
        if not kernels.is_blank(scanner.buffer, 0, filled):
            return False
        offset += filled
    return True


def cut(segment: SegmentFile, position: int) -> int:
    """Remove everything from byte `position` of a raw segment on; returns how many bytes that was.

    Raises:
        UsageError: the segment is packed, or the position does not lie behind its header.
    """
    if segment.packed:
        raise UsageError(f"{segment.path}: a packed segment cannot be cut; unpack it with `zstd -d` first")
    size = segment.path.stat().st_size
    if not HEADER_BYTES <= position <= size:
        raise UsageError(f"{segment.path}: expected a position from {HEADER_BYTES} to {size}, found {position}")
    fd = os.open(segment.path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.ftruncate(fd, position)
        os.fsync(fd)
    except OSError as error:
        raise JournalError(f"{segment.path}: cannot cut at byte {position} ({error.strerror})") from error
    finally:
        os.close(fd)
    segment.index_path.unlink(missing_ok=True)
    return size - position
