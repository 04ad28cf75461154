"""A second opinion on some blocks: does another endpoint list the same logs?

Owns the choice of the blocks, the questions and the comparison.  It must never know what a block's end is: `holds` says
how long it should wait for the other endpoint, which is never long, and never at all while that is not connected.

    connected --> eth_chainId --another chain--> broken
                      | ours
    complete block ---+--in the sample?--> eth_getLogs{blockHash} at the other endpoint
        the same logs, or more    CROSS_CHECKED; what we lacked is merged first
        fewer                     the other is incomplete: counted, and the verdict stays as it was
        some more and some fewer  neither is complete: merged and counted, and the first is asked again
        none, and we have none    the block's header is asked for: some nodes list nothing of blocks they do not know
        a list that cannot be     (of the first endpoint: `ask_elsewhere`) the block is asked for, in the sample or not
        indices that begin anew   what comes from there on has no place that counts here
        indices that nothing shows to be ours: no log in common, not all that the bloom holds, nor any block before
                                  none of its logs has a place that counts here
        the same, other indices   one event is one event: what it says and in which transaction, not its index; counted
        no answer in time         the verdict stays; what a late answer still finds is a repair

A block carries its own state (`Block.held_until_ns`), so a block that is forgotten leaves nothing behind here, and the
questions overlap: a slow endpoint delays each end by `PATIENCE_NS`, however many blocks are waiting.
"""

from __future__ import annotations

from collections import Counter
from functools import partial

import msgspec

from producers.blocks.arrivals import Arrivals, Opinion
from producers.blocks.block import Block, content_of, identify, split_identity
from producers.blocks.completeness import shows_all
from producers.context import Context
from producers.node.jsonrpc import (
    DISCONNECTED,
    ERROR_BUDGET,
    LOGS,
    MAX_IN_FLIGHT,
    TEXT,
    TIMED_OUT,
    UNREADABLE,
    Failure,
    JsonRpc,
    Rejection,
)
from producers.node.rpc_types import Log
from tlv.units import NS

PATIENCE_NS = 2 * NS
"""How long a block's end may wait: about one block of Polygon."""
SAMPLE_DIGITS = 8
SILENCES = 8
"""Questions without any answer, one after the other, after which the connection is given up."""


