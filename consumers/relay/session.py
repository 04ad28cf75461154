"""One client of a relay, between two system calls.

Owns the state of a connection: its phase, its positions in the rings, its durable cursor, and the bytes that the socket
did not take yet (at most one chunk).  It neither reads clocks nor touches a socket: bytes and times are arguments.

    AWAITING_HELLO --Subscribe--> STREAMING --Farewell queued--> LEAVING --everything sent--> gone
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum, auto
from pathlib import Path

import numpy as np

from consumers.incarnations import RingCursor
from consumers.relay import protocol
from consumers.relay.counters import Counters
from consumers.relay.cursors import Cursor
from consumers.relay.errors import Farewell, short_of
from consumers.relay.feed import NO_TIMES, FeedPosition
from consumers.relay.kernels import message_end
from consumers.relay.line import RingLine
from consumers.relay.protocol import ANY_RING, ClientRequest, Inbox
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

    def __init__(self, now: float, lines: Callable[[], Iterable[RingLine]], cursors: Path, counters: Counters) -> None:
        self.phase = Phase.AWAITING_HELLO
        self.subscription: ClientRequest | None = None
        self.places: dict[str, FeedPosition] = {}
        """By the name of the ring."""
        self.unsent = memoryview(b"")
        self.opened = now
        self.sent_at = now
        self.advanced = False
        self.chunk_times = NO_TIMES
        """When the frames of the last chunk were published."""
        self._half_sent = 0
        self._ignored = False
        """Whether what the client sends does not count any more."""
        self._lines = lines
        self._cursors = cursors
        self._counters = counters
        self._cursor: Cursor | None = None
        self._inbox = Inbox()

    @property
    def name(self) -> str:
        """The name in the client's Subscribe; empty if it has none."""
        return self.subscription.name if self.subscription else ""

    def receive(self, data: bytes) -> None:
        """Take bytes from the client.  The answers are in `unsent` afterwards, positions in `places`.  Of a client that
        is dismissed acknowledgements count until `close`, unless what it sent was the reason."""
        if self._ignored:
            return
        try:
            for message in self._inbox.feed(data):
                if self.phase is Phase.AWAITING_HELLO:
                    self._welcome(protocol.read_subscription(message))
                elif self.places or self.phase is Phase.STREAMING:
                    self._take_ack(message.first(Ack))
        except Farewell as error:
            self._ignored = True
            self.dismiss(error)
        except (OSError, MemoryError) as error:
            self._ignored = True
            self.dismiss(short_of(error))

    def _welcome(self, subscription: ClientRequest) -> None:
        self.subscription = subscription
        if subscription.name:
            self._cursor = Cursor(self._cursors, subscription.name)
            if self._cursor.damaged:
                self._counters.damaged_cursors += 1
                self._counters.warn_once(str(self._cursor.path), "damaged, was set aside; its name begins anew")
        for line in self._lines():
            self.join(line)
        self.phase = Phase.STREAMING

    def take_up(self, line: RingLine) -> None:
        """Stream the ring that `line` found only now, unless this client is still in an earlier one of its name."""
        if self.phase is Phase.STREAMING and line.name not in self.places:
            try:
                self.join(line, appeared=True)
            except Farewell as error:
                self.dismiss(error)
            except (OSError, MemoryError) as error:
                self.dismiss(short_of(error))

    def join(self, line: RingLine, *, appeared: bool = False) -> None:
        """Begin to stream `line` where the client left off; without that, where it asked to start.  A ring that
        `appeared` after the client subscribed is streamed from its first message on.

        Raises:
            Farewell: the client asks for a sequence that is yet to come.
        """
        asked = self.subscription
        assert asked is not None
        had = self._cursors_of(line, appeared=appeared)
        lost_cursor = asked.start is StreamStart.ACKNOWLEDGED and self._cursor is not None and self._cursor.damaged
        if lost_cursor and not had:
            place = line.beginning(asked.at_least_once)
        elif had or not appeared:
            passed = self._passed(line.name, had)
            place = line.place(asked.start, asked.at_least_once, had[-1] if had else None, passed)
        else:
            place = line.first(asked.at_least_once)
        if place is None:
            return
        if self._cursor and (self._cursor.damaged or not self._cursor.of_ring(line.name)):
            # From its first connection on, a named client gets everything behind this sequence.
            self._cursor.advance(line.name, place.feed.uuid, place.sequence - 1)
            self._cursor.save()
        self.places[line.name] = place
        self.queue(line.accept(place))

    def _passed(self, name: str, had: list[RingCursor]) -> list[bytes]:
        """The rings of `name` that the client had before the last of `had`, oldest first.  A process that resumes names
        those that it had itself, the durable cursor those before the first of these that it knows."""
        own = [cursor.uuid for cursor in had]
        durable = [cursor.uuid for cursor in self._cursor.of_ring(name)] if self._cursor and had else []
        begun = next((durable.index(uuid) for uuid in own if uuid in durable), 0)
        return durable[:begun] + own[:-1]

    def _cursors_of(self, line: RingLine, *, appeared: bool) -> list[RingCursor]:
        """Where the client stands in each ring of a name that it had, oldest first; the last one counts."""
        asked = self.subscription
        assert asked is not None
        if asked.start is StreamStart.ACKNOWLEDGED:
            return self._cursor.of_ring(line.name) if self._cursor else []
        if asked.start is not StreamStart.SEQUENCE:
            return []
        found = []
        alone = len(list(self._lines())) == 1  # then a uuid that nobody knows can only be of this name
        for each in asked.resume:
            if each.ring_uuid == ANY_RING:
                if line.current is not None and not appeared:
                    found.append(RingCursor(line.current.uuid, each.sequence))
            elif each.ring_name == line.name or (not each.ring_name and (alone or line.knows(each.ring_uuid))):
                found.append(RingCursor(each.ring_uuid, each.sequence))
        return found

    def _take_ack(self, ack: Ack | None) -> None:
        if ack is None:
            raise Farewell(FarewellReason.BAD_MESSAGE)
        for name, place in self.places.items():
            if place.feed.uuid == ack.ring_uuid:
                sent = place.sequence - 1
                if ack.sequence > sent:
                    raise Farewell(FarewellReason.SEQUENCE_IN_FUTURE, sent, ack.sequence)
            elif ack.ring_uuid not in place.passed:
                continue
            elif self._cursor and not any(one.uuid == ack.ring_uuid for one in self._cursor.of_ring(name)):
                continue  # a later ring was acknowledged already
            if self._cursor:
                self._cursor.advance(name, ack.ring_uuid, ack.sequence)

    def next_chunk(self, line: RingLine) -> memoryview:
        """What to send next of one ring; empty if there is nothing now, or if the filter left nothing (`advanced`)."""
        self.advanced = False
        place = self.places.get(line.name)
        if place is None or self.subscription is None:
            return memoryview(b"")
        before = place.sequence
        try:
            chunk = line.next_chunk(place, self.subscription.wanted)
            self.chunk_times = place.feed.take_times()
            self.advanced = place.sequence != before
            return chunk
        except Farewell as error:
            self.dismiss(error)
        except SegmentError:
            self.dismiss(Farewell(FarewellReason.RING_UNREADABLE))
        except (OSError, MemoryError) as error:
            self.dismiss(short_of(error))
        return memoryview(b"")

    def is_behind(self, line: RingLine) -> bool:
        """Whether more than a chunk of `line` waits for this client."""
        place = self.places.get(line.name)
        return place is not None and line.is_behind(place)

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
        self._counters.shortages += error.reason == FarewellReason.NO_RESOURCES
        self.queue(protocol.farewell(error))

    def evict(self) -> None:
        """Dismiss a client that reads nothing: keep the rest of the message that is half sent, drop what follows it."""
        self.unsent = self.unsent[: self._half_sent]
        self.dismiss(Farewell(FarewellReason.TOO_SLOW))

    def on_time(self, now: float) -> None:
        """Do what is due: dismiss an overdue client, send a Heartbeat or cover filtered sequences, save the cursor."""
        if self.phase is Phase.AWAITING_HELLO and now - self.opened > HELLO_TIMEOUT_S:
            self.dismiss(Farewell(FarewellReason.HELLO_TIMEOUT))
        if self.phase is Phase.STREAMING and not self.unsent and now - self.sent_at > HEARTBEAT_EVERY_S:
            covers = b"".join(place.feed.progress(place) for place in self.places.values())
            self.queue(covers or protocol.heartbeat())
        if self._cursor and not self._cursor.save():
            self._counters.failed_cursor_saves += 1
            self._counters.warn_once(str(self._cursor.path), "cannot be written; acknowledgements are kept in memory")

    def close(self) -> None:
        """Release the name.  Nothing is streamed any more."""
        self.phase = Phase.LEAVING
        self.places.clear()
        if self._cursor:
            self._cursor.close()
            self._cursor = None
