"""The frames of a relay as polls, for strategies: what a ring and a journal give, over a socket.

Owns the step from a client's items to a `Poll`.  A poll has frames of one ring, since a strategy's ids name the ring.
What a poll gave is acknowledged at the next one: by then the strategy has published what it had to say.
"""

from __future__ import annotations

import select
import time
from collections import deque
from pathlib import Path
from typing import Literal

import numpy as np

from consumers.client import Item, RelayClient
from consumers.delivery import NO_DESCRIPTOR, Found
from consumers.polled_frames import FRAMES_PER_POLL
from ringbuf import Loss, Poll, Status
from ringbuf.layout import INDEX_ROWS, LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW, TIME_ROW
from tlv.buffers import Longs
from tlv.filter import EVERYTHING, MessageFilter

PADDING = bytes(7)


class RelayFrames:
    """Reads what the relay at `path` serves.  A context manager.

    Args:
        name: makes it a durable client, which the relay has wait for nothing that was acknowledged; with it frames that
            the ring has overwritten come from the relay's journal.
        start: `latest` or `oldest`; a durable client that the relay knows goes on behind what it acknowledged if it
            starts at `latest`.

    Raises:
        RelayUnreachable, SocketRefused, UsageError: see `RelayClient`.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str = "",
        start: Literal["latest", "oldest"] = "oldest",
        wanted: MessageFilter = EVERYTHING,
        reconnect: bool = True,
        wait_s: float = 0.0,
    ) -> None:
        self.name = str(path)
        self.uuid = bytes(16)
        """The ring of the last poll's frames."""
        self.sequence = 0
        self._client = RelayClient(
            path,
            name=name,
            start="acknowledged" if name and start == "latest" else start,
            at_least_once=bool(name),
            wanted=wanted,
            acknowledge="manual",
            reconnect=reconnect,
            wait_s=wait_s,
        )
        self._items: deque[Item | Loss] = deque()
        self._given: Item | Loss | None = None

    def poll(self) -> Poll:
        """The next frames of one ring, and the loss in front of them.  Never waits.

        Raises:
            Farewell, RelayUnreachable, RelayError: see `RelayClient.receive`.
        """
        if self._given is not None:
            self._client.ack(self._given)
            self._given = None
        if not self._items:
            queue = self._client.queue
            found = queue.look()
            self._items.extend(queue.items[queue.given :])
            queue.items, queue.given = [], 0
            if not self._items:
                return as_poll(Status.CLOSED if found is Found.END else Status.EMPTY, None, [])
        loss: Loss | None = None
        items: list[Item] = []
        while self._items and len(items) < FRAMES_PER_POLL:
            item = self._items[0]
            if isinstance(item, Loss):
                if items or loss is not None:
                    break
                loss = item
                self.uuid = item.ring
            elif (items or loss is not None) and item.ring.uuid != self.uuid:
                break
            elif item.sequence:  # 0: only that another ring follows
                self.uuid = item.ring.uuid
                items.append(item)
            self._given = self._items.popleft()
        if items:
            self.sequence = items[-1].sequence + 1
        return as_poll(Status.OK, loss, items)

    def wait(self, timeout_s: float) -> None:
        """Block until there may be more, for `timeout_s` at most."""
        descriptor, seconds = self._client.awaited()
        if descriptor == NO_DESCRIPTOR:
            time.sleep(min(seconds, timeout_s))
        else:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll(min(seconds, timeout_s) * 1000)

    def close(self) -> None:
        """Acknowledge what was handled, and close the connection."""
        self._client.close()

    def __enter__(self) -> RelayFrames:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def as_poll(status: Status, loss: Loss | None, items: list[Item]) -> Poll:
    """A poll of these messages; their time is that of their arrival here."""
    index: Longs = np.zeros((INDEX_ROWS, len(items)), np.int64)
    index[SEQUENCE_ROW] = [item.sequence for item in items]
    index[LENGTH_ROW] = lengths = np.array([len(item.data) for item in items], np.int64)
    padded = lengths + 7 & -8
    index[OFFSET_ROW] = padded.cumsum() - padded
    index[TIME_ROW] = time.monotonic_ns()
    # In one piece, not by a copy of each into an array.
    data = bytearray().join([item.data + PADDING[: -len(item.data) & 7] for item in items])
    buffer = np.frombuffer(data, np.uint8)
    return Poll(status, loss, 0, buffer, buffer.data, index)
