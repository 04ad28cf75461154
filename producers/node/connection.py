"""A WebSocket whose messages go to a function at once, as many as the socket held, without a queue or a task switch.

Owns the step from bytes to messages; the protocol itself (handshake, pings, closing, limits) stays the library's.  It
must never look into a message.

`websockets` puts each message into a queue and wakes a task for it.  A collector wants the opposite: everything that
has arrived, in one call, so that a burst is decoded and published as one batch, and so that not reading the socket is
the only back-pressure there is.
"""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Callable
from functools import cache, partial
from typing import Any, cast

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidProxy, InvalidStatus, InvalidURI
from websockets.frames import DATA_OPCODES, CloseCode, Frame
from websockets.protocol import Event, State
from websockets.uri import parse_uri

from producers.node.errors import EndpointError
from producers.node.frames import FINAL_TEXT, cut_plain_frames
from producers.node.redaction import reason_of
from tlv.codes import FeedReason

MAX_MESSAGE = 16 << 20
"""One Polygon log has 61,568 bytes of data, and an answer to eth_getLogs holds many: 1 MiB would be too little."""
BODY_BYTES = 200
"""Of the body of a refused handshake, what is shown."""
TAG = re.compile(rb"<[^<>]*>")
END_OF_RESPONSE = b"\r\n\r\n"
BURST = 1 << 13
"""Bytes from which a kernel finds the frames: its call takes as long as ten frames in Python."""
MOST_PLAIN = 1 << 10
"""Frames that it finds in one call; asyncio reads 256 KiB at a time, which is a few hundred logs."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
UNREACHABLE = (OSError, TimeoutError, InvalidHandshake, InvalidURI, InvalidProxy, EndpointError)
"""What `open_connection` raises when there is no connection; `producers.node.redaction` says why without the URL."""

library_log = logging.getLogger("alphapulse.websockets")
library_log.setLevel(logging.WARNING)
"""What the library logs.  At DEBUG it prints the handshake, and with it the URL and its key: never there, however
talkative everything else was told to be.  What it says at INFO we say ourselves."""

Sink = Callable[[list[bytes]], None]


class NodeConnection(ClientConnection):
    """A client connection that hands its messages to `sink`; do not call its `recv`."""

    def __init__(self, sink: Sink, max_message: int, protocol: ClientProtocol, **options: Any) -> None:
        super().__init__(protocol, **options)
        self.max_message = max_message
        self.crash: BaseException | None = None
        """What `sink` raised; the connection is aborted then."""
        self._sink = sink
        self._messages: list[bytes] = []
        self._parts: list[bytes] = []
        self._held: list[bytes] = []
        """The beginning of a frame whose end did not come yet; joined only once it is there."""
        self._held_size = 0
        self._needed = 0
        self._begins, self._ends = np.empty((2, MOST_PLAIN), dtype=np.int64)
        self._framed = False
        """The handshake is over."""
        self._refused = False
        """A frame broke the protocol: everything from there on is the library's."""
        self._response_end = b""

    @property
    def broke_over_size(self) -> bool:
        """Whether it ended over a message that was larger than one may be, ours or the node's."""
        ends = (self.protocol.close_sent, self.protocol.close_rcvd)
        return any(end is not None and end.code == CloseCode.MESSAGE_TOO_BIG for end in ends)

    def data_received(self, data: bytes) -> None:
        """Called by the transport with whatever the socket held."""
        if self._refused:
            super().data_received(data)
            return
        if not self._framed:
            data = self._shake_hands(data)
        if self._framed and data:
            self._held.append(data)
            self._held_size += len(data)
            if self._held_size >= self._needed:
                self._split(b"".join(self._held))
        if not self._messages:
            return
        messages, self._messages = self._messages, []
        try:
            self._sink(messages)
        except BaseException as error:
            # asyncio would log it and close the connection, which looks like the node's doing: whoever waits is told.
            self.crash = error
            raise

    def _shake_hands(self, data: bytes) -> bytes:
        """Give the HTTP response to the library; returns the frames that came behind it in the same segment."""
        seen = self._response_end + data
        at = seen.find(END_OF_RESPONSE)
        self._response_end = seen[-len(END_OF_RESPONSE) + 1 :]
        cut = at + len(END_OF_RESPONSE) - (len(seen) - len(data)) if at >= 0 and self.response is None else len(data)
        super().data_received(data[:cut])
        self._framed = self.protocol.state is State.OPEN
        if self._framed:
            return data[cut:]
        if cut < len(data):
            super().data_received(data[cut:])  # the body of a refusal
        return b""

    def _split(self, data: bytes) -> None:
        """Take the plain text frames of `data`; give every other frame, whole, to the library.

        0.6 us a frame instead of 4: the library's parser is a generator that asks for a few bytes at a time.  It is
        only ever given whole frames, so it always stands between two.
        """
        pos, end, needed = 0, len(data), 2
        if end > BURST:
            pos = self._cut_plain(data)
        while end - pos >= 2:
            size, header = data[pos + 1], 2
            if size == 126:
                size, header = int.from_bytes(data[pos + 2 : pos + 4], "big"), 4
            elif size > 126:
                masked = size > 127  # no server may do that
                size, header = int.from_bytes(data[pos + 2 : pos + 10], "big"), 10
                if masked or size > self.max_message:
                    # The library says what is wrong with it, and closes.
                    self._refused = True
                    super().data_received(data[pos:])
                    return
            needed = header + size if header <= end - pos else header
            if needed > end - pos:
                break
            if data[pos] == FINAL_TEXT:
                self._messages.append(data[pos + header : pos + header + size])
            else:
                super().data_received(data[pos : pos + header + size])
            pos += needed
            needed = 2
        self._held = [data[pos:]]
        self._held_size, self._needed = end - pos, needed

    def _cut_plain(self, data: bytes) -> int:
        """Take the plain frames at the front of `data`, at most MOST_PLAIN; returns where the next one begins.

        0.25 us a frame, where the loop above takes 0.6.
        """
        count, pos = cut_plain_frames(np.frombuffer(data, dtype=np.uint8), self.max_message, self._begins, self._ends)
        places = zip(self._begins[:count].tolist(), self._ends[:count].tolist(), strict=True)
        self._messages += [data[begin:end] for begin, end in places]
        return pos

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


