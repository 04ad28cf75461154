"""The blocks of the chain that may still have something to publish, and up to where everything is closed and published.

Owns these two marks and nothing else: both move forward as blocks end (`producers.assembly`), and back when a block's
end is void.  It must never decide whether it is.

    ... ended, ended, ended | closed, WANTED, closed, OPEN
              safe_number --^ ^-- cursor       all from here on: blocks
"""

from __future__ import annotations

from producers.blocks.block import Block
from producers.blocks.chain import Chain
from producers.statistics import Statistics


class Frontier:
    """A view of one chain, from the first block that is not through."""

    def __init__(self, chain: Chain, stats: Statistics) -> None:
        self.safe_number = -1
        """Everything up to here is closed and published."""
        self.cursor = -1
        """The lowest block that may still have something to publish."""
        self.blocks: list[Block] = []
        """The canonical blocks from the cursor on, oldest first."""
        self.chain, self._stats = chain, stats

    def move_to(self, number: int) -> None:
        """The cursor stands here now; also if it did, since the chain changed above it."""
        self.cursor = number
        self.blocks = self.chain.upwards(number)

    def grow(self, adopted: list[Block]) -> None:
        """These blocks became canonical above all others."""
        self.blocks += adopted

    def declare_safe(self, number: int) -> None:
        """Everything up to `number` is closed and published, or declared."""
        self.safe_number = self._stats.safe_number = number

    def go_back_to(self, number: int) -> None:
        """The block of this number ends anew."""
        self.move_to(min(self.cursor, number))
        self.declare_safe(min(self.safe_number, number - 1))

    def reopen(self, block: Block) -> None:
        """The end of a closed block is published anew, if it was published."""
        block.reopen()
        self.go_back_to(block.number)
