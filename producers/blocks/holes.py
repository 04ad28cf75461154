"""Asking again for the headers of declared holes, as long as their numbers are kept.

Owns the requests and their pauses.  It must never decide what is canonical: it looks whether what the node has by
number joins our chain, and hands it over as an arrival.

    hole declared --5 s--> every header in it by number --> joins the block above? --yes--> HoleFilled
                   ^                                              | no, or not all
                   +--------- the pause doubles, to 60 s ---------+

A header joins if it is the parent that the one above it names.  Lazily mined blocks of development nodes name none:
they join if the node has the whole hole.
"""

from __future__ import annotations

from functools import partial

import msgspec

from producers.blocks.arrivals import Arrivals, HoleFilled
from producers.blocks.chain import NO_PARENTS, Chain
from producers.context import Context
from producers.node.jsonrpc import DISCONNECTED, Failure, read_head
from producers.node.rpc_types import Head
from tlv.units import NS

FIRST_PAUSE_NS = 5 * NS
LONGEST_PAUSE_NS = 60 * NS
LARGEST_PART = 4096
"""Headers asked at once, from the top of the hole down."""


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
        parts = [(max(first, last - LARGEST_PART + 1), last) for first, last in self._chain.holes]
        self._owed = sum(last - first + 1 for first, last in parts)
        for first, last in parts:
            for number in range(last, first - 1, -1):
                then = partial(self._on_header, number)
                self._rpc.ask("eth_getBlockByNumber", [hex(number), False], then)

    def _on_header(self, number: int, result: msgspec.Raw | None, failure: Failure | None) -> None:
        if failure is DISCONNECTED or not self._owed:
            return
        self._owed -= 1
        head = read_head(result)
        if head is not None and int(head.number, 16) == number:
            self._found[number] = head
        if self._owed == 0:
            self._look()
            self._schedule()

    def _look(self) -> None:
        for first, last in list(self._chain.holes):
            heads = self._joined(max(first, last - LARGEST_PART + 1), last)
            if heads:
                self._arrivals.append(HoleFilled(heads))
        self._found.clear()

    def _joined(self, first: int, last: int) -> list[Head]:
        """The headers that join the block above `last`, oldest first; all from `first` on, if they name no parents."""
        above, below = self._chain.canonical.get(last + 1), self._chain.canonical.get(first - 1)
        if above is None:
            return []
        linked: list[Head] = []
        unlinked = False
        expected = above.parent_hash
        for number in range(last, first - 1, -1):
            head = self._found.get(number)
            if head is None or (head.hash != expected and expected not in NO_PARENTS):
                break
            unlinked = unlinked or expected in NO_PARENTS
            linked.append(head)
            expected = head.parent_hash
        whole = len(linked) == last - first + 1
        if whole and below is not None and expected != below.hash and expected not in NO_PARENTS:
            return []
        return linked[::-1] if whole or not unlinked else []
