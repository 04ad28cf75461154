"""A NATS server and the connections to it: the client library's own code on this side, a model on the other.

Owns who is connected and subscribed, what is on its way, and what strikes the server: it dies, hangs, is slow, cuts
connections.  What JetStream answers is in `jetstream`.  `WireTransport` stands for the library's TCP transport.
"""

from __future__ import annotations

import asyncio
import heapq
import json
from collections.abc import Callable
from itertools import count
from typing import Any

from nats.aio.transport import Transport

from consumers.bridge.stream_config import covers
from tools.prove.delivery.world.jetstream import JetStream
from tools.prove.delivery.world.process_loop import ProcessLoop

API, ACK, NEXT = "$JS.API.", "$JS.ACK.", "CONSUMER.MSG.NEXT."
IN_ORDER_S = 1e-6
"""Between two pieces on one connection: a loop does not order what is due at the same time."""
NO_RESPONDERS = b"NATS/1.0 503\r\n\r\n"


class WireTransport(Transport):  # type: ignore[misc]
    """The client's end of a connection; one for each attempt to connect."""

    server: WorldServer
    """Where all connect to, while a world runs."""

    def __init__(self) -> None:
        self.loop: Any = asyncio.get_running_loop()
        self._reader = asyncio.StreamReader(loop=self.loop)
        self._served: Served | None = None
        self._told_until = 0.0
        self._over = False

    async def connect(self, uri: Any, buffer_size: int, connect_timeout: int) -> None:
        """Reach the server.

        Raises:
            ConnectionRefusedError: it is down.
        """
        await asyncio.sleep(self.server.latency())
        if not self.server.up:
            raise ConnectionRefusedError(111, "Connection refused")
        self._served = self.server.accept(self)

    async def connect_tls(self, uri: Any, ssl_context: Any, buffer_size: int, connect_timeout: int) -> None:
        """Nothing here is encrypted."""
        raise NotImplementedError

    def write(self, payload: bytes) -> None:
        """Send bytes."""
        if self._served is not None and not self.loop.struck():
            self.server.receive(self._served, bytes(payload), self.loop)

    def writelines(self, payload: list[bytes]) -> None:
        """Send several."""
        self.write(b"".join(payload))

    async def read(self, buffer_size: int) -> bytes:
        """What came."""
        return await self._reader.read(buffer_size)

    async def readline(self) -> bytes:
        """A line of it."""
        return await self._reader.readline()

    async def drain(self) -> None:
        """Bytes are taken at once."""

    async def wait_closed(self) -> None:
        """It closes at once."""

    def close(self) -> None:
        """Hang up."""
        if self._served is not None and self.loop.alive:
            self.server.hang_up(self._served, self.loop.time())
        self._served = None
        self.lose()

    def at_eof(self) -> bool:
        """Whether the other end hung up, and everything was read."""
        return bool(self._reader.at_eof())

    def __bool__(self) -> bool:
        return self._served is not None

    # ---- the network's side

    def arrive(self, data: bytes | None, at: float) -> None:
        """Let the client read `data` at that time, behind all before it; None: the server hung up."""
        if self.loop.alive:
            self._told_until = max(self._told_until + IN_ORDER_S, at, self.loop.time())
            self.loop.call_at(self._told_until, self._feed, data)

    def _feed(self, data: bytes | None) -> None:
        if data is None:
            self.lose()
        elif not self._over:
            self._reader.feed_data(data)

    def lose(self) -> None:
        """Nothing more comes: what is still on its way is lost."""
        if not self._over:
            self._over = True
            self._reader.feed_eof()


class Served:
    """A connection, as the server has it."""

    def __init__(self, transport: WireTransport) -> None:
        self.transport = transport
        self.subscriptions: dict[str, str] = {}
        """Subjects, which may end with a wildcard, by the client's number."""
        self.buffer = b""
        self.ready_at = 0.0
        self.cut = False


