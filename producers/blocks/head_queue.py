"""Which head comes after which: announced heads, each adopted once its parents are known.

Owns the queue of heads and the search for parents.  It must never know logs or messages: `follow` yields what the
adoption of each head changes, and headers that were fetched arrive as values (`producers.blocks.arrivals`).

    announce --> queue --> parents known? --yes--> adopt --> Switch
                   ^            | no
                   +-- found ---+--> ask for the parent --missing--> does the node have the head in its chain?
                                                                       yes: a hole below the head
                                                                       no:  it left the head behind, so that is dropped;
                                                                            unless it has no block below it either
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import partial

from producers.blocks.arrivals import Arrivals, ParentSettled
from producers.blocks.backfill import ParentFetcher
from producers.blocks.block import Block
from producers.blocks.chain import Chain, Missing, Switch
from producers.context import Context
from producers.node.node_height import AtHeight, NodeHeight

DEEPEST_WALK = 4096
"""Parents fetched for one head: two hours of Polygon.  What is older becomes a Gap."""


class HeadQueue:
    """The heads of one chain, in the order in which the node had them as its newest block."""

    def __init__(self, context: Context, chain: Chain, arrivals: Arrivals) -> None:
        self._chain, self._arrivals = chain, arrivals
        self._heads: deque[Block] = deque()
        self._seeking: Missing | None = None
        self._parents = ParentFetcher(context, arrivals, self._on_parent_missing)
        self._node_height = NodeHeight(context.rpc)

    def __len__(self) -> int:
        return len(self._heads)

    def announce_new(self, block: Block) -> None:
        """Queue a head whose block was not known before."""
        self._heads.append(block)

    def announce_again(self, block: Block) -> bool:
        """Queue a head whose block was known: the chain came back to it.  False if it says nothing new."""
        newest = self._heads[-1] if self._heads else self._chain.head
        returns = newest is not None and block.number >= newest.number and not self._chain.is_canonical(block)
        if block in self._heads or not returns:
            return False
        self._heads.append(block)
        return True

    def follow(self) -> Iterator[Switch]:
        """Adopt the announced heads, as far as their parents are known; asks for the first parent that is not."""
        while self._heads:
            head = self._heads[0]
            if not self._chain.is_canonical(head):
                branch = self._chain.branch(head, DEEPEST_WALK)
                if isinstance(branch, Missing):
                    self._seek(branch)
                    return
                yield self._chain.adopt(branch)
            self._heads.popleft()

    def fetched(self, block: Block) -> bool:
        """Take a block whose header was fetched; whether `follow` may get further with it."""
        if not (self._seeking is None or self._seeking.hash == block.hash):
            return False
        self._seeking = None
        head_hash = self._chain.head.hash if self._chain.head is not None else None
        if block.pushed and block.parent_hash == head_hash and not self._heads:
            self._heads.append(block)  # its logs were pushed, so the node has it in its chain
        return True

    def disconnected(self) -> None:
        """No answer comes any more.  The heads stay: whether the node still has them, it will be asked."""
        self._seeking = None

    def seek_missing(self, block_hash: str, number: int) -> None:
        """Logs came for a block that was not announced: ask for it, unless heads are waiting anyway."""
        if self._seeking is None:
            self._parents.seek(block_hash, number, None)

    def _seek(self, missing: Missing) -> None:
        if self._seeking is None or self._seeking.hash != missing.hash:
            self._seeking = missing
            top = self._chain.head.number if self._chain.head is not None else None
            self._parents.seek(missing.hash, missing.child.number - 1, top)

    def _on_parent_missing(self, block_hash: str) -> None:
        missing = self._seeking
        if missing is not None and missing.hash == block_hash:
            head = self._heads[0]
            self._node_height.ask(head.number, head.hash, partial(self._judge_head, missing))

    def _judge_head(self, missing: Missing, has: AtHeight) -> None:
        """A parent cannot be had: is the head still in the node's chain?"""
        if self._seeking is not missing:
            return
        if has is AtHeight.ANOTHER:
            self._node_height.ask(missing.child.number - 1, missing.hash, partial(self._judge_hole, missing))
        else:
            self._judge_hole(missing, AtHeight.ABSENT if has is AtHeight.OURS else AtHeight.ANOTHER)

    def _judge_hole(self, missing: Missing, has: AtHeight) -> None:
        """Where the node has a block, though not ours, nothing is missing: it left the head behind."""
        if self._seeking is not missing:
            return
        self._seeking = None
        if has is AtHeight.ABSENT:
            missing.child.lose_parent()
        else:
            self._heads.popleft()
        self._arrivals.append(ParentSettled())
