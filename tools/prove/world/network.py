"""One WebSocket of the world: frames arrive later, in order or not, all at once after a stall, or never.

Owns the delivery of frames and the subscriptions of one connection.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from tlv.units import MS
from tools.prove.world.clock import Agenda


class Wire:
    """A connection as the node's side has it; what it delivers goes to `on_frames`, its end to `on_close`."""

    def __init__(
        self,
        agenda: Agenda,
        rng: Random,
        on_frames: Callable[[list[bytes]], None],
        on_close: Callable[[int], None],
    ) -> None:
        self.open = True
        self.subscriptions: dict[str, str] = {}
        """What each id stands for: "logs" or "newHeads"."""
        self.true_heads = 0
        """Pushed so far: whoever has heard of none cannot tell a made-up one."""
        self.dead: set[str] = set()
        """Subscriptions of which nothing comes any more."""
        self._agenda, self._rng = agenda, rng
        self._on_frames, self._on_close = on_frames, on_close
        self._newest_ns = 0
        self._stalled_until_ns = 0
        self._due: dict[int, list[bytes]] = {}

    def send(self, frame: bytes, delay_ns: int = 0, *, in_order: bool = True) -> None:
        """Deliver `frame`, behind all that were sent before it if `in_order`."""
        if not self.open:
            return
        due_ns = self._agenda.now_ns + delay_ns + self._rng.randrange(1, 4) * MS
        if in_order:
            due_ns = self._newest_ns = max(due_ns, self._newest_ns)
        due_ns = max(due_ns, self._stalled_until_ns)
        if due_ns not in self._due:
            self._due[due_ns] = []
            self._agenda.at(due_ns, partial(self._deliver, due_ns))
        self._due[due_ns].append(frame)

    def stall(self, until_ns: int) -> None:
        """Deliver nothing before that."""
        self._stalled_until_ns = max(self._stalled_until_ns, until_ns)

    def close(self, code: int = 1006) -> None:
        """The node's end: what is on its way is lost."""
        if self.open:
            self.open = False
            self._on_close(code)

    def hang_up(self) -> None:
        """The collector's end."""
        self.open = False

    def _deliver(self, due_ns: int) -> None:
        frames = self._due.pop(due_ns, [])
        if not self.open or not frames:
            return
        if self._agenda.now_ns < self._stalled_until_ns:
            later = self._stalled_until_ns
            if later not in self._due:
                self._agenda.at(later, partial(self._deliver, later))
            self._due.setdefault(later, []).extend(frames)
            return
        self._on_frames(frames)
