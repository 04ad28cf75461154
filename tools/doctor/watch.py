"""What an endpoint pushes, seen for a while: heads, logs, and how soon HTTP shows the same head.

Owns the two subscriptions of one look.  It judges nothing.  Notifications are told apart by their content and not by
subscription id, since they may come before the answer to eth_subscribe.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
import urllib.request
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from producers.node.hex import HexError, read_quantity
from producers.node.jsonrpc import HEAD, LOG, TEXT, UNREADABLE, Notice
from producers.node.rpc_types import Head
from tlv.errors import FeedError
from tools.doctor.http import HttpHead, ask_head
from tools.rig.endpoint import Endpoint

LAST_LOGS_S = 0.5
"""The logs of the last head may still come."""
LAG_PATIENCE_S = 10.0
LAG_PAUSE_S = 0.1


class SeenHead(NamedTuple):
    """A head and when it came."""

    head: Head
    number: int
    timestamp: int
    wall_ns: int

    @property
    def age_s(self) -> float:
        """From the block's own time to its arrival; negative if it came before its time (PIP-66), or a clock is off."""
        return self.wall_ns / 1e9 - self.timestamp


@dataclass
class PushedAndAsked:
    """Everything that was pushed, and how HTTP followed."""

    heads: list[SeenHead] = field(default_factory=list)
    logs: defaultdict[str, set[tuple[str | None, str | None]]] = field(default_factory=lambda: defaultdict(set))
    """Identities of the pushed logs by block hash."""
    removed: int = 0
    unreadable: int = 0
    lag_ms: list[float] = field(default_factory=list)
    """Of each measured head: from its push to the answer over HTTP that shows it."""
    lag_blocks: list[int] = field(default_factory=list)
    """Of each measured head: how many blocks the first answer over HTTP was behind."""
    clock_skew_s: list[float] = field(default_factory=list)
    """Our clock minus the HTTP server's, which is cut to whole seconds."""
    http_problem: str = ""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, notice: Notice) -> None:
        """A notification."""
        wall_ns = time.time_ns()
        try:
            head = HEAD.decode(notice.result)
            self.heads.append(SeenHead(head, read_quantity(head.number), read_quantity(head.timestamp), wall_ns))
            self._news.set()
        except (*UNREADABLE, HexError):
            self._take_log(notice)

    def _take_log(self, notice: Notice) -> None:
        try:
            log = LOG.decode(notice.result)
        except UNREADABLE:
            self.unreadable += 1
            return
        if log.removed:
            self.removed += 1
        else:
            self.logs[log.block_hash or ""].add((log.transaction_hash, log.log_index))

    async def look(
        self, endpoint: Endpoint, http_url: str, opener: urllib.request.OpenerDirector, heads: int, wait_s: float
    ) -> None:
        """Subscribe, and watch until `heads` blocks came or `wait_s` seconds passed.

        Raises:
            Unanswered, UnexpectedAnswer: a subscription was refused.
        """
        await endpoint.ask_for(TEXT, "eth_subscribe", "logs", {})
        await endpoint.ask_for(TEXT, "eth_subscribe", "newHeads")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while len(self.heads) < heads and not endpoint.lost:
                    self._news.clear()
                    await self._news.wait()
                    await self._follow_over_http(http_url, opener, self.heads[-1])
        await asyncio.sleep(LAST_LOGS_S)

    async def _follow_over_http(self, url: str, opener: urllib.request.OpenerDirector, head: SeenHead) -> None:
        """Ask until the head that was just pushed shows over HTTP too."""
        if self.http_problem:
            return
        pushed = time.monotonic()
        first: HttpHead | None = None
        while time.monotonic() - pushed < LAG_PATIENCE_S:
            try:
                found = await asyncio.to_thread(ask_head, opener, url)
            except FeedError as error:
                self.http_problem = str(error)
                return
            if first is None:
                first = found
                self.lag_blocks.append(max(head.number - found.number, 0))
                if found.date_s is not None:
                    self.clock_skew_s.append(time.time() - found.date_s)
            if found.number >= head.number:
                self.lag_ms.append((time.monotonic() - pushed) * 1e3)
                return
            await asyncio.sleep(LAG_PAUSE_S)

    @property
    def median_age_s(self) -> float | None:
        """Of the pushed heads."""
        return statistics.median(seen.age_s for seen in self.heads) if self.heads else None
