"""A second opinion on some blocks: does another endpoint list the same logs?

Owns the choice of the blocks and the comparison.  It must never know what a block's end is: `holds` says how long it
should wait for the other endpoint, which is never long, and never at all while that is not connected.

    complete block --in the sample?--> eth_getLogs{blockHash} at the other endpoint
        the same logs, or more   CROSS_CHECKED; what we lacked is merged first
        fewer                    the other is incomplete: counted, and the verdict stays as it was
        no answer in time        the verdict stays
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from producers.jsonrpc import LOGS, UNREADABLE, Failure, JsonRpc
from producers.lifecycle import Block
from producers.rpc_types import Log
from producers.statistics import Statistics
from tlv.codes import Completeness

NS = 1_000_000_000
PATIENCE_NS = 2 * NS
"""How long a block's end may wait: about one block of Polygon."""
SAMPLE_DIGITS = 8


class CrossCheck:
    """The other endpoint, as far as we ask it."""

    def __init__(
        self,
        share: float,  # of the blocks, 0..1
        log_filter: dict[str, object],
        stats: Statistics,
        merge: Callable[[list[Log]], None],
    ) -> None:
        self.rpc = JsonRpc()
        self.connected = False
        self._threshold = int(share * 16**SAMPLE_DIGITS)
        self._filter, self._stats, self._merge = log_filter, stats, merge
        self._asked: dict[str, int] = {}
        self._answered: set[str] = set()

    def holds(self, block: Block) -> bool:
        """Whether the end of `block`, which is complete, should wait; the first call asks."""
        if not self.connected or int(block.hash[2 : 2 + SAMPLE_DIGITS], 16) >= self._threshold:
            return False
        if block.hash in self._answered:
            self._answered.discard(block.hash)
            self._asked.pop(block.hash, None)
            return False
        since_ns = self._asked.get(block.hash)
        if since_ns is None:
            self._asked[block.hash] = self.rpc.now_ns
            self.rpc.ask("eth_getLogs", [{"blockHash": block.hash, **self._filter}], partial(self._compare, block))
            return True
        return self.rpc.now_ns - since_ns < PATIENCE_NS

    def disconnected(self) -> None:
        """Nothing will be answered any more."""
        self.connected = False
        self._asked.clear()
        self._answered.clear()
        self.rpc.abandon()

    def _compare(self, block: Block, result: msgspec.Raw | None, failure: Failure | None) -> None:
        if not self.connected or block.hash not in self._asked:
            return
        self._answered.add(block.hash)
        try:
            logs = LOGS.decode(result or b"")
        except UNREADABLE:
            return  # refused or unreadable: no opinion
        theirs = {f"{log.transaction_hash}{log.log_index}" for log in logs if log.block_hash == block.hash}
        if theirs < block.seen or len(theirs) < len(logs):
            self._stats.cross_check_shortfalls += 1
            return
        if theirs != block.seen:
            self._stats.cross_check_finds += len(theirs - block.seen)
            self._merge(logs)
        if block.verdict:
            block.verdict = Completeness.CROSS_CHECKED
