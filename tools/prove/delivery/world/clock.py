"""The world's time, and what stands for asyncio's loop where a client waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tlv.units import NS
from tools.prove.delivery.world.turns import pause


class DeliveryClock:
    """Stands for the module `time`.  Begins late enough that no place takes a time for none."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """The time."""
        return self.now

    def monotonic_ns(self) -> int:
        """The time in ns."""
        return int(self.now * NS)

    def sleep(self, seconds: float) -> None:
        """Of blocking code, which has a thread of its own."""
        due = self.now + seconds
        while self.now < due:
            pause()


class DueCall:
    """A call that is due at a time."""

    def __init__(self, at: float, call: Callable[[], object]) -> None:
        self.at = at
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        """Drop it."""
        self.call = None


class WaitLoop:
    """As much of an event loop as `consumers.delivery` waits with; the world calls `fire`."""

    def __init__(self, clock: DeliveryClock, readable: Callable[[int], bool]) -> None:
        self._clock, self._readable = clock, readable
        self._timers: list[DueCall] = []
        self._watched: dict[int, Callable[[], object]] = {}

    def get_debug(self) -> bool:
        """Asked by futures."""
        return False

    def is_running(self) -> bool:
        """Asked by waiters."""
        return True

    def is_closed(self) -> bool:
        """Asked by waiters."""
        return False

    def create_future(self) -> asyncio.Future[None]:
        """A future of this loop."""
        return asyncio.Future(loop=self)  # type: ignore[arg-type]

    def call_later(self, seconds: float, call: Callable[[], object]) -> DueCall:
        """Call it then."""
        self._timers.append(DueCall(self._clock.now + seconds, call))
        return self._timers[-1]

    def add_reader(self, fd: int, call: Callable[[], object]) -> None:
        """Call it once the descriptor can be read."""
        self._watched[fd] = call

    def remove_reader(self, fd: int) -> None:
        """Watch it no more."""
        self._watched.pop(fd, None)

    def fire(self) -> None:
        """Make the calls that are due; none is left of a wait that ended."""
        for timer in [one for one in self._timers if one.call and one.at <= self._clock.now]:
            if timer.call is not None:
                timer.call()
        self._timers = [one for one in self._timers if one.call and one.at > self._clock.now]
        for fd, call in list(self._watched.items()):
            if self._readable(fd):
                call()
