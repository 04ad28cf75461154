"""One reader of a world over its whole life: a process after the other, each killed, and what they got is judged."""

from __future__ import annotations

from random import Random

from ringbuf import RingNotFound
from tools.prove.delivery.world.client import ClientModel
from tools.prove.delivery.world.clock import DeliveryClock
from tools.prove.delivery.world.kinds import Chances
from tools.prove.delivery.world.live import LiveModel
from tools.prove.delivery.world.oracle import DeliveryOracle
from tools.prove.delivery.world.wire import WireEnd
from tools.prove.delivery.world.wishes import Wish


class ClientSeat:
    """The processes that ask for `wish`, one after the other."""

    def __init__(self, wish: Wish, rng: Random, clock: DeliveryClock, chances: Chances, oracle: DeliveryOracle) -> None:
        self.wish, self.oracle = wish, oracle
        self.wires: list[WireEnd] = []
        self._rng, self._clock, self._chances = rng, clock, chances
        self._process: ClientModel | LiveModel | None = None
        self._back_at = self._busy_until = 0.0

    def turn(self, *, relay_runs: bool) -> None:
        """Start if that is due, read, and be struck."""
        chances, now = self._chances, self._clock.now
        if self._process is None:
            if now < self._back_at and not chances.honest:
                return
            self._process = self._start(relay_runs)
            if self._process is None:
                return
        if now < self._busy_until and not chances.honest:
            return
        self._process.step(self._rng.choice((1, 3, 20)))
        if chances.strikes("busy", 0.05):
            self._busy_until = now + chances.seconds("busy", 8)
        if chances.strikes("disconnect", 0.03):
            self._process.disconnect()
            self.oracle.note("loses its connection")
        if chances.strikes("client_kill", 0.03):
            self.kill(now + chances.seconds("client_kill", 5))

    def _start(self, relay_runs: bool) -> ClientModel | LiveModel | None:
        if not self.wish.by_relay:
            try:
                return LiveModel(self.wish, self._clock, self._chances, self.oracle)
            except RingNotFound:
                return None
        if not relay_runs:
            return None
        self.wires.clear()
        return ClientModel(self.wish, self.wires, self._clock, self._chances, self.oracle)

    def kill(self, back_at: float) -> None:
        """Kill its process, if one runs; the next comes at `back_at`."""
        self._back_at = back_at
        if self._process is not None:
            self._process.kill()
            self._process = None
            self.oracle.restarted()
            self.oracle.note("is killed")
