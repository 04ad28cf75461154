"""What an index knows of a journal: which block ended where, and which checkpoints there are.

Owns the answer to "where did block N end, and from which checkpoint is that near".  Knows no file.  One thread writes,
others ask, so every method takes the lock.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from consumers.journal.layout import SegmentHeader
from tlv.buffers import Longs
from tools.dashboard.checkpoints import CheckpointHead
from tools.dashboard.recorded_fold import EndedBlock

NUMBER, SEQUENCE, WALL_NS, ORDINAL = range(4)
END_COLUMNS = 4
"""Columns of the table of BlockEnds, in the order of the journal; the last is the segment's number."""


class Checkpoint(NamedTuple):
    """A stored fold: its number, where the frame stands that comes next, and how many blocks had ended."""

    number: int
    ordinal: int
    uuid: bytes
    sequence: int
    ends: int


class KnownEnd(NamedTuple):
    """Where a block ended, and the checkpoints before that, nearest first."""

    end: EndedBlock
    uuid: bytes
    checkpoints: list[Checkpoint]


class KnownExtent(NamedTuple):
    """The lowest and the highest block that can be travelled to, and when the first and the last of them ended."""

    first_block: int = -1
    last_block: int = -1
    first_ns: int = 0
    last_ns: int = 0


class KnownBlocks:
    """Of one journal."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: Longs = np.zeros((1024, END_COLUMNS), np.int64)
        self._count = 0
        self._checkpoints: list[Checkpoint] = []
        self._uuids: dict[int, bytes] = {}
        self._created: dict[int, int] = {}
        self._first_ordinal = 0

    def enter_segment(self, header: SegmentHeader) -> bool:
        """The frames that come are of this segment; whether those before were of another."""
        with self._lock:
            is_new = header.ordinal not in self._uuids
            self._uuids[header.ordinal], self._created[header.ordinal] = header.ring_uuid, header.created_ns
            return is_new

    def created(self, ordinal: int) -> int | None:
        """When a segment was begun that was indexed."""
        with self._lock:
            return self._created.get(ordinal)

    def last_segment(self) -> int:
        """The highest that was indexed; 0 for none."""
        with self._lock:
            return max(self._created, default=0)

    def add(self, end: EndedBlock, ordinal: int) -> None:
        """A block ended."""
        with self._lock:
            self._add([[*end, ordinal]])

    def _add(self, ends: Iterable[list[int]]) -> None:
        for end in ends:
            if self._count == len(self._ends):
                self._ends = np.concatenate([self._ends, np.zeros_like(self._ends)])
            self._ends[self._count] = end
            self._count += 1

    def put_checkpoint(self, head: CheckpointHead) -> None:
        """A checkpoint was stored, with the BlockEnds that were added since the one before."""
        with self._lock:
            self._put(head)

    def restore_checkpoint(self, head: CheckpointHead) -> None:
        """A checkpoint was found, with the BlockEnds before it."""
        with self._lock:
            self._add(np.frombuffer(head.ends, np.int64).reshape(-1, END_COLUMNS).tolist())
            self._put(head)

    def _put(self, head: CheckpointHead) -> None:
        self._uuids[head.ordinal], self._created[head.ordinal] = head.uuid, head.created_ns
        place = head.ordinal, head.uuid, head.sequence
        self._checkpoints.append(Checkpoint(len(self._checkpoints), *place, self._count))

    def since_checkpoint(self) -> tuple[int, bytes]:
        """How many checkpoints there are, and the BlockEnds since the last one."""
        with self._lock:
            first = self._checkpoints[-1].ends if self._checkpoints else 0
            return len(self._checkpoints), self._ends[first : self._count].tobytes()

    def drop_before(self, ordinal: int) -> None:
        """The segments before this one are gone."""
        with self._lock:
            self._first_ordinal = ordinal

    def extent(self) -> KnownExtent:
        """What can be travelled to."""
        with self._lock:
            ends = self._present()
            if not len(ends):
                return KnownExtent()
            numbers, times = ends[:, NUMBER], ends[:, WALL_NS]
            return KnownExtent(int(numbers.min()), int(numbers.max()), int(times[0]), int(times[-1]))

    def _present(self) -> Longs:
        """The BlockEnds of segments that are there."""
        return self._ends[bisect_left(self._ends[: self._count, ORDINAL], self._first_ordinal) : self._count]

    def find(self, number: int) -> KnownEnd | None:
        """Where block `number` ended last, or the nearest below that ended, or else the lowest; None without any."""
        with self._lock:
            ends = self._present()
            if not len(ends):
                return None
            numbers = ends[:, NUMBER]
            below = numbers[numbers <= number]
            nearest = below.max() if len(below) else numbers.min()
            at = int(np.flatnonzero(numbers == nearest)[-1])
            behind = self._count - len(ends) + at + 1
            number, sequence, wall_ns, ordinal = ends[at].tolist()
            uuid = self._uuids[ordinal]
            # One with as many ends may stand behind frames that came after this end.
            usable = [
                one
                for one in self._checkpoints
                if one.ordinal >= self._first_ordinal
                and (one.ends < behind or (one.uuid, one.sequence) == (uuid, sequence + 1))
            ]
            return KnownEnd(EndedBlock(number, sequence, wall_ns), uuid, usable[::-1])
