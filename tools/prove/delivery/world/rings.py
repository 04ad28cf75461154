"""The rings of one name, as their producer makes them: published, lapped, taken over, removed, made anew.

Owns the truth: what each incarnation published.  A frame's position is its sequence.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np

from ringbuf import Loss, NoFreeSlot, Poll, RingNotFound, Status
from ringbuf.layout import INDEX_ROWS, LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW
from tlv.codes import Domain, FeedReason, FeedState, Source
from tlv.errors import UsageError
from tlv.layout import Heartbeat, RingReplaced
from tlv.message import build

NAME = "world"
SLOTS = 2
"""Reliable readers that a ring has room for."""
OTHER_TYPE_EVERY = 3
"""One message in so many is of another type than the others: what a filter leaves out."""


def is_other(sequence: int) -> bool:
    """Whether a filter for heartbeats leaves the message of this sequence out."""
    return sequence % OTHER_TYPE_EVERY == 0


@cache
def message_of(number: int, sequence: int) -> bytes:
    """What ring `number` publishes as `sequence`: both can be read from it."""
    record = (
        RingReplaced(number, bytes(16), bytes(16))
        if is_other(sequence)
        else Heartbeat(number, 0, sequence, 0, 0, 0, FeedState.LIVE, 0, FeedReason.OK)
    )
    return build(Domain.SYSTEM, Source.SUPERVISOR, [record], sequence=sequence)


class ProducedRing:
    """One incarnation."""

    def __init__(self, number: int, capacity: int) -> None:
        self.number = number
        self.uuid = number.to_bytes(16, "big")
        self.capacity = capacity
        self.first = self.behind = 1
        self.named = self.owned = True
        self.closed = False
        """Its writer left in order, and no other has come."""
        self.reliable: dict[AttachedRing, int] = {}
        """Where its reliable readers stand: the writer does not overwrite that."""

    def publish(self, count: int) -> None:
        """Publish as much of `count` as the reliable readers leave room for."""
        if self.reliable:
            count = min(count, max(0, min(self.reliable.values()) + self.capacity - self.behind))
        self.behind += count
        self.first = max(self.first, self.behind - self.capacity)


class RingName:
    """The rings that had the name, oldest first."""

    def __init__(self, capacity: int) -> None:
        self.rings: list[ProducedRing] = []
        self._capacity = capacity

    @property
    def current(self) -> ProducedRing | None:
        """The one that has it now."""
        return self.rings[-1] if self.rings and self.rings[-1].named else None

    def make(self) -> ProducedRing:
        """Make the ring anew."""
        self.rings.append(ProducedRing(len(self.rings) + 1, self._capacity))
        return self.rings[-1]

    def of(self, uuid: bytes) -> ProducedRing:
        """The ring with this uuid."""
        return self.rings[int.from_bytes(uuid, "big") - 1]

    def attach(self, make: Callable[[RingName, ProducedRing], AttachedRing] | None = None) -> Any:
        """What stands for a `Reader` of the ring that has the name.

        Raises:
            RingNotFound: none has.
        """
        if self.current is None:
            raise RingNotFound(NAME)
        return (make or AttachedRing)(self, self.current)


class Probe(list[dict[str, int]]):
    """What stands for a reader's state."""

    def copy(self) -> Probe:
        """Another one."""
        return Probe([dict(self[0])])


class Sizes(NamedTuple):
    """What stands for a ring's `Identity`."""

    capacity: int
    max_payload: int = 1 << 16


