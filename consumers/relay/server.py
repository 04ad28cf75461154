"""The relay's shell: sockets, epoll and the clock around sessions and feeds.

Owns every system call of a relay.  One thread serves all clients; a thread per ring (`bell`) only wakes it.

    turn:   every client whose socket takes bytes gets one chunk of each ring; repeated until none got anything.  Those
            that are more than a chunk behind come last, in turns, and for BEHIND_S at most
    sleep:  arm the bells, wait in epoll for a ring, a client, or a tenth of a second
            or, while exactly one ring is active, in naps on that ring itself, with an epoll poll after each
    then:   accept, receive, finish half-sent chunks; every tenth of a second check time-outs, every second new rings

epoll and not asyncio: a relay has one kind of event and one buffer per client, so back-pressure is one boolean here,
and nothing between a ring and `send` allocates.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from consumers.journal.extents import RecordedRings
from consumers.relay.address import peer_uid
from consumers.relay.admission import Admission
from consumers.relay.bell import Bell
from consumers.relay.counters import Counters
from consumers.relay.cursors import default_directory
from consumers.relay.errors import Farewell
from consumers.relay.feed import NO_TIMES, RingFeed
from consumers.relay.line import RingLine
from consumers.relay.session import ClientSession, Phase
from consumers.relay.warm import warm
from ringbuf import SharedCounters, list_rings
from tlv.codes import FarewellReason
from tlv.errors import SegmentError

RECEIVE_BYTES = 1 << 16
LAST_READS = 64
"""Of RECEIVE_BYTES, from a client that takes nothing more: many times what Linux queues by default, and a bound for one
that only shut its reading end down and sends on."""
SEND_BUFFER_BYTES = 1 << 17
"""Asked of the kernel for each client; it doubles this.  Bounds, with one chunk, the memory of a client that never
reads."""
EVICTION_BUFFER_BYTES = 1 << 20
"""Asked for when a client is evicted, so that a Farewell fits behind what it never read."""
HOUSEKEEPING_S = 0.1
ACTIVE_S = 0.01
"""A ring whose last message is no older is waited for without its bell's thread, which saves a wake-up for each message
(bench `relay`).  A ring of fewer than 100 messages a second is left to its bell, which costs nothing in between."""
BEHIND_S = 0.0005
"""How long a turn may serve clients that catch up, so that 256 of them delay the others by that and a
chunk."""
NAP_NS = 250_000
"""How long a nap may leave the sockets unpolled."""
DISCOVERY_S = 1.0
LINGER_S = 1.0
"""How long a dismissed client may take to read its Farewell."""
PREFIXES = {"market_data": "market.", "signal": "signal.", "execution": "execution."}
"""Names of a domain's rings begin with this."""

READ = select.EPOLLIN | select.EPOLLRDHUP
WRITE = select.EPOLLOUT


class Connection:
    """A client's socket and session."""

    __slots__ = ("leaving_since", "opened_ns", "session", "socket", "stuck_since", "untaken_times")

    def __init__(self, sock: socket.socket, session: ClientSession) -> None:
        self.socket = sock
        self.session = session
        self.opened_ns = time.monotonic_ns()
        self.untaken_times = NO_TIMES
        """When the frames of the chunk were published that the socket has not taken whole."""
        self.stuck_since = 0.0
        self.leaving_since = 0.0


