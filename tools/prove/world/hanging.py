"""A call that never returns is a fault like any other: it is ended after a while of the processor's time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

MOST_CPU_S = 5.0
"""Of one world; the longest take half a second.  Processor time, so that a busy machine changes nothing."""


class Hanging(AssertionError):
    """The feed computes and computes."""


@contextmanager
def bounded_cpu() -> Iterator[None]:
    """Raise Hanging where the processor is after `MOST_CPU_S`; in the main thread only, which alone gets signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def give_up(_: int, frame: FrameType | None) -> None:
        where = f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}" if frame is not None else "?"
        raise Hanging(f"{MOST_CPU_S:.0f} s of the processor and no end, at {where}")

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
