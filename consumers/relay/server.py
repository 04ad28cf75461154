"""The relay's shell: sockets, epoll and the clock around sessions and feeds.

Owns every system call of a relay.  One thread serves all clients; a thread per ring (`bell`) only wakes it.

    turn:   every client whose socket takes bytes gets one chunk of each ring; repeated until none got anything
    sleep:  arm the bells, wait in epoll for a ring, a client, or a tenth of a second
            or, while exactly one ring is active, in naps on that ring itself, with an epoll poll after each
    then:   accept, receive, finish half-sent chunks; every tenth of a second check time-outs, every second new rings

epoll and not asyncio: a relay has one kind of event and one buffer per client, so back-pressure is one boolean here,
and nothing between a ring and `send` allocates.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from consumers.relay.address import Listener, peer_uid
from consumers.relay.bell import Bell
from consumers.relay.cursors import default_directory
from consumers.relay.errors import Farewell
from consumers.relay.feed import RingFeed
from consumers.relay.session import ClientSession, Phase
from consumers.relay.warm import warm
from ringbuf import RingNotFound, RingNotReady, Status, list_rings
from ringbuf.kernels import get_word
from ringbuf.layout import TAIL
from tlv.codes import FarewellReason
from tlv.errors import SegmentError

RECEIVE_BYTES = 1 << 16
SEND_BUFFER_BYTES = 1 << 17
"""Asked of the kernel for each client; it doubles this.  Bounds, with one chunk, the memory of a client that never
reads."""
EVICTION_BUFFER_BYTES = 1 << 20
"""Asked for when a client is evicted, so that a Farewell fits behind what it never read."""
HOUSEKEEPING_S = 0.1
ACTIVE_S = 0.01
"""A ring whose last message is no older is waited for without its bell's thread, which saves a wake-up for each message
(bench `relay`).  A ring of fewer than 100 messages a second is left to its bell, which costs nothing in between."""
NAP_NS = 250_000
"""How long a nap may leave the sockets unpolled."""
DISCOVERY_S = 1.0
ACCEPT_PAUSE_S = 0.001
LINGER_S = 1.0
"""How long a dismissed client may take to read its Farewell."""
PREFIXES = {"market_data": "market.", "signal": "signal.", "execution": "execution."}
"""Names of a domain's rings begin with this."""

READ = select.EPOLLIN | select.EPOLLRDHUP
WRITE = select.EPOLLOUT


@dataclass
class Counters:
    """What a relay did since it began."""

    clients: int = 0
    accepted: int = 0
    refused: int = 0
    evicted: int = 0
    bytes: int = 0
    chunks: int = 0
    malformed_frames: int = 0
    unreadable_rings: int = 0
    failed_cursor_saves: int = 0


class Connection:
    """A client's socket and session."""

    __slots__ = ("leaving_since", "session", "socket", "stuck_since")

    def __init__(self, sock: socket.socket, session: ClientSession) -> None:
        self.socket = sock
        self.session = session
        self.stuck_since = 0.0
        self.leaving_since = 0.0