class AttachedRing:
    """What stands for a `Reader`."""

    name = NAME

    def __init__(self, name: RingName, ring: ProducedRing) -> None:
        self.ring = self.words = ring
        self.uuid = ring.uuid
        self.identity = Sizes(ring.capacity)
        self.state = Probe([{"sequence": 1}])
        self.sequence = 1
        self.index = np.zeros((INDEX_ROWS, 0), np.int64)
        self.closed = self.reliable = False
        self._name = name
        self._passed_from = 0
        """The sequence that was sought and is overwritten: the next poll reports it."""

    @property
    def position(self) -> int:
        """Where it stands."""
        return self.sequence

    @property
    def expected(self) -> int:
        """The sequence of the next frame, or of the loss in front of it."""
        return self._passed_from or self.sequence

    @property
    def lag_bytes(self) -> int:
        """Frames here: what was published and not read."""
        return self.ring.behind - self.sequence

    @property
    def nameless(self) -> bool:
        """Whether the ring lost its name."""
        return not self.ring.named

    @property
    def abandoned(self) -> bool:
        """Whether nobody writes it."""
        return not self.ring.owned

    @property
    def evicted(self) -> bool:
        """Whether the writer waits for this reader no more."""
        return self.reliable and self not in self.ring.reliable

    def check(self) -> Status:
        """ORPHANED if the name is gone, or another ring's; WRITER_DEAD if nobody writes it."""
        if self._name.current is not self.ring:
            return Status.ORPHANED
        return Status.EMPTY if self.ring.owned or self.ring.closed else Status.WRITER_DEAD

    def seek(self, start: int | Literal["oldest", "latest"]) -> None:
        """As a `Reader` does."""
        ring = self.ring
        if isinstance(start, int) and start > ring.behind:
            self.sequence = ring.behind
            raise UsageError("yet to come")
        if isinstance(start, int):
            self.sequence = max(start, ring.first)
            self._passed_from = start if start < ring.first else 0
        else:
            self.sequence = ring.first if start == "oldest" else ring.behind

    def join(self) -> None:
        """Become reliable.

        Raises:
            NoFreeSlot: as many others are.
        """
        if len(self.ring.reliable) >= SLOTS:
            raise NoFreeSlot(NAME)
        self.ring.reliable[self] = self.sequence
        self.reliable = True

    def poll(self, max_frames: int = 256, max_bytes: int | None = None) -> Poll:
        """As a `Reader` does: what was polled before counts as read now."""
        ring = self.ring
        if self in ring.reliable:
            ring.reliable[self] = self.sequence
        begin = max(self.sequence, ring.first)
        expected, self._passed_from = self.expected, 0
        loss = Loss(self.uuid, expected, begin - 1) if begin > expected else None
        self.sequence = min(ring.behind, begin + max_frames)
        frames = [(at, message_of(ring.number, at)) for at in range(begin, self.sequence)]
        payloads, self.index = place_frames(frames)
        status = Status.OK if frames else Status.CLOSED if ring.closed else Status.EMPTY
        return Poll(status, loss, 0, payloads, payloads.data, self.index)

    def place(self) -> tuple[int, int]:
        """Where it stands, to return to."""
        return self.sequence, self._passed_from

    def return_to(self, place: tuple[int, int]) -> None:
        """Go back there."""
        self.sequence, self._passed_from = place

    def close(self) -> None:
        """Leave the ring: the writer waits for it no more."""
        self.closed = True
        self.ring.reliable.pop(self, None)


def place_frames(frames: list[tuple[int, bytes]]) -> tuple[np.ndarray, np.ndarray]:
    """Bytes and index of a poll that brings these frames."""
    table = np.zeros((INDEX_ROWS, len(frames)), np.int64)
    lengths = [len(data) for _, data in frames]
    table[SEQUENCE_ROW] = [sequence for sequence, _ in frames]
    table[LENGTH_ROW] = lengths
    table[OFFSET_ROW, 1:] = np.cumsum(lengths)[:-1]
    return np.frombuffer(bytearray().join(data for _, data in frames), np.uint8), table


def seek_oldest(ring: ProducedRing, probe: Probe, _: int) -> bool:
    """Stands for the kernel."""
    probe[0]["sequence"] = ring.first
    return True


def seek_latest(ring: ProducedRing, probe: Probe) -> bool:
    """Stands for the kernel."""
    probe[0]["sequence"] = ring.behind
    return True
