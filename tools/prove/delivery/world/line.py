"""A relay's line of rings over the simulated rings and journal.

The deciding code is the project's own `RingLine` and `RingFeed`; here is what they read from: polls, seeks, answers.
Each Gap and each RingReplaced is shown to the oracle where the relay decides it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from consumers.held import HeldRings
from consumers.incarnations import RECORDER_PATIENCE_S, Await, Read, Replaced
from consumers.relay.counters import Counters
from consumers.relay.feed import OUT_OF_RING, FeedPosition, RingFeed
from consumers.relay.line import RingLine
from ringbuf import Loss, Reader
from tlv.filter import MessageFilter
from tools.prove.delivery.world.clock import DeliveryClock
from tools.prove.delivery.world.journal import JournalAnswers, WorldJournal
from tools.prove.delivery.world.kinds import Chances
from tools.prove.delivery.world.relay_oracle import RelayOracle
from tools.prove.delivery.world.rings import NAME, RingName, message_of, place_frames

FRAMES = 5
"""Of one poll: few, so that much happens between two."""


class Surroundings(NamedTuple):
    """What a relay stands in."""

    name: RingName
    journal: WorldJournal
    clock: DeliveryClock
    chances: Chances
    oracle: RelayOracle
    recording: Callable[[], tuple[bytes, int] | None]
    """The ring that a living recorder reads, and the sequence that it records next."""


class WorldFeed(RingFeed):
    """A feed that polls a simulated ring."""

    def __init__(self, around: Surroundings, uuid: bytes, index: int, reader: Any, counters: Counters) -> None:
        super().__init__(NAME, uuid, index, None, None, counters, lambda: None)
        self.reader = reader
        self._around = around
        self._recorded = JournalAnswers(around.journal, uuid, around.clock, around.chances)  # type: ignore[assignment]

    def take_map(self, reader: Any) -> None:
        """The ring was found only now."""
        self.reader = reader

    def is_behind(self, _: FeedPosition) -> bool:
        """Nobody is served before others here."""
        return False

    def _poll(self, place: FeedPosition, _wanted: MessageFilter) -> int:
        assert self.reader is not None
        ring: Any = self.reader.words
        self._packing.forget()
        begin = max(place.sequence, ring.first)
        frames = [(at, message_of(ring.number, at)) for at in range(begin, min(ring.behind, begin + FRAMES))]
        self._count = len(frames)
        self._behind = (begin + self._count, begin + self._count)
        self.known = max(self.known, self._behind[1])
        self._polled_at = OUT_OF_RING
        if frames:
            payloads, self._table = place_frames(frames)
            self._polled[: len(payloads)] = payloads
            if begin == place.sequence:
                self._polled_at = place.position
        return begin - 1 if begin > place.sequence else 0

    def _oldest_recorded(self) -> int | None:
        segments = self._around.journal.of(self.uuid)
        return segments[0].first if segments else None

    def pass_loss(self, place: FeedPosition, resumed_at: int, reason: int) -> bytes:
        """Show the loss, and pass it."""
        if resumed_at > place.sequence:
            ring: Any = self.reader.words if self.reader is not None else None
            held = ring is not None and ring.first < resumed_at and ring.behind > place.sequence
            last, recorded = resumed_at - 1, place.at_least_once
            self._around.oracle.lost(self.uuid, place.sequence, last, held=held, recorded=recorded)
        return super().pass_loss(place, resumed_at, reason)


class WorldLine(RingLine):
    """A line of such feeds."""

    def __init__(self, around: Surroundings, next_index: Callable[[], int], counters: Counters) -> None:
        super().__init__(NAME, None, next_index, counters, lambda: None)
        self._around = around
        self.journal = Path(NAME)
        self._recorded = around.journal  # type: ignore[assignment]
        self._held = HeldRings(around.name.attach, around.journal.uuids)

    def _feed(self, uuid: bytes, reader: Reader | None = None) -> RingFeed:
        feed = self.feeds.get(uuid)
        if feed is None:
            feed = WorldFeed(self._around, uuid, self._next_index(), reader, self._counters)
            self.feeds[uuid] = feed
        elif reader is not None:
            feed.take_map(reader)
        return feed

    def _decide(self, place: FeedPosition) -> Read | Await | Loss | Replaced:
        step, now = super()._decide(place), self._around.clock.now
        if step is Await.RECORDER:
            self._around.oracle.waits(place.feed.uuid, [ring.uuid for ring in self._held.rings])
        waited = now - place.waiting_since if place.waiting_since else 0.0
        recording = self._around.recording()
        if recording is not None and waited < RECORDER_PATIENCE_S and place.at_least_once:
            uuid, sequence = recording
            behind = self._around.name.of(uuid).behind
            hasty = isinstance(step, Replaced) and step.loss is not None and step.old == uuid and sequence < behind
            lost = isinstance(step, Loss) and step.ring == uuid and sequence <= step.last
            if (hasty or lost) and not self._around.journal.lost_place(uuid, sequence):
                self._around.oracle.impatient(uuid)
        return step

    def _replace(self, place: FeedPosition, step: Replaced) -> bytes:
        held = [ring.uuid for ring in self._held.rings]
        self._around.oracle.replaced(step, held, recorded=place.at_least_once)
        return super()._replace(place, step)
