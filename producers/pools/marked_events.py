"""Events of emitters that were declared unproven, published all the same and flagged UNPROVEN (`--unproven publish`).

Owns which events those are, and what a verdict makes of them.  It must never publish: the REMOVED copies of what it
takes back are `producers.assembly`'s.

    declared --> its events are published in their places, flagged, without tokens, venue and decimals
    proven to be a pool, and nothing of it is held back       they stand, and are told no second time
    proven to be a pool, and something is (its logs were let go before, or a filter by token hides them unproven)
                                                              taken back, and published again with what was held back,
                                                              unflagged: so each pool's events stay in order
    proven to be none, or of no configured factory            taken back

What is taken back counts as let go, and is fetched should the verdict fall.  A block that left the chain took its
events with it: those are let go without another word.  Blocks that the chain no longer keeps are out of reach.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from producers.blocks.block import Block
from producers.blocks.chain import Chain
from producers.context import Context
from producers.decode.pool_table import PoolTable
from producers.decode.segment import Segment
from producers.kinds.events import EVENT_OF_TOPIC
from producers.node.rpc_types import Log


class TakenBack(NamedTuple):
    """The flagged events of one emitter in one block, which do not stand any more."""

    block: Block
    address: str
    events: int
    segments: list[Segment]
    """Their messages, oldest first."""
    stood: bool
    """Readers have them."""


class MarkedEvents:
    """The flagged events of one chain."""

    def __init__(self, context: Context, chain: Chain, table: PoolTable) -> None:
        self.wanted = context.publishes_unproven
        self.to_take_back: list[str] = []
        """Emitters whose flagged events are to be taken back; `take_back` empties it."""
        self._stats, self._chain, self._table = context.stats, chain, table

    def row_of(self, log: Log) -> int:
        """The row of the table with which an event of an unproven emitter is decoded."""
        return self._table.add_unproven(log.address, EVENT_OF_TOPIC[log.topics[0] or ""].protocols[0])

    def note(self, block: Block, events: Counter[str]) -> None:
        """So many events of each emitter were published, flagged."""
        block.mark(events)
        self._stats.unproven_events += events.total()

    def recall(self, block: Block) -> None:
        """An earlier collector published flagged events of `block`."""
        self._stats.unproven_events += sum(block.marked.values())

    def confirm(self, address: str) -> list[TakenBack]:
        """The emitter is a pool: what readers have stands.  Returns what left with its block."""
        left = []
        for block in self._marked(address):
            if self._chain.is_canonical(block):
                self._stats.unproven_events -= block.confirm_marked(address)
            else:
                left.append(self._take_out(block, address))
        return left

    def doubt(self, address: str) -> None:
        """The flagged events of this emitter do not stand any more, or not like this."""
        self.to_take_back.append(address)

    def take_back(self) -> list[TakenBack]:
        """All that is to be taken back, the newest block first."""
        emitters, self.to_take_back = self.to_take_back, []
        found = [self._take_out(block, address) for address in emitters for block in self._marked(address)]
        return sorted(found, key=lambda taken: -taken.block.number)

    def _marked(self, address: str) -> list[Block]:
        return [block for block in self._chain.blocks.values() if address in block.marked]

    def _take_out(self, block: Block, address: str) -> TakenBack:
        events = block.marked[address]
        self._stats.unproven_events -= events
        self._stats.retracted_events += events
        stood = self._chain.is_canonical(block) and not block.to_replay
        return TakenBack(block, address, events, block.take_out_marked(address), stood)
