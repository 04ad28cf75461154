"""The frames of one ring, or of the journal of one, from its oldest to what was its newest when they were opened.

Owns where they come from, and which sequences are there.  It changes nothing that it reads, and must never know what a
frame means.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, Protocol

from consumers.journal import JournalError, JournalReader
from consumers.journal.segment import list_segments
from consumers.progress import watched
from ringbuf import CorruptRing, Loss, Poll, Reader, Status
from tlv.errors import AlphaPulseError
from tlv.layout import LAYOUT_DIGEST
from tools.command.progress import progress

POLL_FRAMES = 4096
CLOCK_READINGS = 16


class SequenceMissing(AlphaPulseError):
    """A frame is not there: overwritten, lost, yet to come, or of a ring that is not here."""


class FramePiece(NamedTuple):
    """Some frames, valid until the next piece."""

    ring: bytes
    """uuid of the ring that they are of."""
    offset_ns: int
    """Makes wall time of a publish time."""
    poll: Poll


class Frames(Protocol):
    """What a trace is made of."""

    name: str
    where: str
    """For errors: `ring market.polygon`."""

    def find(self, sequence: int, ring: str) -> FramePiece:
        """The piece that begins with the frame `sequence`, of the incarnation whose uuid begins with `ring`, in hex.

        Raises:
            SequenceMissing.
        """

    def pieces(self, ring: bytes, block: int) -> Iterator[FramePiece]:
        """Everything that may concern block `block` of `ring`; with block -1 everything.

        With a reach it ends so many frames behind the one that was found, and in a ring begins so many before it, or
        before the newest.
        """

    def close(self) -> None:
        """Leave it."""


def wall_offset_ns() -> int:
    """What makes wall time of CLOCK_MONOTONIC, as both clocks are now: the closest of some readings."""
    readings = []
    for _ in range(CLOCK_READINGS):
        before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        readings.append((after - before, wall - (before + after) // 2))
    return min(readings)[1]


class RingFrames:
    """Of a ring."""

    def __init__(self, name: str, reach: int | None = None) -> None:
        self.name, self.where = name, f"ring {name}"
        self.reader = Reader.attach(name, start="latest", layout_digest=LAYOUT_DIGEST)
        self.uuid = self.reader.uuid
        self.created_ns = self.reader.identity.created_ns
        self.last = self.reader.sequence - 1
        self._reach, self._found = reach, self.last
        self._offset_ns = wall_offset_ns()

    def find(self, sequence: int, ring: str) -> FramePiece:
        """As `Frames` has it."""
        if not self.uuid.hex().startswith(ring):
            raise SequenceMissing(
                f"{self.where}: sequence {sequence} of ring {ring}: the ring of this name is {self.uuid.hex()} now, "
                "another was made in its place; a journal may have it (--journal DIR)"
            )
        if sequence > self.last:
            newest = f"the newest is {self.last}" if self.last else "there is none yet"
            raise SequenceMissing(f"{self.where}: sequence {sequence} is yet to come: {newest}")
        self.reader.seek(sequence)
        poll = self.reader.poll(1)
        if poll.loss is not None or not len(poll):
            raise SequenceMissing(
                f"{self.where}: sequence {sequence} was overwritten, the oldest is {self.reader.sequence - len(poll)}; "
                "a journal may have it (--journal DIR)"
            )
        self._found = sequence
        return FramePiece(self.uuid, self._offset_ns, poll)

    def pieces(self, ring: bytes, block: int) -> Iterator[FramePiece]:
        """As `Frames` has it.

        Raises:
            CorruptRing.
        """
        reader, last = self.reader, self.last
        reader.seek("oldest")
        if self._reach is not None:
            last = min(last, self._found + self._reach)
            if reader.sequence < self._found - self._reach:
                reader.seek(self._found - self._reach)
        while reader.sequence <= last:
            poll = reader.poll(POLL_FRAMES)
            if poll.status is Status.CORRUPT:
                raise CorruptRing(f"ring {self.name}: no frame at sequence {reader.sequence}")
            yield FramePiece(self.uuid, self._offset_ns, poll)
            if not len(poll) and poll.status in {Status.EMPTY, Status.CLOSED}:
                return

    def close(self) -> None:
        """Leave the ring."""
        self.reader.close()


class JournalFrames:
    """Of a journal: of any of its rings."""

    def __init__(self, directory: Path, reach: int | None = None) -> None:
        self._directory = directory
        self._reach, self._found = reach, 0
        with closing(JournalReader(directory)) as reader:
            self.name = reader.name
        self.where = f"journal {directory}"

    def find(self, sequence: int, ring: str) -> FramePiece:
        """As `Frames` has it.

        Raises:
            JournalError: a segment cannot be read.
        """
        uuid = self._ring_of(sequence, ring)
        with closing(JournalReader(self._directory)) as reader:
            reader.seek_sequence(sequence, uuid)
            poll = reader.poll()
            lost = poll.loss
            if lost is not None and lost.first <= sequence <= lost.last:
                raise SequenceMissing(f"{self.where}: sequence {sequence} is lost: {loss_text(lost)}")
            if reader.uuid != uuid:
                raise SequenceMissing(
                    f"{self.where}: sequence {sequence} is not in what it has of ring {uuid.hex()}, behind which "
                    f"ring {reader.uuid.hex()} follows"
                )
            if not len(poll):
                raise SequenceMissing(
                    f"{self.where}: sequence {sequence} is yet to come: the next is {reader.sequence}"
                )
            first = int(poll.sequences[0])
            if first != sequence:
                raise SequenceMissing(f"{self.where}: sequence {sequence} is no longer kept, the oldest is {first}")
            self._found = sequence
            return FramePiece(uuid, reader.clock_offset_ns, poll)

    def _ring_of(self, sequence: int, ring: str) -> bytes:
        """The incarnation that is meant: the latest one, or the one whose uuid begins so."""
        with closing(JournalReader(self._directory)) as reader:
            known = []
            for segment in list_segments(self._directory):
                try:
                    uuid = reader.header_of(segment).ring_uuid
                except JournalError:
                    continue  # damage is told by who reads it
                if uuid not in known:
                    known.append(uuid)
            meant = [uuid for uuid in known if uuid.hex().startswith(ring)]
        if not meant:
            listed = ", ".join(uuid.hex() for uuid in known)
            raise SequenceMissing(f"{self.where}: sequence {sequence} of ring {ring}: the journal has rings {listed}")
        if ring and len(meant) > 1:
            listed = ", ".join(uuid.hex() for uuid in meant)
            raise SequenceMissing(f"{self.where}: sequence {sequence} of ring {ring}: the journal has rings {listed}")
        return meant[-1]

    def pieces(self, ring: bytes, block: int) -> Iterator[FramePiece]:
        """As `Frames` has it; without a reach it shows its progress on a terminal.

        Raises:
            JournalError: a segment cannot be read.
        """
        size = sum(segment.path.stat().st_size for segment in list_segments(self._directory) if segment.path.exists())
        shown = progress("looking for slow events", size, hidden=self._reach is not None)
        yield from watched(self._steps(block), shown)

    def _steps(self, block: int) -> Iterator[tuple[FramePiece, int]]:
        with closing(JournalReader(self._directory)) as reader:
            if block >= 0:
                reader.seek_block(block)
            while self._reach is None or reader.sequence <= self._found + self._reach:
                poll = reader.poll()
                if len(poll) or poll.loss is not None:
                    size = int(poll.lengths.sum()) if len(poll) else 0
                    yield FramePiece(reader.uuid, reader.clock_offset_ns, poll), size
                elif poll.status in {Status.EMPTY, Status.CLOSED}:
                    return

    def close(self) -> None:
        """Nothing is held open."""


def loss_text(loss: Loss) -> str:
    """For people."""
    from tlv.codes import Reason

    why = f" ({Reason(loss.reason).name})" if loss.reason in set(Reason) else ""
    return f"{loss.first} to {loss.last}{why}"