class Relay:
    """Serves rings at one Unix socket.

    Args:
        domain: `market_data`, `signal` or `execution`.
        path: of the socket.
        rings: their names; None takes every ring whose name begins as the domain's do, also those to come.
        journals: where rings are recorded, by name.
        recorded_in: journals whose ring is not known yet: nothing is recorded there so far.
        patience_s: how long a client's socket may stay full before the client is evicted.
        shared: where what it counts can be read by others: counters of `Counters`.

    A ring that does not exist yet is served as soon as it does.

    Raises:
        SocketRefused: see `Listener`.
        SegmentError: the only ring that was named is none that this build can read.
    """

    def __init__(
        self,
        domain: str,
        path: Path,
        *,
        rings: Sequence[str] | None = None,
        journals: Mapping[str, Path] | None = None,
        recorded_in: Sequence[Path] = (),
        cursors: Path | None = None,
        patience_s: float = 5.0,
        max_clients: int = 256,
        shared: SharedCounters | None = None,
    ) -> None:
        self.domain = domain
        self.path = path
        self.counters = Counters()
        self._shared = shared
        if shared is not None:
            shared.bind(self.counters)
        self.patience_s = patience_s
        self.max_clients = max_clients
        self._named = rings
        self._journals = dict(journals or {})
        self._unassigned = [RecordedRings(directory) for directory in recorded_in]
        self._cursors = (cursors or default_directory()) / domain
        self._lines: dict[str, RingLine] = {}
        self._bells: dict[int, Bell] = {}
        self._indices = itertools.count()
        self._malformed_before = 0
        self._refused: dict[str, SegmentError] = {}
        self._connections: dict[int, Connection] = {}
        self._sleeper = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        self._next_housekeeping = 0.0
        self._next_discovery = 0.0
        self._turns = 0
        warm()
        try:
            for name in rings if rings is not None else self._journals:
                self._open_line(name)
            self._discover()
            if len(self._lines) == len(self._refused) == 1 and rings:
                raise self._refused[rings[0]]
            self._admission = Admission(path, self._epoll, self.counters)
        except BaseException:
            self._close_lines()
            raise
        self._epoll.register(self._sleeper, select.EPOLLIN)

    @property
    def missing(self) -> list[str]:
        """The names of which no ring has been found yet."""
        return [line.name for line in self._lines.values() if line.current is None]

    @property
    def unrecorded(self) -> list[Path]:
        """The journals in which nothing has been found yet."""
        return [recorded.directory for recorded in self._unassigned]

    def run(self, stop: Callable[[], bool], tell: Callable[[Counters], None] | None = None) -> Counters:
        """Serve until `stop` returns True, then drain: send what the rings hold now and a Farewell, and disconnect.

        `tell` gets the counters every second.
        """
        while not stop():
            if self._keep_house(time.monotonic()):
                if self._shared is not None:
                    self._shared.put(self.counters)
                if tell:
                    tell(self.counters)
            self._wait(0.0 if self._turn() else HOUSEKEEPING_S)
        self._drain()
        return self.counters

    def close(self) -> None:
        """Close all connections, leave the rings, remove the socket."""
        for fd in list(self._connections):
            self._hang_up(fd)
        self._close_lines()
        self._admission.close()
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
        behind: list[tuple[int, Connection, RingLine]] = []
        for line in self._lines.values():
            for feed in line.feeds.values():
                feed.seen_end, feed.runs.several = None, len(self._connections) > 1
        for fd, connection in list(self._connections.items()):
            session = connection.session
            if session.phase is not Phase.STREAMING:
                continue
            for line in self._lines.values():
                if session.unsent:
                    break
                if session.is_behind(line):
                    behind.append((fd, connection, line))
                else:
                    busy = self._advance(fd, connection, line) or busy
            if session.unsent and not connection.stuck_since:
                # A message of the relay itself: a SubscribeAck, a Gap, a Heartbeat.
                self._flush(fd, connection)
        self.counters.behind = len(behind)
        return self._serve_behind(behind) or busy if behind else busy

    def _serve_behind(self, behind: list[tuple[int, Connection, RingLine]]) -> bool:
        """A chunk for each client that catches up, beginning with another one in each turn, as many as BEHIND_S
        permits. False if none advanced."""
        busy = False
        deadline = time.monotonic() + BEHIND_S
        begin = self._turns % len(behind)
        for fd, connection, line in behind[begin:] + behind[:begin]:
            self._turns += 1
            if connection.session.unsent:
                continue
            busy = self._advance(fd, connection, line) or busy
            if connection.session.unsent and not connection.stuck_since:
                self._flush(fd, connection)
            if time.monotonic() > deadline:
                return True
        return busy

    def _advance(self, fd: int, connection: Connection, line: RingLine) -> bool:
        """Send a client its next chunk of one ring.  False if it did not advance."""
        session = connection.session
        chunk = session.next_chunk(line)
        if chunk:
            connection.untaken_times = session.chunk_times
            self._send(fd, connection, chunk)
            self.counters.chunks += 1
        # A filter may have left nothing of a chunk; its client has advanced all the same.
        return bool(chunk) or session.advanced

    def _send(self, fd: int, connection: Connection, chunk: memoryview) -> None:
        try:
            sent = connection.socket.send(chunk)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._take_rest_and_hang_up(fd, connection)
            return
        self.counters.bytes += sent
        connection.session.note_sent(chunk, sent, time.monotonic())
        blocked = bool(connection.session.unsent)
        if blocked != bool(connection.stuck_since):
            self._epoll.modify(fd, READ | WRITE if blocked else READ)
        if not blocked:
            connection.stuck_since = 0.0
            self._note_taken(connection)
            return
        connection.untaken_times = connection.untaken_times.copy()  # they are of a buffer that all clients share
        if sent or not connection.stuck_since:
            connection.stuck_since = time.monotonic()

    def _note_taken(self, connection: Connection) -> None:
        """Count how old the frames of a chunk are now that its client's socket has all of it."""
        if connection.untaken_times.size:
            delay = self.counters.ring_to_client
            delay.add_ages(connection.untaken_times, time.monotonic_ns(), connection.opened_ns)
            connection.untaken_times = NO_TIMES

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
            elif fd == self._admission.fileno():
                self._accept()
            else:
                self._serve(fd, event)

    def _arm_bells(self) -> RingFeed | None:
        """Arm the bells; if exactly one ring is active, all but its own, and return that ring, to nap on."""
        # Only rings at whose end some client is: new frames of the others are sent without waiting.
        waiting = [feed for feed in self._feeds() if feed.seen_end is not None and feed.index in self._bells]
        now = time.monotonic()
        active = [feed for feed in waiting if now - feed.last_message_at < ACTIVE_S]
        only = active[0] if len(active) == 1 else None
        for feed in waiting:
            if feed is not only and feed.seen_end is not None:
                self._bells[feed.index].arm(feed.seen_end)
        return only

    def _nap(self, feed: RingFeed) -> list[tuple[int, int]]:
        """Nap until the ring has new frames, epoll has events, or the ring is no longer active; epoll's events, which
        wait where there are frames: the turn that sends these polls them behind it."""
        while feed.seen_end is not None and time.monotonic() - feed.last_message_at < ACTIVE_S:
            if feed.await_frames(NAP_NS):
                return []
            # All events at once: taking them one by one would change their order, and a Subscribe might be served
            # before the hang-up that frees its name.
            if events := self._epoll.poll(0.0):
                return events
        return []

    def _serve(self, fd: int, event: int) -> None:
        connection = self._connections.get(fd)
        if connection is None:
            return
        if event & select.EPOLLIN:
            self._receive(fd, connection)
        elif event & (select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP):
            self._take_rest_and_hang_up(fd, connection)
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
            self._take_rest_and_hang_up(fd, connection)
            return
        connection.session.receive(data)
        if connection.session.unsent:
            self._flush(fd, connection)

    def _take_rest_and_hang_up(self, fd: int, connection: Connection) -> None:
        """Hang up on a client that takes nothing more, once what it sent before is taken."""
        if fd not in self._connections:
            return
        # EPIPE says nothing of what is still to be read.  Neither does ECONNRESET, which stands for messages that the
        # client left unread: Linux reports it once, then what is queued and the end.
        reset = False
        for _ in range(LAST_READS):
            try:
                data = connection.socket.recv(RECEIVE_BYTES)
            except ConnectionResetError:
                if reset:
                    break
                reset = True
                continue
            except OSError:
                break
            if not data:
                break
            connection.session.receive(data)
        self._hang_up(fd)

    def _accept(self) -> None:
        while sock := self._admission.accept():
            try:
                self._admit(sock)
            except (OSError, MemoryError) as error:
                self.counters.lack(error, "a client could not be admitted")
                self._hang_up(sock.fileno())
                sock.close()

    def _admit(self, sock: socket.socket) -> None:
        """Take a new connection into service, or turn it away."""
        if peer_uid(sock) != os.getuid():
            self.counters.refused += 1
            sock.close()
            return
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        session = ClientSession(time.monotonic(), self._lines.values, self._cursors, self.counters)
        fd = sock.fileno()
        self._epoll.register(fd, READ)
        self._connections[fd] = connection = Connection(sock, session)
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

    def _keep_house(self, now: float) -> bool:
        """What is due every tenth of a second, and every second; True if the second was over."""
        if now < self._next_housekeeping:
            return False
        self._next_housekeeping = now + HOUSEKEEPING_S
        for fd, connection in list(self._connections.items()):
            session = connection.session
            if connection.stuck_since and now - connection.stuck_since > self.patience_s:
                self._evict(fd, connection)
            session.on_time(now)
            if session.unsent and not connection.stuck_since:
                self._flush(fd, connection)
            if session.phase is Phase.LEAVING:
                connection.leaving_since = connection.leaving_since or now
                if now - connection.leaving_since > LINGER_S:
                    self._hang_up(fd)
        self._admission.listen()
        self.counters.malformed_frames = self._malformed_before + sum(feed.malformed for feed in self._feeds())
        self._look_safely(now)
        if now < self._next_discovery:
            return False
        self._next_discovery = now + DISCOVERY_S
        try:
            # First whoever waits at a socket that may have lost its name.
            self._accept()
            self._admission.keep()
            self._discover()
        except (OSError, MemoryError, RuntimeError) as error:
            # Descriptors, memory or threads: the next second tries again.
            self.counters.lack(error, "rings and socket cannot be looked after")
        return True

    def _evict(self, fd: int, connection: Connection) -> None:
        self.counters.evicted += 1
        with contextlib.suppress(OSError):
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, EVICTION_BUFFER_BYTES)
        connection.session.evict()
        self._flush(fd, connection)

    def _discover(self) -> None:
        """Serve the names that have appeared; without names of its own a relay serves every ring of its domain."""
        for recorded in list(self._unassigned):
            recorded.extents()
            if recorded.ring_name:
                self._unassigned.remove(recorded)
                self._assign(recorded.ring_name, recorded.directory)
                recorded.close()
        if self._named is None:
            for name in list_rings():
                if name.startswith(PREFIXES[self.domain]):
                    self._open_line(name)
        self._look(time.monotonic())
        for feed in self._feeds():
            feed.mend()
        self.counters.unreadable_rings = len(self._refused) + sum(bool(feed.damage) for feed in self._feeds())

    def _look_safely(self, now: float) -> None:
        try:
            self._look(now)
        except (OSError, MemoryError, RuntimeError) as error:
            # Descriptors, memory or threads: the next look tries again.
            self.counters.lack(error, "rings cannot be looked after")

    def _look(self, now: float) -> None:
        """Take up rings that are new under their name, and give back the maps that nobody needs any more."""
        for line in self._lines.values():
            try:
                feed = line.look(now)
            except SegmentError as error:
                # Of another layout, or no ring at all; the other rings are served all the same.
                self._refused[line.name] = error
                self.counters.warn_once(f"ring {line.name}", str(error), ring=line.name)
                continue
            if feed is not None:
                self._refused.pop(line.name, None)
                self.counters.sound(f"ring {line.name}")
                for connection in self._connections.values():
                    connection.session.take_up(line)
            self._release(line)
            for held in line.feeds.values():
                self._attach_bell(held)

    def _assign(self, name: str, journal: Path) -> None:
        """Something was recorded in `journal`, of ring `name`."""
        self._journals[name] = journal
        if name in self._lines:
            self._lines[name].use_journal(journal)
        elif self._named is None:
            self._open_line(name)

    def _release(self, line: RingLine) -> None:
        places = (connection.session.places.get(line.name) for connection in self._connections.values())
        for feed in line.unneeded([place.feed for place in places if place is not None]):
            if feed.index in self._bells:
                self._bells.pop(feed.index).close()
            if feed.reader is None:
                self._malformed_before += feed.malformed
            line.release(feed)

    def _feeds(self) -> Iterator[RingFeed]:
        for line in self._lines.values():
            yield from line.feeds.values()

    def _open_line(self, name: str) -> None:
        if name not in self._lines:
            self._lines[name] = RingLine(
                name, self._journals.get(name), partial(next, self._indices), self.counters, self._wake
            )

    def _attach_bell(self, feed: RingFeed) -> None:
        if feed.reader is not None and feed.index not in self._bells:
            self._bells[feed.index] = Bell(feed.reader, self._sleeper)

    def _close_lines(self) -> None:
        for bell in self._bells.values():
            bell.close()
        self._bells.clear()
        for line in self._lines.values():
            line.close()
        self._lines.clear()

    def _wake(self) -> None:
        """End a sleep of `run`, from another thread."""
        os.eventfd_write(self._sleeper, 1)

    def _drain(self) -> None:
        """Give every client what its rings hold now, then the Farewell; all of it within LINGER_S."""
        deadline = time.monotonic() + LINGER_S
        self._admission.stop()
        ends = {name: line.ends() for name, line in self._lines.items()}
        while time.monotonic() < deadline and self._connections:
            self._turn()
            for fd, connection in list(self._connections.items()):
                session = connection.session
                places = session.places.items()
                if all(self._lines[name].is_read(place, ends[name]) for name, place in places) and not session.unsent:
                    session.dismiss(Farewell(FarewellReason.SHUTTING_DOWN))
                    self._flush(fd, connection)
            self._wait(0.001)
