"""What the endpoints that are not connected say when they are asked: at the start, when all is quiet, to come back,
and after they served another chain.

Owns these questions, each over a connection of its own and in a task of its own.  It must never leave a connection: who
owns it asks what was heard.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any

from producers.chains.configuration import ChainConfig
from producers.endpoint_log import EndpointLog
from producers.feed import Feed
from producers.node.endpoints import Candidate, Endpoints
from producers.node.errors import WrongChainError
from producers.node.health import FeedHealth
from producers.node.identity import CONDEMNED_NS
from producers.node.inquiry import EndpointAnswer, inquire
from producers.node.redaction import host_of
from tlv.codes import FeedReason
from tlv.units import NS

log = logging.getLogger("alphapulse.collector")


class OtherEndpoints:
    """The questions of one collector."""

    def __init__(
        self,
        chain: ChainConfig,
        feed: Feed,
        endpoints: Endpoints,
        health: FeedHealth,
        said: EndpointLog,
        timeout_s: float,
    ) -> None:
        self.returning: Candidate | None = None
        """The first endpoint, which is back."""
        self._chain, self._feed, self._endpoints, self._health = chain, feed, endpoints, health
        self._said, self._timeout_s = said, timeout_s
        self._inquiries: set[asyncio.Task[None]] = set()

    def check_all(self) -> None:
        """At the start: each endpoint's line in the log."""
        for candidate in self._endpoints.others():
            self._begin(self._check(candidate))

    def look_around(self, now_ns: int) -> None:
        """Ask whom the connection's health asks for."""
        other = self._endpoints.fallback
        if other is not None and self._health.asks_elsewhere():
            self._begin(self._ask_elsewhere(other))
        first = self._endpoints.asks_first(now_ns) if self._health.proven else None
        if first is not None:
            self._begin(self._ask_first(first))

    def ask_excluded(self, now_ns: int) -> None:
        """Ask one that served another chain, if it is time."""
        excluded = self._endpoints.asks_excluded(now_ns)
        if excluded is not None:
            self._begin(self._ask_excluded(excluded))

    def stop(self) -> None:
        """Nobody waits for answers any more."""
        for inquiry in self._inquiries:
            inquiry.cancel()

    def exclude(self, candidate: Candidate, words: str, *, for_good: bool = False) -> None:
        """It serves another chain: said, and not tried until it names ours; `for_good` where the name says nothing.

        Raises:
            WrongChainError: so do all.
        """
        if not candidate.wrong_chain:
            self._said.excluded(candidate, words)
            self._feed.reason = FeedReason.WRONG_CHAIN if candidate is self._endpoints.current else self._feed.reason
            self._endpoints.exclude(candidate, words, time.monotonic_ns(), for_good=for_good)
        if not self._endpoints.usable:
            raise WrongChainError(words)

    def _begin(self, asking: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(asking)
        self._inquiries.add(task)
        task.add_done_callback(self._inquiries.discard)

    async def _ask(self, candidate: Candidate) -> EndpointAnswer:
        """Its answers; one that serves another chain, and some seconds later still, is excluded."""
        found = await inquire(candidate.url, self._timeout_s)
        if self._of_another_chain(found):
            await asyncio.sleep(CONDEMNED_NS / NS)
            found = await inquire(candidate.url, self._timeout_s)
        if self._of_another_chain(found) and not candidate.wrong_chain and candidate is not self._endpoints.current:
            chain = self._chain
            self.exclude(candidate, f"expected chain {chain.chain_id} ({chain.name}), found {found.chain_id}")
        return found

    def _of_another_chain(self, found: EndpointAnswer) -> bool:
        return found.chain_id is not None and found.chain_id != self._chain.chain_id

    async def _check(self, candidate: Candidate) -> None:
        found = await self._ask(candidate)
        if candidate.wrong_chain:
            return
        if found.trouble:
            self._said.resting(candidate, found.trouble, time.monotonic_ns())
            self._endpoints.rest(candidate, found.trouble, time.monotonic_ns())
        else:
            named = {"host": host_of(candidate.url), "chain": found.chain_id, "block": found.newest}
            log.info("fallback %(host)s: chain %(chain)s, block %(block)s", named)

    async def _ask_elsewhere(self, candidate: Candidate) -> None:
        """The connected endpoint is quiet: does another one know a newer block?"""
        found = await self._ask(candidate)
        if found.newest is not None and found.chain_id == self._chain.chain_id:
            self._health.heard_elsewhere(found.newest)

    async def _ask_first(self, candidate: Candidate) -> None:
        """Is the preferred endpoint back?"""
        found = await self._ask(candidate)
        if found.chain_id == self._chain.chain_id and (found.newest or -1) >= self._feed.head_number - 1:
            self.returning = candidate

    async def _ask_excluded(self, candidate: Candidate) -> None:
        """Which chain does it serve by now?  What is not ours was said, and is not said again."""
        found = await inquire(candidate.url, self._timeout_s)
        if found.chain_id == self._chain.chain_id:
            self._said.readmitted(candidate)
            self._endpoints.readmit(candidate, time.monotonic_ns())
