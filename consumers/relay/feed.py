"""One ring, as all clients of a relay share it.

Owns one map of the ring, one poll buffer and the runs that were packed last (`runs`), however many clients there are.
A client's cursor is a `FeedPosition`: a position and a sequence.  Clients that come to one position with one filter get
the same packed bytes; the ring itself is the only queue.  This file does not know what a socket is.

What one kernel polls and packs is kept for whoever asks next at that position, be it that the first client there asked
or that `await_frames` did, while nobody could: then only `send` is left to be done for a frame.

    in the ring --overwritten, at-least-once--> in the journal --the ring has the next one--> in the ring
        |                                            |
        +--overwritten, otherwise: Gap---------------+--neither has it: Gap--> in the ring, at its oldest
        |                                            |
        +--damaged: from the journal, otherwise------+--Gap--> behind the damage, at the next sound record
                                                                or, while there is none: an empty Gap says so, once

A ring that was replaced stays a feed, without a map at last: what is left of it comes from the journal.  `line` leads
its clients from one ring of a name to the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from consumers.damage import seek_beyond
from consumers.incarnations import RECORDER_PATIENCE_S
from consumers.relay import protocol
from consumers.relay.catch_up import JournalWindows
from consumers.relay.counters import Counters
from consumers.relay.errors import Farewell, short_of
from consumers.relay.journal_reading import Answer, NoWindow, oldest_recorded
from consumers.relay.kernels import BATCH_BYTES, FOUND_CELLS, await_run, read_run
from consumers.relay.packing import Packing, stamp
from consumers.relay.runs import RecentRuns
from consumers.relay.windows import JournalWindow
from ringbuf import Reader
from ringbuf.errors import CorruptRing
from ringbuf.layout import INDEX_ROWS, TIME_ROW
from ringbuf.reader import Start
from ringbuf.status import CORRUPT, EMPTY, OK
from tlv.buffers import Longs
from tlv.codes import FarewellReason, Reason, StreamStart
from tlv.errors import UsageError
from tlv.filter import EVERYTHING, MessageFilter

CHUNK_BYTES = 1 << 17
"""Of payloads per system call: some 400 swaps."""
CHUNK_FRAMES = 2048
OUT_OF_RING = -1
SHORTAGE_PATIENCE_S = 5.0
"""How long it waits for a journal that cannot be read now, before its client is told and comes again."""
STUCK_S = 0.2
"""How long a ring's end may differ from where its last frame ends: a writer is between the two for less than that."""
SPIN_FIRST_NS = 20_000
YIELD_THEN_NS = 120_000
"""How long `await_frames` spins and yields before it sleeps, so that a message every 100 us finds it awake: waking an
idle core of a virtual machine took 30 of the 118 us from ring to client (bench `relay`).  Costs at most this much of a
core for each message."""
NOTHING = memoryview(b"")
NO_TIMES: Longs = np.zeros(0, np.int64)


@dataclass
class FeedPosition:
    """Where one client stands in the ring of `feed`.  `since` is the first sequence that no Batch has covered yet."""

    feed: RingFeed
    position: int
    sequence: int
    since: int
    at_least_once: bool
    waiting_since: float = 0.0
    damaged_at: int = 0
    """The sequence whose frame is damaged in the ring."""
    told_unreadable: bool = False
    lags: bool = False
    """Whether more than a chunk was left in the ring behind the last one."""
    journal_asked: bool = False
    """Whether the journal is known to have the frame wanted next, of a ring that has ended."""
    unreadable_at: int = 0
    """The sequence at which the journal is damaged."""
    passed: list[bytes] = field(default_factory=list)
    """The rings of this name that the client had before, oldest first."""


