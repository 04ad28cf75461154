"""Waiting for a ring or a relay that is not there yet, so that processes may start in any order.

Owns the one loop of `Live`, `RelayClient`, `Recorder` and the commands.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from ringbuf import RingNotFound, RingNotReady
from ringbuf.playback import never

T = TypeVar("T")

RETRY_S = 0.05
NO_RING = (RingNotFound, RingNotReady)
SAY_AFTER_S = 0.5
"""What is about to be made is not worth a line."""


def nothing() -> None:
    """Tell nobody."""


def when_there(
    make: Callable[[], T],
    wait_s: float | None,  # None: as long as it takes
    asked_to_stop: Callable[[], bool] = never,
    tell: Callable[[], object] = nothing,
    absent: tuple[type[Exception], ...] = NO_RING,
) -> T:
    """What `make` makes, tried again while it raises one of `absent`.  `tell` is called once, if that takes long.

    Raises:
        One of `absent`: after `wait_s` seconds, or when asked to stop.
    """
    began, told = time.monotonic(), False
    while True:
        try:
            return make()
        except absent:
            waited = time.monotonic() - began
            if asked_to_stop() or (wait_s is not None and waited >= wait_s):
                raise
            if not told and waited >= SAY_AFTER_S:
                tell()
                told = True
        time.sleep(RETRY_S)
