"""Time travel: the page as it was at a block, and a replay from there.

Owns the answers to /api/journals, /api/at and /api/pool, and the WebSocket of a replay.  Seeks run in a few threads;
who asks while all are busy waits, and a seek whose asker has gone is given up.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive
from starlette.websockets import WebSocket, WebSocketDisconnect

from tlv.errors import AlphaPulseError, UsageError
from tlv.filter import address
from tlv.instrument import pool_of
from tlv.units import MS
from tools.dashboard.pools import Pair
from tools.dashboard.recorded_journal import NobodyWaits, NotRecorded, PastPage, RecordedJournal
from tools.dashboard.replay import PageReplay
from tools.dashboard.shapes import Hello, JournalRow, PoolDetail
from tools.dashboard.watcher import (
    POLICY_VIOLATION,
    STALE_AFTER_MS,
    TICK_S,
    TRY_AGAIN_LATER,
    accept,
    dismiss,
    next_message,
    say_farewell,
)

SEEKS_AT_ONCE = 2
MOST_SEEKS = 32
"""That run or wait; a slider that is drawn asks for some a second."""
MOST_REPLAYS = 8
"""Each is a thread."""
SEND_S = 10.0
"""A page that takes nothing for so long is given up."""
LOOK_S = 0.1
"""How often a seek is looked at whether its asker has gone."""
FASTEST = 1000.0
NORMAL_CLOSURE = 1000
LARGEST_BLOCK = (1 << 63) - 1
JSON = "application/json"


class TooManySeeks(AlphaPulseError):
    """As many run and wait as are served."""


class Past:
    """The journals in `directories`.

    Args:
        build: of the page's files.
        live_pool: a pool of a ring as it is now, for `/api/pool` without a journal.
    """

    def __init__(
        self, directories: Iterable[Path], build: str, live_pool: Callable[[str, bytes, Pair | None], PoolDetail | None]
    ) -> None:
        self._journals: dict[str, RecordedJournal] = {}
        self.directories: dict[str, Path] = {}
        """Where each is, by its name."""
        for directory in directories:
            name = unique_name(directory.resolve().name or "journal", self._journals)
            self._journals[name] = RecordedJournal(name, directory)
            self.directories[name] = directory
        self._build = build
        self._live_pool = live_pool
        self._threads = ThreadPoolExecutor(SEEKS_AT_ONCE, thread_name_prefix="seek")
        self._seeks = 0
        self._replays: set[WebSocket] = set()

    def start(self) -> None:
        """Begin to index the journals."""
        for journal in self._journals.values():
            journal.start()

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(cancel_futures=True)
        for journal in self._journals.values():
            journal.close()

    def journals(self) -> list[JournalRow]:
        """What can be travelled in, in the order in which it was given."""
        return [journal.row() for journal in self._journals.values()]

    def routes(self) -> list[BaseRoute]:
        """Where it is asked."""
        paths = {"/api/journals": self._all, "/api/at": self._at, "/api/pool": self._pool}
        return [Route(path, partial(answered, tell)) for path, tell in paths.items()]

    # ---- requests

    async def _all(self, _: Request) -> Any:
        return await asyncio.to_thread(self.journals)

    async def _at(self, request: Request) -> Any:
        return await self._seek(request.query_params, request.receive, PastPage.update)

    async def _pool(self, request: Request) -> Any:
        asked = request.query_params
        ring, pool, tokens = asked.get("ring", ""), pool_of(asked.get("pool", "")), pair_in(asked)
        if "journal" in asked or "block" in asked:
            detail = await self._seek(asked, request.receive, lambda page: page.fold.pools.detail(ring, pool, tokens))
        else:
            detail = await asyncio.to_thread(self._live_pool, ring, pool, tokens)
        venue = asked.get("venue")
        if detail is None or (venue is not None and venue != detail.row.venue):
            raise NotRecorded(f"pool: expected one of ring {ring!r}, found {venue or ''}:0x{pool.hex()}")
        return detail

    async def _seek(self, asked: Mapping[str, str], receive: Receive, use: Callable[[PastPage], Any]) -> Any:
        """What `use` makes of the page that is asked for, in a thread; given up when the asker goes.

        Raises:
            UsageError: the question is none.
            NotRecorded, NobodyWaits, TooManySeeks, JournalError, OSError.
        """
        journal, block = self._journal_in(asked), block_in(asked)
        if self._seeks >= MOST_SEEKS:
            raise TooManySeeks(f"{MOST_SEEKS} seeks run and wait already: ask again")
        gone = threading.Event()
        self._seeks += 1
        try:
            seeking = asyncio.wrap_future(self._threads.submit(lambda: use(journal.seek(block, gone.is_set))))
            leaving = asyncio.ensure_future(asker_leaves(receive))
            await asyncio.wait({seeking, leaving}, return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()
            if not seeking.done():
                seeking.cancel()
                raise NobodyWaits("who asked has gone")
            return await seeking
        finally:
            gone.set()
            self._seeks -= 1

    def _journal_in(self, asked: Mapping[str, str]) -> RecordedJournal:
        """The journal that is asked for.

        Raises:
            UsageError: there is none of that name.
        """
        found = self._journals.get(asked.get("journal", ""))
        if found is None:
            there = ", ".join(self._journals) or "none: obs was started without --journal"
            raise UsageError(f"journal: expected one of those there are ({there}), found {asked.get('journal', '')!r}")
        return found

    # ---- replays

    async def serve(self, socket: WebSocket) -> None:
        """A page that looks at a replay, from its handshake to the journal's end."""
        await accept(socket)
        try:
            speed = speed_in(socket.query_params)
            page = await self._seek(socket.query_params, silence, lambda found: found)
        except UsageError as error:
            await dismiss(socket, str(error), again=False, code=POLICY_VIOLATION)
            return
        except (AlphaPulseError, OSError) as error:
            await dismiss(socket, str(error), again=True, code=TRY_AGAIN_LATER)
            return
        if len(self._replays) >= MOST_REPLAYS:
            text = f"{MOST_REPLAYS} replays run already, which is all that obs serves"
            await dismiss(socket, text, again=True, code=TRY_AGAIN_LATER)
            return
        self._replays.add(socket)
        shown = ReplayPage(socket, page, speed)
        try:
            now_ms = time.time_ns() // MS
            hello = Hello(self._build, version("alphapulse"), now_ms, STALE_AFTER_MS, "past", self.journals())
            await shown.run(hello)
        finally:
            self._replays.discard(socket)
            await asyncio.to_thread(shown.replay.close)

    async def end(self) -> None:
        """Say farewell to all pages: they come back."""
        await say_farewell([*self._replays])


