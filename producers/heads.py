"""The heads of one connection: which of them are announced, and when.

Owns the doubt about a head that continues nothing that is known, and the question for the latest block at the beginning
of a connection.  It must never know what a head changes: that is `producers.assembly`'s.

    pushed --it, or its parent, is known--> announced
           --neither is, and the chain has an early block--> waits, and the node is asked for that block again: a chain
             that was replaced under us continues nothing     --it is ours---> `release`: announced, in order
                                                              --it is not----> `drop`
           --no block is known yet--> waits for the node's latest block: the number of a first head is nobody's + 1
    the latest block, asked for once both subscriptions are confirmed --no head was pushed before--> announced
                             --from before the collector began: a node that lags--> asked for again
                             --older than our head, and not of our chain: so is what a node that stands still has-->
                               asked for again, and announced if it is the same for PAST_NS
"""

from __future__ import annotations

from functools import partial

import msgspec

from producers.assembly import Assembly
from producers.blocks.head_queue import DEEPEST_WALK
from producers.context import Context
from producers.node.early_block import UNKNOWN, EarlyBlockCheck
from producers.node.jsonrpc import DISCONNECTED, HEAD, UNREADABLE, Failure, Rejection, read_head
from producers.node.probing import Probing
from producers.node.rpc_types import Head, Unfit
from producers.node.subscriptions import Subscriptions
from tlv.units import NS

MAX_UNSURE = 256
"""Heads that wait while the node is asked which chain it serves, or what its latest block is."""
FIRST_NS = 5 * NS
"""How long a first head waits for the node's latest block."""
PAUSE_NS = NS
"""Before a latest block that could not be had is asked for again."""
PAST_NS = 120 * NS
"""No endpoint is kept for so long without progress, if there is another: 96 s on Ethereum."""


class Heads:
    """Of one endpoint after the other."""

    def __init__(
        self,
        context: Context,
        assembly: Assembly,
        subscriptions: Subscriptions,
        early_block: EarlyBlockCheck,
        probing: Probing,
    ) -> None:
        self.pushed = 0
        """Since the collector began."""
        self._rpc, self._timers, self._stats = context.rpc, context.timers, context.stats
        self._assembly, self._subscriptions = assembly, subscriptions
        self._early_block, self._probing = early_block, probing
        self._unsure: list[tuple[Head, bool]] = []
        """Those that wait, each with whether it is live."""
        self._first: list[tuple[Head, bool]] = []
        """Pushed before any block was known."""
        self.connected()

    def connected(self) -> None:
        """A connection is open."""
        self._newest_live = -1
        """Number of the newest head that was pushed on it."""
        self._past_ns: int | None = None
        """Since when its latest block is one of the past."""
        self._takes_first = False
        """Its latest block is known, or was waited for long enough."""
        self._first.clear()
        self.follows = False
        """A head of it was announced."""
        self.drop()

    def take(self, result: msgspec.Raw) -> bool:
        """A head was pushed; whether the node is to be asked now which chain it serves."""
        try:
            head = HEAD.decode(result)
        except UNREADABLE as error:
            self._rpc.reject(Rejection.BAD_HEAD, error)
            return False
        return self.take_read(head)

    def take_read(self, head: Head) -> bool:
        """The same, of a head that is read and well spelt."""
        self.pushed += 1
        live = self._subscriptions.head_is_live()
        if self._assembly.head_number < 0 and not self._takes_first:
            if not self._first:
                self._timers.after(FIRST_NS, partial(self._take_first, self._stats.connections, None))
            self._first.append((head, live))
            del self._first[MAX_UNSURE:]
            return False
        if not self._is_doubtful(head):
            self._announce_pushed(head, live=live)
            return False
        self._unsure.append((head, live))
        self._assembly.doubt_chain(in_doubt=True)
        return len(self._unsure) == 1

    def release(self) -> None:
        """The node serves our chain: what waits is announced."""
        unsure, self._unsure = self._unsure, []
        self._assembly.doubt_chain(in_doubt=False)
        for head, live in unsure:
            self._announce_pushed(head, live=live)

    def drop(self) -> None:
        """It serves another."""
        self._unsure.clear()
        self._assembly.doubt_chain(in_doubt=False)

    def ask_latest(self) -> None:
        """Both subscriptions are confirmed.

        Asked only now: a head that comes between this answer and the first push cannot be lost.
        """
        self._ask_latest(self._stats.connections)

    def _ask_latest(self, connection: int) -> None:
        if connection == self._stats.connections and self._newest_live < 0:
            self._rpc.ask("eth_getBlockByNumber", ["latest", False], self._on_latest)

    def _on_latest(self, result: msgspec.Raw | None, failure: Failure | None) -> None:
        head = read_head(result)
        if head is not None:
            self._take_first(self._stats.connections, head)
        # Where a reorg is, it is pushed.
        if head is None or self._assembly.begins_above(int(head.number, 16)) or self._is_past(head):
            if failure is not DISCONNECTED:
                self._timers.after(PAUSE_NS, partial(self._ask_latest, self._stats.connections))
            return
        # What was pushed wins, also while it waits: this answer may be of before it.
        if self._newest_live < 0 and not self._unsure:
            self._announce(head, live=False)

    def _take_first(self, connection: int, latest: Head | None) -> None:
        """Announce the first heads, those aside that cannot be by what the node said meanwhile."""
        if connection != self._stats.connections:
            return
        self._takes_first = True
        first, self._first = self._first, []
        for head, live in first:
            if latest is not None and int(head.number, 16) > int(latest.number, 16) + DEEPEST_WALK:
                self._rpc.reject(Rejection.BAD_HEAD, Unfit("number", "far above the latest block"))
            else:
                self._announce_pushed(head, live=live)

    def _is_past(self, head: Head) -> bool:
        """Whether a latest block is of a past that is not ours, and not yet for so long that it must be the present."""
        now_ns = self._rpc.clock.now_ns
        if not self._assembly.left_behind(head):
            self._past_ns = None
            return False
        self._past_ns = now_ns if self._past_ns is None else self._past_ns
        return now_ns - self._past_ns < PAST_NS

    def _is_doubtful(self, head: Head) -> bool:
        """Whether `head` may be another chain's."""
        if self._unsure:
            return len(self._unsure) < MAX_UNSURE
        assembly, early_block = self._assembly, self._early_block
        strange = assembly.head_number >= 0 and not assembly.knows(head.hash) and not assembly.knows(head.parent_hash)
        return strange and early_block.genesis != UNKNOWN and early_block.silence is None

    def _announce_pushed(self, head: Head, *, live: bool) -> None:
        self._announce(head, live=live)
        self._newest_live = max(self._newest_live, self._assembly.head_number)
        self._subscriptions.head_pushed(has_logs=self._assembly.shows_logs(head.hash))

    def _announce(self, head: Head, *, live: bool) -> None:
        self.follows = True
        self._assembly.announce(head, live=live)
        self._probing.saw(head)
