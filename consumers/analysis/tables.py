"""The rows of a journal, or of its canonical view, block by block.

Owns in which order scanning and judging happen.  A whole journal is read once: rows wait until SETTLED statements
behind them are judged, which is farther than reorgs reach.  If a later frame concerns rows that were given away all the
same (`Revised`), or if only a part of the journal is wanted, all of it is judged first, and the rows are read then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

from consumers.analysis.canonical import LeftOut, Sifter
from consumers.analysis.scan import EVERYTHING, Parts, Scanned, scan_segments
from consumers.analysis.segments import segments_of
from consumers.analysis.selection import Selection
from consumers.analysis.symbols import Symbols, read_symbols
from consumers.journal.segment import SegmentFile, list_segments

SETTLED = 1 << 17
"""Statements behind a segment that are judged before its rows are given away: an hour of Polygon."""


class Revised(Exception):
    """A later frame changes the verdict on rows that were given away; the second reading takes it into account."""


class TableScan:
    """One journal, of which any selection may be scanned; what was judged is kept while no frame is added."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._left_out: dict[int | None, LeftOut] = {}
        self._symbols: Symbols | None = None
        self._of: tuple[str, ...] = ()

    def symbols(self) -> Symbols:
        """What the whole journal calls tokens.

        Raises:
            JournalError: a segment is damaged, foreign or gone.
        """
        segments = self._segments()
        found = self._symbols
        if found is None:
            found, is_final = read_symbols(segments)
            if is_final:
                self._symbols = found
        return found

    def _segments(self) -> list[SegmentFile]:
        """The journal's segments; what was learned of others is forgotten."""
        segments = segments_of(self._directory, EVERYTHING)
        names = tuple(segment.path.name for segment in segments)
        if names != self._of:
            self._left_out, self._symbols, self._of = {}, None, names
        return segments

    def left_out(self, selection: Selection) -> LeftOut:
        """The frames that the selection's view leaves out, from a pass over the whole journal if it needs one.

        Raises:
            JournalError: a segment is damaged, foreign or gone.
        """
        if not selection.is_judged:
            return LeftOut({})
        segments = self._segments()
        found = self._left_out.get(selection.as_of)
        if found is None:
            found, is_final = self._judge(segments, selection.as_of)
            if is_final:
                self._left_out[selection.as_of] = found
        return found if selection.canonical else LeftOut({}, found.cut)

    def _judge(self, segments: list[SegmentFile], as_of: int | None) -> tuple[LeftOut, bool]:
        """The frames to leave out, and whether no frame will be added to these segments."""
        sifter = Sifter(as_of)
        is_final = False
        for scanned in self._statements(segments):
            assert scanned.said is not None
            is_final = scanned.is_complete
            sifter.take(scanned.ordinal, scanned.said)
            sifter.trim()
            if sifter.cut is not None:
                break
        found = sifter.left_out()
        while sifter.is_late:
            sifter.gather((one.ordinal, one.said) for one in self._statements(segments) if one.said is not None)
            found = sifter.left_out()
        return found, is_final

    def _statements(self, segments: list[SegmentFile]) -> Iterator[Scanned]:
        wanted = Parts(tables=False, statements=True)
        return scan_segments(segments, segments[-1].ordinal, EVERYTHING, wanted)

    def scan(self, selection: Selection, *, judged_first: bool = False) -> Iterator[Scanned]:
        """The selected rows, segment by segment, without what the view leaves out.

        Raises:
            Revised: rows that were given away do not stand; not with `judged_first`.
            JournalError: a segment is damaged, foreign or gone.
        """
        segments = segments_of(self._directory, selection)
        last = list_segments(self._directory)[-1].ordinal
        if not selection.is_judged:
            yield from scan_segments(segments, last, selection)
        elif judged_first or selection.has_range or not selection.canonical or selection.as_of is not None:
            left_out = self.left_out(selection)
            for scanned in scan_segments(segments, last, selection):
                if left_out.begins_at(scanned.ordinal):
                    return
                yield without(scanned, left_out)
        else:
            yield from self._scan_once(segments, last, selection)

    def _scan_once(self, segments: list[SegmentFile], last: int, selection: Selection) -> Iterator[Scanned]:
        sifter = Sifter()
        waiting: deque[Scanned] = deque()
        behind: deque[int] = deque()
        for scanned in scan_segments(segments, last, selection, Parts(statements=True)):
            assert scanned.said is not None
            sifter.take(scanned.ordinal, scanned.said)
            waiting.append(scanned._replace(said=None))
            behind.append(scanned.said.shape[1])
            if sum(behind) - behind[0] >= SETTLED:
                settled = waiting.popleft()
                behind.popleft()
                yield without(settled, judged(sifter))
                sifter.settle(settled.ordinal)
        left_out = judged(sifter)
        for scanned in waiting:
            yield without(scanned, left_out)


def judged(sifter: Sifter) -> LeftOut:
    """The frames to leave out, as far as the sifter can tell without another pass."""
    left_out = sifter.left_out()
    if sifter.is_late:
        raise Revised
    return left_out


def without(scanned: Scanned, left_out: LeftOut) -> Scanned:
    """The scanned rows without those of frames that are left out."""
    blocks = [block.only(left_out.keeps(scanned.ordinal, block.sequences())) for block in scanned.blocks]
    return scanned._replace(blocks=[block for block in blocks if block.rows])
