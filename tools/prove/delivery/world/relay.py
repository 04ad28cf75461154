"""The relay's process: its line, and a session for each connection.

The deciding code is the project's `ClientSession` and `RingLine`; the turns are those of `consumers.relay.server`,
which holds sockets.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path

from consumers.relay.counters import Counters
from consumers.relay.session import ClientSession, Phase
from tools.prove.delivery.world.cursors import CursorStore
from tools.prove.delivery.world.line import Surroundings, WorldLine
from tools.prove.delivery.world.wire import WireEnd

MOST_CHUNKS = 400
"""In one turn: a world publishes less."""


class Spun(Exception):
    """A turn that does not end."""


class RelayModel:
    """One process of it."""

    def __init__(self, around: Surroundings, store: CursorStore) -> None:
        self._around, self._store = around, store
        self._counters = Counters()
        self._line = WorldLine(around, count().__next__, self._counters)
        self._connections: list[tuple[WireEnd, ClientSession]] = []

    def accept(self, wire: WireEnd) -> None:
        """Take a connection."""
        session = ClientSession(self._around.clock.now, lambda: [self._line], Path(), self._counters)
        self._connections.append((wire, session))

    def step(self) -> None:
        """One turn: look, receive, send, keep house.

        Raises:
            Spun: a client advances for ever.
        """
        now = self._around.clock.now
        if self._line.look(now) is not None:
            for _, session in self._connections:
                session.take_up(self._line)
        places = [session.places.get(self._line.name) for _, session in self._connections]
        for feed in self._line.unneeded([place.feed for place in places if place is not None]):
            self._line.release(feed)
        for connection in list(self._connections):
            self._serve(*connection, now)
            if not connection[0].open:
                connection[1].close()
                self._connections.remove(connection)

    def _serve(self, wire: WireEnd, session: ClientSession, now: float) -> None:
        session.receive(bytes(wire.to_relay))
        wire.to_relay.clear()
        session.on_time(now)
        for _ in range(MOST_CHUNKS):
            chunk, advanced = session.unsent, False
            if not chunk and session.phase is Phase.STREAMING:
                chunk = session.next_chunk(self._line)
                advanced = session.advanced
            if chunk and not self._send(wire, session, chunk, now):
                return
            if not chunk and not session.unsent and not advanced:
                break
        else:
            raise Spun(f"{MOST_CHUNKS} chunks in one turn")
        if session.phase is Phase.LEAVING:
            wire.close()

    def _send(self, wire: WireEnd, session: ClientSession, chunk: memoryview, now: float) -> bool:
        """Send a chunk, or the piece of it that the socket takes; False if it takes no more."""
        chances, sent = self._around.chances, len(chunk)
        if sent > 1 and chances.strikes("partial_sends", 0.2):
            sent = chances.number("partial_sends", 1, sent - 1)
        if wire.open:
            wire.to_client += chunk[:sent]
            wire.answered = True
        whole = sent == len(chunk)
        session.note_sent(chunk, sent, now)
        return whole

    def kill(self) -> None:
        """End it: connections break, and what was not saved is gone."""
        for wire, _ in self._connections:
            wire.close()
        self._store.locked.clear()
