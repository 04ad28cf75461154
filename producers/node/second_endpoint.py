"""The connection to the endpoint that is asked for second opinions.

Owns that connection and its reconnects.  It must never hold up the first: the feed does not wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Protocol

from websockets.exceptions import ConnectionClosed

from producers.node.backoff import Reconnect
from producers.node.connection import UNREACHABLE, NodeConnection, Sink, open_connection, retry_after_of
from producers.node.redaction import host_of, reason_of

TICK_S = 0.02

log = logging.getLogger("alphapulse.collector")


class Asker(Protocol):
    """What has questions for the second endpoint."""

    def second_connected(self) -> None:
        """It can be asked."""

    def second_disconnected(self) -> None:
        """It cannot."""

    def second_requests(self) -> list[bytes]:
        """The questions to send now."""

    @property
    def second_broken(self) -> str | None:
        """Why the connection should be given up; None while it is fine."""

    @property
    def second_answers(self) -> int:
        """Usable answers so far."""


async def keep_second_endpoint(url: str, asker: Asker, receive: Sink, on_lost: Callable[[], object]) -> None:
    """Stay connected until cancelled.

    `receive` gets what it answers; `on_lost` is called when `asker` knows that the connection is gone.  What either
    raises is raised here: it is a defect of ours, and no reason to reconnect.
    """
    reconnect = Reconnect((url,))
    while True:
        reconnect.attempt()
        try:
            connection = await open_connection(url, receive, timeout_s=10.0)
        except UNREACHABLE as error:
            log.warning("the second endpoint %s cannot be reached: %s", host_of(url), reason_of(error))
            await asyncio.sleep(reconnect.failed(random.random(), time.monotonic_ns(), retry_after_of(error)))
            continue
        answers = asker.second_answers
        try:
            asker.second_connected()
            await _converse(connection, asker)
        finally:
            await connection.close()
            asker.second_disconnected()
            on_lost()
        if connection.crash is not None:
            raise connection.crash
        log.warning("the second endpoint is gone: %s", asker.second_broken or f"close code {connection.close_code}")
        if asker.second_answers > answers:
            reconnect.proved()
        await asyncio.sleep(reconnect.failed(random.random(), time.monotonic_ns()))


async def _converse(connection: NodeConnection, asker: Asker) -> None:
    """Ask until the connection ends, or is not worth keeping."""
    try:
        while connection.close_code is None:
            for request in asker.second_requests():
                await connection.send(request, text=True)
            await asyncio.sleep(TICK_S)
            if asker.second_broken is not None:
                connection.transport.abort()
                return
    except (ConnectionError, ConnectionClosed):
        return
