"""Pages without a browser: they connect as one does, and keep what an update brings as one does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from websockets.sync.client import ClientConnection, connect

from tools.dashboard.shapes import Hello, PageFarewell, Update

PATIENCE_S = 90.0
"""Longer than any machine is busy."""
KEYS: dict[str, Callable[[Any], Any]] = {
    "swaps": lambda row: (row.ring, row.sequence),
    "pools": lambda row: (row.ring, row.venue, row.pool, row.token0.address, row.token1.address),
    "signals": lambda row: (row.ring, row.sequence),
    "blocks": lambda row: (row.ring, row.hash),
    "happenings": lambda row: (row.ring, row.sequence, row.kind),
}
"""What names a row of each topic."""


class PageModel:
    """What a page has after some updates."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Any, Any]] = {topic: {} for topic in KEYS}
        self.newest: dict[str, Any] = {}
        """Of what replaces what was before."""

    def take(self, update: Update) -> None:
        """One more."""
        for topic, key in KEYS.items():
            if update.whole:
                self.rows[topic].clear()
            self.rows[topic].update((key(row), row) for row in getattr(update, topic) or ())
        for topic in ("summary", "health"):
            if getattr(update, topic) is not None:
                self.newest[topic] = getattr(update, topic)


class SomePage:
    """A page that watches."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.model = PageModel()
        self.updates: list[Update] = []
        self.hello = msgspec.json.decode(socket.recv(PATIENCE_S), type=Hello)

    def next(self) -> Update | PageFarewell:
        """The next message."""
        message = msgspec.json.decode(self.socket.recv(PATIENCE_S), type=Update | PageFarewell)
        if isinstance(message, Update):
            self.updates.append(message)
            self.model.take(message)
        return message

    def until(self, wanted: Callable[[PageModel], Any]) -> Any:
        """What `wanted` gives once it gives something, update after update."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            update = self.next()
            assert isinstance(update, Update), update
            found = wanted(self.model)
            if found:
                return found
            assert time.monotonic() < deadline, self.model.newest

    def farewell(self) -> PageFarewell:
        """The last message."""
        while isinstance(message := self.next(), Update):
            pass
        return message


@contextmanager
def page(url: str, **settings: Any) -> Iterator[SomePage]:
    """A page of the dashboard at `url`."""
    settings = {"compression": None, "max_size": None, "subprotocols": ["alphapulse"]} | settings
    with connect(url.replace("http", "ws", 1) + "/dashboard", **settings) as socket:
        yield SomePage(socket)
