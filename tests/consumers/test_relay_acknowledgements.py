"""What a client acknowledges before it leaves, or before the relay hangs up, counts."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.incarnations import RingCursor
from consumers.relay import Relay, address, protocol
from consumers.relay.cursors import Cursor
from consumers.relay.errors import Farewell
from consumers.relay.server import RECEIVE_BYTES
from consumers.relay.session import ClientSession
from ringbuf import Writer
from tests.consumers.relay_rig import make_ring, publish
from tests.consumers.test_relay_sharing import line_of, session_of
from tlv.codes import FarewellReason, StreamStart

PUBLISHED = 300
HANDLED = 200
NAME = "risk"
HELLO = protocol.subscribe(name=NAME, start=StreamStart.OLDEST)


def goes_on_at(cursors: Path, ring: str) -> list[RingCursor]:
    """Where the name goes on."""
    cursor = Cursor(cursors, NAME)
    try:
        return cursor.of_ring(ring)
    finally:
        cursor.close()


def acknowledge(client: socket.socket, writer: Writer, size: int) -> None:
    """Send so many bytes of acknowledgements, and one of HANDLED as the last."""
    last = protocol.acknowledge(HANDLED, writer.uuid)
    client.sendall(protocol.acknowledge(1, writer.uuid) * (size // len(last)) + last)


@pytest.mark.parametrize("size", [0, 2 * RECEIVE_BYTES], ids=["one", "many"])
@pytest.mark.parametrize("reads", [False, True], ids=["messages unread", "all read"])
def test_relay_client_that_left_before_a_send_is_read_to_its_end(ring_name: str, size: int, reads: bool) -> None:
    def course(relay: Relay, writer: Writer) -> Iterator[bool]:
        """What happens between two turns; True ends the relay."""
        client = address.connect(relay.path, 10)
        client.sendall(HELLO)
        while not any(each.session.places for each in relay._connections.values()):
            yield False
        (session,) = (each.session for each in relay._connections.values())
        while session.places[ring_name].sequence <= PUBLISHED or session.unsent:
            yield False
        if reads:
            client.recv(relay.counters.bytes, socket.MSG_WAITALL)
        acknowledge(client, writer, size)
        client.close()
        # The relay's next turn sends this, before it looks at its sockets again, and gets EPIPE.
        publish(writer, 1)
        while relay._connections:
            yield False
        yield True

    with tempfile.TemporaryDirectory(prefix="relay") as directory, make_ring(ring_name) as writer:
        publish(writer, PUBLISHED)
        with Relay("market_data", Path(directory, "s"), rings=[ring_name], cursors=Path(directory)) as relay:
            relay.run(course(relay, writer).__next__)
        assert goes_on_at(Path(directory, "market_data"), ring_name) == [RingCursor(writer.uuid, HANDLED + 1)]


@contextlib.contextmanager
def sent_everything(ring: str, cursors: Path) -> Iterator[tuple[ClientSession, bytes]]:
    """A session that sent all that was published, and an acknowledgement of HANDLED for it."""
    with make_ring(ring) as writer:
        publish(writer, PUBLISHED)
        line = line_of(ring)
        session = session_of(HELLO, line, cursors)
        while session.places[ring].sequence <= PUBLISHED:
            session.next_chunk(line)
        yield session, protocol.acknowledge(HANDLED, writer.uuid)
        session.close()
        line.close()


@pytest.mark.parametrize("reason", [FarewellReason.SHUTTING_DOWN, FarewellReason.TOO_SLOW])
def test_session_that_is_dismissed_takes_acknowledgements_until_its_end(
    ring_name: str, tmp_path: Path, reason: FarewellReason
) -> None:
    with sent_everything(ring_name, tmp_path) as (session, ack):
        session.dismiss(Farewell(reason))
        farewell = bytes(session.unsent)
        session.receive(ack)
        assert session.unsent == farewell
    assert [place.sequence for place in goes_on_at(tmp_path, ring_name)] == [HANDLED + 1]


def test_session_that_sent_nonsense_is_not_listened_to_any_more(ring_name: str, tmp_path: Path) -> None:
    with sent_everything(ring_name, tmp_path) as (session, ack):
        session.receive(b"nonsense" * 8)
        session.receive(ack)
    assert [place.sequence for place in goes_on_at(tmp_path, ring_name)] == [1]
