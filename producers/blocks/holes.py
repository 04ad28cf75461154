"""Asking again for the headers of declared holes, as long as their numbers are kept.

Owns the requests and their pauses.  It must never decide what is canonical: it looks whether what the node has by
number joins our chain, and hands it over as an arrival.

    hole declared --5 s--> every header in it by number --> joins the block above? --yes--> HoleFilled
                   ^                                              | no, or not all
                   +--------- the pause doubles, to 60 s ---------+

A header joins if it is the parent that the one above it names.  Lazily mined blocks of development nodes name none:
they join if the node has the whole hole.  Where a whole hole joins above and not below, the blocks below it left the
chain while nobody could see that: what is below is asked for too, twice as far each time, until a block of ours is met.
"""

from __future__ import annotations

from functools import partial

import msgspec

from producers.blocks.arrivals import Arrivals, HoleFilled
from producers.blocks.chain import NO_PARENTS, Chain
from producers.context import Context
from producers.node.jsonrpc import DISCONNECTED, Failure
from producers.node.rpc_types import Head
from tlv.units import NS

FIRST_PAUSE_NS = 5 * NS
LONGEST_PAUSE_NS = 60 * NS
LARGEST_PART = 4096
"""Headers asked at once, from the top of the hole down."""
FIRST_REACH = 8
"""Headers asked for below a hole that does not join there."""


class HoleFiller:
    """Fills the holes of one chain, one after the other."""

    def __init__(self, context: Context, chain: Chain, arrivals: Arrivals) -> None:
        self._rpc, self._timers, self._chain, self._arrivals = context.rpc, context.timers, chain, arrivals
        self._connected = False
        self._pause_ns = FIRST_PAUSE_NS
        self._round = 0
        """Of the timer that counts; an older one does nothing."""
        self._owed = 0
        self._found: dict[int, Head] = {}
        self._reach: dict[int, int] = {}
        """By the top of a hole: how many headers below it are asked for too, since the blocks there left the chain."""

    def connected(self) -> None:
        """Requests can be answered; perhaps by another endpoint."""
        self._connected = True
        self._owed = 0
        self.note()

    def disconnected(self) -> None:
        """Nobody can answer."""
        self._connected = False

    def note(self) -> None:
        """A hole was declared, or may be there."""
        self._pause_ns = FIRST_PAUSE_NS
        self._schedule()

    def _schedule(self) -> None:
        self._round += 1
        self._timers.after(self._pause_ns, partial(self._begin, self._round))

    def _begin(self, turn: int) -> None:
        if turn != self._round or not self._connected or self._owed or not self._chain.holes:
            return
        self._pause_ns = min(2 * self._pause_ns, LONGEST_PAUSE_NS)
        self._found.clear()
        parts = [self._part(first, last) for first, last in self._chain.holes]
        self._owed = sum(last - first + 1 for first, last in parts)
        for first, last in parts:
            for number in range(last, first - 1, -1):
                then = partial(self._on_header, number)
                self._rpc.ask("eth_getBlockByNumber", [hex(number), False], then)

    def _part(self, first: int, last: int) -> tuple[int, int]:
        """What of a hole, and of the blocks below it, is asked for at once."""
        return max(first - self._reach.get(last, 0), last - LARGEST_PART + 1, 0), last

    def _on_header(self, number: int, result: msgspec.Raw | None, failure: Failure | None) -> None:
        if failure is DISCONNECTED or not self._owed:
            return
        self._owed -= 1
        head = self._rpc.read_head(result)
        if head is not None and int(head.number, 16) == number:
            self._found[number] = head
        if self._owed == 0:
            self._look()
            self._schedule()

    def _look(self) -> None:
        holes = list(self._chain.holes)
        self._reach = {last: self._reach[last] for _, last in holes if last in self._reach}
        for first, last in holes:
            heads = self._joined(first, last)
            if heads:
                self._arrivals.append(HoleFilled(heads))
        self._found.clear()

    def _joined(self, first: int, last: int) -> list[Head]:
        """The headers that join the block above `last`, oldest first; all from `first` on, if they name no parents."""
        above = self._chain.canonical.get(last + 1)
        if above is None:
            return []
        lowest, _ = self._part(first, last)
        linked: list[Head] = []
        unlinked = False
        expected = above.parent_hash
        for number in range(last, lowest - 1, -1):
            head = self._found.get(number)
            if head is None or (head.hash != expected and expected not in NO_PARENTS):
                break
            unlinked = unlinked or expected in NO_PARENTS
            linked.append(head)
            expected = head.parent_hash
            if number <= first and self._chain.is_met(head):
                break
        linked.reverse()
        whole = len(linked) > last - max(first, lowest)
        if len(linked) <= last - first or self._chain.is_met(linked[0]):
            return linked if whole or not unlinked else []
        # The blocks below left the chain: further down, at once if all that was asked for came.
        if int(linked[0].number, 16) == lowest:
            self._reach[last] = max(2 * self._reach.get(last, 0), FIRST_REACH)
            self._pause_ns = 0
        return []
