"""Where `Live` gets its events: a ring in this machine's memory, or a relay's socket.

Owns what happens when a ring is closed, taken over by another writer or made anew, and when a relay goes away.  How
events reach the program is `consumers.delivery`'s.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from pathlib import Path
from typing import Literal

import numpy as np

from consumers.analysis import kernels
from consumers.analysis.selection import Selection
from consumers.client import Item, RelayClient
from consumers.delivery import NO_DESCRIPTOR, Found, ItemQueue
from consumers.event import Event, read_event
from consumers.follower import RingFollower, replaced_message
from consumers.relay.bell import Bell
from consumers.relay.errors import Farewell, RelayUnreachable
from consumers.symbols import SymbolFilter, states_in
from ringbuf import CorruptRing, Loss, Reader, RingClosed, Status
from tlv.buffers import Longs
from tlv.codes import FarewellReason, Flag
from tlv.errors import FrameError
from tlv.filter import MessageFilter
from tlv.layout import LAYOUT_DIGEST, PoolState

log = logging.getLogger("alphapulse.live")

Start = Literal["latest", "oldest"]
WAIT_S = 0.2
"""How long a request to stop may go unnoticed in a quiet market."""
CHECK_EVERY_S = 0.5
"""How long the death of a writer, or of a ring's name, may go unnoticed; it takes three system calls to see."""
FRAMES_PER_POLL = 256


class RingSource:
    """The events of ring `name`; with `symbols`, which learns what they mean, of their pools.

    Raises:
        RingNotFound, RingNotReady, BadSegment: see `Reader.attach`.
    """

    def __init__(
        self, name: str, selection: Selection, start: Start, reconnect: bool, symbols: SymbolFilter | None = None
    ) -> None:
        self.reconnections = 0
        self.lost = 0
        self.refused = 0
        """Frames that are no message."""
        self.queue: ItemQueue[Event | Loss] = ItemQueue(self, f"ring {name}")
        self._name = name
        self._selection = selection
        self._symbols = symbols
        self._reconnect = reconnect
        attached = Reader.attach(name, start=start, layout_digest=LAYOUT_DIGEST)
        self._follower = RingFollower(attached)
        self._place = self._reader.place()
        self._midway = False
        """Between polling and having noted it: whatever interrupts that leaves it True."""
        self._resting = False
        """The ring is closed or gone, and nothing wakes us when another writer or ring comes."""
        self._ended = False
        self._next_check = 0.0
        self._chosen: Longs = np.zeros(FRAMES_PER_POLL, np.int64)
        self._bell: RingBell | None = None

    @property
    def _reader(self) -> Reader:
        return self._follower.reader

    def receive(self) -> Found:
        """Take in what is there; END when the ring, or its writer, has ended and no other one is waited for.

        Raises:
            CorruptRing.
        """
        return self.queue.look()

    def look(self, into: ItemQueue[Event | Loss]) -> Found:
        """Poll once; see `consumers.delivery`."""
        if self._midway:
            self._reader.return_to(self._place)
        if self._ended:
            return Found.END
        self._place, self._midway = self._reader.place(), True
        items: list[Event | Loss] = []
        status, refused = self._poll(items)
        lost = self.lost + sum(item.count for item in items if isinstance(item, Loss))
        into.items, into.given, self.lost, self.refused, self._midway = items, 0, lost, self.refused + refused, False
        self._resting = False
        if items or status is Status.OK:
            return Found.NEWS
        if status is Status.CORRUPT:
            raise CorruptRing(f"ring {self._name}: no frame at position {self._reader.position}")
        if status is Status.EPOCH_CHANGED:
            self.reconnections += 1
            return self._end() if not self._reconnect else Found.NEWS
        if status is Status.CLOSED:
            return self._outlive(into)
        if time.monotonic() >= self._next_check:
            self._next_check = time.monotonic() + CHECK_EVERY_S
            return self._check_writer(into)
        return Found.QUIET

    def _poll(self, items: list[Event | Loss]) -> tuple[Status, int]:
        """Append what a poll brings to `items`; returns its status, and how many frames are no message."""
        poll = self._follower.poll(FRAMES_PER_POLL)
        uuid = self._reader.uuid
        if poll.loss is not None:
            items.append(poll.loss)
        if self._symbols is not None:
            for _, state in states_in(poll):
                if self._symbols.learn(state):
                    self._selection = Selection(self._symbols.filter)
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
        for index in self._chosen[:taken].tolist():
            frame = poll[index]
            items.append(read_event(uuid, frame.sequence, frame.payload))
        return poll.status, refused

    def _check_writer(self, into: ItemQueue[Event | Loss]) -> Found:
        """Nothing comes: see whether ring and writer are still there."""
        status = self._reader.check()
        if status is Status.ORPHANED:
            return self._outlive(into)
        if status is Status.WRITER_DEAD and not self._reconnect:
            # What it published before it died comes first.
            return Found.NEWS if self._reader.lag_bytes else self._end()
        return Found.QUIET

    def _outlive(self, into: ItemQueue[Event | Loss]) -> Found:
        """The ring is closed, or its name is gone or means another ring: wait for the next writer or ring."""
        if not self._reconnect:
            return self._end()
        self._resting = True
        step = self._follower.next_ring()
        if step is None:
            return Found.QUIET
        self._silence_bell()
        self._resting = False
        self._place = self._reader.place()
        self.reconnections += 1
        told = read_event(step.old, 0, replaced_message(step))
        into.items, into.given = [told] if step.loss is None else [step.loss, told], 0
        return Found.NEWS

    def _end(self) -> Found:
        self._ended = True
        return Found.END

    def wait(self) -> None:
        """Sleep until there is a frame, or a while."""
        if self._resting:
            time.sleep(WAIT_S)
        elif not self._ended:
            with contextlib.suppress(RingClosed):  # by another thread, and the next look ends
                self._reader.wait(WAIT_S)

    def awaited(self) -> tuple[int, float]:
        """An eventfd that becomes readable with the next frame."""
        if self._resting or self._ended:
            return NO_DESCRIPTOR, WAIT_S
        if self._bell is None:
            self._bell = RingBell(self._reader)
        self._bell.arm(self._reader.position)
        return self._bell.eventfd, WAIT_S

    def note_handled(self, item: Event | Loss) -> None:
        """A ring keeps no account of it."""

    def show(self, item: Event | Loss) -> Event | Loss:
        """What was polled is given as it is."""
        return item

    def _silence_bell(self) -> None:
        bell, self._bell = self._bell, None
        self.queue.wake(bell.close if bell else None)

    def close(self) -> None:
        """Leave the ring."""
        self._ended = True
        self._silence_bell()
        self._follower.close()


