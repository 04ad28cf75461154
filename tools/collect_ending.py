"""SIGINT and SIGTERM, as `alphapulse collect` is told to end by them.

Owns the two signals for the length of a `with` block around all that the command does with its ring: no moment is left
in which one of them would be lost, or would end the process without closing the ring.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from producers.collector import Collector

STOP_S = 10.0
"""How long an end may take: the disk's part of it is short, and a loop that does not turn never ends by itself."""


class Ending:
    """Whether this process was told to end; tells the collector, once there is one.

    If the end takes longer than STOP_S, it breaks into whatever runs.
    """

    def __init__(self) -> None:
        self.asked = False
        self._collector: Collector | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    @contextmanager
    def heard(cls) -> Iterator[Self]:
        """Listen until the block ends."""
        ending = cls()
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, ending._ask) for number in numbers}
        before[signal.SIGALRM] = signal.signal(signal.SIGALRM, _break_off)
        try:
            yield ending
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)

    def tells(self, collector: Collector) -> None:
        """It is `collector`, of the running loop, that is to stop; at once, if that was asked before."""
        self._collector, self._loop = collector, asyncio.get_running_loop()
        if self.asked:
            collector.stop()

    def _ask(self, number: int, frame: object) -> None:
        if not self.asked:
            signal.setitimer(signal.ITIMER_REAL, STOP_S, STOP_S)
        self.asked = True
        if self._collector is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._collector.stop)


def _break_off(number: int, frame: object) -> None:
    raise KeyboardInterrupt  # what is in the ring is whole at any instant (promise P2)
