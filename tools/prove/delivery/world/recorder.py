"""The recorder: reads the rings of the name one after the other into the journal; slow, killed, away, evicted.

Holds the rings with the project's `HeldRings`; the steps are those of `consumers.recorder`, which waits and sleeps.
"""

from __future__ import annotations

from consumers.held import HeldRings
from tools.prove.delivery.world.clock import DeliveryClock
from tools.prove.delivery.world.journal import WorldJournal
from tools.prove.delivery.world.rings import ProducedRing, RingName


class RecorderModel:
    """One process of it."""

    def __init__(self, name: RingName, journal: WorldJournal, clock: DeliveryClock) -> None:
        self._name, self._journal, self._clock = name, journal, clock
        self._held = HeldRings(name.attach)
        self._ring: ProducedRing | None = None
        self._next = 1

    @property
    def stands(self) -> tuple[bytes, int] | None:
        """The ring that it reads, and the sequence that it records next."""
        return (self._ring.uuid, self._next) if self._ring is not None else None

    def step(self, most: int) -> None:
        """Record at most `most` frames, and look whether the ring was replaced."""
        self._held.look(self._clock.now)
        ring = self._ring
        if ring is None:
            if self._held.newest is not None:
                self._join(self._name.of(self._held.newest.uuid))
            return
        if ring.first > self._next:
            self._journal.append(ring.uuid, self._next, ring.first, lost=True)
            self._next = ring.first
        behind = min(ring.behind, self._next + most)
        if behind > self._next:
            self._journal.append(ring.uuid, self._next, behind)
            self._next = ring.reliable_at = behind  # an evicted reader joins again
        self._follow(ring)

    def _follow(self, ring: ProducedRing) -> None:
        here = self._held.get(ring.uuid)
        if here is None or not here.ended or self._next < ring.behind:
            return
        rings = self._held.rings
        later = rings[rings.index(here) + 1 :]
        self._journal.end(ring.uuid, self._next)
        if later:
            here.release()
            self._join(self._name.of(later[0].uuid))

    def _join(self, ring: ProducedRing) -> None:
        last = self._journal.segments[-1] if self._journal.segments else None
        if last is not None:
            self._next = last.behind if last.uuid == ring.uuid else 1
        else:
            self._next = ring.first
        self._ring, ring.reliable_at = ring, self._next

    def kill(self) -> None:
        """End it; the writer does not wait for a dead reader."""
        if self._ring is not None:
            self._ring.reliable_at = None