class RingBell:
    """An eventfd that becomes readable when a ring has news, and the thread that sees to it."""

    def __init__(self, reader: Reader) -> None:
        self.eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._bell = Bell(reader, self.eventfd)

    def arm(self, position: int) -> None:
        """Become readable as soon as the ring's end is not `position`, and not before."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.eventfd)
        self._bell.arm(position)

    def close(self) -> None:
        """End the thread."""
        self._bell.close()
        os.close(self.eventfd)


class RelaySource:
    """The events of all rings that the relay at `path` serves.  An event counts as handled when the next is asked for.
    With `symbols`, those of their pools; then `wanted` has to let PoolStates pass, which alone say what they mean.

    Raises:
        RelayUnreachable, SocketRefused: see `consumers.client`.
    """

    def __init__(
        self,
        path: Path,
        wanted: MessageFilter,
        start: Start,
        reconnect: bool,
        name: str,
        at_least_once: bool,
        symbols: SymbolFilter | None = None,
    ) -> None:
        self.refused = 0
        """Messages that do not parse."""
        self._symbols = symbols
        self._reconnect = reconnect
        self._client = RelayClient(
            path,
            name=name,
            start="acknowledged" if name else start,
            at_least_once=at_least_once,
            wanted=wanted,
            reconnect=reconnect,
        )
        self.queue = self._client.queue

    @property
    def reconnections(self) -> int:
        """How often the connection was made anew."""
        return self._client.connections - 1

    @property
    def lost(self) -> int:
        """Messages that cannot be had."""
        return self._client.lost

    def receive(self) -> Found:
        """Take in what is there; END when the relay has gone and is not waited for.

        Raises:
            Farewell: the relay refuses us for good, or, without `reconnect`, for now.
        """
        try:
            return self.queue.look()
        except (RelayUnreachable, Farewell) as error:
            gone = isinstance(error, RelayUnreachable) or error.reason == FarewellReason.SHUTTING_DOWN
            if self._reconnect or not gone:
                raise
            return Found.END

    def show(self, item: Item | Loss) -> Event | Loss | None:
        """The event of a message; None if it is none."""
        if isinstance(item, Loss):
            return item
        try:
            event = read_event(item.ring.uuid, item.sequence, item.data)
            if self._symbols is not None:
                if isinstance(event.record, PoolState) and not event.flags & Flag.UNPROVEN:
                    self._symbols.learn(event.record)
                return event if self._symbols.filter.passes(item.data) else None
            return event
        except FrameError as error:
            self.refused += 1
            found = {"error": error, "ring": item.ring.name, "sequence": item.sequence}
            log.warning("left out: %(error)s", found)
            return None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
