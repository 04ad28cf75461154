"""One ring name as a relay serves it: the rings that had it, one after the other, and their journal.

Owns the feeds of a name, and leads each client from one to the next.  While a ring goes on, a client is in its feed and
nothing here runs; where feed and journal have nothing for it, `consumers.incarnations` says what comes next.

    rest of the old ring --> Gap, if some of it is gone --> RingReplaced --> SubscribeAck of the new one, its messages
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from consumers.held import HELD_BEHIND, HeldRings
from consumers.incarnations import (
    RECORDER_PATIENCE_S,
    Await,
    Extent,
    Read,
    Replaced,
    RingCursor,
    behind_damage,
    in_order,
    next_step,
)
from consumers.journal.extents import RecordedRings
from consumers.relay import protocol
from consumers.relay.counters import Counters
from consumers.relay.errors import short_of
from consumers.relay.feed import OUT_OF_RING, FeedPosition, RingFeed
from ringbuf import Loss, Reader
from tlv.codes import Reason, StreamStart
from tlv.filter import MessageFilter
from tlv.layout import LAYOUT_DIGEST

NOTHING = memoryview(b"")


class RingLine:
    """The rings called `name`; `journal` is the directory where they are recorded, if they are.

    `next_index` numbers the feeds of a relay; for `wake` see `RingFeed`.
    """

    def __init__(
        self,
        name: str,
        journal: Path | None,
        next_index: Callable[[], int],
        counters: Counters,
        wake: Callable[[], None],
    ) -> None:
        self.name = name
        self.journal = journal
        self.feeds: dict[bytes, RingFeed] = {}
        self._next_index = next_index
        self._counters, self._wake = counters, wake
        self._recorded = RecordedRings(journal) if journal is not None else None
        self._held = HeldRings(
            partial(Reader.attach, name, layout_digest=LAYOUT_DIGEST, on_lap="oldest", buffer_bytes=1),
            self._recorded.uuids if self._recorded is not None else tuple,
        )

    @property
    def current(self) -> RingFeed | None:
        """The feed of the last ring that had the name, replaced or not."""
        newest = self._held.newest
        return self.feeds.get(newest.uuid) if newest is not None else None

    def look(self, now: float) -> RingFeed | None:
        """Look whether another ring has the name.  Returns its feed if it is new.

        Raises:
            SegmentError: what has the name is no ring of ours.
        """
        reader = self._held.look(now)
        return self._feed(reader.uuid, reader) if reader is not None else None

    def unneeded(self, used: Collection[RingFeed]) -> list[RingFeed]:
        """The feeds of replaced rings whose maps can be given back, and those without one that nobody reads."""
        newest = self._held.newest
        old = [ring for ring in self._held.rings if ring is not newest and ring.reader is not None]
        done = [ring for ring in old if ring.ended and self.feeds[ring.uuid] not in used]
        too_many = [ring for ring in old if ring not in done][:-HELD_BEHIND]
        mapped = [self.feeds[ring.uuid] for ring in [*done, *too_many]]
        return mapped + [feed for feed in self.feeds.values() if feed.reader is None and feed not in used]

    def release(self, feed: RingFeed) -> None:
        """Give the map of `feed` back, or forget it if it has none.  Its bell must be closed before."""
        ring = self._held.get(feed.uuid)
        if feed.reader is not None and ring is not None:
            feed.lose_map()
            ring.release()
        else:
            feed.close()
            del self.feeds[feed.uuid]

    def knows(self, uuid: bytes) -> bool:
        """Whether a ring with this uuid had the name."""
        return self._held.get(uuid) is not None or any(extent.uuid == uuid for extent in self._recorded_extents())

    def place(
        self, start: StreamStart, at_least_once: bool, cursor: RingCursor | None, passed: list[bytes]
    ) -> FeedPosition | None:
        """A new client's position: at its `cursor`, or where `start` says; None while there is no ring for it.

        Raises:
            Farewell: its sequence is yet to come.
        """
        if cursor is not None:
            place = self._feed(cursor.uuid).at_sequence(cursor.sequence, at_least_once)
            place.passed = passed
            return place
        feed = self.current
        return feed.at_start(start, at_least_once) if feed is not None and feed.reader is not None else None

    def first(self, at_least_once: bool) -> FeedPosition | None:
        """The position of a client whose ring appears only now: its first frame."""
        feed = self.current
        return feed.at_sequence(1, at_least_once) if feed is not None else None

    def beginning(self, at_least_once: bool) -> FeedPosition | None:
        """The position of a client whose cursor was lost: the first frame of the oldest ring that is known."""
        order = in_order(self._recorded_extents() if at_least_once else [], self._held.extents())
        return self._feed(order[0]).at_sequence(1, at_least_once) if order else None

    def next_chunk(self, place: FeedPosition, wanted: MessageFilter) -> memoryview:
        """Advance `place` and return what its client gets next, valid until the next call; empty if there is nothing.

        Raises:
            Farewell: the ring holds what no writer writes, or the journal cannot be opened just now.
        """
        ring = self._held.get(place.feed.uuid)
        goes_on = ring is not None and not ring.ended and ring.reader is not None
        if goes_on or place.position != OUT_OF_RING:
            before = place.sequence
            chunk = place.feed.next_chunk(place, wanted)
            if chunk or goes_on or place.sequence != before:
                return chunk
        return self._behind_the_end(place, wanted)

    def is_behind(self, place: FeedPosition) -> bool:
        """Whether more than a chunk is there for `place`."""
        return place.feed.is_behind(place)

    def _behind_the_end(self, place: FeedPosition, wanted: MessageFilter) -> memoryview:
        """The next chunk where the ring of `place` has ended, or is not held."""
        feed = place.feed
        if place.journal_asked:
            chunk = feed.from_journal(place, wanted)
            if chunk is not None:
                return chunk
            place.journal_asked = False
        step = self._decide(place)
        now = time.monotonic()
        if step is Await.RECORDER:
            place.waiting_since = place.waiting_since or now
            return NOTHING
        if step is Read.JOURNAL:
            place.position, place.journal_asked = OUT_OF_RING, True
            chunk = feed.from_journal(place, wanted)
            if chunk is None:
                # Its answer is older than what the recorder wrote; or a loss is the last that it has of this ring.
                place.waiting_since = place.waiting_since or now
                if now - place.waiting_since > RECORDER_PATIENCE_S:
                    place.unreadable_at = place.sequence
            return chunk or NOTHING
        place.waiting_since = 0.0
        if isinstance(step, Loss):
            reason = Reason.DAMAGED if place.unreadable_at == place.sequence else step.reason
            return memoryview(feed.pass_loss(place, step.last + 1, reason))
        if isinstance(step, Replaced):
            return memoryview(self._replace(place, step))
        if step is Read.RING:
            return feed.next_chunk(place, wanted) if feed.enter_ring(place) else feed.pass_damage(place)
        return NOTHING

    def _decide(self, place: FeedPosition) -> Read | Await | Loss | Replaced:
        recorded = self._recorded_extents() if place.at_least_once else []
        cursor = RingCursor(place.feed.uuid, place.sequence)
        if place.unreadable_at == place.sequence and self._recorded is not None:
            recorded = behind_damage(recorded, cursor, self._recorded.segment_behind(*cursor))
        held = self._held.extents()
        if place.told_unreadable:
            held = [self._unreadable(extent, place) for extent in held]
        late = place.waiting_since and time.monotonic() - place.waiting_since > RECORDER_PATIENCE_S
        return next_step(
            cursor,
            held,
            recorded,
            recorder_due=place.at_least_once and self._recorded is not None and not late,
            passed=place.passed,
        )

    def _unreadable(self, extent: Extent, place: FeedPosition) -> Extent:
        """What the ring of `place` has where nothing can be read of it any more."""
        mine = extent.uuid == place.feed.uuid
        return extent._replace(first=place.sequence, behind=place.sequence, end_seen=False) if mine else extent

    def _recorded_extents(self) -> list[Extent]:
        if self._recorded is None:
            return []
        try:
            return self._recorded.extents()
        except OSError as error:
            raise short_of(error) from None

    def _replace(self, place: FeedPosition, step: Replaced) -> bytes:
        """Lead `place` from the end of its ring to the first frame of the next."""
        said = place.feed.progress(place)
        if step.loss is not None:
            said += place.feed.uncounted_loss(place)
        place.passed.append(step.old)
        place.feed = self._feed(step.new)
        place.position, place.sequence, place.since = OUT_OF_RING, 1, 1
        place.damaged_at, place.unreadable_at, place.told_unreadable, place.journal_asked = 0, 0, False, False
        return said + protocol.replaced(step.old, step.last_sequence, step.new) + self.accept(place)

    def accept(self, place: FeedPosition) -> bytes:
        """The SubscribeAck for the ring of `place`."""
        return protocol.accept(place.feed.index, self.name, place.feed.uuid, place.sequence)

    def _feed(self, uuid: bytes, reader: Reader | None = None) -> RingFeed:
        feed = self.feeds.get(uuid)
        if feed is None:
            feed = RingFeed(self.name, uuid, self._next_index(), reader, self.journal, self._counters, self._wake)
            self.feeds[uuid] = feed
        elif reader is not None:
            feed.take_map(reader)
        return feed

    def ends(self) -> dict[bytes, int]:
        """One more than the last sequence that each held ring has now."""
        return {extent.uuid: extent.behind for extent in self._held.extents()}

    def is_read(self, place: FeedPosition, ends: dict[bytes, int]) -> bool:
        """Whether `place` is in the newest ring, and has everything up to its end as it was in `ends`."""
        newest = self._held.newest
        if newest is None:
            return True
        return place.feed.uuid == newest.uuid and place.sequence >= ends.get(newest.uuid, 0)

    def use_journal(self, journal: Path) -> None:
        """Read what the rings lack from the journal in this directory."""
        self.journal, self._recorded = journal, RecordedRings(journal)
        for feed in self.feeds.values():
            feed.use_journal(journal)

    def close(self) -> None:
        """Leave all rings."""
        for feed in self.feeds.values():
            feed.close()
        self._held.close()
        if self._recorded is not None:
            self._recorded.close()
