"""Relays that stand between a real node and the collector and break the connection on command.

What the node says is never altered, only delayed, cut or (`RemovedFlagRelay`) repeated with `removed: true`, as geth
does on a reorg and anvil 1.7.1 does not; results that rest on that relay are derived, and tests call them so.

    WsRelay            closes with any code, refuses handshakes with any HTTP status
    TcpRelay           RST, FIN without a close frame, stall, trickle
    RemovedFlagRelay   a WsRelay that adds the missing `removed: true` notifications
"""

from __future__ import annotations

import asyncio
import http
import json
import socket
import struct
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.http11 import Request, Response

from producers.node.connection import library_log

KEY = "key7f3a9b2e41c8"
"""What stands in the URLs of the relays, as a provider's URL holds a key: whoever connects must never repeat it."""


class WsRelay:
    """Relays WebSocket messages both ways; an async context manager."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.refuse_with: int | None = None
        self.accepted = 0
        self._clients: set[ServerConnection] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._relay,
            "127.0.0.1",
            0,
            process_request=self._admit,
            compression=None,
            max_size=None,
            ping_interval=None,
            logger=library_log,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None
        return int(next(iter(self._server.sockets)).getsockname()[1])

    @property
    def url(self) -> str:
        """Where a client connects."""
        return f"ws://127.0.0.1:{self.port}/v2/{KEY}"

    @property
    def open_connections(self) -> int:
        """Clients connected now."""
        return len(self._clients)

    def stall(self, on: bool) -> None:
        """Hold everything the node sends (the socket stays open), or let it flow again."""
        if on:
            self._flowing.clear()
        else:
            self._flowing.set()

    async def close_all(self, code: int, reason: str = "") -> None:
        """Close every client with a close frame of this code."""
        await asyncio.gather(*(client.close(code, reason) for client in list(self._clients)))

    def _admit(self, connection: ServerConnection, _request: Request) -> Response | None:
        if self.refuse_with is None:
            return None
        return connection.respond(http.HTTPStatus(self.refuse_with), "refused by the relay\n")

    async def _relay(self, down: ServerConnection) -> None:
        self.accepted += 1
        try:
            up = await connect(self.upstream, compression=None, max_size=None, max_queue=None, ping_interval=None)
        except (OSError, InvalidHandshake):
            down.transport.abort()  # the node is down
            return
        async with up:
            self._clients.add(down)
            pumps = [asyncio.create_task(self._to_node(down, up)), asyncio.create_task(self._to_client(up, down))]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            self._clients.discard(down)

    async def _to_node(self, down: ServerConnection, up: ClientConnection) -> None:
        try:
            async for message in down:
                await up.send(message)
        except ConnectionClosed:
            return

    async def _to_client(self, up: ClientConnection, down: ServerConnection) -> None:
        try:
            async for message in up:
                await self._flowing.wait()
                await down.send(message)
        except ConnectionClosed:
            return


class RemovedFlagRelay(WsRelay):
    """Adds what geth sends on a reorg: the logs of each dropped block again, with `removed: true`, ascending, before
    the head that replaces it.  Serves one client at a time, with one newHeads and one logs subscription."""

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self._asked: dict[int, str] = {}
        self._kinds: dict[str, str] = {}
        self._chain: dict[int, str] = {}
        self._sent: dict[str, list[dict[str, Any]]] = {}

    async def _to_node(self, down: ServerConnection, up: ClientConnection) -> None:
        try:
            async for message in down:
                request = json.loads(message)
                if request.get("method") == "eth_subscribe":
                    self._asked[request["id"]] = request["params"][0]
                await up.send(message)
        except ConnectionClosed:
            return

    async def _to_client(self, up: ClientConnection, down: ServerConnection) -> None:
        self._chain.clear()
        self._sent.clear()
        try:
            async for message in up:
                notice = json.loads(message)
                if notice.get("id") in self._asked and "result" in notice:
                    self._kinds[notice["result"]] = self._asked.pop(notice["id"])
                elif notice.get("method") == "eth_subscription":
                    for removed in self._note(notice["params"]):
                        await down.send(json.dumps({**notice, "params": removed}, separators=(",", ":")))
                await down.send(message)
        except ConnectionClosed:
            return

    def _note(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        """Remember a notification; on a head that drops blocks, the removed copies to send before it."""
        result = params["result"]
        if self._kinds.get(params["subscription"]) != "newHeads":
            self._sent.setdefault(result["blockHash"], []).append(params)
            return []
        number = int(result["number"], 16)
        dropped = [self._chain.pop(height) for height in sorted(self._chain) if height >= number]
        self._chain[number] = result["hash"]
        return [
            {**sent, "result": {**sent["result"], "removed": True}}
            for block in dropped
            if block != result["hash"]
            for sent in self._sent.pop(block, [])
        ]


class TcpRelay:
    """Relays TCP bytes both ways; an async context manager."""

    def __init__(self, port: int) -> None:
        self._upstream_port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.stalled = False
        self.chunk = 1 << 16
        self.pause_s = 0.0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self.reset()

    @property
    def url(self) -> str:
        """Where the collector connects; a node itself serves no other path than /."""
        assert self._server is not None
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/?apikey={KEY}"

    @property
    def open_connections(self) -> int:
        """Clients connected now; each has a connection to the node."""
        return len(self._open_writers()) // 2

    def reset(self) -> None:
        """RST every connection."""
        for writer in self._open_writers():
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def finish(self) -> None:
        """FIN without a WebSocket close frame."""
        for writer in self._open_writers():
            writer.close()

    def _open_writers(self) -> list[asyncio.StreamWriter]:
        return [writer for writer in self._writers if not writer.is_closing()]

    def trickle(self, on: bool) -> None:
        """One byte every 0.1 s, or full speed again."""
        self.chunk, self.pause_s = (1, 0.1) if on else (1 << 16, 0.0)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        self._writers |= {writer, up_writer}
        await asyncio.gather(self._pump(reader, up_writer), self._pump(up_reader, writer))
        self._writers -= {writer, up_writer}

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(self.chunk):
                while self.stalled:
                    await asyncio.sleep(0.02)
                if self.pause_s:
                    await asyncio.sleep(self.pause_s)
                sink.write(data)
                await sink.drain()
        except OSError:
            return  # the other side was reset: that is what this relay is for
        finally:
            sink.close()