@cache
def _tls() -> ssl.SSLContext:
    """The library would make one for each connection, on the loop: 27 ms to read the certificates."""
    return ssl.create_default_context()


async def open_connection(url: str, sink: Sink, *, timeout_s: float, max_message: int = MAX_MESSAGE) -> NodeConnection:
    """Connect to a node.

    Compression is off (it costs the client twice the CPU), pings find a half-open connection in 10 s instead of 50.

    Raises:
        OSError, TimeoutError, websockets.exceptions.InvalidHandshake, InvalidURI, InvalidProxy, EndpointError: see
            UNREACHABLE.
    """
    try:
        connection = await connect(
            url,
            logger=library_log,
            compression=None,
            max_size=max_message,
            ping_interval=5,
            ping_timeout=5,
            close_timeout=0.5,
            open_timeout=timeout_s,
            ssl=_tls() if url.lower().startswith("wss:") else None,
            proxy=None if parse_uri(url).host in LOOPBACK else True,
            create_connection=cast(type[ClientConnection], partial(NodeConnection, sink, max_message)),
        )
    except OSError:
        raise  # a certificate that does not match is a ValueError, too
    except ValueError:
        raise EndpointError("it redirects to an address that is none") from None
    return cast(NodeConnection, connection)


def refusal_of(error: Exception) -> tuple[FeedReason, str]:
    """Why there is no connection, in one word and in some: the HTTP status and the first words of the body.

    The words may be the node's own: hide what is secret before they are shown (`producers.node.redaction`).
    """
    if isinstance(error, InvalidStatus):
        body = b" ".join(TAG.sub(b" ", error.response.body or b"")[: 4 * BODY_BYTES].split())[:BODY_BYTES]
        words = f": {body.decode(errors='replace')}" if body else ""
        return FeedReason.REFUSED, f"HTTP {error.response.status_code}{words}"
    if isinstance(error, EndpointError):
        return FeedReason.REFUSED, str(error)
    if isinstance(error, TimeoutError):
        return FeedReason.UNREACHABLE, "no handshake in time"
    return FeedReason.UNREACHABLE, reason_of(error)


def words_of_close(connection: NodeConnection) -> tuple[FeedReason, str]:
    """Why a connection ended, in one word and in some; the words may be the node's own, as those of `refusal_of`."""
    received, sent = connection.protocol.close_rcvd, connection.protocol.close_sent
    if connection.broke_over_size and received is None:
        return FeedReason.TOO_LARGE, f"a message of more than {connection.max_message} bytes (see --max-message)"
    if received is not None:
        reason = FeedReason.TOO_LARGE if connection.broke_over_size else FeedReason.CLOSED
        return reason, f"the node closed the connection, code {received.code} {received.reason}".rstrip()
    if sent is not None:
        reason = FeedReason.SILENT if sent.code == CloseCode.INTERNAL_ERROR else FeedReason.UNUSABLE
        return reason, f"we closed the connection, code {sent.code} {sent.reason}".rstrip()
    return FeedReason.CLOSED, "the connection broke"


def retry_after_of(error: Exception) -> float:
    """Seconds for which a node that refused the handshake wants to be left alone (RFC 9110, section 10.2.3).

    0 without such a wish; its other form, a date, is not obeyed: it would need the node's clock.
    """
    wish = error.response.headers.get("Retry-After", "") if isinstance(error, InvalidStatus) else ""
    return float(wish) if wish.isascii() and wish.isdecimal() else 0.0
