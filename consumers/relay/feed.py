"""One ring, as all clients of a relay share it.

Owns one map of the ring, one poll buffer and one packing buffer, however many clients there are.  A client's cursor is
a `FeedPosition`: a position and a sequence.  Clients at one position with one filter get the same packed bytes; the
ring itself is the only queue.  This file does not know what a socket is.

    in the ring --overwritten, at-least-once--> in the journal --the ring has the next one--> in the ring
        |                                            |
        +--overwritten, otherwise: Gap---------------+--neither has it: Gap--> in the ring, at its oldest
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from consumers.journal import JournalError, JournalReader
from consumers.relay import protocol
from consumers.relay.errors import Farewell
from consumers.relay.kernels import BATCH_BYTES, pack_batch, put_batch
from ringbuf import Reader, Status
from ringbuf.kernels import poll_into
from ringbuf.layout import INDEX_ROWS, SEQUENCE_ROW
from tlv.buffers import Bytes, Longs
from tlv.codes import FarewellReason, Reason, StreamStart
from tlv.errors import UsageError
from tlv.filter import EVERYTHING, MessageFilter
from tlv.layout import LAYOUT_DIGEST

CHUNK_BYTES = 1 << 17
"""Of payloads per system call: some 400 swaps."""
CHUNK_FRAMES = 2048
OUT_OF_RING = -1
RECORDER_PATIENCE_S = 2.0
"""How long a client's position waits for the recorder to write what the ring has overwritten."""


@dataclass
class FeedPosition:
    """Where one client stands in one ring.  `since` is the first sequence that no Batch has covered yet."""

    position: int
    sequence: int
    since: int
    at_least_once: bool
    journal: JournalReader | None = None
    columns: tuple[int, int] = (0, 0)
    waiting_since: float = 0.0

    def leave_journal(self) -> None:
        """Close the journal reader, if there is one."""
        if self.journal:
            self.journal.close()
        self.journal, self.columns, self.waiting_since = None, (0, 0), 0.0


