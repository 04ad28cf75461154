"""What systemd is told by a process that it runs (sd_notify(3)): that it is ready, and that its loop goes on.

Owns the protocol.  Who calls `turned` is the loop itself, never a thread beside it: that would vouch for a loop that
hangs.  Without NOTIFY_SOCKET nothing is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping

READY, ALIVE = b"READY=1", b"WATCHDOG=1"
SHARE = 0.25
"""Of the watchdog's time: so often at most it is fed."""


class ServiceManager:
    """systemd, or nobody."""

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        meant = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        usec = environment.get("WATCHDOG_USEC", "") if meant else ""
        self.every_s = int(usec) / 1e6 * SHARE if usec.isdigit() else 1.0
        self._watched = usec.isdigit()
        self._due = 0.0
        self._ready = False

    @property
    def listens(self) -> bool:
        """Whether anybody is told anything."""
        return bool(self._address)

    def turned(self) -> None:
        """The loop has turned: ready, if it was not, and alive."""
        if not self._address or (now := time.monotonic()) < self._due:
            return
        self._due = now + self.every_s
        if not self._ready:
            self._ready = self._tell(READY)
        if self._watched:
            self._tell(ALIVE)

    def _tell(self, word: bytes) -> bool:
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as said:
            said.setblocking(False)
            said.sendto(word, address)
            return True
        return False


SERVICE_MANAGER = ServiceManager(os.environ, os.getpid())
"""Of this process."""


async def tell_while_it_turns(progress: Callable[[], object] | None = None) -> None:
    """As a task: tell it as often as is asked for; with `progress` only if that is another value than the last time."""
    before: object = None
    while SERVICE_MANAGER.listens:
        now = progress() if progress is not None else object()
        if now != before:
            SERVICE_MANAGER.turned()
        before = now
        await asyncio.sleep(SERVICE_MANAGER.every_s)