class RingFeed:
    """The ring `uuid` of `name` as number `index` of a relay.

    Args:
        reader: of its map; None if it is not held, and can only be read from the journal.
        journal: the directory where it is recorded, if it is.
        wake: called from another thread when the journal has something for a client that waits.
    """

    def __init__(
        self,
        name: str,
        uuid: bytes,
        index: int,
        reader: Reader | None,
        journal: Path | None,
        counters: Counters,
        wake: Callable[[], None],
    ) -> None:
        self.name = name
        self.uuid = uuid
        self.index = index
        self.reader = reader
        self.journal = journal
        self.seen_end: int | None = None
        self.last_message_at = 0.0
        self.known = 1
        """Sequences below were in the ring."""
        self.damage = ""
        """Why no record can be read from anywhere in the ring; empty while one can."""
        self._counters = counters
        self._wake = wake
        self._recorded: JournalWindows | None = None
        if journal:
            self.use_journal(journal)
        largest = max(CHUNK_BYTES, reader.identity.max_payload if reader else 0)
        self._words = np.zeros(largest // 8 + 1, np.int64)
        self._polled = self._words.view(np.uint8)
        self._table = np.zeros((INDEX_ROWS, CHUNK_FRAMES), np.int64)
        self._packing = Packing(index, self._polled.size)
        self.runs = RecentRuns(self._polled.size + BATCH_BYTES)
        self._end = 0
        """Of the ring, as the last poll saw it."""
        # The last poll, for the next client at the same position.
        self._polled_at = OUT_OF_RING
        self._found = np.zeros(FOUND_CELLS, np.int64)
        self._count = 0
        self._behind = (0, 0)
        self._dry = (0, 0, 0, EVERYTHING)
        """Position, sequence, `since` and filter of who came to the ring's end last."""
        self._lags = False
        self._stuck_since = 0.0
        self._packed_times = NO_TIMES
        if reader:
            self._warm(reader)

    def use_journal(self, journal: Path) -> None:
        """Read what the ring lacks from the journal in this directory."""
        self.journal = journal
        self._recorded = JournalWindows(journal, self.uuid, self._wake, self._counters)

    @property
    def malformed(self) -> int:
        """Frames that were no message."""
        return self._packing.malformed

    def _warm(self, reader: Reader) -> None:
        """Run the kernels once: to compile them takes longer than a client's silence limit (`max_silence_s`)."""
        try:
            reader.seek("oldest")
            reader.seek(reader.sequence)
            reader.poll(1)
            reader.seek("latest")
        except CorruptRing as error:
            self._note_unreadable(str(error))

    def at_start(self, start: StreamStart, at_least_once: bool) -> FeedPosition:
        """The position of a new client that has none of its own.

        Raises:
            Farewell: the journal cannot be opened now.
        """
        here = self._seek("latest" if start is StreamStart.LATEST else "oldest")
        recorded = self._oldest_recorded() if at_least_once and start is not StreamStart.LATEST else None
        # A journal that was begun late, or retains little, may begin behind the ring's oldest frame.
        if recorded is not None and (here is None or recorded < here):
            return self.at_sequence(recorded, at_least_once)
        if here is None or self.reader is None:
            return self.at_sequence(self.known, at_least_once)
        return FeedPosition(self, self.reader.position, here, here, at_least_once)

    def at_sequence(self, sequence: int, at_least_once: bool) -> FeedPosition:
        """The position of a client that wants `sequence` next.

        Raises:
            Farewell: the sequence is yet to come.
        """
        wanted = max(sequence, 1)
        place = FeedPosition(self, OUT_OF_RING, wanted, wanted, at_least_once)
        self.enter_ring(place)
        return place

    def next_chunk(self, place: FeedPosition, wanted: MessageFilter) -> memoryview:
        """Advance `place` and return what its client gets next, valid until the next call; empty if there is nothing.

        Raises:
            Farewell: the journal cannot be read for too long.
        """
        if place.position == OUT_OF_RING or self.reader is None:
            return self._from_outside(place, wanted)
        if place.position == self._polled_at:
            return self._share(place, wanted)
        run = self.runs.find(place.position, place.since, wanted)
        if run is not None:
            place.position, place.sequence = run.position, run.sequence
            place.lags = self._end - place.position > CHUNK_BYTES
            if run.chunk:
                place.since, self._packed_times = place.sequence, run.times
            return run.chunk
        lost_last = self._poll(place, wanted)
        if lost_last is None:
            place.position, place.damaged_at = OUT_OF_RING, place.sequence
            return self._from_outside(place, wanted)
        if lost_last and place.at_least_once:
            place.position = OUT_OF_RING
            return self._from_outside(place, wanted)
        gap = self.pass_loss(place, lost_last + 1, Reason.LAPPED) if lost_last else b""
        if self._count == 0:
            place.position, place.sequence = self._behind
            self.seen_end = place.position
            self._dry = (place.position, place.sequence, place.since, wanted)
            return memoryview(gap)
        chunk = self._share(place, wanted)
        return memoryview(gap + chunk) if gap else chunk

    def is_behind(self, place: FeedPosition) -> bool:
        """Whether more than a chunk is there for `place`: others go first."""
        return place.lags or place.position == OUT_OF_RING or self.reader is None

    def take_times(self) -> Longs:
        """When the frames of the last chunk were published, those that its filter left out too; valid until the next
        chunk, and none of a chunk of the journal."""
        times, self._packed_times = self._packed_times, NO_TIMES
        return times

    def progress(self, place: FeedPosition) -> bytes:
        """A Batch without messages, if the filter left out sequences that no Batch has covered yet."""
        return self._cover(place) if place.since < place.sequence else b""

    def mend(self) -> None:
        """Look whether a ring that could not be read can be read by now."""
        here = self._seek("latest") if self.damage and self.reader else None
        if here is not None and here >= self.known:
            self.damage = ""
            self._counters.sound(f"ring {self.name}")

    def take_map(self, reader: Reader) -> None:
        """The ring was found only now, after clients asked for it."""
        self.reader = reader
        if reader.identity.max_payload > self._polled.size:
            self._words = np.zeros(reader.identity.max_payload // 8 + 1, np.int64)
            self._polled = self._words.view(np.uint8)
            self._packing = Packing(self.index, self._polled.size)
            self.runs = RecentRuns(self._polled.size + BATCH_BYTES)
        self._warm(reader)

    def lose_map(self) -> None:
        """The ring's map is given back: from here on its journal is all there is."""
        self.reader, self.damage, self.seen_end, self._polled_at = None, "", None, OUT_OF_RING
        self.runs.clear()

    def close(self) -> None:
        """Leave the journal."""
        if self._recorded:
            self._recorded.close()

    # ---- reading from the ring

    def await_frames(self, timeout_ns: int) -> bool:
        """Wait in the caller's thread until there are frames behind `seen_end`, and have them ready for whoever stands
        there; False if there are none after `timeout_ns`.

        Spins, then yields, then sleeps, as `Wait.BACKOFF` does.  Its kernel polls and packs before it returns, so that
        a frame waits for one call and not for three.
        """
        reader = self.reader
        if reader is None or self._dry[0] != self.seen_end:
            return True
        position, sequence, since, wanted = self._dry
        self._forget()
        status = await_run(
            reader.words,
            reader.control,
            reader.state,
            self._words,
            self._table,
            self.runs.next_buffer(),
            self._found,
            position,
            sequence,
            since,
            self.index,
            stamp(),
            SPIN_FIRST_NS,
            YIELD_THEN_NS,
            timeout_ns,
            *wanted.tables,
        )
        if status == EMPTY:
            return False
        if status == OK:
            self._keep(position, since, wanted)
            self.known = max(self.known, self._behind[1])
        return True  # whatever else it is, whoever stands there finds it by a poll

    def _forget(self) -> None:
        self._packing.forget()
        self._polled_at = OUT_OF_RING

    def _poll(self, place: FeedPosition, wanted: MessageFilter) -> int | None:
        """Read the ring from `place` on into the shared buffer.  Returns the last lost sequence, 0 for no loss, or None
        if what stands there is no frame."""
        reader = self.reader
        assert reader is not None
        self._forget()
        status = read_run(
            reader.words,
            reader.control,
            reader.state,
            self._words,
            self._table,
            self.runs.next_buffer(),
            self._found,
            place.position,
            place.sequence,
            place.since,
            self.index,
            stamp(),
            *wanted.tables,
        )
        count, lost_last, left = self._keep(place.position, place.since, wanted)
        # A tail that no writer stored may send the reader back.
        if status == CORRUPT or self._behind[1] < place.sequence or self._is_stuck(count, left):
            self._forget()
            return None
        self.known = max(self.known, self._behind[1])
        place.lags = False
        return lost_last

    def _keep(self, position: int, since: int, wanted: MessageFilter) -> tuple[int, int, int]:
        """Take what a kernel found at `position`: the frames, the last lost sequence, the bytes left behind them."""
        count, lost_last, behind, sequence, left, messages, malformed, size = self._found.tolist()
        self._count, self._behind = count, (behind, sequence)
        self._lags, self._end = count > 0 and left > CHUNK_BYTES, behind + left
        if count:
            self.last_message_at = time.monotonic()
            if not lost_last:
                self._polled_at = position
                times = self._table[TIME_ROW, :count]
                run = self.runs.keep((position, since), size if messages else 0, wanted, self._behind, times)
                # 0: the sequence that this poll began with.
                self._packing.keep((0, since, wanted), sequence, run.chunk, malformed)
        return count, lost_last, left

    def _is_stuck(self, count: int, left: int) -> bool:
        """Whether the ring's end has long been elsewhere than where its frames end."""
        if count or left == 0:
            self._stuck_since = 0.0
            return False
        now = time.monotonic()
        self._stuck_since = self._stuck_since or now
        return now - self._stuck_since > STUCK_S

    def _share(self, place: FeedPosition, wanted: MessageFilter) -> memoryview:
        """Pack the shared poll for `place`."""
        _, chunk = self._packing.pack(self._polled, self._table, (0, self._count), (0, place.since, wanted))
        place.position, place.sequence = self._behind
        place.lags = self._lags
        if chunk:
            place.since = place.sequence
            self._packed_times = self._table[TIME_ROW, : self._count]
        return chunk

    def _cover(self, place: FeedPosition) -> bytes:
        """A Batch without messages that ends right before `place`."""
        first, place.since = place.since, place.sequence
        return self._packing.cover(first, place.sequence - 1)

    def pass_loss(self, place: FeedPosition, resumed_at: int, reason: int) -> bytes:
        """Move `place` behind a loss and return its Gap, after the Batch that says which ring the Gap is in."""
        if resumed_at <= place.sequence:
            return b""
        gap = self._cover(place) + protocol.gap(place.sequence, resumed_at - 1, Reason(reason))
        self._counters.lost += resumed_at - place.sequence
        place.sequence = place.since = resumed_at
        return gap

    def uncounted_loss(self, place: FeedPosition) -> bytes:
        """The Gap for the end of a ring that nobody saw: it moves nothing, since nobody knows how far."""
        return self._cover(place) + protocol.gap(place.sequence, place.sequence - 1, Reason.END_UNKNOWN)

    def _seek(self, where: Start) -> int | None:
        """The sequence at one end of the ring; None if no record can be found."""
        if self.reader is None:
            return None
        try:
            self.reader.seek(where)
        except CorruptRing as error:
            self._note_unreadable(str(error))
            return None
        return self.reader.sequence

    def enter_ring(self, place: FeedPosition) -> bool:
        """Put `place` into the ring if the frame it wants next is there, or is the next to be published.

        Raises:
            Farewell: the sequence is yet to come.
        """
        if self.reader is None or self.damage or place.damaged_at == place.sequence:
            return False
        try:
            self.reader.seek(place.sequence)
        except CorruptRing:
            place.damaged_at = place.sequence
            return False
        except UsageError:
            if place.sequence <= self.known:
                place.damaged_at = place.sequence
                return False
            raise Farewell(FarewellReason.SEQUENCE_IN_FUTURE, self.reader.sequence, place.sequence) from None
        if self.reader.sequence != place.sequence:
            return False
        place.position = self.reader.position
        self.known = max(self.known, place.sequence)
        place.waiting_since, place.told_unreadable = 0.0, False
        return True

    def pass_damage(self, place: FeedPosition) -> memoryview:
        """Move `place`, whose next frame is damaged in the ring, behind the damage; its loss, or that it is unknown."""
        return self._enter_ring_later(place, Reason.DAMAGED)

    def _enter_ring_later(self, place: FeedPosition, reason: Reason) -> memoryview:
        """Move `place` to the first frame of the ring that it can get; what is in neither ring nor journal is lost."""
        assert self.reader is not None
        damaged = place.damaged_at == place.sequence or bool(self.damage)
        if not damaged:
            oldest = self._seek("oldest")
            damaged = oldest is None or oldest < place.sequence
        if damaged and (self.damage or not seek_beyond(self.reader, place.sequence)):
            self._note_unreadable("no sound record is left behind the damage")
            return self._tell_unreadable(place)
        if damaged:
            self._note_damage(
                f"the frame of sequence {place.sequence} is damaged; reading goes on at {self.reader.sequence}",
                sequence=place.sequence,
            )
        place.position, place.waiting_since, place.told_unreadable = self.reader.position, 0.0, False
        return memoryview(self.pass_loss(place, self.reader.sequence, Reason.DAMAGED if damaged else reason))

    def _tell_unreadable(self, place: FeedPosition) -> memoryview:
        """An empty Gap, once: nothing can be read from here on, and nobody knows how much is lost."""
        if place.told_unreadable:
            return NOTHING
        place.told_unreadable = True
        return memoryview(self._cover(place) + protocol.gap(place.sequence, place.sequence - 1, Reason.DAMAGED))

    def _note_damage(self, text: str, **fields: object) -> None:
        self._counters.damaged_rings += 1
        self._counters.warn_once(f"ring {self.name}", text, ring=self.name, **fields)

    def _note_unreadable(self, text: str) -> None:
        if not self.damage:
            self._note_damage(text)
        self.damage = text

    # ---- reading from the journal

    def _from_outside(self, place: FeedPosition, wanted: MessageFilter) -> memoryview:
        """The next chunk of a place that is not in the ring: from the journal, from the ring, or the loss."""
        journal = self._recorded if place.at_least_once else None
        if journal:
            window = journal.window(place.sequence)
            if window:
                return self._from_window(place, window, wanted)
            if journal.is_asked(place.sequence):
                return NOTHING
        if self.enter_ring(place):
            return self.next_chunk(place, wanted)
        reason = Reason.NOT_RETAINED
        if journal:
            answer = self._ask(journal, place.sequence)
            if answer is None or self._waits(place, answer):
                return NOTHING
            if answer.outcome is NoWindow.NEVER:
                reason = Reason.DAMAGED
        return self._enter_ring_later(place, reason) if self.reader else NOTHING

    def from_journal(self, place: FeedPosition, wanted: MessageFilter) -> memoryview | None:
        """The next chunk of a ring that has ended: empty while the journal is asked, None if it has nothing here.

        Raises:
            Farewell: it could not be read for SHORTAGE_PATIENCE_S.
        """
        journal = self._recorded if place.at_least_once else None
        if journal is None or place.unreadable_at == place.sequence:
            return None
        window = journal.window(place.sequence)
        if window:
            return self._from_window(place, window, wanted)
        if journal.is_asked(place.sequence):
            return NOTHING
        answer = self._ask(journal, place.sequence)
        if answer is None or (answer.outcome is NoWindow.LATER and self._waits(place, answer)):
            return NOTHING
        if answer.outcome is NoWindow.NEVER:
            place.unreadable_at = place.sequence
        return None

    def _ask(self, journal: JournalWindows, sequence: int) -> Answer | None:
        try:
            return journal.ask(sequence)
        except RuntimeError as error:  # no thread can be started now
            return Answer(sequence, NoWindow.LATER, str(error), MemoryError(str(error)))

    def _waits(self, place: FeedPosition, answer: Answer) -> bool:
        """Whether the journal may still get, or give, what it did not.

        Raises:
            Farewell: it could not be read for SHORTAGE_PATIENCE_S.
        """
        now = time.monotonic()
        place.waiting_since = place.waiting_since or now
        waited = now - place.waiting_since
        if answer.outcome is NoWindow.LATER and waited > SHORTAGE_PATIENCE_S:
            place.waiting_since = 0.0
            raise short_of(answer.shortage) if answer.shortage else Farewell(FarewellReason.RING_UNREADABLE)
        # The recorder may have read from the ring what it has not written yet.
        return answer.outcome is NoWindow.LATER or (answer.outcome is NoWindow.END and waited < RECORDER_PATIENCE_S)

    def _from_window(self, place: FeedPosition, window: JournalWindow, wanted: MessageFilter) -> memoryview:
        place.waiting_since = 0.0
        table = window.table
        first = window.column(place.sequence)
        found = window.sequence_at(first)
        reason = Reason.DAMAGED if window.damaged else Reason.NOT_RETAINED
        gap = b""
        if found > place.sequence:
            if self.enter_ring(place):
                return self.next_chunk(place, wanted)
            oldest = self._seek("oldest")
            if oldest is not None and place.sequence < oldest < found:
                # The ring has the frames that the journal lacks, or at least the last of them.
                return self._enter_ring_later(place, reason)
            gap = self.pass_loss(place, found, reason)
        if first == table.shape[1]:
            return memoryview(gap)
        key = (place.sequence, place.since, wanted)
        place.sequence, chunk = self._packing.pack(window.payloads, table, (first, table.shape[1]), key)
        if chunk:
            place.since = place.sequence
        return memoryview(gap + chunk) if gap else chunk

    def _oldest_recorded(self) -> int | None:
        if self.journal is None:
            return None
        try:
            return oldest_recorded(self.journal, self.uuid)
        except (OSError, MemoryError) as error:
            raise short_of(error) from None