class RingFeed:
    """Ring `name` as number `index` of a relay; `journal` is the directory where it is recorded, if it is.

    Raises:
        RingNotFound, RingNotReady, BadSegment: see `Reader.attach`.
    """

    def __init__(self, name: str, index: int, journal: Path | None) -> None:
        self.reader = Reader.attach(name, layout_digest=LAYOUT_DIGEST, on_lap="oldest", buffer_bytes=1)
        self.name = name
        self.uuid = self.reader.uuid
        self.index = index
        self.journal = journal
        self.seen_end: int | None = None
        self.last_message_at = 0.0
        self.malformed = 0
        self._words = np.zeros(max(CHUNK_BYTES, self.reader.identity.max_payload) // 8 + 1, np.int64)
        self._polled = self._words.view(np.uint8)
        self._table = np.zeros((INDEX_ROWS, CHUNK_FRAMES), np.int64)
        self._packed = np.zeros(self._polled.size + BATCH_BYTES, np.uint8)
        # The last poll and the last packing, for the next client at the same position.
        self._polled_at = OUT_OF_RING
        self._count = 0
        self._behind = (0, 0)
        self._packed_for = (0, EVERYTHING)
        self._chunk = memoryview(b"")
        self._warm()

    def _warm(self) -> None:
        """Run the kernels once: to compile them takes longer than a client's silence limit (`max_silence_s`)."""
        try:
            self.reader.seek("oldest")
            self.reader.seek(self.reader.sequence)
            self.reader.poll(1)
            self.reader.seek("latest")
        except BaseException:
            self.reader.close()
            raise

    def place(self, start: StreamStart, at_least_once: bool, sequence: int | None) -> FeedPosition:
        """A new client's position.  `sequence` is what it named or acknowledged; without one, `start` decides.

        Raises:
            Farewell: the sequence is yet to come.
        """
        self.reader.seek("latest" if start is StreamStart.LIVE else "oldest")
        here = self.reader.sequence
        if sequence is None and start is not StreamStart.LIVE and at_least_once:
            recorded = self._oldest_recorded()
            # A journal that was begun late, or retains little, may begin behind the ring's oldest frame.
            sequence = recorded if recorded is not None and recorded < here else None
        if sequence is not None:
            place = FeedPosition(OUT_OF_RING, max(sequence, 1), max(sequence, 1), at_least_once)
            self._enter_ring(place)
            return place
        return FeedPosition(self.reader.position, here, here, at_least_once)

    def next_chunk(self, place: FeedPosition, wanted: MessageFilter) -> memoryview:
        """Advance `place` and return what its client gets next, valid until the next call; empty if there is nothing.

        Raises:
            Farewell: the ring holds what no writer writes.
        """
        if place.position == OUT_OF_RING:
            return self._from_journal(place, wanted)
        if place.position == self._polled_at:
            return self._share(place, wanted)
        lost_last = self._poll(place)
        if lost_last and place.at_least_once:
            place.position = OUT_OF_RING
            return self._from_journal(place, wanted)
        gap = self._pass_loss(place, lost_last + 1, Reason.LAPPED) if lost_last else b""
        if self._count == 0:
            place.position, place.sequence = self._behind
            self.seen_end = place.position
            return memoryview(gap)
        chunk = self._share(place, wanted)
        return memoryview(gap + chunk) if gap else chunk

    def progress(self, place: FeedPosition) -> bytes:
        """A Batch without messages, if the filter left out sequences that no Batch has covered yet."""
        return self._cover(place) if place.since < place.sequence else b""

    def close(self) -> None:
        """Leave the ring."""
        self.reader.close()

    def _poll(self, place: FeedPosition) -> int:
        """Read the ring from `place` on into the shared buffer.  Returns the last lost sequence, 0 for no loss."""
        me = self.reader.state[0]
        me["position"], me["sequence"] = place.position, place.sequence
        reader = self.reader
        status = poll_into(reader.words, reader.control, reader.state, self._words, self._table, CHUNK_FRAMES)
        if status == Status.CORRUPT:
            raise Farewell(FarewellReason.RING_UNREADABLE, place.sequence, int(me["sequence"]))
        lost_last = int(me["lost_last"])
        self._count = int(me["count"])
        self._behind = (int(me["position"]), int(me["sequence"]))
        self._polled_at = place.position if self._count and not lost_last else OUT_OF_RING
        self._packed_for = (0, EVERYTHING)
        if self._count:
            self.last_message_at = time.monotonic()
        return lost_last

    def _share(self, place: FeedPosition, wanted: MessageFilter) -> memoryview:
        """Pack the shared poll for `place`, unless that was done for the client before."""
        if self._packed_for != (place.since, wanted):
            self._pack(self._polled, self._table, 0, self._count, place, wanted)
            self._packed_for = (place.since, wanted)
        place.position, place.sequence = self._behind
        if self._chunk:
            place.since = place.sequence
        return self._chunk

    def _pack(
        self,
        source: Bytes,
        table: Longs,
        first: int,
        count: int,
        place: FeedPosition,
        wanted: MessageFilter,
    ) -> int:
        """Make `_chunk` of the columns `first` to `count`; returns the column behind the last that fitted."""
        column, messages, malformed, size = pack_batch(
            self._packed, source, table, first, count, place.since, self.index, time.time_ns(), wanted.tables
        )
        self.malformed += malformed
        self._chunk = self._packed[: size if messages else 0].data
        return column

    def _cover(self, place: FeedPosition) -> bytes:
        """A Batch without messages that ends right before `place`."""
        put_batch(self._packed, place.since, place.sequence - 1, self.index, 0, time.time_ns())
        self._packed_for = (0, EVERYTHING)
        place.since = place.sequence
        return self._packed[:BATCH_BYTES].tobytes()

    def _pass_loss(self, place: FeedPosition, resumed_at: int, reason: Reason) -> bytes:
        """Move `place` behind a loss and return its Gap, after the Batch that says which ring the Gap is in."""
        if resumed_at <= place.sequence:
            return b""
        gap = self._cover(place) + protocol.gap(place.sequence, resumed_at - 1, reason)
        place.sequence = place.since = resumed_at
        return gap

    def _enter_ring(self, place: FeedPosition) -> bool:
        """Put `place` into the ring if the frame it wants next is there, or is the next to be published."""
        try:
            self.reader.seek(place.sequence)
        except UsageError:
            raise Farewell(FarewellReason.SEQUENCE_IN_FUTURE, self.reader.sequence, place.sequence) from None
        if self.reader.sequence != place.sequence:
            return False
        place.position = self.reader.position
        place.leave_journal()
        return True

    def _enter_ring_at_oldest(self, place: FeedPosition) -> memoryview:
        """Move `place` to the ring's oldest frame; what is in neither ring nor journal is lost."""
        place.leave_journal()
        self.reader.seek("oldest")
        place.position = self.reader.position
        return memoryview(self._pass_loss(place, self.reader.sequence, Reason.NOT_RETAINED))

    # ---- reading from the journal

    def _from_journal(self, place: FeedPosition, wanted: MessageFilter) -> memoryview:
        first, behind = place.columns
        gap = b""
        if first == behind:
            if self._enter_ring(place):
                return self.next_chunk(place, wanted)
            if not self._advance_journal(place):
                return self._enter_ring_at_oldest(place)
            first, behind = place.columns
            if first == behind:
                return memoryview(gap)
            assert place.journal is not None
            found = int(place.journal.index[SEQUENCE_ROW, first])
            if found > place.sequence:
                self.reader.seek("oldest")
                if self.reader.sequence < found:
                    # The ring has the frames that the journal lacks, or at least the last of them.
                    return self._enter_ring_at_oldest(place)
            gap = self._pass_loss(place, found, Reason.NOT_RETAINED)
        assert place.journal is not None
        table = place.journal.index
        column = self._pack(place.journal.buffer, table, first, behind, place, wanted)
        self._packed_for = (0, EVERYTHING)
        place.columns = (column, behind)
        place.sequence = int(table[SEQUENCE_ROW, column - 1]) + 1
        if self._chunk:
            place.since = place.sequence
        return memoryview(gap + self._chunk) if gap else self._chunk

    def _advance_journal(self, place: FeedPosition) -> bool:
        """Read on in the journal.  False if it neither has the next frame of `place` nor will have it."""
        journal = place.journal
        if journal is None and place.at_least_once:
            journal = self._open_journal(place.sequence)
        if journal is None:
            return False
        place.journal = journal
        try:
            poll = journal.poll()
        except (JournalError, UsageError):
            return False
        except OSError as error:
            raise unreadable(error) from None
        place.columns = journal.columns
        if len(poll):
            place.waiting_since = 0.0
            return True
        if poll.status is Status.GAP:
            return True
        if poll.status not in (Status.EMPTY, Status.CLOSED):
            return False
        # The recorder may have read from the ring what it has not written yet.
        place.waiting_since = place.waiting_since or time.monotonic()
        return time.monotonic() - place.waiting_since < RECORDER_PATIENCE_S

    def _oldest_recorded(self) -> int | None:
        journal = self._open_journal(1)
        if journal is None:
            return None
        try:
            poll = journal.poll()
            return poll[0].sequence if len(poll) else None
        except (JournalError, UsageError):
            return None
        finally:
            journal.close()

    def _open_journal(self, sequence: int) -> JournalReader | None:
        """The journal at `sequence`; None if there is none of this ring, or an unreadable one."""
        if self.journal is None:
            return None
        try:
            journal = JournalReader(self.journal)
        except (JournalError, UsageError):
            return None
        except OSError as error:
            raise unreadable(error) from None
        try:
            journal.seek_sequence(sequence, self.uuid)
        except (JournalError, UsageError):
            journal.close()
            return None
        except OSError as error:
            journal.close()
            raise unreadable(error) from None
        return journal


def unreadable(error: OSError) -> Farewell:
    """The Farewell for a client whose journal cannot be opened just now: it reconnects; nothing is declared lost."""
    return Farewell(FarewellReason.RING_UNREADABLE, 0, error.errno or 0)
