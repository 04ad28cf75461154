"""What a journal has of each incarnation of its ring, kept up to date while it is written.

Owns one entry a segment.  Names and headers never change, nor does a segment that ended, so a look costs one listing
of the folder and what was appended to the last segment since the look before.  A journal that is not there yet has
nothing, and so has a segment that cannot be read: its frames are then missing between two others.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from consumers.incarnations import Extent
from consumers.journal import kernels
from consumers.journal.errors import JournalError
from consumers.journal.layout import SegmentHeader
from consumers.journal.scan import Scanner
from consumers.journal.segment import SegmentFile, list_segments, parse_header, read_head, stored_index
from tlv.errors import UsageError
from tlv.layout import LAYOUT_DIGEST


@dataclass
class RecordedSegment:
    """What is known of one segment."""

    header: SegmentHeader
    behind: int
    """One more than the last sequence in it, so far."""
    complete: bool = False
    ring_ended: bool = False
    scanner: Scanner | None = None

    def look(self, segment: SegmentFile) -> None:
        """Find out how far it goes by now."""
        if self.complete:
            return
        index = stored_index(segment)
        if index is not None:
            self.behind, self.ring_ended = index.header.next_sequence, bool(index.header.ring_ended)
            self._finish()
            return
        if self.scanner is None:
            self.scanner = Scanner(segment, LAYOUT_DIGEST)
        while self.scanner.advance():
            pass
        self.behind, self.ring_ended = self.scanner.expected, self.scanner.ring_ended
        if self.scanner.status == kernels.ENDED:
            self._finish()

    def _finish(self) -> None:
        self.complete = True
        self.close()

    def close(self) -> None:
        """Close its file."""
        if self.scanner is not None:
            self.scanner.close()
            self.scanner = None


class RecordedRings:
    """The incarnations in the journal at `directory`, which need not exist yet."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ring_name = ""
        """The ring that is recorded there; empty while there is no segment."""
        self._segments: dict[int, RecordedSegment] = {}

    def extents(self) -> list[Extent]:
        """What the journal has of each incarnation now, oldest first.

        Raises:
            OSError: it cannot be read just now (no descriptors).
        """
        listed = self._list()
        for ordinal in self._segments.keys() - {segment.ordinal for segment in listed}:
            self._segments.pop(ordinal).close()
        found: dict[bytes, Extent] = {}
        for position, segment in enumerate(listed):
            known = self._known(segment)
            if known is None:
                continue
            uuid, header = known.header.ring_uuid, known.header
            following = listed[position + 1 :]
            last_of_ring = not any(self._is_of(later, uuid) for later in following[:1])
            if last_of_ring:
                self._look(known, segment)
            # A segment whose header is damaged by now may stand before one that begins further ahead of it.
            first = min(header.first_sequence, found[uuid].first) if uuid in found else header.first_sequence
            found[uuid] = Extent(uuid, first, max(known.behind, header.first_sequence), known.ring_ended)
        return list(found.values())

    def uuids(self) -> set[bytes]:
        """The incarnations that it has now; none if it cannot be read just now."""
        try:
            return {known.header.ring_uuid for each in self._list() if (known := self._known(each)) is not None}
        except OSError:
            return set()

    def segment_behind(self, uuid: bytes, sequence: int) -> int | None:
        """The first sequence of the next segment of ring `uuid` behind `sequence`, as of the last look."""
        firsts = (known.header.first_sequence for known in self._segments.values() if known.header.ring_uuid == uuid)
        return min((first for first in firsts if first > sequence), default=None)

    def _list(self) -> list[SegmentFile]:
        try:
            return list_segments(self.directory)
        except UsageError:
            return []

    def _is_of(self, segment: SegmentFile, uuid: bytes) -> bool:
        known = self._known(segment)
        return known is not None and known.header.ring_uuid == uuid

    def _known(self, segment: SegmentFile) -> RecordedSegment | None:
        known = self._segments.get(segment.ordinal)
        if known is None:
            try:
                header = parse_header(segment.path, read_head(segment), LAYOUT_DIGEST)
            except JournalError:
                return None
            self.ring_name = header.ring_name
            known = self._segments[segment.ordinal] = RecordedSegment(header, header.first_sequence)
        return known

    def _look(self, known: RecordedSegment, segment: SegmentFile) -> None:
        try:
            known.look(segment)
        except JournalError:
            known.close()

    def close(self) -> None:
        """Close the files."""
        for segment in self._segments.values():
            segment.close()
        self._segments.clear()
