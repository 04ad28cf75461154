"""A WebSocket whose messages go to a function at once, as many as the socket held, without a queue or a task switch.

Owns the step from bytes to messages; the protocol itself (handshake, pings, closing, limits) stays the library's.  It
must never look into a message.

`websockets` puts each message into a queue and wakes a task for it.  A collector wants the opposite: everything that
has arrived, in one call, so that a burst is decoded and published as one batch, and so that not reading the socket is
the only back-pressure there is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event
from websockets.uri import parse_uri

MAX_MESSAGE = 16 << 20
"""One Polygon log has 61,568 bytes of data, and an answer to eth_getLogs holds many: 1 MiB would be too little."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")

Sink = Callable[[list[bytes]], None]


class NodeConnection(ClientConnection):
    """A client connection that hands its messages to `sink`; do not call its `recv`."""

    def __init__(self, sink: Sink, protocol: ClientProtocol, **options: Any) -> None:
        super().__init__(protocol, **options)
        self.crash: BaseException | None = None
        """What `sink` raised; the connection is aborted then."""
        self._sink = sink
        self._messages: list[bytes] = []
        self._parts: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        """Called by the transport with whatever the socket held."""
        super().data_received(data)
        if not self._messages:
            return
        messages, self._messages = self._messages, []
        try:
            self._sink(messages)
        except BaseException as error:
            # asyncio would log it and close the connection, which looks like the node's doing: whoever waits is told.
            self.crash = error
            raise

    def process_event(self, event: Event) -> None:
        """Keep data frames for the sink; everything else is the library's."""
        if not (isinstance(event, Frame) and event.opcode in DATA_OPCODES):
            super().process_event(event)
        elif event.fin and not self._parts:
            self._messages.append(bytes(event.data))
        else:
            self._parts.append(bytes(event.data))
            if event.fin:
                self._messages.append(b"".join(self._parts))
                self._parts.clear()


async def open_connection(url: str, sink: Sink, *, timeout_s: float) -> NodeConnection:
    """Connect to a node.

    Compression is off (it costs the client twice the CPU), pings find a half-open connection in 10 s instead of 50.

    Raises:
        OSError, TimeoutError, websockets.exceptions.InvalidHandshake, websockets.exceptions.InvalidURI.
    """
    connection = await connect(
        url,
        compression=None,
        max_size=MAX_MESSAGE,
        ping_interval=5,
        ping_timeout=5,
        close_timeout=0.5,
        open_timeout=timeout_s,
        proxy=None if parse_uri(url).host in LOOPBACK else True,
        create_connection=cast(type[ClientConnection], partial(NodeConnection, sink)),
    )
    return cast(NodeConnection, connection)
