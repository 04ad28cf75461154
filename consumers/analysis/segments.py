"""Which segments of a journal can hold anything selected, and the records of one of them.

Owns the walk over a journal that may be scanned several segments at a time.  A segment's end is judged as
`JournalReader` judges it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from consumers.analysis.selection import Selection
from consumers.journal import JournalError
from consumers.journal.scan import Scanner
from consumers.journal.segment import SegmentFile, list_segments, parse_header, read_head, stored_index
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
    index = stored_index(segment)
    if index is None:
        return True
    head = index.header
    offset = parse_header(segment.path, read_head(segment), LAYOUT_DIGEST).clock_offset_ns
    first_ns, last_ns = head.first_publish_ns + offset, head.last_publish_ns + offset
    return (
        selection.sequences.touches(head.first_sequence, head.next_sequence - 1)
        and selection.times.touches(first_ns, last_ns)
        and selection.blocks.touches(head.first_block, head.last_block)
    )


def open_segment(segment: SegmentFile) -> Scanner:
    """A scanner on the segment, which a recorder may have packed since the directory was listed.

    Raises:
        JournalError: it is foreign, or its recorder dropped it by now.
    """
    return Scanner(segment, LAYOUT_DIGEST)


def scans(scanner: Scanner, is_last: bool) -> Iterator[int]:
    """Yield the number of records after each step of the scanner, to the segment's end.

    Damage stands among them as a GAP.  Half a record is the present end of the last segment, and damage in any other.
    """
    while count := scanner.advance() or (0 if is_last else scanner.pass_damage()):
        yield count
