"""What readers are told to doubt: gaps, and states that are not to be trusted.

Owns that with a doubt the node is asked for new states, instead of waiting for the next event of each pool.  It must
never decide what is doubtful: `producers.assembly` and its parts do.
"""

from __future__ import annotations

from producers.blocks.chain import Chain
from producers.output.block_messages import BlockMessages
from producers.output.fee_states import FeeStates
from producers.output.snapshots import Snapshots
from producers.output.tick_maps import TickMaps
from tlv.codes import Reason


class Declarations:
    """The doubts about one chain."""

    def __init__(
        self, chain: Chain, messages: BlockMessages, snapshots: Snapshots, tick_maps: TickMaps, fee_states: FeeStates
    ) -> None:
        self.messages = messages
        self._chain, self._snapshots, self._tick_maps, self._fee_states = chain, snapshots, tick_maps, fee_states

    def invalidate(self, since_block: int, reason: Reason) -> None:
        """Readers forget what they know.

        Events of blocks up to the head may be in the ring already, and stand: a state from before them is of no use.
        """
        head = self._chain.head
        self.messages.put_invalidation(since_block, reason)
        self._snapshots.want_all(max(since_block, head.number if head is not None else 0))
        self._tick_maps.want_all(since_block)
        self._fee_states.want_all(since_block)

    def gap(self, first: int, last: int, reason: Reason) -> None:
        """These block numbers cannot be had, and what was derived from them is void."""
        self.messages.put_gap(first, last, reason)
        self.invalidate(first, reason)

    def reorganise(self, lowest: int) -> None:
        """Blocks from this number on left the chain."""
        self._snapshots.reorganise(lowest)
        self._tick_maps.reorganise(lowest)
        self._fee_states.reorganise(lowest)