class ReplayPage:
    """A replay and the page that it is shown to."""

    def __init__(self, socket: WebSocket, page: PastPage, speed: float) -> None:
        self.replay = PageReplay(page, speed)
        self._first = page
        self._socket = socket
        self._hidden = self._lacks = False

    async def run(self, hello: Hello) -> None:
        """Until the journal or the page ends."""
        try:
            await self._send(hello)
            await self._send(await asyncio.to_thread(self._first.update))
            self.replay.start()
            listening = asyncio.ensure_future(self._listen())
            try:
                while not listening.done():
                    ended = self.replay.ended
                    await self._show()
                    if ended:
                        await dismiss(self._socket, ended, again=False, code=NORMAL_CLOSURE)
                        return
                    await asyncio.wait({listening}, timeout=TICK_S)
                await listening
            finally:
                listening.cancel()
        except (WebSocketDisconnect, TimeoutError):
            pass  # it went, or takes nothing
        except msgspec.DecodeError as error:
            await dismiss(
                self._socket, f"this is nothing that a page says: {error}", again=False, code=POLICY_VIOLATION
            )

    async def _show(self) -> None:
        if self._hidden:
            self._lacks = True
            return
        whole, self._lacks = self._lacks, False
        await self._send(await asyncio.to_thread(self.replay.update, whole=whole))

    async def _send(self, message: Any) -> None:
        async with asyncio.timeout(SEND_S):
            await self._socket.send_text(msgspec.json.encode(message).decode())

    async def _listen(self) -> None:
        while (message := await next_message(self._socket)) is not None:
            self._hidden = not message.on


async def answered(tell: Callable[[Request], Awaitable[Any]], request: Request) -> Response:
    """What `tell` tells, as JSON, or why it does not."""
    try:
        return Response(msgspec.json.encode(await tell(request)), media_type=JSON)
    except (AlphaPulseError, OSError) as error:
        status = 400 if isinstance(error, UsageError) else 404 if isinstance(error, NotRecorded) else 503
        return Response(msgspec.json.encode({"error": str(error)}), status, media_type=JSON)


async def asker_leaves(receive: Receive) -> None:
    """Return when the connection of a request is gone."""
    while (await receive())["type"] != "http.disconnect":
        await asyncio.sleep(LOOK_S)


async def silence() -> Any:
    """Of a WebSocket that was accepted just now nothing is read while its page is sought."""
    await asyncio.Event().wait()


def block_in(asked: Mapping[str, str]) -> int:
    """The block that is asked for.

    Raises:
        UsageError: it is no number.
    """
    text = asked.get("block", "")
    if text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_BLOCK)) and int(text) <= LARGEST_BLOCK:
        return int(text)
    raise UsageError(f"block: expected a number from 0 to {LARGEST_BLOCK}, found {text!r}")


def pair_in(asked: Mapping[str, str]) -> Pair | None:
    """The tokens of the pool that is asked for, `token0` and `token1`; None if neither is named.

    Raises:
        UsageError: one of them is no address, or missing.
    """
    if "token0" not in asked and "token1" not in asked:
        return None
    return address(asked.get("token0", "")), address(asked.get("token1", ""))


def speed_in(asked: Mapping[str, str]) -> float:
    """How many times the recorded pace; 1 unless it is said.

    Raises:
        UsageError: it is none.
    """
    text = asked.get("speed", "1")
    with suppress(ValueError):
        speed = float(text)
        if math.isfinite(speed) and 0 < speed <= FASTEST:
            return speed
    raise UsageError(f"speed: expected a number above 0, at most {FASTEST:g}, found {text!r}")


def unique_name(name: str, taken: Iterable[str]) -> str:
    """`name`, or with a number behind it if that is taken."""
    names = set(taken)
    number = 2
    unique = name
    while unique in names:
        unique = f"{name}-{number}"
        number += 1
    return unique
