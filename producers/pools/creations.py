"""Searches for the one log that a contract must have emitted about a pool: that of the pool's creation.

Owns how far back a search has come, and how many blocks a question may name.  It must never judge what it finds: any
node can make up a log, so whoever asked holds it against the pool's id.

    find:  eth_getLogs of contract and topics, of all blocks --refused--> of the newest 10,000, 1,000, 100, and so on
           downwards until the log, or as many questions as one search may take: the next one goes on below

What was searched without a find down to block 0 is searched again from the newest block on: the node may have lagged.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from producers.context import Context
from producers.kinds.proving import LogSearch
from producers.node.jsonrpc import LOGS, TIMED_OUT, UNREADABLE, Failure
from producers.node.refusals import Meaning
from producers.node.rpc_types import Log

MOST_QUESTIONS = 16
"""Of one search, which is repeated after a pause."""
SPANS = (1 << 62, 10_000, 1_000, 100)
"""Blocks of one question; the next where one is refused."""
LONG = (Meaning.RANGE, Meaning.SIZE, Meaning.POLICY)
TIMEOUT_S = 20.0

Then = Callable[[Log | None], None]


class Creations:
    """The searches of one feed."""

    def __init__(self, context: Context) -> None:
        self._rpc = context.rpc
        self._span = 0
        """Of `SPANS`: the longest that was not refused."""
        self._below: dict[LogSearch, int] = {}
        """The highest block that a search has not come to yet."""

    def find(self, search: LogSearch, newest: int, then: Then) -> None:
        """Search on, up to block `newest`; `then` gets the log, or None if it did not come up."""
        self._ask(search, self._below.pop(search, newest), MOST_QUESTIONS, then)

    def _ask(self, search: LogSearch, last: int, left: int, then: Then) -> None:
        first = max(last - SPANS[self._span] + 1, 0)
        where = {"fromBlock": hex(first), "toBlock": hex(last)}
        members = {"address": search.address, "topics": list(search.topics)}
        take = partial(self._take, search, first, last, left - 1, then)
        self._rpc.ask("eth_getLogs", [{**where, **members}], take, timeout_s=TIMEOUT_S)

    def _take(
        self,
        search: LogSearch,
        first: int,
        last: int,
        left: int,
        then: Then,
        result: msgspec.Raw | None,
        failure: Failure | None,
    ) -> None:
        logs = read_logs(result)
        if logs is None:
            shorter = next((at for at, span in enumerate(SPANS) if span <= last - first), None)
            too_long = failure is not None and (failure is TIMED_OUT or failure.meaning in LONG)
            if too_long and shorter is not None:
                self._span = max(self._span, shorter)
            self._go_on(search, last, left if too_long and shorter is not None else 0, then)
            return
        found = next((log for log in logs if search.is_met_by(log)), None)
        if found is not None or first == 0:
            then(found)
        else:
            self._go_on(search, first - 1, left, then)

    def _go_on(self, search: LogSearch, last: int, left: int, then: Then) -> None:
        if left > 0:
            self._ask(search, last, left, then)
        else:
            self._below[search] = last
            then(None)


def read_logs(result: msgspec.Raw | None) -> list[Log] | None:
    """The logs of an answer; None if it is none."""
    if result is None:
        return None
    try:
        logs: list[Log] = LOGS.decode(result)
        return logs
    except UNREADABLE:
        return None