class Relay:
    """Serves rings at one Unix socket.

    Args:
        domain: `market_data`, `signal` or `execution`.
        path: of the socket.
        rings: their names; None takes every ring whose name begins as the domain's do, also those to come.
        journals: where rings are recorded, by name.
        patience_s: how long a client's socket may stay full before the client is evicted.

    Raises:
        SocketRefused: see `Listener`.
        RingNotFound: a ring that was named does not exist.
    """

    def __init__(
        self,
        domain: str,
        path: Path,
        *,
        rings: Sequence[str] | None = None,
        journals: Mapping[str, Path] | None = None,
        cursors: Path | None = None,
        patience_s: float = 5.0,
        max_clients: int = 256,
    ) -> None:
        self.domain = domain
        self.path = path
        self.counters = Counters()
        self.patience_s = patience_s
        self.max_clients = max_clients
        self._named = rings
        self._journals = journals or {}
        self._cursors = (cursors or default_directory()) / domain
        self._feeds: list[RingFeed] = []
        self._bells: dict[int, Bell] = {}
        self._next_index = 0
        self._connections: dict[int, Connection] = {}
        self._sleeper = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        self._next_housekeeping = 0.0
        self._next_discovery = 0.0
        warm()
        try:
            for name in rings or ():
                self._open_feed(name)
            self._listener = Listener(path)
        except BaseException:
            self._close_feeds()
            raise
        self._epoll.register(self._listener.socket, READ)
        self._epoll.register(self._sleeper, select.EPOLLIN)

    def run(self, stop: Callable[[], bool]) -> Counters:
        """Serve until `stop` returns True, then drain: send what the rings hold now and a Farewell, and disconnect."""
        while not stop():
            self._keep_house(time.monotonic())
            self._wait(0.0 if self._turn() else HOUSEKEEPING_S)
        self._drain()
        return self.counters

    def close(self) -> None:
        """Close all connections, leave the rings, remove the socket."""
        for fd in list(self._connections):
            self._hang_up(fd)
        self._close_feeds()
        self._listener.close()
        self._epoll.close()
        os.close(self._sleeper)

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- sending

    def _turn(self) -> bool:
        """Send one chunk of each ring to every client whose socket takes it.  False if no client advanced."""
        busy = False
        for feed in self._feeds:
            feed.seen_end = None
        for fd, connection in list(self._connections.items()):
            session = connection.session
            if session.phase is not Phase.STREAMING:
                continue
            for feed in self._feeds:
                if session.unsent:
                    break
                chunk = session.next_chunk(feed)
                if chunk:
                    self._send(fd, connection, chunk)
                    self.counters.chunks += 1
                # A filter may have left nothing of a chunk; its client has advanced all the same.
                busy = busy or bool(chunk) or session.advanced
            if session.unsent and not connection.stuck_since:
                # A message of the relay itself: a SubscribeAck, a Gap, a Heartbeat.
                self._flush(fd, connection)
        return busy

    def _send(self, fd: int, connection: Connection, chunk: memoryview) -> None:
        try:
            sent = connection.socket.send(chunk)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._hang_up(fd)
            return
        self.counters.bytes += sent
        connection.session.note_sent(chunk, sent, time.monotonic())
        blocked = bool(connection.session.unsent)
        if blocked != bool(connection.stuck_since):
            self._epoll.modify(fd, READ | WRITE if blocked else READ)
        if not blocked:
            connection.stuck_since = 0.0
        elif sent or not connection.stuck_since:
            connection.stuck_since = time.monotonic()

    def _flush(self, fd: int, connection: Connection) -> None:
        self._send(fd, connection, connection.session.unsent)
        if connection.session.phase is Phase.LEAVING and not connection.session.unsent and fd in self._connections:
            # Not closed yet: a close while the client still sends resets the connection, and it misses the Farewell.
            with contextlib.suppress(OSError):
                connection.socket.shutdown(socket.SHUT_WR)

    # ---- waiting and receiving

    def _wait(self, timeout_s: float) -> None:
        active = self._arm_bells() if timeout_s else None
        for fd, event in self._nap(active) if active else self._epoll.poll(timeout_s):
            if fd == self._sleeper:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(fd)
            elif fd == self._listener.socket.fileno():
                self._accept()
            else:
                self._serve(fd, event)

    def _arm_bells(self) -> RingFeed | None:
        """Arm the bells; if exactly one ring is active, all but its own, and return that ring, to nap on."""
        # Only rings at whose end some client is: new frames of the others are sent without waiting.
        waiting = [feed for feed in self._feeds if feed.seen_end is not None]
        now = time.monotonic()
        active = [feed for feed in waiting if now - feed.last_message_at < ACTIVE_S]
        only = active[0] if len(active) == 1 else None
        for feed in waiting:
            if feed is not only and feed.seen_end is not None:
                self._bells[feed.index].arm(feed.seen_end)
        return only

    def _nap(self, feed: RingFeed) -> list[tuple[int, int]]:
        """Nap until the ring has new frames, epoll has events, or the ring is no longer active; epoll's events."""
        bell, end = self._bells[feed.index], feed.seen_end
        while end is not None and time.monotonic() - feed.last_message_at < ACTIVE_S:
            has_frames = bell.nap(end, NAP_NS)
            # All events at once: taking them one by one would change their order, and a Subscribe might be served
            # before the hang-up that frees its name.
            events = self._epoll.poll(0.0)
            if has_frames or events:
                return events
        return []

    def _serve(self, fd: int, event: int) -> None:
        connection = self._connections.get(fd)
        if connection is None:
            return
        if event & select.EPOLLIN:
            self._receive(fd, connection)
        elif event & (select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP):
            self._hang_up(fd)
            return
        if event & WRITE and fd in self._connections and connection.session.unsent:
            self._flush(fd, connection)

    def _receive(self, fd: int, connection: Connection) -> None:
        try:
            data = connection.socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._hang_up(fd)
            return
        connection.session.receive(data)
        if connection.session.unsent:
            self._flush(fd, connection)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.socket.accept()
            except BlockingIOError:
                return
            except OSError:
                # Out of descriptors, or the client is gone already; the next event tries again.
                self.counters.refused += 1
                time.sleep(ACCEPT_PAUSE_S)
                return
            sock.setblocking(False)
            if peer_uid(sock) != os.getuid():
                self.counters.refused += 1
                sock.close()
                continue
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            session = ClientSession(time.monotonic(), lambda: self._feeds, self._cursors)
            fd = sock.fileno()
            self._connections[fd] = connection = Connection(sock, session)
            self._epoll.register(fd, READ)
            self.counters.accepted += 1
            self.counters.clients = len(self._connections)
            if len(self._connections) > 2 * self.max_clients:
                # Dismissed clients that have not left yet are too many as well: no Farewell for this one.
                self.counters.refused += 1
                self._hang_up(fd)
            elif len(self._connections) > self.max_clients:
                self.counters.refused += 1
                session.dismiss(Farewell(FarewellReason.TOO_MANY_CLIENTS, self.max_clients, self.max_clients + 1))
                self._flush(fd, connection)

    def _hang_up(self, fd: int) -> None:
        connection = self._connections.get(fd)
        if connection is None:
            return
        self._epoll.unregister(fd)
        connection.session.close()
        connection.socket.close()
        del self._connections[fd]
        self.counters.clients = len(self._connections)

    # ---- housekeeping

    def _keep_house(self, now: float) -> None:
        if now < self._next_housekeeping:
            return
        self._next_housekeeping = now + HOUSEKEEPING_S
        for fd, connection in list(self._connections.items()):
            session = connection.session
            if connection.stuck_since and now - connection.stuck_since > self.patience_s:
                self._evict(fd, connection)
            session.on_time(now, self._feeds)
            if session.unsent and not connection.stuck_since:
                self._flush(fd, connection)
            if session.phase is Phase.LEAVING:
                connection.leaving_since = connection.leaving_since or now
                if now - connection.leaving_since > LINGER_S:
                    self._hang_up(fd)
        self.counters.failed_cursor_saves = sum(each.session.failed_saves for each in self._connections.values())
        self.counters.malformed_frames = sum(feed.malformed for feed in self._feeds)
        if now >= self._next_discovery:
            self._next_discovery = now + DISCOVERY_S
            self._discover()

    def _evict(self, fd: int, connection: Connection) -> None:
        self.counters.evicted += 1
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, EVICTION_BUFFER_BYTES)
        connection.session.evict()
        self._flush(fd, connection)

    def _discover(self) -> None:
        """Close the feeds of rings that are gone and read to their end, and open those of new rings."""
        for feed in list(self._feeds):
            if feed.reader.check() is Status.ORPHANED and self._is_read(feed):
                self._close_feed(feed)
        wanted = self._named
        if wanted is None:
            wanted = [name for name in list_rings() if name.startswith(PREFIXES[self.domain])]
        unreadable = 0
        for name in wanted:
            if all(feed.name != name for feed in self._feeds):
                try:
                    feed = self._open_feed(name)
                except (RingNotFound, RingNotReady):
                    continue
                except SegmentError:
                    # Of another layout, or no ring at all; the other rings are served all the same.
                    unreadable += 1
                    continue
                for connection in self._connections.values():
                    connection.session.take_up(feed)
        self.counters.unreadable_rings = unreadable

    def _is_read(self, feed: RingFeed) -> bool:
        """Whether every client whose socket is not stuck has everything of a ring that is gone."""
        end = get_word(feed.reader.words, TAIL)
        places = (
            connection.session.places.get(feed.index)
            for connection in self._connections.values()
            if not connection.stuck_since
        )
        return all(place is None or place.position >= end for place in places)

    def _open_feed(self, name: str) -> RingFeed:
        feed = RingFeed(name, self._next_index, self._journals.get(name))
        self._next_index += 1
        self._feeds.append(feed)
        bell = self._bells[feed.index] = Bell(feed.reader, self._sleeper)
        bell.nap(feed.reader.position, 0)
        return feed

    def _close_feed(self, feed: RingFeed) -> None:
        self._feeds.remove(feed)
        self._bells.pop(feed.index).close()
        for connection in self._connections.values():
            connection.session.leave(feed)
        feed.close()

    def _close_feeds(self) -> None:
        for feed in list(self._feeds):
            self._close_feed(feed)

    def _drain(self) -> None:
        """Give every client what its rings hold now, then the Farewell; all of it within LINGER_S."""
        deadline = time.monotonic() + LINGER_S
        self._epoll.unregister(self._listener.socket)
        ends = {feed.index: get_word(feed.reader.words, TAIL) for feed in self._feeds}
        while time.monotonic() < deadline and self._connections:
            self._turn()
            for fd, connection in list(self._connections.items()):
                session = connection.session
                places = session.places.items()
                if all(place.position >= ends.get(index, 0) for index, place in places) and not session.unsent:
                    session.dismiss(Farewell(FarewellReason.SHUTTING_DOWN))
                    self._flush(fd, connection)
            self._wait(0.001)