class WorldServer:
    """The server."""

    def __init__(self, latency: Callable[[], float], *, newer: bool) -> None:
        self.latency = latency
        """Of what is sent now, in seconds."""
        self.up = True
        self.now = self.hung_until = 0.0
        self.max_payload = 1 << 20
        self.stream = JetStream(self._deliver, newer=newer)
        self.connections: list[Served] = []
        self._inbox: list[tuple[float, int, Served, bytes | None]] = []
        self._numbers = count()
        self._version = "2.15.1" if newer else "2.9.10"

    # ---- the network

    def accept(self, transport: WireTransport) -> Served:
        """Take a connection."""
        served = Served(transport)
        self.connections.append(served)
        self._put(served, b"", transport.loop.time())
        return served

    def receive(self, served: Served, data: bytes, loop: ProcessLoop) -> None:
        """A client sends bytes: they arrive a little later, unless the connection is lost."""
        self._put(served, data, loop.time())
        loop.call_at(served.ready_at, lambda: self.work(loop.time()))

    def hang_up(self, served: Served, now: float) -> None:
        """A client closes its connection, or dies: what it sent before still arrives."""
        self._put(served, None, now)

    def forget(self, loop: ProcessLoop, now: float) -> None:
        """A client's process ends: its kernel closes its connections."""
        for served in self.connections:
            if served.transport.loop is loop:
                self.hang_up(served, now)

    def _put(self, served: Served, data: bytes | None, now: float) -> None:
        if not served.cut:
            served.ready_at = max(served.ready_at, now + self.latency())
            heapq.heappush(self._inbox, (served.ready_at, next(self._numbers), served, data))

    def work(self, now: float) -> None:
        """Take what has arrived by now, unless the server hangs."""
        if not self.up or now < self.hung_until:
            return
        self.now = max(self.now, now)
        while self._inbox and self._inbox[0][0] <= now:
            _, _, served, data = heapq.heappop(self._inbox)
            if served not in self.connections:
                continue
            if data is None:
                self.connections.remove(served)
            elif data == b"":
                self._greet(served)
            else:
                self._take(served, data)
        self.stream.expire(now)

    def turn(self, now: float) -> None:
        """A moment of the server's own."""
        self.work(now)
        if self.up and now >= self.hung_until:
            self.stream.grow_old(now)

    # ---- what strikes it

    def die(self) -> None:
        """Killed: all connections end; what it had not read is gone."""
        self.up = False
        for served in self.connections:
            served.transport.arrive(None, self.now)
        self.connections.clear()
        self._inbox.clear()
        for stream in self.stream.streams.values():
            for consumer in stream.consumers.values():
                consumer.pulls.clear()

    def cut(self, served: Served) -> None:
        """The network breaks a connection: what is on its way either way is lost."""
        served.cut = True
        served.transport.lose()
        self._inbox = [one for one in self._inbox if one[2] is not served]
        heapq.heapify(self._inbox)
        if served in self.connections:
            self.connections.remove(served)

    # ---- the protocol

    def _greet(self, served: Served) -> None:
        told = {"server_id": "world", "version": self._version, "headers": True, "max_payload": self.max_payload}
        self._tell(served, b"INFO " + json.dumps(told).encode() + b"\r\n")

    def _tell(self, served: Served, data: bytes) -> None:
        served.transport.arrive(data, self.now + self.latency())

    def _take(self, served: Served, data: bytes) -> None:
        served.buffer += data
        while (end := served.buffer.find(b"\r\n")) >= 0:
            words = served.buffer[:end].decode().split(" ")
            operation, behind = words[0].upper(), end + 2
            if operation in ("PUB", "HPUB"):
                behind += int(words[-1]) + 2
                if len(served.buffer) < behind:
                    return
                body = served.buffer[end + 2 : behind - 2]
                head = int(words[-2]) if operation == "HPUB" else 0
                served.buffer = served.buffer[behind:]
                if len(body) > self.max_payload:
                    self._tell(served, b"-ERR 'Maximum Payload Violation'\r\n")
                    served.transport.arrive(None, self.now)
                    self.connections.remove(served)
                    return
                plain = words[1:-2] if operation == "HPUB" else words[1:-1]
                self.publish(plain[0], plain[1] if len(plain) > 1 else "", body[:head], body[head:])
                continue
            served.buffer = served.buffer[behind:]
            if operation == "PING":
                self._tell(served, b"PONG\r\n")
            elif operation == "SUB":
                served.subscriptions[words[-1]] = words[1]
            elif operation == "UNSUB":
                served.subscriptions.pop(words[1], None)

    def publish(self, subject: str, reply: str, headers: bytes, data: bytes) -> None:
        """Take a message."""
        if subject.startswith(API + NEXT):
            stream, name = subject.removeprefix(API + NEXT).split(".")
            found = self.stream.pull(stream, name, reply, data, self.now)
            answered, answer = found or not self.stream.newer, None
        elif subject.startswith(API):
            answered, answer = True, self.stream.ask(subject.removeprefix(API), data, self.now)
        elif subject.startswith(ACK):
            self.stream.acknowledge(subject)
            answered, answer = True, b""
        else:
            answer = self.stream.store(subject, headers, data, self.now)
            answered = self._deliver(subject, subject, reply, headers, data) or answer is not None
        if reply and answer is not None:
            self._deliver(reply, reply, "", b"", answer)
        elif reply and not answered:
            self._deliver(reply, reply, "", NO_RESPONDERS, b"")

    def _deliver(self, inbox: str, subject: str, reply: str, headers: bytes, data: bytes) -> bool:
        found = False
        for served in self.connections:
            for number, pattern in served.subscriptions.items():
                if pattern == inbox or (pattern[-1] in "*>" and covers(pattern, inbox)):
                    found = True
                    to = f"{subject} {number} {reply} " if reply else f"{subject} {number} "
                    sizes = f"{len(headers)} {len(headers) + len(data)}" if headers else f"{len(data)}"
                    line = ("HMSG " if headers else "MSG ") + to + sizes + "\r\n"
                    self._tell(served, line.encode() + headers + data + b"\r\n")
        return found
