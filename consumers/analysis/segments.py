"""Which segments of a journal can hold anything selected, and the records of one of them.

Owns the walk over a journal that may be scanned several segments at a time.  A segment's end is judged as
`JournalReader` judges it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from consumers.analysis.selection import Selection
from consumers.incarnations import RingCursor
from consumers.journal import JournalDamaged
from consumers.journal.errors import SegmentGone
from consumers.journal.layout import IndexHeader
from consumers.journal.reader import while_dropped
from consumers.journal.scan import Scanner
from consumers.journal.segment import SegmentFile, parse_header, read_head, stored_index
from tlv.layout import LAYOUT_DIGEST

log = logging.getLogger("alphapulse.journal")


class SiftedSegments(NamedTuple):
    """The segments of a journal by what a selection needs of them."""

    wanted: list[SegmentFile]
    """Oldest first."""
    excluded: dict[int, RingCursor]
    """By ordinal, those of which the index says that nothing selected is in them: what comes behind each."""
    damaged: set[int]
    """Ordinals of those whose header is damaged: nobody knows what is in them."""


def segments_of(directory: Path, selection: Selection) -> list[SegmentFile]:
    """The segments that may hold what is selected; raises as `sift_segments`."""
    return sift_segments(directory, selection).wanted


def sift_segments(directory: Path, selection: Selection) -> SiftedSegments:
    """Sort the journal's segments, but for those that its recorder drops meanwhile.

    Raises:
        UsageError: no such directory.
        JournalError: no segment in it, none with a sound header, or one of another version or layout.
    """
    return while_dropped(directory, partial(_sift, selection))


def _sift(selection: Selection, segments: list[SegmentFile]) -> SiftedSegments:
    found = SiftedSegments([], {}, set())
    gone: SegmentGone | None = None
    for segment in segments:
        try:
            header = parse_header(segment.path, read_head(segment), LAYOUT_DIGEST)
        except SegmentGone as error:
            gone = error
            continue
        except JournalDamaged as error:
            if len(segments) == len(found.damaged) + 1:
                raise
            log.warning(str(error), extra=error.place)
            found.damaged.add(segment.ordinal)
            continue
        index = stored_index(segment) if selection.has_range else None
        if index is None or may_hold(index.header, header.clock_offset_ns, selection):
            found.wanted.append(segment)
        else:
            found.excluded[segment.ordinal] = RingCursor(header.ring_uuid, index.header.next_sequence)
    if gone is not None and not any(found):
        raise gone
    return found


def may_hold(head: IndexHeader, clock_offset_ns: int, selection: Selection) -> bool:
    """Whether a segment with this index may hold anything selected."""
    first_ns, last_ns = head.first_publish_ns + clock_offset_ns, head.last_publish_ns + clock_offset_ns
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
