"""One endpoint of a node with an `await` for each request: for tools that examine a node.

Owns one WebSocket and the requests on it.  It must never interpret a result.  `producers.node.jsonrpc` has the protocol
(ids, time-outs, rate limits, faults of real nodes); this file gives it a clock and turns its callbacks into awaitables.

    ask --> JsonRpc --(pump: every 20 ms at most)--> socket          socket --> answers to whoever asked
                                                                            --> notices to the listener, at once
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import msgspec
from websockets.exceptions import ConnectionClosed

from producers.node.connection import UNREACHABLE, NodeConnection, open_connection
from producers.node.errors import EndpointError
from producers.node.jsonrpc import DISCONNECTED, UNREADABLE, Failure, JsonRpc, Notice
from producers.node.redaction import host_of, reason_of, without_secrets
from producers.node.rpc_types import AnswerReader
from tlv.errors import FeedError

TICK_S = 0.02
LONGEST_MESSAGE = 200
"""Characters of a node's error message that are shown."""


class Unanswered(FeedError):
    """The node refused a request, did not answer in time, or the connection broke; `failure` is the cause."""

    def __init__(self, failure: Failure, text: str) -> None:
        super().__init__(text)
        self.failure = failure


class NoConnection(EndpointError):
    """There is no connection to a node; `cause` is what `open_connection` raised."""

    def __init__(self, host: str, cause: Exception) -> None:
        super().__init__(f"cannot connect to {host}: {reason_of(cause)}")
        self.cause = cause


class UnexpectedAnswer(FeedError):
    """The node answered with something else than was asked for."""


class Endpoint:
    """A connection to one node; an async context manager."""

    def __init__(
        self, url: str, listener: Callable[[Notice], None] = lambda notice: None, *, timeout_s: float = 10.0
    ) -> None:
        self.url = url
        self.host = host_of(url)
        self._listener = listener
        self._timeout_s = timeout_s
        self._rpc = JsonRpc()
        self._wake = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            NoConnection: it cannot be reached, or refuses us.
        """
        try:
            self._connection = await open_connection(self.url, self._receive, timeout_s=self._timeout_s)
        except UNREACHABLE as error:
            raise NoConnection(self.host, error) from None
        self._tasks = [asyncio.create_task(self._pump(self._connection)), asyncio.create_task(self._await_end())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()
        await asyncio.gather(*self._tasks)

    @property
    def lost(self) -> bool:
        """Whether the connection has ended: nothing can be asked any more."""
        return self._connection.close_code is not None

    async def ask(self, method: str, *params: Any, timeout_s: float | None = None) -> msgspec.Raw:
        """The result of one request.

        Raises:
            Unanswered: there is none.
        """
        answer: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()

        def then(result: msgspec.Raw | None, failure: Failure | None) -> None:
            if answer.done():
                return
            if result is not None:
                answer.set_result(result)
            else:
                answer.set_exception(self._unanswered(method, failure or DISCONNECTED))

        if self.lost:
            raise self._unanswered(method, DISCONNECTED)
        self._rpc.ask(method, list(params), then, timeout_s=timeout_s or self._timeout_s)
        self._wake.set()
        return await answer

    async def ask_for(self, decoder: AnswerReader, method: str, *params: Any) -> Any:
        """The result of one request, as `decoder` reads it.

        Raises:
            Unanswered: there is none.
            UnexpectedAnswer: it is of another form.
        """
        result = await self.ask(method, *params)
        try:
            return decoder.decode(result)
        except UNREADABLE:
            raise UnexpectedAnswer(f"{method}: the answer of {self.host} has another form than a node's") from None

    def _unanswered(self, method: str, failure: Failure) -> Unanswered:
        words = "".join(letter if letter.isprintable() else " " for letter in failure.message)
        return Unanswered(failure, f"{method}: {without_secrets(words, self.url)[:LONGEST_MESSAGE]}")

    def _receive(self, frames: list[bytes]) -> None:
        self._rpc.clock.now_ns = time.monotonic_ns()
        for frame in frames:
            for notice in self._rpc.read(frame):
                self._listener(notice)
        self._wake.set()

    async def _pump(self, connection: NodeConnection) -> None:
        """Send what is to be sent and end what is overdue, until the connection ends."""
        with contextlib.suppress(ConnectionClosed, ConnectionError):
            while not self.lost:
                self._rpc.clock.now_ns = time.monotonic_ns()
                self._rpc.expire()
                for request in self._rpc.outgoing():
                    await connection.send(request, text=True)
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TICK_S):
                        await self._wake.wait()

    async def _await_end(self) -> None:
        await self._connection.wait_closed()
        self._rpc.abandon()
        self._wake.set()
