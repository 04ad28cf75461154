"""Whether a block's logs are complete, as far as that shows without asking anybody.

Owns the evidence: the bloom filter of the header, holes in the log indices, frames that could not be read.  It must
never act on it: what is done about a block in doubt is decided in `producers.assembly`.

    bloom filter holds none of our topics       nothing can be missing, and nothing need be asked
    an event came for every topic it holds      nothing seems to be missing (a positive may be chance: then we ask)
    log indices without a hole from 0 on        nothing seems to be missing below the highest, if all are subscribed
"""

from __future__ import annotations

from producers.blocks.block import Block
from producers.blocks.bloom import BLOOM_DIGITS, TopicBloom
from producers.chains.configuration import ChainConfig
from producers.kinds.events import EVENT_OF_TOPIC

EMPTY_BLOOM = "0x" + "0" * BLOOM_DIGITS


class Evidence:
    """What speaks for and against a block being complete, given what is subscribed to."""

    def __init__(self, chain: ChainConfig, log_filter: dict[str, object]) -> None:
        self.sees_all = not log_filter
        """All logs are subscribed to: their indices must have no hole."""
        self._chain = chain
        self._bloom = TopicBloom(EVENT_OF_TOPIC)
        self._bloom_speaks = "address" not in log_filter

    def read_header(self, block: Block) -> None:
        """Look up our topics in the block's bloom filter."""
        block.expect(self._bloom.positives(block.head.logs_bloom))

    def proves_empty(self, block: Block) -> bool:
        """Whether the block can have no event of ours."""
        return block.positives is not None and not block.positives and self._chain.bloom_proves(block.number)

    def proves_empty_at_once(self, block: Block) -> bool:
        """Whether it has no log at all, so that none can still be on its way."""
        return block.head.logs_bloom == EMPTY_BLOOM and self.proves_empty(block)

    def is_doubtful(self, block: Block) -> bool:
        """Whether a log of the block seems to be missing."""
        if block.doubted or (self.sees_all and not block.contiguous):
            return True
        if block.positives is None or not self._bloom_speaks:
            return not block.seen  # an empty block is believed only if its bloom filter says so
        return not block.positives <= block.topics
