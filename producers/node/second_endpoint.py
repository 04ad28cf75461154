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

from producers.node.backoff import LONGEST_RETRY_AFTER_S, jittered
from producers.node.connection import (
    MAX_MESSAGE,
    UNREACHABLE,
    NodeConnection,
    Sink,
    open_connection,
    refusal_of,
    retry_after_of,
    words_of_close,
)
from producers.node.redaction import host_of, printable
from producers.node.remarks import Remarks

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


async def keep_second_endpoint(
    url: str, asker: Asker, receive: Sink, on_lost: Callable[[], object], max_message: int = MAX_MESSAGE
) -> None:
    """Stay connected until cancelled.

    `receive` gets what it answers; `on_lost` is called when `asker` knows that the connection is gone.  What either
    raises is raised here: it is a defect of ours, and no reason to reconnect.
    """
    failures, remarks = 0, Remarks()

    def warn(words: str) -> None:
        words = printable(words, url)
        line = remarks.remark(words, f"the second endpoint {words}", time.monotonic_ns())
        if line is not None:
            log.warning(line, extra={"host": host_of(url)})

    while True:
        try:
            connection = await open_connection(url, receive, timeout_s=10.0, max_message=max_message)
        except UNREACHABLE as error:
            failures += 1
            warn(f"{host_of(url)} cannot be reached: {refusal_of(error)[1]}")
            peace_s = min(retry_after_of(error), LONGEST_RETRY_AFTER_S)
            await asyncio.sleep(max(jittered(random.random(), failures), peace_s))
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
        warn(f"is gone: {asker.second_broken or words_of_close(connection)[1]}")
        failures = 1 if asker.second_answers > answers else failures + 1
        await asyncio.sleep(jittered(random.random(), failures))


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
