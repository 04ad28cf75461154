"""One page that watches: what it is to be sent, and what it says.

Owns a page's queue.  A page that is slower than the server gets no update more until it took what waits, and then
everything at once; one that is hidden gets nothing.  It must never know what an update holds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from tools.dashboard.shapes import PageFarewell

SUBPROTOCOL = "alphapulse"
TICK_S = 0.25
"""Between two updates, at least."""
STALE_AFTER_MS = 2000
MOST_UNSENT = 4
"""Updates that wait for a page, a second's: it shows the newest state sooner if it is sent that alone."""
LONGEST_MESSAGE = 1024
"""Of what a page says, in characters; it has nothing to say that is longer."""
GOING_AWAY, POLICY_VIOLATION, TRY_AGAIN_LATER = 1001, 1008, 1013
"""WebSocket close codes (RFC 6455, and the IANA registry)."""
FAREWELL_S = 1.0
"""A page that takes nothing is not waited for longer than that."""


class WatchMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a page may say: whether somebody sees it."""

    type: Literal["watch"]
    on: bool


async def accept(socket: WebSocket) -> None:
    """Accept a handshake, with the subprotocol that carries no token."""
    offered = socket.scope.get("subprotocols", ())
    await socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)


async def next_message(socket: WebSocket) -> WatchMessage | None:
    """What a page says next; None once it has gone.

    Raises:
        msgspec.DecodeError: it is nothing that a page may say.
    """
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        return None
    text = message.get("text")
    if text is None or len(text) > LONGEST_MESSAGE:
        raise msgspec.DecodeError(f"expected text of at most {LONGEST_MESSAGE} characters")
    return msgspec.json.decode(text, type=WatchMessage)


async def dismiss(socket: WebSocket, text: str, *, again: bool, code: int) -> None:
    """Say why a connection ends, and end it; nothing if it has ended already."""
    try:
        await socket.send_text(msgspec.json.encode(PageFarewell(text, again)).decode())
        await socket.close(code)
    except (WebSocketDisconnect, RuntimeError):
        pass


async def say_farewell(sockets: Iterable[WebSocket]) -> None:
    """Tell pages that this process ends, and to come back."""
    leaving = [asyncio.create_task(dismiss(socket, "obs ends", again=True, code=GOING_AWAY)) for socket in sockets]
    if leaving:
        await asyncio.wait(leaving, timeout=FAREWELL_S)


class Watcher:
    """What waits for one page."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        self._unsent: deque[str] = deque()
        self._something = asyncio.Event()
        self._lacks = True
        """Whether an update was not given to it, so that it needs all of it."""
        self.hidden = False

    @property
    def wants_all(self) -> bool:
        """Whether it is to be sent everything now."""
        return self._lacks and not self.hidden and not self._unsent

    def offer(self, update: str) -> None:
        """An update that all get; left out if this page is hidden, behind, or waits for everything anyway."""
        if self._lacks:
            return
        if self.hidden or len(self._unsent) >= MOST_UNSENT:
            self._lacks = True
            return
        self._put(update)

    def give_all(self, everything: str) -> None:
        """Everything, as of the newest update."""
        self._lacks = False
        self._put(everything)

    def _put(self, text: str) -> None:
        self._unsent.append(text)
        self._something.set()

    async def send(self, hello: str) -> None:
        """Greet, then send what waits, until the connection ends: `send_text` waits while the page takes nothing."""
        try:
            await self.socket.send_text(hello)
            while True:
                await self._something.wait()
                while self._unsent:
                    await self.socket.send_text(self._unsent[0])
                    self._unsent.popleft()
                self._something.clear()
        except (WebSocketDisconnect, RuntimeError):
            pass  # it has gone; whoever listens to it finds out

    async def listen(self, on_seen: Callable[[], None]) -> None:
        """Take what the page says, until it goes; `on_seen` is called when somebody sees it again.

        Raises:
            msgspec.DecodeError: it said what it may not.
        """
        while (message := await next_message(self.socket)) is not None:
            if self.hidden and message.on:
                self._lacks = True
                on_seen()
            self.hidden = not message.on
