"""New journals from old ones: merge what several recorders have of one ring, or take a range out of it.

Owns the order in which frames of several journals go into one: by sequence, each once; what none of them has becomes a
GAP record.  What one recorder lost, another may have.  The sources are only read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from consumers.journal.errors import JournalError
from consumers.journal.layout import SEQUENCE_ROW
from consumers.journal.reader import JournalReader
from consumers.journal.segment import list_segments, parse_header, read_head
from consumers.journal.writer import Fsync, JournalWriter
from ringbuf import Status
from tlv.codes import Reason
from tlv.errors import UsageError
from tlv.layout import LAYOUT_DIGEST

BEYOND_ALL = (1 << 63) - 1


class RingCopy:
    """The frames of one incarnation of a ring in one journal, from `first` on."""

    def __init__(self, directory: Path, ring_uuid: bytes, first: int) -> None:
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
            status = self._reader.poll().status
            if status not in (Status.OK, Status.GAP) or self._reader.uuid != self._uuid:
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


def incarnations(directories: Sequence[Path]) -> tuple[str, dict[bytes, list[Path]]]:
    """(the ring's name, which journals hold something of each of its uuids), in order of appearance.

    Raises:
        UsageError: the journals are not of one ring.
    """
    names: set[str] = set()
    found: dict[bytes, list[Path]] = {}
    for directory in directories:
        for segment in list_segments(directory):
            header = parse_header(segment.path, read_head(segment), LAYOUT_DIGEST)
            names.add(header.ring_name)
            holders = found.setdefault(header.ring_uuid, [])
            if directory not in holders:
                holders.append(directory)
    if len(names) != 1:
        raise UsageError(f"expected journals of one ring, found {', '.join(sorted(names)) or 'no segment'}")
    return names.pop(), found


def copy_range(directories: Sequence[Path], out: Path, first: int = 1, last: int = BEYOND_ALL - 1) -> tuple[int, int]:
    """Write the frames `first` to `last` of all `directories` to a new journal in `out`.

    Returns (frames written, sequences that no journal had).

    Raises:
        UsageError: `out` exists and is not empty, or the journals are not of one ring.
        JournalDamaged: a source is damaged.
    """
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out}: expected an empty or missing directory")
    name, found = incarnations(directories)
    frames = lost = 0
    for uuid, holders in found.items():
        sources = [RingCopy(directory, uuid, first) for directory in holders]
        try:
            with JournalWriter(out, ring_name=name, ring_uuid=uuid, fsync=Fsync.NEVER) as target:
                merge(sources, target, first, last)
                frames += target.frames
                lost += target.lost
        finally:
            for source in sources:
                source.close()
    if frames == 0:
        raise JournalError(f"expected frames from {first} to {last} of ring {name}, found none")
    return frames, lost


def merge(sources: Sequence[RingCopy], target: JournalWriter, first: int, last: int) -> None:
    """Append to `target` what any of `sources` has of `first` to `last`; what none has becomes a GAP record."""
    while True:
        wanted = target.resume_at or first
        nearest = min(sources, key=lambda source: source.next_sequence(wanted))
        here = nearest.next_sequence(wanted)
        if here > last:
            return
        if target.resume_at is not None and here > wanted:
            target.append_gap(wanted, here - 1, Reason.NOT_RETAINED)
        nearest.append_to(target, last)
