"""Where `Live` gets its events: a ring in this machine's memory, or a relay's socket.

Owns what happens when a ring is closed, taken over by another writer or made anew, and when a relay goes away.
`receive` of both sources returns the next events, perhaps none, or None at the end.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Literal

import numpy as np

from consumers.analysis import kernels
from consumers.analysis.selection import Selection
from consumers.client import Item, RelayClient
from consumers.event import Event, read_event
from ringbuf import CorruptRing, Loss, Reader, RingNotFound, RingNotReady, Status
from tlv.buffers import Longs
from tlv.errors import FrameError
from tlv.filter import MessageFilter
from tlv.layout import LAYOUT_DIGEST

log = logging.getLogger("alphapulse.live")

Start = Literal["live", "oldest"]
WAIT_S = 0.2
"""How long a request to stop may go unnoticed in a quiet market."""
FRAMES_PER_POLL = 256
RING_START: dict[Start, Literal["latest", "oldest"]] = {"live": "latest", "oldest": "oldest"}


class RingSource:
    """The events of ring `name`.

    Raises:
        RingNotFound, RingNotReady, BadSegment: see `Reader.attach`.
    """

    def __init__(self, name: str, selection: Selection, start: Start, reconnect: bool) -> None:
        self.reconnections = 0
        self.refused = 0
        """Frames that are no message."""
        self._name = name
        self._selection = selection
        self._reconnect = reconnect
        self._reader = self._attach(RING_START[start])
        self._chosen: Longs = np.zeros(FRAMES_PER_POLL, np.int64)

    def _attach(self, start: Literal["latest", "oldest"]) -> Reader:
        return Reader.attach(self._name, start=start, layout_digest=LAYOUT_DIGEST)

    def receive(self) -> list[Event | Loss] | None:
        """What is there, or comes within `WAIT_S`; None when the ring is closed and no other writer is waited for.

        Raises:
            CorruptRing.
        """
        poll = self._reader.poll(FRAMES_PER_POLL)
        uuid = self._reader.uuid
        items: list[Event | Loss] = []
        if poll.loss is not None:
            items.append(poll.loss)
        taken, refused = kernels.choose(
            poll.buffer,
            self._reader.index,
            0,
            len(poll),
            0,
            self._selection.bounds,
            self._selection.sizes,
            self._selection.filter.tables,
            self._chosen,
        )
        self.refused += refused
        for index in self._chosen[:taken].tolist():
            frame = poll[index]
            items.append(read_event(uuid, frame.sequence, frame.payload))
        if poll.status is Status.CORRUPT:
            raise CorruptRing(f"ring {self._name}: no frame at position {self._reader.position}")
        if poll.status is Status.EPOCH_CHANGED:
            self.reconnections += 1
        if poll.status is Status.CLOSED and not items:
            return self._outlive(self._reader.check())
        if poll.status is Status.EMPTY:
            status = self._reader.wait(WAIT_S)
            if status is Status.ORPHANED:
                return self._outlive(status)
        return items

    def _outlive(self, status: Status) -> list[Event | Loss] | None:
        """The ring is closed, or its name is gone or means another ring: wait for the next writer or ring."""
        if not self._reconnect:
            return None
        time.sleep(WAIT_S)
        if status is Status.ORPHANED:
            try:
                fresh = self._attach("oldest")
            except (RingNotFound, RingNotReady):
                return []
            self._reader.close()
            self._reader = fresh
            self.reconnections += 1
        return []

    def close(self) -> None:
        """Leave the ring."""
        self._reader.close()


class RelaySource:
    """The events of all rings that the relay at `path` serves.  An event counts as handled when more are asked for.

    Raises:
        RelayUnreachable, SocketRefused: see `consumers.client`.
    """

    def __init__(
        self, path: Path, wanted: MessageFilter, start: Start, reconnect: bool, name: str, at_least_once: bool
    ) -> None:
        self.refused = 0
        """Messages that do not parse."""
        self._given: list[Item | Loss] = []
        self._client = RelayClient(
            path,
            name=name,
            start="acknowledged" if name else start,
            at_least_once=at_least_once,
            wanted=wanted,
            acknowledge="manual",
            reconnect=reconnect,
        )

    @property
    def reconnections(self) -> int:
        """How often the connection was made anew."""
        return self._client.connections - 1

    def receive(self) -> list[Event | Loss] | None:
        """The events in the next bytes; None when the connection has ended and is not made again.

        Raises:
            Farewell: the relay refuses us for good.
        """
        for item in self._given:
            self._client.ack(item)
        self._given = []
        found = self._client.receive()
        if found is None:
            return None
        self._given = found
        items: list[Event | Loss] = []
        for item in found:
            if isinstance(item, Loss):
                items.append(item)
                continue
            try:
                items.append(read_event(item.ring.uuid, item.sequence, item.data))
            except FrameError as error:
                self.refused += 1
                log.warning("left out: %s", error)
        return items

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
