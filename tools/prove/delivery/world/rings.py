"""The rings of one name, as their producer makes them: published, lapped, taken over, removed, made anew.

Owns the truth: what each incarnation published.  A frame's position is its sequence.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from ringbuf import RingNotFound, Status
from tlv.codes import Domain, FeedReason, FeedState, Source
from tlv.errors import UsageError
from tlv.layout import Heartbeat, RingReplaced
from tlv.message import build

NAME = "world"
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
        self.reliable_at: int | None = None
        """Where its reliable reader stands: the writer does not overwrite that."""

    def publish(self, count: int) -> None:
        """Publish as much of `count` as the reliable reader leaves room for."""
        if self.reliable_at is not None:
            count = min(count, max(0, self.reliable_at + self.capacity - self.behind))
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

    def attach(self) -> Any:
        """What stands for a `Reader` of the ring that has the name."""
        if self.current is None:
            raise RingNotFound(NAME)
        return AttachedRing(self, self.current)


class Probe(list[dict[str, int]]):
    """What stands for a reader's state."""

    def copy(self) -> Probe:
        """Another one."""
        return Probe([dict(self[0])])


class AttachedRing:
    """What stands for a `Reader`."""

    def __init__(self, name: RingName, ring: ProducedRing) -> None:
        self.ring = self.words = ring
        self.uuid = ring.uuid
        self.state = Probe([{"sequence": 1}])
        self.sequence = 1
        self._name = name

    @property
    def position(self) -> int:
        """Where it stands."""
        return self.sequence

    @property
    def nameless(self) -> bool:
        """Whether the ring lost its name."""
        return not self.ring.named

    @property
    def abandoned(self) -> bool:
        """Whether nobody writes it."""
        return not self.ring.owned

    def check(self) -> Status:
        """ORPHANED if the name is gone, or another ring's."""
        return Status.EMPTY if self._name.current is self.ring else Status.ORPHANED

    def seek(self, start: int | Literal["oldest", "latest"]) -> None:
        """As a `Reader` does."""
        ring = self.ring
        if isinstance(start, int) and start > ring.behind:
            self.sequence = ring.behind
            raise UsageError("yet to come")
        if isinstance(start, int):
            self.sequence = max(start, ring.first)
        else:
            self.sequence = ring.first if start == "oldest" else ring.behind

    def close(self) -> None:
        """Nothing is held."""


def seek_oldest(ring: ProducedRing, probe: Probe, _: int) -> bool:
    """Stands for the kernel."""
    probe[0]["sequence"] = ring.first
    return True


def seek_latest(ring: ProducedRing, probe: Probe) -> bool:
    """Stands for the kernel."""
    probe[0]["sequence"] = ring.behind
    return True
