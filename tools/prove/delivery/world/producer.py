"""The process that makes and writes the rings of the name, and what strikes it: kills, takeovers, a name taken away."""

from __future__ import annotations

from random import Random

from tools.prove.delivery.world.clock import DeliveryClock
from tools.prove.delivery.world.findings import Findings
from tools.prove.delivery.world.kinds import Chances
from tools.prove.delivery.world.rings import ProducedRing, RingName


class ProducerModel:
    """Whoever has the name, and those whose ring lost it and who did not notice yet."""

    def __init__(self, name: RingName, rng: Random, clock: DeliveryClock, chances: Chances, findings: Findings) -> None:
        self._name, self._rng, self._clock = name, rng, clock
        self._chances, self._findings = chances, findings
        self._back_at = 0.0
        self._unaware: list[tuple[float, ProducedRing]] = []

    @property
    def settled(self) -> bool:
        """Whether a ring has the name, and nobody writes another one."""
        return self._name.current is not None and not self._unaware

    def turn(self) -> None:
        """Publish, or make the ring."""
        chances, now = self._chances, self._clock.now
        self._write_unaware()
        ring = self._name.current
        if ring is None:
            if now >= self._back_at or chances.honest:
                self._findings.note(f"ring {self._name.make().number} is made")
            return
        if not chances.honest:
            ring.publish(self._rng.choice((0, 1, 1, 2, 4)) if ring.owned else 0)
        if chances.strikes("bursts", 0.1):
            ring.publish(chances.number("bursts", 5, 80))
        if chances.strikes("evicted", 0.05):
            ring.reliable.clear()
        if not ring.owned:
            ring.owned = now >= self._back_at or chances.honest
            ring.closed = ring.closed and not ring.owned
        elif chances.strikes("take_over", 0.03):
            ring.owned, self._back_at = False, now + chances.seconds("take_over", 3)
            ring.closed = chances.strikes("closes", 0.5)
            how = "leaves" if ring.closed else "dies"
            self._findings.note(f"the writer of ring {ring.number} {how} behind {ring.behind - 1}")
        if chances.strikes("replace", 0.05):
            self._lose_name(ring)

    def _write_unaware(self) -> None:
        for until, old in list(self._unaware):
            if self._clock.now >= until:
                old.owned = False
                self._unaware.remove((until, old))
            elif self._rng.random() < 0.3:
                old.publish(1)

    def reboot(self, back_at: float) -> None:
        """The machine goes down: no ring is left."""
        for ring in self._name.rings:
            ring.named = ring.owned = False
        self._unaware.clear()
        self._back_at = back_at

    def _lose_name(self, ring: ProducedRing) -> None:
        chances, now = self._chances, self._clock.now
        ring.named, ring.owned = False, False
        self._back_at = now
        if chances.strikes("unaware_writer", 0.4):
            ring.owned = True
            self._unaware.append((now + chances.seconds("unaware_writer", 1.0), ring))
        if chances.strikes("nameless_pause", 0.5):
            self._back_at = now + chances.seconds("nameless_pause", 4)
        self._findings.note(f"ring {ring.number} loses its name behind {ring.behind - 1}")
