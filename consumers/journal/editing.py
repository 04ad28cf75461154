"""New journals from old ones: merge what several recorders have of one ring, or take a range out of it.

Owns the order in which frames of several journals go into one: by sequence, each once; what none of them has becomes a
GAP record, with the reason that one of them knows.  What one recorder lost, another may have.  A new journal knows of
the same sequences as the old ones together: a loss at the beginning, at the end or across a split stays one, and so
does that a ring had ended.  The sources are only read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from consumers.journal.errors import JournalError
from consumers.journal.extents import RecordedRings
from consumers.journal.layout import SEQUENCE_ROW
from consumers.journal.reader import JournalReader
from consumers.journal.writer import Fsync, JournalWriter
from ringbuf import Loss, Status
from tlv.codes import Reason
from tlv.errors import UsageError

BEYOND_ALL = (1 << 63) - 1


class KnownRing(NamedTuple):
    """What several journals know of one incarnation of a ring: `first` to `last`, and whether it ended there."""

    uuid: bytes
    first: int
    last: int
    ended: bool
    holders: list[Path]


class RingCopy:
    """The frames of one incarnation of a ring in one journal, from `first` on."""

    def __init__(self, directory: Path, ring_uuid: bytes, first: int) -> None:
        self.losses: list[Loss] = []
        """What the journal is known to lack, with the reasons."""
        self._reader = JournalReader(directory)
        self._reader.seek_sequence(first, ring_uuid)
        self._uuid = ring_uuid
        self._column = self._behind = 0

    def next_sequence(self, wanted: int) -> int:
        """Drop frames before `wanted`; the sequence of the first one left, BEYOND_ALL if there is none."""
        while True:
            sequences = self._reader.index[SEQUENCE_ROW, self._column : self._behind]
            self._column += int(np.searchsorted(sequences, wanted))
            if self._column < self._behind:
                return int(self._reader.index[SEQUENCE_ROW, self._column])
            poll = self._reader.poll()
            if poll.loss is not None:
                self.losses.append(poll.loss)
            if poll.status not in (Status.OK, Status.GAP) or self._reader.uuid != self._uuid:
                return BEYOND_ALL
            self._column, self._behind = self._reader.columns

    def append_to(self, target: JournalWriter, last: int) -> None:
        """Append the frames of the current poll up to `last` to `target`."""
        table = self._reader.index[:, self._column : self._behind]
        count = int(np.searchsorted(table[SEQUENCE_ROW], last, side="right"))
        target.append(self._reader.buffer, np.ascontiguousarray(table[:, :count]), count)
        self._column += count

    def close(self) -> None:
        """Close the files."""
        self._reader.close()


def known_rings(directories: Sequence[Path]) -> tuple[str, list[KnownRing]]:
    """(the ring's name, what the journals know of each of its incarnations), in order of appearance.

    Raises:
        UsageError: the journals are not of one ring.
    """
    names: set[str] = set()
    found: dict[bytes, KnownRing] = {}
    for directory in directories:
        # One that is no journal says so.
        JournalReader(directory).close()
        recorded = RecordedRings(directory)
        for extent in recorded.extents():
            names.add(recorded.ring_name)
            known = found.get(extent.uuid, KnownRing(extent.uuid, extent.first, 0, ended=False, holders=[]))
            found[extent.uuid] = KnownRing(
                extent.uuid,
                min(known.first, extent.first),
                max(known.last, extent.behind - 1),
                known.ended or extent.ended,
                [*known.holders, directory],
            )
        recorded.close()
    if len(names) != 1:
        raise UsageError(f"expected journals of one ring, found {', '.join(sorted(names)) or 'no segment'}")
    return names.pop(), list(found.values())


def frames_between(directories: Sequence[Path]) -> int:
    """How many sequences the journals know together, of all incarnations of their ring.

    Raises:
        UsageError: the journals are not of one ring.
    """
    return sum(ring.last - ring.first + 1 for ring in known_rings(directories)[1])


def ignore(_frames: int) -> None:
    """The progress of whom nobody asks."""


def copy_range(
    directories: Sequence[Path],
    out: Path,
    first: int = 1,
    last: int = BEYOND_ALL - 1,
    advance: Callable[[int], object] = ignore,
) -> tuple[int, int]:
    """Write the frames `first` to `last` of all `directories` to a new journal in `out`.

    The sequences are those of the latest incarnation of the ring; earlier ones come whole, or not at all if `first` is
    above 1.  `advance` is told of sequences as they are done.  Returns (frames written, sequences that no journal had).

    Raises:
        UsageError: `out` exists and is not empty, or the journals are not of one ring.
        JournalError: they have nothing of the range.
    """
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out}: expected an empty or missing directory")
    name, rings = known_rings(directories)
    frames = lost = 0
    for ring in rings:
        latest = ring is rings[-1]
        if not latest and first > 1:
            continue
        begin, end = max(first, ring.first), min(last, ring.last) if latest else ring.last
        if begin > end:
            continue
        sources = [RingCopy(directory, ring.uuid, begin) for directory in ring.holders]
        try:
            with JournalWriter(out, ring_name=name, ring_uuid=ring.uuid, fsync=Fsync.NEVER) as target:
                merge(sources, target, begin, end, advance)
                frames += target.frames
                lost += target.lost
                target.close(ring_ended=ring.ended and end == ring.last)
        finally:
            for source in sources:
                source.close()
    if frames == lost == 0:
        raise JournalError(f"expected frames from {first} to {last} of ring {name}, found none")
    return frames, lost


def merge(
    sources: Sequence[RingCopy], target: JournalWriter, first: int, last: int, advance: Callable[[int], object] = ignore
) -> None:
    """Append to `target` what any of `sources` has of `first` to `last`; what none has becomes a GAP record."""
    wanted = first
    while wanted <= last:
        nearest = min(sources, key=lambda source: source.next_sequence(wanted))
        here = nearest.next_sequence(wanted)
        if here > wanted:
            missing = Loss(target.ring_uuid, wanted, min(here - 1, last))
            target.append_gap(missing.first, missing.last, reason_of(missing, sources))
            advance(missing.last - missing.first + 1)
        if here > last:
            return
        nearest.append_to(target, last)
        wanted = target.resume_at or wanted
        advance(wanted - here)


def reason_of(missing: Loss, sources: Sequence[RingCopy]) -> Reason:
    """Why it is missing, by the first source that knows; NOT_RETAINED if none does."""
    for source in sources:
        for loss in source.losses:
            if loss.first <= missing.last and loss.last >= missing.first and loss.reason:
                return Reason(loss.reason)
    return Reason.NOT_RETAINED
