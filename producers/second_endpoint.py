"""The connection to the endpoint that gives second opinions: it asks, and is not missed while it is gone.

Owns that connection and its reconnects.  It must never hold up the first: the feed does not wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Protocol

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from producers.backoff import Reconnect
from producers.connection import open_connection

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


async def keep_second_endpoint(url: str, asker: Asker, receive: Callable[[list[bytes]], None]) -> None:
    """Stay connected until cancelled; `receive` gets what it answers."""
    reconnect = Reconnect((url,))
    while True:
        reconnect.attempt()
        try:
            connection = await open_connection(url, receive, timeout_s=10.0)
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI):
            log.warning("the second endpoint cannot be reached")
            await asyncio.sleep(reconnect.failed(random.random()))
            continue
        closed = asyncio.create_task(connection.wait_closed())
        asker.second_connected()
        try:
            while not closed.done():
                for request in asker.second_requests():
                    await connection.send(request, text=True)
                await asyncio.sleep(TICK_S)
        except (ConnectionError, ConnectionClosed):
            log.info("the second endpoint's connection broke while sending")
        finally:
            asker.second_disconnected()
            await connection.close()
        await asyncio.sleep(reconnect.failed(random.random()))
