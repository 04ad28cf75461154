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

import contextlib
import logging
import math
import random
import select
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from consumers.delivery import NO_DESCRIPTOR, Found, ItemQueue, Iteration
from consumers.relay import protocol
from consumers.relay.address import connect
from consumers.relay.errors import Farewell, RelayError, RelayUnreachable
from consumers.relay.kernels import BROKEN, split_messages
from consumers.relay.stream import ClientStream, Item, ServedRing
from consumers.waiting import when_there
from ringbuf import Loss
from ringbuf.layout import NO_LIMIT
from tlv.arguments import check_integer, check_seconds, check_start
from tlv.codes import StreamStart
from tlv.errors import UsageError
from tlv.filter import EVERYTHING, MessageFilter
from tlv.layout import Resume, Subscribe, SubscribeAck
from tlv.status import CAUSES

__all__ = ["Farewell", "Item", "Loss", "RelayClient", "RelayError", "RelayUnreachable", "ServedRing"]

log = logging.getLogger("alphapulse.client")
BUFFER_BYTES = 1 << 19
"""Several chunks of a relay, and many times the largest message."""
MESSAGES = 4096
ACK_EVERY_S = 0.1
"""An acknowledgement is a file for the relay: the last one of each tenth of a second is enough."""
SILENCE_S = 5.0
"""A relay sends at least a heartbeat every second.  A connection that is silent for so long is broken."""
LONGEST_NAME = Subscribe.layout.kinds["name"].size
UUID_BYTES = SubscribeAck.layout.kinds["ring_uuid"].size
CLOSE_S = 1.0
"""How long `close` waits for a relay that takes no acknowledgements."""
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
STARTS = {"latest": StreamStart.LATEST, "oldest": StreamStart.OLDEST, "acknowledged": StreamStart.ACKNOWLEDGED}


def itself(item: Item | Loss) -> Item | Loss:
    """What an iteration over a client gives."""
    return item


