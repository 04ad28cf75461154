"""Which segments of a journal can hold anything selected, and the records of one of them.

Owns the walk over a journal that may be scanned several segments at a time.  A segment's end is judged as
`JournalReader` judges it: half a record is the present end of the last segment, and damage in any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from consumers.analysis.selection import Selection
from consumers.journal import JournalError, kernels
from consumers.journal.index import load_index
from consumers.journal.scan import Scanner
from consumers.journal.segment import SegmentFile, list_segments, parse_header, read_head
from tlv.layout import LAYOUT_DIGEST


def segments_of(directory: Path, selection: Selection) -> list[SegmentFile]:
    """The journal's segments but for those whose index says that nothing selected is in them.

    Raises:
        UsageError: no such directory.
        JournalError: no segment in it, or one of another version or layout.
    """
    segments = list_segments(directory)
    if not segments:
        raise JournalError(f"{directory}: expected segment files, found none; `alphapulse record` writes them")
    return [segment for segment in segments if may_hold(segment, selection)]


def may_hold(segment: SegmentFile, selection: Selection) -> bool:
    """False only if the segment's stored index excludes it; a segment without one may hold anything."""
    if not selection.has_range:
        return True
    index = load_index(segment.index_path, segment.ordinal)
    if index is None:
        return True
    head = index.header
    offset = parse_header(segment.path, read_head(segment), LAYOUT_DIGEST).clock_offset_ns
    first_ns, last_ns = head.first_publish_ns + offset, head.last_publish_ns + offset
    return (
        selection.sequences.touches(head.first_sequence, head.next_sequence - 1)
        and selection.times.touches(first_ns, last_ns)
        # Blocks of a feed are not in order, so the segment's first block is no lower bound.
        and head.last_block >= selection.blocks.first
    )


def open_segment(segment: SegmentFile) -> Scanner:
    """A scanner on the segment, which a recorder may have packed since the directory was listed."""
    try:
        return Scanner(segment, LAYOUT_DIGEST)
    except FileNotFoundError:
        packed = segment._replace(path=segment.path.with_name(segment.path.name + ".zst"), packed=True)
    try:
        return Scanner(packed, LAYOUT_DIGEST)
    except FileNotFoundError:
        raise JournalError(f"{segment.path}: expected a segment, found that its recorder dropped it by now") from None


def scans(scanner: Scanner, is_last: bool) -> Iterator[int]:
    """Yield the number of records after each step of the scanner, to the segment's end.

    Raises:
        JournalDamaged: the segment ends where no recorder ends one.
    """
    while True:
        count = scanner.advance()
        if count:
            yield count
            continue
        if scanner.status == kernels.ENDED:
            return
        if not is_last or scanner.status == kernels.OUT_OF_ORDER:
            raise scanner.damage()
        if scanner.status in (kernels.PARTIAL, kernels.DAMAGED) and scanner.is_damage():
            raise scanner.damage()
        return
