"""A strategy beside the ring: the project's own `Live` on a ring, without relay and journal, and its user.

What it is owed: every frame once and in order, or a loss of what the ring has overwritten, told where it lies.
"""

from __future__ import annotations

from itertools import count
from typing import Any, ClassVar, NamedTuple

from consumers.client import Item
from consumers.event import Event, read_event
from consumers.live import Live
from ringbuf import Loss
from tlv.codes import Domain, Source
from tlv.layout import Heartbeat
from tlv.message import build
from tools.prove.delivery.world.client import WorldUser
from tools.prove.delivery.world.clock import DeliveryClock
from tools.prove.delivery.world.kinds import Chances
from tools.prove.delivery.world.oracle import DeliveryOracle
from tools.prove.delivery.world.rings import NAME, AttachedRing, RingName, message_of
from tools.prove.delivery.world.wishes import Wish


class SimulatedReaders(NamedTuple):
    """Stands for the class `Reader`."""

    name: RingName

    def attach(self, *_: object, start: Any, **__: object) -> Any:
        """As `Reader.attach`."""
        reader = self.name.attach()
        reader.seek(start)
        return reader


class WorldBell:
    """Stands for `RingBell`: its descriptor is readable when the ring has news."""

    _numbers = count(1_000_000)
    bells: ClassVar[dict[int, WorldBell]] = {}

    def __init__(self, reader: AttachedRing) -> None:
        self.eventfd = next(self._numbers)
        self._reader, self._position = reader, 0
        self.bells[self.eventfd] = self

    def arm(self, position: int) -> None:
        """Ring once the end of the ring is not `position`."""
        self._position = position

    @property
    def rings(self) -> bool:
        """Whether there is news."""
        return self._reader.ring.behind != self._position

    def close(self) -> None:
        """Ring no more."""
        self.bells.pop(self.eventfd, None)


class LiveModel(WorldUser):
    """One process of it.

    Raises:
        RingNotFound: there is no ring.
    """

    def __init__(self, wish: Wish, clock: DeliveryClock, chances: Chances, oracle: DeliveryOracle) -> None:
        types = [Heartbeat] if wish.filtered else []
        source = Live(NAME, start="oldest" if wish.start == "oldest" else "latest", types=types)
        super().__init__(source, clock, chances, oracle, self._is_readable)

    def _is_readable(self, fd: int) -> bool:
        bell = WorldBell.bells.get(fd)
        return bell is not None and bell.rings

    def take(self, item: Any) -> None:
        """The user gets an event, or a loss."""
        super().take(item if isinstance(item, Loss) else item_of(item))

    def disconnect(self) -> None:
        """It has no connection."""

    def kill(self) -> None:
        """End it."""
        super().kill()
        self._source.close()


class Origin(NamedTuple):
    """What stands for a `ServedRing`."""

    uuid: bytes
    name: str = NAME


def item_of(event: Event) -> Item:
    """An event as the item that a relay's client gets of the same message; without data if it is not that message."""
    ring: Any = Origin(event.ring)
    if event.sequence == 0:
        return Item(ring, 0, build(Domain.SYSTEM, Source.RELAY, event.records), 0)
    data = message_of(int.from_bytes(event.ring, "big"), event.sequence)
    is_it = event == read_event(event.ring, event.sequence, data)
    return Item(ring, event.sequence, data if is_it else b"", event.sequence)
