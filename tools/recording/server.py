"""The recording node as a server: WebSocket and HTTP JSON-RPC on one loopback port.

Owns sockets and the passing of time.  It must never know JSON-RPC or what a recording holds: `core` does.

The recording's clock starts with the first subscriber (`start="subscribe"`).  At a finite speed it then runs whether
clients are connected or not, so a client that was disconnected has to backfill.  At speed `max` there are no pauses,
but the node waits for its clients: it fills no socket beyond its buffer, and stops while none is subscribed.  With a
`rate` it pushes single notifications, evenly, instead of a whole block at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Coroutine, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from producers.node.connection import library_log
from tlv.errors import UsageError
from tlv.units import NS
from tools.recording.bundle import bundled_recording
from tools.recording.core import Counts, Delivery, NodeCore
from tools.recording.faults import ABNORMAL_CLOSE, Faults
from tools.recording.port import HttpStreams, sharing_port
from tools.recording.recording import load_recording

MAX_MESSAGE = 16 * 1024 * 1024
# Unsent bytes of one socket beyond which a node at speed `max` waits for it: about a thousand notifications.
WRITE_LIMIT = 1024 * 1024
# Unsent bytes beyond which a node at a finite speed drops the client, as geth does: about 40,000 notifications.
SLOWEST_CLIENT = 32 * 1024 * 1024
# After a first subscription a second one, to the other kind, is waited for so long.
SECOND_SUBSCRIPTION_S = 2.0
CLOSE_TIMEOUT_S = 0.3
LONGEST_LATE_S = 0.1

Start = Literal["now", "subscribe"]
AtEnd = Literal["close", "stay", "loop"]


class RecordingNode:
    """A recorded node, served; an async context manager.

    Args:
        recording: folder of the recording; without it, the bundled Polygon sessions.
        port: 0 lets the kernel choose.
        speed: recorded seconds per second; `math.inf` for no pauses at all.
        rate: notifications per second and client at most; without it, those of one moment come at once.
        start: when the clock starts: `now`, or with the first client that `subscribe`s to heads and logs.
        at_end: `stay` at the last head, `close` all connections and the port, or `loop`: go on with the same blocks as
            later ones (`laps`).
        max_pause_s: how much recorded silence between two sessions is kept.
        chain_id: for a recording without pool metadata.
        first_block: number of the head at which it begins.

    Raises:
        RecordingError: the folder holds no recording that can be served.
    """

    def __init__(
        self,
        recording: Path | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float = 1.0,
        rate: float = math.inf,
        start: Start = "subscribe",
        at_end: AtEnd = "stay",
        max_pause_s: float = 2.0,
        chain_id: int | None = None,
        first_block: int | None = None,
        faults: Faults | None = None,
    ) -> None:
        if not speed > 0:
            raise UsageError(f"speed: expected more than 0, found {speed}")
        if not rate > 0:
            raise UsageError(f"rate: expected more than 0, found {rate}")
        self.recording = load_recording(recording or bundled_recording(), chain_id, max_pause_s)
        self._core = NodeCore(self.recording, faults, first_block)
        self._host, self._port = host, port
        self._speed, self._start, self._at_end = speed, start, at_end
        self._rate, self._next_s = rate, 0.0
        self._connections: dict[int, ServerConnection] = {}
        self._streams = HttpStreams(self._core.receive)
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self._server: Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> RecordingNode:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Listen; the clock starts as `start` says."""
        self._server = await serve(
            self._converse,
            self._host,
            self._port,
            create_connection=sharing_port(self._streams),
            compression=None,
            max_size=MAX_MESSAGE,
            write_limit=WRITE_LIMIT,
            ping_interval=None,
            close_timeout=CLOSE_TIMEOUT_S,
            logger=library_log,
        )
        self._port = next(iter(self._server.sockets)).getsockname()[1]
        self._spawn(self._play())

    async def close(self) -> None:
        """Close every connection (1001) and the port."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._close_port()

    @property
    def ws_url(self) -> str:
        """Where to connect a WebSocket."""
        return f"ws://{self._host}:{self._port}"

    @property
    def http_url(self) -> str:
        """Where to POST JSON-RPC: the same port."""
        return f"http://{self._host}:{self._port}"

    @property
    def counts(self) -> Counts:
        """Requests, notifications, disconnects and steps so far."""
        return self._core.counts

    @property
    def head_number(self) -> int:
        """The height of the newest visible block."""
        return self._core.head_number

    async def ended(self) -> None:
        """Wait until the last step was pushed (never, with `at_end="loop"`)."""
        await self._ended.wait()

    async def _converse(self, connection: ServerConnection) -> None:
        client = self._core.connect()
        self._connections[client] = connection
        try:
            async for text in connection:
                answer = self._core.receive(text, client)
                if answer is not None:
                    await connection.send(answer, text=True)
                self._changed.set()
        except ConnectionClosed:
            pass  # the client closed, or was cut off: its subscriptions are removed below
        finally:
            self._connections.pop(client, None)
            self._core.disconnect(client)

    async def _play(self) -> None:
        loop = asyncio.get_running_loop()
        if self._start == "subscribe":
            await self._subscriber()
        began = loop.time()
        while True:
            due_ns = self._core.due_ns
            if due_ns is None and self._at_end == "loop":
                self._core.next_lap()
                began = loop.time()
                continue
            if due_ns is None:
                break
            if self._speed == math.inf:
                if self._start == "subscribe" and not self._core.has_subscriber and not self._core.absence:
                    await self._subscriber()
            else:
                await asyncio.sleep(max(0.0, began + due_ns / NS / self._speed - loop.time()))
            await self._deliver(self._core.step())
        self._ended.set()
        if self._at_end == "close":
            await self._close_port()

    async def _subscriber(self) -> None:
        """Wait for a client with subscriptions to heads and logs; for the second one at most SECOND_SUBSCRIPTION_S."""
        while not self._core.has_subscriber:
            await self._change()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SECOND_SUBSCRIPTION_S):
                while not self._core.has_full_subscriber:
                    await self._change()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _deliver(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            connection = self._connections.get(delivery.client)
            if connection is None or connection.protocol.state is not State.OPEN:
                continue
            if self._rate == math.inf:
                _push(connection, delivery.texts)
            else:
                await self._trickle(connection, delivery.texts)
            if delivery.close_code is not None:
                self._cut_off(connection, delivery.close_code)
            elif self._speed == math.inf:
                with contextlib.suppress(ConnectionError):  # it left: the others are played to
                    await connection.drain()
            elif connection.transport.get_write_buffer_size() > SLOWEST_CLIENT:
                connection.transport.abort()
        # Requests are answered between two steps, at any speed.
        await asyncio.sleep(0)

    async def _trickle(self, connection: ServerConnection, texts: Iterable[bytes]) -> None:
        """Push one text at a time, at `rate` on average: a timer's delay is caught up, a pause is not."""
        loop = asyncio.get_running_loop()
        for text in texts:
            late = loop.time() - self._next_s > LONGEST_LATE_S
            self._next_s = (loop.time() if late else self._next_s) + 1 / self._rate
            await asyncio.sleep(self._next_s - loop.time())
            if connection.protocol.state is not State.OPEN:
                return
            _push(connection, [text])

    def _cut_off(self, connection: ServerConnection, code: int) -> None:
        if code == ABNORMAL_CLOSE:
            connection.transport.abort()
        else:
            self._spawn(connection.close(code))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _close_port(self) -> None:
        if self._server is None:
            return
        self._streams.close()
        self._server.close()
        try:
            async with asyncio.timeout(2 * CLOSE_TIMEOUT_S):
                await self._server.wait_closed()
        except TimeoutError:
            # The close frame waits behind the full socket of a client that does not read.
            for connection in list(self._connections.values()):
                connection.transport.abort()
            await self._server.wait_closed()


def _push(connection: ServerConnection, texts: Iterable[bytes]) -> None:
    """Send many texts with one system call: `send` makes one each, and reached a third of this rate."""
    for text in texts:
        connection.protocol.send_text(text)
    connection.transport.writelines(connection.protocol.data_to_send())
