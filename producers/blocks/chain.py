"""The chain of blocks as one node shows it: parent links, the canonical branch, reorgs and holes.

Owns which blocks are known and which are canonical.  It must never know requests, pools or messages: it answers "what
changes if this head is adopted", and `producers.assembly` acts on it.  What a block's logs are is
`producers.blocks.block`'s; blocks that left the chain are remembered, since branches come back.

Only newHeads decides what is canonical.  Answers to requests are tied to a hash, so a stale one can do no harm.
A hole is where a parent cannot be had: the lowest block above it is a `root`, and nothing below it is contradicted
except what stands at the root's height or above, and the block that should have been its parent.
"""

from __future__ import annotations

from typing import NamedTuple

from producers.blocks.block import Block
from producers.node.rpc_types import Head

MAX_NUMBER = (1 << 63) - 1
ZERO_HASH = "0x" + "0" * 64


class Missing(NamedTuple):
    """A parent that has to be fetched before a head can be adopted."""

    hash: str
    child: Block


class Switch(NamedTuple):
    """What the adoption of a head changes."""

    dropped: list[Block]
    """Newest first."""
    adopted: list[Block]
    """Oldest first."""
    fork: Block | None
    """The common ancestor; None at a hole, or for the first block of all."""
    hole: tuple[int, int] | None
    """Block numbers, both included, that no branch shows and that were not declared before."""


class Chain:
    """Every header of the last `keep` blocks, by hash; the canonical ones by number."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self.blocks: dict[str, Block] = {}
        self.canonical: dict[int, Block] = {}
        self.head: Block | None = None
        self._lowest = MAX_NUMBER
        self._holes: list[tuple[int, int]] = []

    def add(self, head: Head, now_ns: int, *, live: bool = False) -> Block:
        """The block of this header, new or known already.

        Raises:
            ValueError: its number or its time is none.
        """
        block = self.blocks.get(head.hash)
        if block is None:
            block = self.blocks[head.hash] = Block(head, now_ns, live=live)
        return block

    def is_canonical(self, block: Block) -> bool:
        """Whether it is in the present chain."""
        return self.canonical.get(block.number) is block

    def branch(self, head: Block, limit: int) -> list[Block] | Missing:
        """The blocks from the first that is not canonical up to `head`, oldest first; or the parent that is missing.

        Where the walk gets longer than `limit`, its lowest block is made a root: what is below becomes a hole.
        """
        branch = []
        block = head
        while not self.is_canonical(block):
            branch.append(block)
            parent = self.blocks.get(block.parent_hash)
            if block.root or block.number <= self._lowest:
                break  # what is below was never published, so nothing there can be contradicted
            if len(branch) >= limit:
                block.lose_parent()
                break
            if parent is None:
                return Missing(block.parent_hash, block)
            block = parent
        branch.reverse()
        return branch

    def adopt(self, branch: list[Block]) -> Switch:
        """Make the newest block of `branch` the head."""
        lowest, head = branch[0], branch[-1]
        fork = self.blocks.get(lowest.parent_hash)
        if fork is not None and not self.is_canonical(fork):
            fork = None
        keep_to = fork.number if fork is not None else lowest.number - 2
        dropped = [self.canonical.pop(number) for number in sorted(self.canonical, reverse=True) if number > keep_to]
        hole = None
        if fork is None and self.canonical:
            hole = self._undeclared(max(self.canonical) + 1, lowest.number - 1)
        self.canonical.update({block.number: block for block in branch})
        self.head = head
        self._lowest = min(self._lowest, lowest.number)
        return Switch(dropped, branch, fork, hole)

    def upwards(self, number: int) -> list[Block]:
        """The canonical blocks from `number` on, oldest first."""
        if self.head is None:
            return []
        numbers = range(number, self.head.number + 1)
        return [block for block in map(self.canonical.get, numbers) if block is not None]

    def forget(self, unfinished: int = MAX_NUMBER) -> None:
        """Drop what is `keep` blocks below the head: no reorg reaches there.  From `unfinished` on nothing is dropped.

        After an outage of more than `keep` blocks there is such a number: those are still to be fetched and published.
        """
        if self.head is None or len(self.blocks) < self._keep + self._keep // 4:
            return
        floor = min(self.head.number - self._keep, unfinished)
        self.blocks = {block.hash: block for block in self.blocks.values() if block.number >= floor}
        self.canonical = {number: block for number, block in self.canonical.items() if number >= floor}
        self._holes = [hole for hole in self._holes if hole[1] >= floor]
        self._lowest = min(self.canonical)

    def restore(self, blocks: list[Block], holes: list[tuple[int, int]]) -> None:
        """Begin with a canonical chain (oldest first) and the holes in it that were declared before."""
        self.blocks = {block.hash: block for block in blocks}
        self.canonical = {block.number: block for block in blocks}
        self.head = blocks[-1]
        self._lowest = blocks[0].number
        self._holes = list(holes)

    def _undeclared(self, first: int, last: int) -> tuple[int, int] | None:
        """What of `first..last` was in no earlier hole; holes only ever grow at their ends."""
        for begin, end in self._holes:
            if begin <= first <= end:
                first = end + 1
            if begin <= last <= end:
                last = begin - 1
        if first > last:
            return None
        self._holes.append((first, last))
        return first, last
