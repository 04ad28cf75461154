"""The dashboard as it is now: what rings say and how processes stand, told to every page that watches.

Owns the ticks and the pages.  Reading goes on while nobody watches, so that whoever opens the page in the morning finds
the night's reorgs, the charts' last minutes and the states of pools whose last event is hours old; parsing and encoding
do not.  All that may take long is done in a thread: /metrics never waits for a page.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version

import msgspec
from starlette.websockets import WebSocket

from ringbuf import Poll
from tlv.units import MS
from tools.dashboard.health import health_of
from tools.dashboard.hops import HopIntervals
from tools.dashboard.pools import Pair, PoolStates
from tools.dashboard.shapes import Hello, JournalRow, PoolDetail, Update
from tools.dashboard.view import DashboardView
from tools.dashboard.watcher import (
    POLICY_VIOLATION,
    STALE_AFTER_MS,
    TICK_S,
    TRY_AGAIN_LATER,
    Watcher,
    accept,
    dismiss,
    say_farewell,
)
from tools.obs.look import Look

LOOK_S, IDLE_LOOK_S = 0.5, 2.0
"""While somebody watches, and while nobody does: often enough that no usual ring overwrites what was not read."""
SHORTEST_TICK_S = 0.05
"""Between the end of a tick and the next, which a new page brings forward."""
MOST_WATCHERS = 64
"""Each may take as much as a whole update, and is a connection and a task of this process."""


class LiveDashboard:
    """Takes what is read of rings (`tools.obs.look.FrameTaker`), and serves pages.

    Args:
        build: of the page's files.
    """

    def __init__(self, build: str) -> None:
        self._build = build
        self.journals: Callable[[], list[JournalRow]] = list
        """Those that can be travelled in."""
        self._pools = PoolStates()
        self._view = DashboardView(self._pools)
        self._hops = HopIntervals()
        self._lock = threading.Lock()
        """Around the view: a look for /metrics reads frames too."""
        self._watchers: set[Watcher] = set()
        self._wanted = asyncio.Event()
        self._ending = False

    # ---- what comes in

    def take(self, ring: str, uuid: bytes, poll: Poll) -> None:
        """The next frames of a ring, or a loss."""
        with self._lock:
            self._view.take_poll(ring, uuid, poll, time.time_ns() - time.monotonic_ns())

    def leave(self, ring: str, problem: str) -> None:
        """A ring is gone, or cannot be read."""
        with self._lock:
            self._view.leave(ring, problem)

    def pool(self, ring: str, pool: bytes, tokens: Pair | None) -> PoolDetail | None:
        """One pool as it is now, of a pair of its coins or of the first; None if it is not known."""
        with self._lock:
            return self._pools.detail(ring, pool, tokens)

    # ---- ticks

    async def run(self, look: Callable[[], Look], read: Callable[[], None]) -> None:
        """Look again and again at everything, and tell pages what is new: `read` reads frames, and never waits for what
        a look waits for (a relay that hangs)."""
        await asyncio.to_thread(self._see, look)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look(look))
            group.create_task(self._tick(read))

    async def _look(self, look: Callable[[], Look]) -> None:
        while True:
            await asyncio.sleep(LOOK_S if self._watchers else IDLE_LOOK_S)
            await asyncio.to_thread(self._see, look)

    async def _tick(self, read: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        brief = False
        while True:
            if all(watcher.hidden for watcher in self._watchers):
                await self._wanted.wait()
            self._wanted.clear()
            due = loop.time() + TICK_S
            await asyncio.to_thread(read)
            await self._tell(brief=brief)
            brief = not brief
            await asyncio.sleep(SHORTEST_TICK_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), max(due - loop.time(), 0))

    def _see(self, look: Callable[[], Look]) -> None:
        found = look()
        health, hops = health_of(found), self._hops.advance(found.processes.histograms)
        with self._lock:
            self._view.set_health(health)
            self._view.sample(time.time_ns(), hops)

    async def _tell(self, *, brief: bool) -> None:
        wanting = [watcher for watcher in self._watchers if watcher.wants_all]
        update, everything = await asyncio.to_thread(self._encode, brief and not wanting, bool(wanting))
        for watcher in self._watchers:
            if watcher in wanting:
                watcher.give_all(everything)
            elif update:
                watcher.offer(update)

    def _encode(self, brief: bool, whole: bool) -> tuple[str, str]:
        """What changed, and everything if it is wanted; each once for all pages."""
        with self._lock:
            now_ns = time.time_ns()
            update = self._view.update(now_ns, brief=brief)
            everything = self._view.whole(now_ns) if whole else None
        if brief and update == Update(update.time_ms):
            return "", ""
        return encode(update), encode(everything) if everything else ""

    # ---- pages

    async def serve(self, socket: WebSocket) -> None:
        """One page, from its handshake until it goes."""
        await accept(socket)
        hello = await asyncio.to_thread(self._hello)
        if self._ending or len(self._watchers) >= MOST_WATCHERS:
            text = "obs ends" if self._ending else f"{MOST_WATCHERS} pages watch already, which is all that obs serves"
            await dismiss(socket, text, again=True, code=TRY_AGAIN_LATER)
            return
        watcher = Watcher(socket)
        self._watchers.add(watcher)
        sending = asyncio.create_task(watcher.send(hello))
        self._wanted.set()
        try:
            await watcher.listen(self._wanted.set)
        except msgspec.DecodeError as error:
            await dismiss(socket, f"this is nothing that a page says: {error}", again=False, code=POLICY_VIOLATION)
        finally:
            self._watchers.discard(watcher)
            sending.cancel()

    def _hello(self) -> str:
        now_ms = time.time_ns() // MS
        return encode(Hello(self._build, version("alphapulse"), now_ms, STALE_AFTER_MS, "live", self.journals()))

    async def end(self) -> None:
        """Say farewell to all pages: they come back."""
        self._ending = True
        await say_farewell([watcher.socket for watcher in self._watchers])


def encode(message: Update | Hello) -> str:
    """As it is sent."""
    return msgspec.json.encode(message).decode()
