"""The reference client of a relay, for threads and for asyncio.

Owns the client's end of the connection in `relay/RELAY.md`: it subscribes, verifies every checksum, reconnects where it
left off, and acknowledges what was handled.  `relay.stream` interprets the messages.

    with RelayClient(default_path("market_data"), name="risk", at_least_once=True) as client:
        for item in client:                              # `async for` works as well
            if isinstance(item, Loss):
                ...                                      # item.first to item.last are gone
            elif swap := item.message.first(PoolSwap):
                ...

An item counts as handled when the next one is asked for; with `acknowledge="manual"`, when `client.ack(item)` runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from consumers.relay import protocol
from consumers.relay.address import connect
from consumers.relay.errors import Farewell, RelayError, RelayUnreachable
from consumers.relay.kernels import BROKEN, split_messages
from consumers.relay.stream import ClientStream, Item, ServedRing
from ringbuf import Loss
from tlv.codes import FarewellReason, StreamStart
from tlv.filter import EVERYTHING, MessageFilter
from tlv.status import CAUSES

__all__ = ["Farewell", "Item", "Loss", "RelayClient", "RelayError", "RelayUnreachable", "ServedRing"]

BUFFER_BYTES = 1 << 19
"""Several chunks of a relay, and many times the largest message."""
MESSAGES = 4096
ACK_EVERY_S = 0.1
"""An acknowledgement is a file for the relay: the last one of each tenth of a second is enough."""
SILENCE_S = 5.0
"""A relay sends at least a heartbeat every second.  A connection that is silent for so long is broken."""
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
STARTS = {"live": StreamStart.LIVE, "oldest": StreamStart.OLDEST, "acknowledged": StreamStart.ACKNOWLEDGED}
FINAL = {
    FarewellReason.BAD_HELLO,
    FarewellReason.LAYOUT_DIFFERS,
    FarewellReason.NAME_REFUSED,
    FarewellReason.SEQUENCE_IN_FUTURE,
    FarewellReason.BAD_MESSAGE,
}
"""A second attempt would be refused for the same reason."""


class RelayClient:
    """Reads a domain's rings from the relay at `path`.

    Args:
        name: makes the client durable: the relay keeps what it acknowledged.
        start: `live`, `oldest`, `acknowledged` (behind the last acknowledged message), or {ring uuid: sequence}.
        at_least_once: get frames that the ring has overwritten from the journal.
        wanted: ask for these messages only, as in `MessageFilter.of(types=[PoolSwap])`.
        reconnect: connect again after a broken connection; otherwise that is an error.
        max_silence_s: treat a connection as broken after so long without a byte.

    Raises:
        RelayUnreachable, SocketRefused: see `address.connect`.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str = "",
        start: Literal["live", "oldest", "acknowledged"] | dict[bytes, int] = "live",
        at_least_once: bool = False,
        wanted: MessageFilter = EVERYTHING,
        acknowledge: Literal["automatic", "manual"] = "automatic",
        reconnect: bool = True,
        max_silence_s: float = SILENCE_S,
    ) -> None:
        self.path = path
        self.name = name
        self.connections = 0
        self.lost = 0
        self._start = start
        self._at_least_once = at_least_once
        self._wanted = wanted
        self._automatic = acknowledge == "automatic"
        self._reconnect = reconnect
        self._max_silence_s = max_silence_s
        self._stream = ClientStream()
        self._buffer = np.zeros(BUFFER_BYTES, np.uint8)
        self._bounds = np.zeros(MESSAGES + 1, np.int64)
        self._filled = 0
        self._pending: deque[Item | Loss] = deque()
        self._failure: RelayError | None = None
        self._next_ack = 0.0
        self._closed = False
        self._socket: socket.socket | None = None
        self._connect()

    @property
    def rings(self) -> dict[bytes, ServedRing]:
        """The rings that the relay has announced, by uuid."""
        return self._stream.rings

    def __iter__(self) -> Iterator[Item | Loss]:
        """Yield messages and losses until `close`, or until `receive` raises."""
        while self._pending or self._refill(self.receive()):
            if not self._pending:
                continue
            item = self._pending.popleft()
            yield item
            if self._automatic:
                self._note_handled(item)

    async def __aiter__(self) -> AsyncIterator[Item | Loss]:
        """The same for asyncio; a thread waits for the bytes."""
        while self._pending or self._refill(await asyncio.to_thread(self.receive)):
            if not self._pending:
                continue
            item = self._pending.popleft()
            yield item
            if self._automatic:
                self._note_handled(item)

    def _refill(self, items: list[Item | Loss] | None) -> bool:
        """Keep what was received until it is asked for, also across a `break` between two loops.  False at the end."""
        self._pending.extend(items or ())
        return items is not None

    def ack(self, item: Item | Loss) -> None:
        """Say that `item` and everything before it in its ring was handled."""
        self._note_handled(item)

    def close(self) -> None:
        """Send the last acknowledgements and close the connection."""
        self._closed = True
        # If the relay is gone by now, what was not acknowledged is sent again to the next connection.
        with contextlib.suppress(OSError):
            self._send_acks()
        self._hang_up()

    def __enter__(self) -> RelayClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _note_handled(self, item: Item | Loss) -> None:
        if isinstance(item, Loss):
            self.rings[item.ring].note_handled(item.last)
        else:
            item.ring.note_handled(item.covers)
        if time.monotonic() >= self._next_ack:
            # A broken connection is noticed, and dealt with, by the next receive.
            with contextlib.suppress(OSError):
                self._send_acks()

    def _send_acks(self) -> None:
        self._next_ack = time.monotonic() + ACK_EVERY_S
        if not self.name or self._socket is None:
            return
        for ring in self.rings.values():
            if ring.handled > ring.acknowledged:
                self._socket.sendall(protocol.acknowledge(ring.handled, ring.uuid))
                ring.acknowledged = ring.handled

    def receive(self) -> list[Item | Loss] | None:
        """What the next bytes bring, perhaps nothing; None after `close`.

        Raises:
            Farewell: the relay refuses us for good, or, without `reconnect`, ended the connection.
            RelayUnreachable: without `reconnect`, the connection broke.
        """
        if self._failure:
            raise self._failure
        if self._socket is None:
            return None
        items: list[Item | Loss] = []
        # A broken connection may still hold bytes to be read, so a failed acknowledgement is no error here.
        with contextlib.suppress(OSError):
            self._send_acks()
        try:
            self._read_stream(items)
        except (OSError, RelayError) as error:
            self._hang_up()
            if self._closed:
                return items
            self._failure = self._final_failure(error)
            # What came before the failure is good, and is returned first.
            if self._failure is None:
                self._reconnect_with_pauses()
            elif not items:
                raise self._failure from None
        return items

    def _final_failure(self, error: OSError | RelayError) -> RelayError | None:
        """The error to raise; None to reconnect instead."""
        if isinstance(error, OSError):
            return None if self._reconnect else RelayUnreachable(f"{self.path}: the connection broke ({error})")
        final = isinstance(error, Farewell) and error.reason in FINAL
        return error if final or not self._reconnect else None

    def _read_stream(self, items: list[Item | Loss]) -> None:
        assert self._socket is not None
        count = self._socket.recv_into(self._buffer[self._filled :].data)
        if count == 0:
            raise ConnectionResetError("the relay hung up")
        self._filled += count
        start, status = 0, 0
        view = self._buffer.data
        while True:
            status, found, cause = split_messages(self._buffer, start, self._filled, self._bounds)
            bounds = self._bounds[: found + 1].tolist()
            for begin, end in itertools.pairwise(bounds):
                self._stream.take(bytes(view[begin:end]), items)
            start = bounds[-1]
            if status == BROKEN:
                raise RelayError(f"{self.path}: byte {start} of the stream begins no message ({CAUSES[cause].name})")
            if found < MESSAGES:
                break
        self._buffer[: self._filled - start] = self._buffer[start : self._filled].copy()
        self._filled -= start
        self.lost += sum(item.count for item in items if isinstance(item, Loss))

    def _connect(self) -> None:
        if self.rings:
            start, resume = StreamStart.SEQUENCE, {uuid: ring.next_sequence for uuid, ring in self.rings.items()}
        elif isinstance(self._start, dict):
            start, resume = StreamStart.SEQUENCE, self._start
        else:
            start, resume = STARTS[self._start], {}
        hello = protocol.subscribe(
            name=self.name,
            start=start,
            at_least_once=self._at_least_once,
            resume=resume,
            wanted=self._wanted,
        )
        self._socket = connect(self.path, self._max_silence_s)  # only now: the relay waits for the hello
        self.connections += 1
        self._filled = 0
        self._stream.reconnected()
        # A relay that refused us has closed its end, and its Farewell is in our receive buffer.
        with contextlib.suppress(BrokenPipeError):
            self._socket.sendall(hello)

    def _reconnect_with_pauses(self) -> None:
        """Connect again, after pauses that double, with jitter so that many clients do not come at once."""
        pause = FIRST_PAUSE_S
        while not self._closed:
            time.sleep(random.uniform(0, pause))
            pause = min(2 * pause, LONGEST_PAUSE_S)
            try:
                self._connect()
            except (RelayUnreachable, OSError):
                self._hang_up()
                continue
            return

    def _hang_up(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None
