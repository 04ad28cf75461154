"""Reading one ring's journal from any sequence on, window by window, for the thread of `catch_up`.

Owns a few open `JournalReader`s, at most READERS: a client that reads on finds the one that stands there, any other
makes the one that was used least seek.  Says of every failure what it means: a journal that ends here, one that
cannot be read now (no descriptors, a segment packed or removed at this moment), or bytes that are damaged, which are
passed.
"""

from __future__ import annotations

from enum import Enum, auto
from pathlib import Path
from typing import NamedTuple

from consumers.journal import ForeignFileError, JournalDamaged, JournalError, JournalReader
from consumers.journal.errors import SegmentGone
from consumers.journal.segment import list_segments, parse_header, read_head
from consumers.relay.windows import WINDOW_BYTES, JournalWindow, cut_window, loss_window
from ringbuf.layout import INDEX_ROWS
from tlv.codes import Reason
from tlv.errors import UsageError
from tlv.layout import LAYOUT_DIGEST

READERS = 64
"""One a place in the journal: with fewer than there are places, each window costs a seek.  Takes WINDOW_BYTES, a
fifth of that for its table, 150 KiB for a packed block, and an open file."""
TRIES = 8
"""Of a read whose segment goes away meanwhile: packing and retention do that once a segment."""


class NoWindow(Enum):
    """Why there is no window."""

    END = auto()
    """The journal has no frame at or behind this sequence, yet."""
    LATER = auto()
    """It cannot be read now."""
    NEVER = auto()
    """It is damaged from here on, or no journal of this version."""


class Answer(NamedTuple):
    """What came of a request for `sequence`."""

    sequence: int
    outcome: NoWindow | JournalWindow
    problem: str = ""
    shortage: OSError | MemoryError | None = None


class OpenReader:
    """A reader of the journal, and the sequence that it reads next."""

    def __init__(self, directory: Path) -> None:
        self.journal = JournalReader(directory, chunk_bytes=WINDOW_BYTES)
        self.next = 0

    def seek(self, sequence: int, ring_uuid: bytes) -> None:
        """Stand at `sequence`, or at the first frame behind it."""
        self.next = 0
        self.journal.seek_sequence(sequence, ring_uuid)
        self.next = sequence

    def read(self) -> JournalWindow | None:
        """The window at `next`; None at the journal's end."""
        poll = self.journal.poll()
        damaged = poll.loss is not None and poll.loss.reason == Reason.DAMAGED
        if len(poll):
            first, last = self.journal.columns
            table = self.journal.index[:INDEX_ROWS, first:last]
            window = cut_window(self.next, poll.buffer, table, damaged=damaged)
        elif poll.loss is not None and poll.loss.last >= self.next:
            window = loss_window(self.next, poll.loss.last + 1, damaged=damaged)
        else:
            return None
        self.next = window.behind
        return window


class JournalReading:
    """The journal of ring `ring_uuid` in `directory`.  Used by one thread."""

    def __init__(self, directory: Path, ring_uuid: bytes) -> None:
        self.directory = directory
        self.ring_uuid = ring_uuid
        self._readers: list[OpenReader] = []  # the one used last stands last

    def read(self, sequence: int) -> Answer:
        """The window at `sequence`, or why there is none."""
        for _ in range(TRIES):
            try:
                return self._read(sequence)
            except SegmentGone:
                # Packed or dropped since the directory was listed: look again.
                self.close()
            except (ForeignFileError, JournalDamaged) as error:
                return Answer(sequence, NoWindow.NEVER, str(error))
            except (OSError, MemoryError) as error:
                return self._shortage(sequence, error)
            except (JournalError, UsageError) as error:
                if isinstance(error.__cause__, OSError):
                    return self._shortage(sequence, error.__cause__)
                # No directory, no segment, none of this ring: perhaps not yet.
                self.close()
                return Answer(sequence, NoWindow.END)
        return Answer(sequence, NoWindow.LATER, f"{self.directory}: its segments go while they are opened")

    def close(self) -> None:
        """Close all readers."""
        while self._readers:
            self._readers.pop().journal.close()

    def _shortage(self, sequence: int, error: OSError | MemoryError) -> Answer:
        self.close()
        return Answer(sequence, NoWindow.LATER, f"{self.directory}: {error}", error)

    def _read(self, sequence: int) -> Answer:
        reader = self._at(sequence)
        try:
            window = reader.read()
        except BaseException:
            self._drop(reader)
            raise
        if reader.journal.uuid != self.ring_uuid:
            self._drop(reader)  # it went on into the frames of another incarnation
        return Answer(sequence, window or NoWindow.END)

    def _at(self, sequence: int) -> OpenReader:
        """A reader that stands at `sequence`."""
        for reader in self._readers:
            if reader.next == sequence:
                self._readers.remove(reader)
                self._readers.append(reader)
                return reader
        if len(self._readers) >= READERS:
            self._drop(self._readers[0])
        reader = OpenReader(self.directory)
        try:
            reader.seek(sequence, self.ring_uuid)
        except BaseException:
            reader.journal.close()
            raise
        self._readers.append(reader)
        return reader

    def _drop(self, reader: OpenReader) -> None:
        self._readers.remove(reader)
        reader.journal.close()


def oldest_recorded(directory: Path, ring_uuid: bytes) -> int | None:
    """The first sequence of a ring that its journal has; None if it has none, or none that can be read.

    Raises:
        OSError: the folder or a file cannot be opened now.
    """
    try:
        segments = list_segments(directory)
    except UsageError:
        return None
    for segment in segments:
        try:
            header = parse_header(segment.path, read_head(segment), LAYOUT_DIGEST)
        except JournalError:
            continue  # dropped since the directory was listed, damaged, or of another version
        if header.ring_uuid == ring_uuid:
            return header.first_sequence
    return None
