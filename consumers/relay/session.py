"""One client of a relay, between two system calls.

Owns the state of a connection: its phase, its positions in the rings, its durable cursor, and the bytes that the socket
did not take yet (at most one chunk).  It neither reads clocks nor touches a socket: bytes and times are arguments.

    AWAITING_HELLO --Subscribe--> STREAMING --Farewell queued--> LEAVING --everything sent--> gone
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path

import numpy as np

from consumers.relay import protocol
from consumers.relay.cursors import Cursor
from consumers.relay.errors import Farewell
from consumers.relay.feed import FeedPosition, RingFeed
from consumers.relay.kernels import message_end
from consumers.relay.protocol import ClientRequest, Inbox
from tlv.codes import FarewellReason, StreamStart
from tlv.errors import SegmentError
from tlv.layout import Ack

HELLO_TIMEOUT_S = 5.0
HEARTBEAT_EVERY_S = 1.0


class Phase(Enum):
    """Where a connection stands; this file's docstring draws it."""

    AWAITING_HELLO = auto()
    STREAMING = auto()
    LEAVING = auto()


class ClientSession:
    """The relay's end of one connection, opened at `now` seconds of a steady clock."""

    def __init__(self, now: float, feeds: Callable[[], list[RingFeed]], cursors: Path) -> None:
        self.phase = Phase.AWAITING_HELLO
        self.subscription: ClientRequest | None = None
        self.places: dict[int, FeedPosition] = {}
        self.unsent = memoryview(b"")
        self.opened = now
        self.sent_at = now
        self.failed_saves = 0
        self.advanced = False
        self._half_sent = 0
        self._feeds = feeds
        self._cursors = cursors
        self._cursor: Cursor | None = None
        self._inbox = Inbox()

    @property
    def name(self) -> str:
        """The name in the client's Subscribe; empty if it has none."""
        return self.subscription.name if self.subscription else ""

    def receive(self, data: bytes) -> None:
        """Take bytes from the client.  The answers are in `unsent` afterwards, positions in `places`."""
        if self.phase is Phase.LEAVING:
            return
        try:
            for message in self._inbox.feed(data):
                if self.phase is Phase.AWAITING_HELLO:
                    self._welcome(protocol.read_subscription(message))
                elif self.phase is Phase.STREAMING:
                    self._take_ack(message.first(Ack))
        except Farewell as error:
            self.dismiss(error)

    def _welcome(self, subscription: ClientRequest) -> None:
        self.subscription = subscription
        if subscription.name:
            self._cursor = Cursor(self._cursors, subscription.name)
        for feed in self._feeds():
            self.join(feed)
        self.phase = Phase.STREAMING

    def take_up(self, feed: RingFeed) -> None:
        """Stream a ring that the relay found only now, if anything is streamed."""
        if self.phase is Phase.STREAMING:
            try:
                self.join(feed, appeared=True)
            except Farewell as error:
                self.dismiss(error)

    def join(self, feed: RingFeed, *, appeared: bool = False) -> None:
        """Begin to stream `feed`.  A ring that `appeared` after the client subscribed is streamed from its oldest
        message on, unless the client named or acknowledged a sequence of it: another relay may have served it before.

        Raises:
            Farewell: the client asks for a sequence that is yet to come.
        """
        asked = self.subscription
        assert asked is not None
        acknowledged = self._cursor.get(feed.uuid) if self._cursor else None
        sequence = None
        if asked.start is StreamStart.SEQUENCE:
            sequence = asked.resume.get(feed.uuid) if appeared else asked.resume_at(feed.uuid)
        elif asked.start is StreamStart.ACKNOWLEDGED and acknowledged is not None:
            sequence = acknowledged + 1
        place = feed.place(StreamStart.OLDEST if appeared else asked.start, asked.at_least_once, sequence)
        if self._cursor and acknowledged is None:
            # From its first connection on, a named client gets everything behind this sequence.
            self._cursor.advance(feed.uuid, place.sequence - 1)
            self._cursor.save()
        self.places[feed.index] = place
        self.queue(protocol.accept(feed.index, feed.name, feed.uuid, place.sequence))

    def leave(self, feed: RingFeed) -> None:
        """Forget a ring that is gone."""
        place = self.places.pop(feed.index, None)
        if place:
            place.leave_journal()

    def _take_ack(self, ack: Ack | None) -> None:
        if ack is None:
            raise Farewell(FarewellReason.BAD_MESSAGE)
        for feed in self._feeds():
            if feed.uuid == ack.ring_uuid and feed.index in self.places:
                sent = self.places[feed.index].sequence - 1
                if ack.sequence > sent:
                    raise Farewell(FarewellReason.SEQUENCE_IN_FUTURE, sent, ack.sequence)
                if self._cursor:
                    self._cursor.advance(ack.ring_uuid, ack.sequence)

    def next_chunk(self, feed: RingFeed) -> memoryview:
        """What to send next of one ring; empty if there is nothing now, or if the filter left nothing (`advanced`)."""
        self.advanced = False
        place = self.places.get(feed.index)
        if place is None or self.subscription is None:
            return memoryview(b"")
        before = place.sequence
        try:
            chunk = feed.next_chunk(place, self.subscription.wanted)
            self.advanced = place.sequence != before
            return chunk
        except Farewell as error:
            self.dismiss(error)
        except SegmentError:
            self.dismiss(Farewell(FarewellReason.RING_UNREADABLE))
        return memoryview(b"")

    def queue(self, data: bytes) -> None:
        """Send `data` behind what is still unsent.  For the few bytes of the relay itself, never for a ring's."""
        self.unsent = memoryview(bytes(self.unsent) + data) if self.unsent else memoryview(data)

    def note_sent(self, chunk: memoryview, sent: int, now: float) -> None:
        """The socket took `sent` bytes of `chunk`; keep the rest, a private copy since the chunk's buffer is shared."""
        if sent:
            self.sent_at = now
        rest = chunk[sent:]
        if rest:
            # An eviction cuts `unsent` here, behind the message that is half sent, and appends the Farewell.
            buf = np.frombuffer(chunk, np.uint8)
            self._half_sent = max(self._half_sent, message_end(buf, self._half_sent, sent)) - sent
        else:
            self._half_sent = 0
        self.unsent = memoryview(bytes(rest))

    def dismiss(self, error: Farewell) -> None:
        """Queue a Farewell behind the message that is half sent, if one is; nothing else will be sent."""
        if self.phase is Phase.LEAVING:
            return
        self.phase = Phase.LEAVING
        self.queue(protocol.farewell(error))

    def evict(self) -> None:
        """Dismiss a client that reads nothing: keep the rest of the message that is half sent, drop what follows it."""
        self.unsent = self.unsent[: self._half_sent]
        self.dismiss(Farewell(FarewellReason.TOO_SLOW))

    def on_time(self, now: float, feeds: list[RingFeed]) -> None:
        """Do what is due: dismiss an overdue client, send a Heartbeat or cover filtered sequences, save the cursor."""
        if self.phase is Phase.AWAITING_HELLO and now - self.opened > HELLO_TIMEOUT_S:
            self.dismiss(Farewell(FarewellReason.HELLO_TIMEOUT))
        if self.phase is Phase.STREAMING and not self.unsent and now - self.sent_at > HEARTBEAT_EVERY_S:
            covers = b"".join(feed.progress(self.places[feed.index]) for feed in feeds if feed.index in self.places)
            self.queue(covers or protocol.heartbeat())
        if self._cursor and not self._cursor.save():
            self.failed_saves += 1

    def close(self) -> None:
        """Release the name and close open journals.  Nothing is streamed any more."""
        self.phase = Phase.LEAVING
        for place in self.places.values():
            place.leave_journal()
        self.places.clear()
        if self._cursor:
            self._cursor.close()
            self._cursor = None
