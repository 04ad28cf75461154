"""What follows a failure of the broker: it is told, counted, and tried again, less often as it goes on.

Owns the pause between two tries.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

from consumers.bridge.broker import RETRY_MOST_S, RETRY_S, Say
from consumers.bridge.counts import Received, Sent
from consumers.bridge.errors import BridgeError

CALM_S = 10.0
"""After so long without a failure the next one is the first again."""


class Retrying:
    """Tells failures, counts them in `counts`, and waits after each, no longer than until `stop`."""

    def __init__(self, stop: asyncio.Event, say: Say, counts: Sent | Received) -> None:
        self._counts = counts
        self._stop = stop
        self._say = say
        self._pause = RETRY_S
        self._last = 0.0

    async def after(self, failure: BridgeError) -> None:
        """Tell it and wait."""
        self._counts.failures += 1
        self._counts.failing_now = 1
        now = time.monotonic()
        self._pause = RETRY_S if now - self._last > CALM_S else min(self._pause * 1.5, RETRY_MOST_S)
        self._last = now
        self._say(f"{failure}; trying again")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), self._pause)
