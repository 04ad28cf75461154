"""What has been seen of the newest blocks, from their announcement on.

Owns the count of their events as they came.  A block whose announcement was not seen, or that frames were lost of, is
not in the book: nothing follows from what is missing of it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from tlv.layout import Block, EventOrigin

MOST_BLOCKS = 1_024
"""Blocks are ended within some tens; a late log may come for one that the collector still keeps."""


@dataclass(slots=True)
class SeenBlock:
    """One block."""

    number: int
    first: int
    """Sequence of its announcement."""
    age_ms: int
    """From its own time to its announcement."""
    events: int = 0
    """That were published and stand."""
    unproven: int = 0
    """Of these the flagged ones."""


class BlockBook:
    """The blocks that are whole so far, by hash."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[bytes, SeenBlock] = OrderedDict()

    def __len__(self) -> int:
        return len(self._blocks)

    def announce(self, block: Block, sequence: int, age_ms: int) -> None:
        """A block became canonical; what was told of it before is told again."""
        self._blocks.pop(block.hash, None)
        self._blocks[block.hash] = SeenBlock(block.number, sequence, age_ms)
        if len(self._blocks) > MOST_BLOCKS:
            self._blocks.popitem(last=False)

    def count(self, origin: EventOrigin, events: int, *, unproven: bool) -> None:
        """So many events more, or fewer."""
        seen = self._blocks.get(origin.block_hash)
        if seen is not None:
            seen.events += events
            seen.unproven += events if unproven else 0

    def of(self, block_hash: bytes) -> SeenBlock | None:
        """What was seen of a block, if all of it was."""
        return self._blocks.get(block_hash)

    def forget(self) -> None:
        """Frames are missing: nobody knows of which block."""
        self._blocks.clear()