class RelayClient:
    """Reads a domain's rings from the relay at `path`.

    Iterate over it with `for` or `async for`, one iteration at a time: `consumers.delivery` has the rules.  One that is
    left, by `break`, an exception or a cancellation, loses nothing; the next one goes on behind the last item.

    Args:
        name: makes the client durable: the relay keeps what it acknowledged.
        start: `latest`, `oldest`, `acknowledged` (behind the last acknowledged message), or {ring uuid: sequence}.
        at_least_once: get frames that the ring has overwritten from the journal.
        wanted: ask for these messages only, as in `MessageFilter.of(types=[PoolSwap])`.
        acknowledge: `automatic`, or `manual`: by `ack`.
        reconnect: connect again after a broken connection or a temporary refusal; otherwise that is an error.
        max_silence_s: treat a connection as broken after waiting so long without a byte.
        wait_s: for so many seconds a relay that is not there yet is waited for.  Its rings may come later anyway.

    Raises:
        RelayUnreachable: nobody listens there after `wait_s`.
        SocketRefused: see `address.connect`.
        UsageError: an argument that cannot be.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str = "",
        start: Literal["latest", "oldest", "acknowledged"] | dict[bytes, int] = "latest",
        at_least_once: bool = False,
        wanted: MessageFilter = EVERYTHING,
        acknowledge: Literal["automatic", "manual"] = "automatic",
        reconnect: bool = True,
        max_silence_s: float = SILENCE_S,
        wait_s: float = 0.0,
    ) -> None:
        check_seconds("wait_s", wait_s)
        check_options(path, name, start, wanted, acknowledge, max_silence_s)
        self.path = Path(path)
        self.name = name
        self.connections = 0
        self.lost = 0
        self.refusal: Farewell | None = None
        """The temporary refusal because of which nothing comes now."""
        self._start = start
        self._at_least_once = bool(at_least_once)
        self._wanted = wanted
        self._automatic = acknowledge == "automatic"
        self._reconnect = reconnect
        self._max_silence_s = max_silence_s
        self._stream = ClientStream()
        self._buffer = np.zeros(BUFFER_BYTES, np.uint8)
        self._bounds = np.zeros(MESSAGES + 1, np.int64)
        self._filled = 0
        self.queue: ItemQueue[Item | Loss] = ItemQueue(self, f"{path}")
        self._unsent = b""
        self._failure: RelayError | None = None
        self._next_ack = 0.0
        self._quiet_since = math.inf
        self._pause_s = FIRST_PAUSE_S
        self._next_try = 0.0
        self._closing = threading.Event()
        self._midway = False
        """Between taking bytes or giving them, and having noted it: whatever interrupts that leaves it True."""
        self._socket: socket.socket | None = None
        split_messages(self._buffer, 0, 0, self._bounds)  # loaded now: nothing waits for it yet
        when_there(self._connect, wait_s, absent=(RelayUnreachable,))

    @property
    def rings(self) -> dict[bytes, ServedRing]:
        """The rings that the relay has announced, by uuid."""
        return self._stream.rings

    def __iter__(self) -> Iterator[Item | Loss]:
        """Yield messages and losses until `close`, or until `receive` raises."""
        return Iteration(self.queue, self.queue.look, itself)

    def __aiter__(self) -> AsyncIterator[Item | Loss]:
        """The same for asyncio, without a thread."""
        return Iteration(self.queue, self.queue.look, itself)

    def ack(self, item: Item | Loss) -> None:
        """Say that `item` and everything before it in its ring was handled."""
        if isinstance(item, Loss):
            self.rings[item.ring].note_handled(item.last)
        else:
            item.ring.note_handled(item.covers)
        if self.name and time.monotonic() >= self._next_ack and not self._midway:
            # A broken connection is noticed, and dealt with, by the next look.
            with contextlib.suppress(OSError):
                self._send_acks()

    def note_handled(self, item: Item | Loss) -> None:
        """The next item is asked for."""
        if self._automatic:
            self.ack(item)

    def close(self) -> None:
        """Send the last acknowledgements and close the connection."""
        self._closing.set()
        if self._socket is not None and not self._midway:
            # If the relay is gone by now, what was not acknowledged is sent again to the next connection.
            with contextlib.suppress(OSError):
                self._socket.settimeout(CLOSE_S)
                self._send_acks()
        self._hang_up()
        self.queue.wake()

    def __enter__(self) -> RelayClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def receive(self) -> list[Item | Loss] | None:
        """What the next bytes bring, perhaps nothing; None after `close`.  None of it is acknowledged by itself.

        Raises:
            Farewell: the relay refuses us for good, or, without `reconnect`, ended the connection.
            RelayUnreachable: without `reconnect`, the connection broke.
        """
        queue = self.queue
        queue.note_handled()
        found = Found.QUIET
        while queue.given == len(queue.items) and found is Found.QUIET:
            found = queue.look()
            if found is Found.QUIET:
                self.wait()
        items = queue.items[queue.given :]
        queue.items, queue.given = [], 0
        return None if found is Found.END else items

    def look(self, into: ItemQueue[Item | Loss]) -> Found:
        """Read what the socket holds, or connect again if that is due; see `consumers.delivery`.

        Raises:
            Farewell, RelayUnreachable: see `receive`; RelayError: the relay broke its own protocol.
        """
        if self._midway:
            self._start_over()
        if self._failure:
            raise self._failure
        if self._closing.is_set():
            return Found.END
        items: list[Item | Loss] = []
        self._stream.begin()
        self._midway = True
        if self._socket is None:
            found = self._connect_if_due()
            self._midway = False
            return found
        came = True
        try:
            # A broken connection may still hold bytes to be read, so a failed acknowledgement is no error here.
            with contextlib.suppress(OSError):
                self._send_acks()
            came = self._read_stream(items)
        except (OSError, RelayError) as error:
            self._hang_up()
            if not self._closing.is_set():
                # What came before the failure is good, and is given first.
                self._failure = self._final_failure(error)
                self._put_off()
                if self._failure:
                    self._stream.release(items)
        lost = self.lost + sum(item.count for item in items if isinstance(item, Loss))
        if items:
            self._pause_s, self.refusal = FIRST_PAUSE_S, None
        into.items, into.given, self.lost, self._midway = items, 0, lost, False
        return Found.NEWS if came else Found.QUIET

    def wait(self) -> None:
        """Block until the socket is readable, the next attempt to connect is due, or the client is closed."""
        fd, seconds = self.awaited()
        if fd == NO_DESCRIPTOR:
            self._closing.wait(seconds)
        else:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            poll.poll(max(1, math.ceil(seconds * 1000)))

    def awaited(self) -> tuple[int, float]:
        """The socket and the rest of its silence limit, or the time until the next attempt to connect."""
        now, connection = time.monotonic(), self._socket
        if connection is None:
            return NO_DESCRIPTOR, max(0.0, self._next_try - now)
        return connection.fileno(), max(0.0, min(self._quiet_since, now) + self._max_silence_s - now)

    def _send_acks(self) -> None:
        """Send what is due, as far as the socket takes it."""
        self._next_ack = time.monotonic() + ACK_EVERY_S
        if not self.name or self._socket is None:
            return
        before = self._midway
        if not before:
            self._stream.begin()
        self._midway = True
        for ring in self.rings.values():
            if ring.handled > ring.acknowledged:
                self._unsent += protocol.acknowledge(ring.handled, ring.uuid)
                ring.acknowledged = ring.handled
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            pass  # the rest is sent first the next time
        except OSError:
            self._midway = before
            raise
        self._midway = before

    def _final_failure(self, error: OSError | RelayError) -> RelayError | None:
        """The error to raise; None to reconnect instead."""
        if isinstance(error, OSError):
            return None if self._reconnect else RelayUnreachable(f"{self.path}: the connection broke ({error})")
        if not self._reconnect or (isinstance(error, Farewell) and error.final):
            return error
        if isinstance(error, Farewell):
            if self.refusal is None or self.refusal.reason != error.reason:
                log.warning("%(socket)s: %(why)s; this client comes again", {"socket": self.path, "why": error})
            self.refusal = error
        return None

    def _read_stream(self, items: list[Item | Loss]) -> bool:
        """Append what the socket holds to `items`; False if it holds nothing."""
        assert self._socket is not None
        try:
            count = self._socket.recv_into(self._buffer[self._filled :].data)
        except BlockingIOError:
            self._quiet_since = min(self._quiet_since, time.monotonic())
            if time.monotonic() - self._quiet_since >= self._max_silence_s:
                raise TimeoutError(f"nothing came for {self._max_silence_s:g} s") from None
            return False
        if count == 0:
            raise ConnectionResetError("the relay hung up")
        self._quiet_since = math.inf
        self._filled += count
        start, status = 0, 0
        while True:
            status, found, cause = split_messages(self._buffer, start, self._filled, self._bounds)
            self._stream.take_all(self._buffer, self._bounds[: found + 1], items)
            start = int(self._bounds[found])
            if status == BROKEN:
                raise RelayError(f"{self.path}: byte {start} of the stream begins no message ({CAUSES[cause].name})")
            if found < MESSAGES:
                break
        self._buffer[: self._filled - start] = self._buffer[start : self._filled].copy()
        self._filled -= start
        return True

    def _start_over(self) -> None:
        """Something interrupted a look or an acknowledgement: nobody knows which bytes it took.  Connect again, and go
        on where that look began."""
        self._hang_up()
        self._stream.roll_back()
        self._next_try = 0.0
        self._midway = False

    def _connect(self, patience_s: float | None = None) -> None:
        resume: list[Resume] = []
        if self.rings:
            start = StreamStart.SEQUENCE
            resume = [Resume(ring.next_sequence, uuid, ring.name) for uuid, ring in self.rings.items()]
        elif isinstance(self._start, dict):
            start = StreamStart.SEQUENCE
            resume = [Resume(sequence, uuid, "") for uuid, sequence in self._start.items()]
        else:
            start = STARTS[self._start]
        hello = protocol.subscribe(
            name=self.name,
            start=start,
            at_least_once=self._at_least_once,
            resume=resume,
            wanted=self._wanted,
        )
        # Only now: the relay waits for the hello.
        self._socket = connect(self.path, self._max_silence_s if patience_s is None else patience_s)
        self.connections += 1
        self._filled = 0
        self._unsent = b""
        self._quiet_since = math.inf
        self._stream.reconnected()
        # A relay that refused us has closed its end, and its Farewell is in our receive buffer.
        with contextlib.suppress(BrokenPipeError):
            self._socket.sendall(hello)
        self._socket.setblocking(False)

    def _connect_if_due(self) -> Found:
        """Connect again, if the pause is over."""
        if time.monotonic() < self._next_try:
            return Found.QUIET
        try:
            self._connect(patience_s=0.0)
        except (RelayUnreachable, OSError):
            self._hang_up()
            if not self._reconnect:
                raise
            self._put_off()
            return Found.QUIET
        return Found.NEWS

    def _put_off(self) -> None:
        """Pauses double until a relay streams, with jitter so that many clients do not come at once."""
        self._next_try = time.monotonic() + random.uniform(0, self._pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _hang_up(self) -> None:
        connection, self._socket = self._socket, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # ends the wait of another thread
            self.queue.wake(connection.close)


def check_options(
    path: object, name: object, start: object, wanted: object, acknowledge: object, max_silence_s: object
) -> None:
    """Refuse arguments of a client that cannot be.

    Raises:
        UsageError: naming the argument.
    """
    if not isinstance(path, str | Path) or "\0" in str(path):
        raise UsageError(f"path: expected a path without NUL, found {path!r}")
    if not isinstance(wanted, MessageFilter):
        raise UsageError(f"wanted: expected a MessageFilter, found {wanted!r}")
    if not isinstance(name, str) or not protocol.is_client_name(name) or len(name) > LONGEST_NAME:
        expected = f"at most {LONGEST_NAME} of the characters a-z A-Z 0-9 _ - . and no dot in front"
        raise UsageError(f"name: expected {expected}, found {name!r}")
    if isinstance(start, dict):
        for uuid, sequence in start.items():
            if not isinstance(uuid, bytes) or len(uuid) != UUID_BYTES:
                raise UsageError(f"start: expected a ring's uuid of {UUID_BYTES} bytes, found {uuid!r}")
            check_integer("start", sequence, 1, NO_LIMIT)
    else:
        check_start("start", start, "acknowledged", "{ring uuid: sequence}", sequences=False)
    if start == "acknowledged" and not name:
        raise UsageError("start: only a client with a name has acknowledged anything, and this one has none")
    if not isinstance(acknowledge, str) or acknowledge not in ("automatic", "manual"):
        raise UsageError(f"acknowledge: expected automatic or manual, found {acknowledge!r}")
    check_seconds("max_silence_s", max_silence_s, above_zero=True)