class CrossCheck:
    """The other endpoint, as far as we ask it."""

    def __init__(self, context: Context, arrivals: Arrivals, share: float) -> None:  # share of the blocks, 0..1
        self._rpc = JsonRpc(context.clock)
        self.broken: str | None = None
        """Why this connection should be given up; None while it is fine."""
        self.answers = 0
        """Usable ones, over all connections."""
        self._chain_id = context.chain.chain_id
        self._clock = context.clock
        self._threshold = int(share * 16**SAMPLE_DIGITS)
        self._sees_all = not context.log_filter
        self._filter, self._stats, self._arrivals = context.log_filter, context.stats, arrivals
        self.trusted = False
        """It is connected, and said that it serves our chain."""
        self._numbers_alike = False
        """A list of it had a log of a later transaction at the index that the first endpoint gives it."""
        self._silences = 0
        self._rejected_before = 0

    def connected(self) -> None:
        """It can be asked, and the first question is which chain it serves."""
        self.broken = None
        self._numbers_alike = False
        self._silences = 0
        self._rejected_before = self._rpc.rejected.total()
        self._rpc.ask("eth_chainId", [], self._on_chain_id)

    def disconnected(self) -> None:
        """Nothing will be answered any more."""
        self.trusted = False
        self._rpc.abandon()

    @property
    def rejected(self) -> Counter[Rejection]:
        """Frames of it, or parts of one, that were no usable answer."""
        return self._rpc.rejected

    @property
    def unanswered(self) -> int:
        """Questions that it has not answered yet."""
        return self._rpc.unanswered

    def requests(self) -> list[bytes]:
        """The frames to send to it now."""
        return self._rpc.outgoing()

    def expire(self) -> None:
        """End the questions whose time is over."""
        self._rpc.expire()

    def receive(self, frame: bytes) -> None:
        """Take one frame; it subscribed to nothing, so a notification is none of ours."""
        for _ in self._rpc.read(frame):
            self._rpc.reject(Rejection.UNKNOWN_SUBSCRIPTION)
        if self._rpc.rejected.total() - self._rejected_before > ERROR_BUDGET:
            self._break(f"more than {ERROR_BUDGET} unusable messages")

    def ask(self, block: Block) -> None:
        """Ask about `block`, which is complete, if it is in the sample and was not asked about before."""
        if not self.trusted or block.held_until_ns >= 0 or self._rpc.unanswered >= MAX_IN_FLIGHT:
            return
        if int(block.hash[2 : 2 + SAMPLE_DIGITS], 16) < self._threshold:
            self._stats.cross_checks += 1
            block.await_opinion(self._clock.now_ns + PATIENCE_NS)
            self._rpc.ask("eth_getLogs", [{"blockHash": block.hash, **self._filter}], partial(self._compare, block))

    def ask_elsewhere(self, block: Block) -> None:
        """Ask about `block`, whose list at the first endpoint cannot be right, unless that was asked before."""
        if self.trusted and block.held_until_ns < 0 and self._rpc.unanswered < MAX_IN_FLIGHT:
            self._stats.cross_checks += 1
            block.await_opinion(self._clock.now_ns + PATIENCE_NS)
            self._rpc.ask("eth_getLogs", [{"blockHash": block.hash, **self._filter}], partial(self._compare, block))

    def holds(self, block: Block) -> bool:
        """Whether the end of `block` should wait for an answer."""
        return self._clock.now_ns < block.held_until_ns

    def _on_chain_id(self, result: msgspec.Raw | None, failure: Failure | None) -> None:
        if failure is DISCONNECTED:
            return
        try:
            chain_id = int(TEXT.decode(result or b""), 16)
        except (*UNREADABLE, ValueError):
            self._break("eth_chainId was answered without a number")
            return
        if chain_id != self._chain_id:
            self._break(f"expected chain {self._chain_id}, found {chain_id}")
            return
        self.trusted = True

    def _compare(self, block: Block, result: msgspec.Raw | None, failure: Failure | None) -> None:
        block.stop_awaiting()
        logs = self._read(result, failure)
        if logs is None:
            return
        theirs: dict[str, Log] = {}
        for log in logs:
            place = identify(log)
            if place is None or log.block_hash != block.hash or log.removed:
                self._rpc.reject(Rejection.BAD_LOG)
                return
            theirs[place[0]] = log
        self.answers += 1
        if not theirs and not block.seen:
            block.await_opinion(self._clock.now_ns + PATIENCE_NS)
            self._rpc.ask("eth_getBlockByHash", [block.hash, False], partial(self._on_header, block))
            return
        self._arrivals.append(self._opinion(block, theirs))

    def _opinion(self, block: Block, theirs: dict[str, Log]) -> Opinion:
        """Compare by transaction and content: the index of a log is the endpoint's own (erigon#13542)."""
        ours = Counter((split_identity(identity)[0], content) for identity, content in block.seen.items())
        found, agreed, renumbered, astray, highest, transactions = [], set[str](), False, False, -1, dict[str, None]()
        for identity, log in theirs.items():
            transaction, index = split_identity(identity)
            transactions[transaction] = None
            name = (transaction, content_of(log))
            astray, highest = astray or index <= highest, max(highest, index)
            if ours[name] > 0:
                ours[name] -= 1
                renumbered = renumbered or identity not in block.seen
            elif block.seen.get(identity) != 0:  # 0: known from a ring, without its content
                found.append((log, astray))
                continue
            agreed.add(transaction)
        short = any(left > 0 and content for (_, content), left in ours.items())
        self._stats.cross_check_renumbered += renumbered
        self._stats.cross_check_shortfalls += short
        self._stats.cross_check_finds += len(found)
        # indices that begin anew with each transaction are ours in the first one of the block
        self._numbers_alike = not renumbered and (self._numbers_alike or bool(agreed - {next(iter(transactions), "")}))
        placed = self._numbers_alike or bool(agreed) or (self._sees_all and shows_all(block, list(theirs.values())))
        usable = [log for log, is_astray in found if not is_astray] if placed and not renumbered else []
        return Opinion(block, usable, short, misplaced=len(usable) < len(found))

    def _on_header(self, block: Block, result: msgspec.Raw | None, failure: Failure | None) -> None:
        """An empty list counts only from an endpoint that has the block."""
        block.stop_awaiting()
        head = self._rpc.read_head(result)
        if failure is None and head is not None and head.hash == block.hash and not block.seen:
            self._arrivals.append(Opinion(block, [], short=False))

    def _read(self, result: msgspec.Raw | None, failure: Failure | None) -> list[Log] | None:
        """The logs of an answer; None if it is no opinion: refused, late, lost or unreadable."""
        self._silences = self._silences + 1 if failure is TIMED_OUT else 0
        if self._silences >= SILENCES:
            self._break(f"{SILENCES} questions without an answer")
        if result is None:
            return None
        try:
            return LOGS.decode(result)
        except UNREADABLE:
            self._rpc.reject(Rejection.BAD_LOG)
            return None

    def _break(self, reason: str) -> None:
        self.broken = self.broken or reason
