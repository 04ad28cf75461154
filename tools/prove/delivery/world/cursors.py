"""The durable cursors of a relay, in memory: what was saved survives a kill, a name is locked while it is held."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from consumers.incarnations import RingCursor
from consumers.relay.cursors import Cursor
from consumers.relay.errors import Farewell
from tlv.codes import FarewellReason
from tools.prove.delivery.world.kinds import Chances
from tools.prove.delivery.world.rings import NAME


class AckWitness(Protocol):
    """Who judges acknowledgements."""

    def welcomed(self, cursors: list[RingCursor]) -> None:
        """A client's name was opened; there it stands."""

    def acknowledged(self, uuid: bytes, sequence: int, *, first: bool) -> None:
        """The relay takes an acknowledgement."""


class CursorStore:
    """What is on disk, by name."""

    def __init__(self, chances: Chances) -> None:
        self.witnesses: dict[str, AckWitness] = {}
        """By the name of the client."""
        self.chances = chances
        self.saved: dict[str, dict[str, int]] = {}
        self.locked: set[str] = set()

    def open(self, _: object, name: str) -> KeptCursor:
        """Stands for the class `Cursor`."""
        return KeptCursor(self, name)


class KeptCursor(Cursor):
    """The cursor of one name, without its files."""

    def __init__(self, store: CursorStore, name: str) -> None:
        if name in store.locked:
            raise Farewell(FarewellReason.NAME_IN_USE)
        store.locked.add(name)
        self._store, self._name, self.path = store, name, Path(name)
        self.damaged = self._unsaved = False
        self._acknowledged = dict(store.saved.get(name, {}))
        store.witnesses[name].welcomed(self.of_ring(NAME))

    def advance(self, ring_name: str, ring_uuid: bytes, sequence: int) -> None:
        """Judge it, and note it."""
        self._store.witnesses[self._name].acknowledged(ring_uuid, sequence, first=not self.of_ring(ring_name))
        super().advance(ring_name, ring_uuid, sequence)

    def save(self) -> bool:
        """Keep what was acknowledged; False if the disk refuses."""
        if self._store.chances.strikes("cursors_unsaved", 0.5):
            return False
        self._store.saved[self._name] = dict(self._acknowledged)
        self._unsaved = False
        return True

    def close(self) -> None:
        """Save and release the name."""
        self.save()
        self._store.locked.discard(self._name)
