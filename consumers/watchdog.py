"""Notices a strategy's method that does not return, and gets the process out of it.

Owns two timers of this process, SIGALRM and SIGPROF.  At each tick of the first it is looked whether the same call into
a strategy goes on as at the ticks before; after `limit_s` of them HandlerTimeout is raised in it, in the middle of
whatever it does: a loop in Python, a sleep, a blocking read.  The driver that made the call sets the frame aside and
stops the strategy.  Nothing is spent on a frame: what is looked at is what drivers count anyway.

A method that lets no Python run (a loop within a compiled function) sees no tick.  For this the second timer counts the
processor's time since the last tick, and ends the process after `LAST_RESORT` limits with a traceback of where it was;
so does the first, if a method catches what is raised in it and goes on.

Ticks are counted and not time, so a process that was suspended, or starved by others, is not taken for one that hangs.
"""

from __future__ import annotations

import faulthandler
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from consumers import strategy
from consumers.polled_frames import PolledFrames
from consumers.strategy import Driver, HandlerTimeout
from consumers.waiting import nothing
from tlv.arguments import check_seconds

log = logging.getLogger("alphapulse.strategy")

LIMIT_S = 5.0
"""How long a method may take: a thousand times what any needs, and short of what a reader of the market can lag."""
TICKS = 10
"""In each limit."""
LAST_RESORT = 3
"""Limits of processor time without a tick after which the process is ended."""
CALLING = {
    function.__code__
    for function in (
        *(Driver.deliver, Driver.lose, Driver.set_aside, PolledFrames._deliver, strategy.dispatch),
        strategy.dispatch_pool,
    )
}
"""The functions from which a strategy's methods are called."""
BESIDE = {"tlv", "numba", strategy.__name__}
"""Where else these call to: a kernel that is compiled at its first call takes seconds."""


@contextmanager
def watching(drivers: Sequence[Driver], limit_s: float = LIMIT_S) -> Iterator[Callable[[], None]]:
    """Watch these drivers' strategies until the end of the block; 0 does not, nor can a thread other than the main one.

    Gives what is to be called between two polls: it takes the alarm back, if a strategy has set it.

    Raises:
        UsageError: `limit_s` is no time.
    """
    check_seconds("limit_s", limit_s)
    if limit_s == 0 or threading.current_thread() is not threading.main_thread():
        yield nothing
        return
    watch = Watchdog(drivers, limit_s)
    before = signal.getsignal(signal.SIGALRM)
    try:
        faulthandler.register(signal.SIGPROF, sys.__stderr__ or 2, all_threads=False, chain=True)
        watch.begin()
        yield watch.take_back
    finally:
        for timer in (signal.ITIMER_REAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)
        faulthandler.unregister(signal.SIGPROF)
        signal.signal(signal.SIGALRM, before)


class Watchdog:
    """Compares what drivers have counted with what they had at the last tick."""

    def __init__(self, drivers: Sequence[Driver], limit_s: float) -> None:
        self._drivers = drivers
        self._limit_s = limit_s
        self._seen: tuple[int, ...] = ()
        self._ticks = 0

    def begin(self) -> None:
        """Set both timers."""
        signal.signal(signal.SIGALRM, self.tick)
        signal.setitimer(signal.ITIMER_PROF, LAST_RESORT * self._limit_s)
        signal.setitimer(signal.ITIMER_REAL, self._limit_s / TICKS, self._limit_s / TICKS)

    def take_back(self) -> None:
        """Begin again, if a strategy has set the alarm for something of its own."""
        if signal.getsignal(signal.SIGALRM) != self.tick or not signal.getitimer(signal.ITIMER_REAL)[1]:
            log.warning("a strategy has set SIGALRM or its timer, by which its methods are watched: they are again")
            self.begin()

    def tick(self, _number: int, frame: FrameType | None) -> None:
        """At each tick: `frame` is where the process is.

        Raises:
            HandlerTimeout: it is in the same call into a strategy as `TICKS` ticks ago.
        """
        seen = tuple(count for driver in self._drivers for count in (driver.frames, driver.lost, driver.poisoned))
        self._ticks = self._ticks + 1 if seen == self._seen and is_called(frame) else 0
        self._seen = seen
        if self._ticks <= TICKS:
            signal.setitimer(signal.ITIMER_PROF, LAST_RESORT * self._limit_s)
            return
        if self._ticks > LAST_RESORT * TICKS:
            signal.raise_signal(signal.SIGPROF)
        # Raised again at each further tick, if the method catches it and goes on.
        raise HandlerTimeout(f"the method did not return within {self._limit_s:g} s")


def is_called(frame: FrameType | None) -> bool:
    """Whether `frame` is in a strategy's method: called, at whatever depth, by one of `CALLING`."""
    inner: FrameType | None = None
    while frame is not None and frame.f_code not in CALLING:
        inner, frame = frame, frame.f_back
    if frame is None or inner is None:
        return False
    module = str(inner.f_globals.get("__name__", ""))
    return module not in BESIDE and module.partition(".")[0] not in BESIDE
