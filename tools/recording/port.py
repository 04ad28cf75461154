"""One port for WebSocket and for plain HTTP, as nodes have it.

Owns the decision between the two, and JSON-RPC over HTTP POST.  It must never know what a request asks.

`websockets` parses a handshake, which is a GET without a body; it refuses POST.  So a connection waits for its first
bytes: if they begin a POST it becomes an HTTP stream, otherwise `websockets` gets the connection and these bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

from websockets.asyncio.server import ServerConnection

MAX_HEAD = 16 * 1024
MAX_BODY = 16 * 1024 * 1024
SILENCE_S = 10.0  # a connection that sends nothing for so long after its opening is closed

Answer = Callable[[bytes], bytes | None]


class HttpStreams:
    """The connections of a port that are not WebSockets: undecided ones, and HTTP."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._open: set[asyncio.Transport] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, transport: asyncio.Transport) -> None:
        """Remember a connection, so that `close` ends it."""
        self._open.add(transport)

    def discard(self, transport: asyncio.Transport) -> None:
        """Forget a connection: it is closed, or a WebSocket."""
        self._open.discard(transport)

    def take_over(self, transport: asyncio.Transport, data: bytes) -> None:
        """Serve HTTP on `transport`, which has received `data` already."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=MAX_HEAD, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(data)
        task = loop.create_task(self._serve(reader, asyncio.StreamWriter(transport, protocol, reader, loop)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """End every connection now."""
        for transport in list(self._open):
            transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._serve_one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # The client left in the middle, or its header never ends.
            writer.transport.abort()
        finally:
            self.discard(cast(asyncio.Transport, writer.transport))
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        length = fields.get("content-length", "")
        if not head[0].startswith("POST "):
            return await _respond(writer, HTTPStatus.METHOD_NOT_ALLOWED)
        if not (length.isascii() and length.isdigit()):
            return await _respond(writer, HTTPStatus.LENGTH_REQUIRED)
        if len(length) > len(str(MAX_BODY)) or int(length) > MAX_BODY:
            return await _respond(writer, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if fields.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self._answer(await reader.readexactly(int(length)))
        wants_more = head[0].endswith("HTTP/1.1") and fields.get("connection", "").lower() != "close"
        return await _respond(writer, HTTPStatus.OK, body or b"", wants_more)


def sharing_port(streams: HttpStreams) -> type[ServerConnection]:
    """The connection class for `websockets.serve(create_connection=...)` that gives HTTP POST to `streams`."""

    class SharedPort(ServerConnection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._undecided: asyncio.Transport | None = None
            self._limit: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self._undecided = cast(asyncio.Transport, transport)
            self._limit = self.loop.call_later(SILENCE_S, self._undecided.abort)
            streams.add(self._undecided)

        def data_received(self, data: bytes) -> None:
            transport = self._decide()
            if transport is None:
                super().data_received(data)
            elif data.startswith(b"POST "):
                streams.take_over(transport, data)
            else:
                streams.discard(transport)
                super().connection_made(transport)
                super().data_received(data)

        def eof_received(self) -> None:
            # By returning None asyncio is asked to close the transport of an undecided connection.
            if self._undecided is None:
                super().eof_received()

        def connection_lost(self, exc: Exception | None) -> None:
            transport = self._decide()
            if transport is None:
                super().connection_lost(exc)
            else:
                streams.discard(transport)

        def _decide(self) -> asyncio.Transport | None:
            """The transport, if it was undecided until now whether it carries HTTP."""
            transport, self._undecided = self._undecided, None
            if self._limit is not None:
                self._limit.cancel()
                self._limit = None
            return transport

    return SharedPort


async def _respond(writer: asyncio.StreamWriter, status: HTTPStatus, body: bytes = b"", goes_on: bool = False) -> bool:
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"Connection: {'keep-alive' if goes_on else 'close'}",
    ]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    await writer.drain()
    return goes_on
