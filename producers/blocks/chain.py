"""The chain of blocks as one node shows it: parent links, the canonical branch, reorgs and holes.

Owns which blocks are known and which are canonical.  It must never know requests, pools or messages: it answers "what
changes if this head is adopted", and `producers.assembly` acts on it.  What a block's logs are is
`producers.blocks.block`'s; blocks that left the chain are remembered, since branches come back.

    known, by hash      at most MAX_LOOSE that are not canonical: the oldest of them is forgotten first
    canonical           `keep` below the head, and what is still to be published
    past                the hashes of MAX_PAST canonical blocks below those: where a deep reorg forks off

Only newHeads decides what is canonical.  Answers to requests are tied to a hash, so a stale one can do no harm.
A hole is where a parent cannot be had: the lowest block above it is a `root`, with which it leaves the chain.  What
stands at a root's height or above is contradicted, so is the block that should have been its parent, and all above the
newest that the node still has.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from producers.blocks.block import MAX_NUMBER, Block
from producers.node.rpc_types import Head

ZERO_HASH = "0x" + "0" * 64
NO_PARENTS = frozenset((ZERO_HASH, "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"))
"""What lazily mined blocks of development nodes name as their parent; the second is the hash of an empty trie."""
MAX_LOOSE = 6_144
"""Blocks known and not canonical; above the 4,096 parents that are fetched for one head."""
MAX_PAST = 4_096


class Missing(NamedTuple):
    """A parent that has to be fetched before a head can be adopted."""

    hash: str
    child: Block
    depth: int
    """Blocks of the branch that are known, down to `child`."""


class Misnumbered(NamedTuple):
    """A block whose number is not its parent's + 1."""

    block: Block


class Fork(NamedTuple):
    """A common ancestor that is known by its hash only."""

    number: int
    hash: str


class Switch(NamedTuple):
    """What the adoption of a head changes."""

    dropped: list[Block]
    """Newest first."""
    adopted: list[Block]
    """Oldest first."""
    fork: Block | Fork | None
    """The common ancestor; None at a hole, or for the first block of all."""
    hole: tuple[int, int] | None
    """Block numbers, both included, that no branch shows and that were not declared before."""
    unreachable: tuple[int, int] | None = None
    """Numbers of blocks that left the chain too and are known no more, so that their events cannot be taken back."""

    @property
    def left_from(self) -> int:
        """The lowest block that left the chain, where one did."""
        return self.unreachable[0] if self.unreachable is not None else self.dropped[-1].number


class Chain:
    """Every header of the last `keep` blocks, by hash; the canonical ones by number."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self.blocks: dict[str, Block] = {}
        self.canonical: dict[int, Block] = {}
        self.head: Block | None = None
        self.holes: list[tuple[int, int]] = []
        """What was declared, and neither filled nor forgotten."""
        self.evicted = 0
        """Blocks that were forgotten because too many were known that are not canonical."""
        self.told = -1
        """Everything up to here was told before this chain began; nothing above it was adopted yet."""
        self._first = MAX_NUMBER
        """The lowest block that was ever canonical: nothing below was published."""
        self._loose: dict[str, None] = {}
        """Hashes of the known blocks that are not canonical, the oldest first."""
        self._ends: dict[str, Missing] = {}
        """By the hash of a head: the missing parent at which its branch ended.  Forgotten when the chain changes, not
        when a loose block is added: 136 heads behind one missing parent take 9 ms, where it took 753."""
        self._past: dict[int, str] = {}
        self._forgotten_to = -1
        """Nothing below this is kept, unless it came since."""

    def add(self, head: Head, now_ns: int, *, live: bool = False) -> Block:
        """The block of this header, new or known already; `producers.node.rpc_types` has checked it."""
        block = self.blocks.get(head.hash)
        if block is None:
            block = self.blocks[head.hash] = Block(head, now_ns, live=live)
            self._loosen(block)
        return block

    def drop(self, block: Block) -> None:
        """Forget a block that is not canonical."""
        if not self.is_canonical(block) and self.blocks.get(block.hash) is block:
            del self.blocks[block.hash]
            self._loose.pop(block.hash, None)
            self._ends.clear()

    def is_canonical(self, block: Block) -> bool:
        """Whether it is in the present chain."""
        return self.canonical.get(block.number) is block

    def begins_above(self, number: int) -> bool:
        """Whether a block of this number is older than every one that was ever canonical."""
        return self.head is not None and number < self._first

    def left_behind(self, head: Head) -> bool:
        """Whether a head is older than ours, by its number and its time, and not canonical."""
        number = int(head.number, 16)
        if self.head is None or number >= self.head.number or int(head.timestamp, 16) >= self.head.timestamp:
            return False
        standing = self.canonical.get(number)
        return standing.hash != head.hash if standing is not None else self.was_told(number)

    def branch(self, head: Block, limit: int) -> list[Block] | Missing | Misnumbered:
        """The blocks from the first that is not canonical up to `head`, oldest first; or what is wrong with one.

        Where the walk gets longer than `limit`, its lowest block is made a root: what is below becomes a hole.
        """
        branch: list[Block] = []
        block = head
        while not self.is_canonical(block):
            end = self.end_of(block)
            if end is not None and len(branch) + end.depth < limit:
                self._ends[head.hash] = missing = end._replace(depth=len(branch) + end.depth)
                return missing
            branch.append(block)
            parent = self.blocks.get(block.parent_hash)
            if parent is not None and parent.number != block.number - 1:
                return Misnumbered(block)
            if self._is_lowest(block):
                break
            if len(branch) >= limit:
                self.make_root(block)
                break
            if parent is None:
                self._ends[head.hash] = missing = Missing(block.parent_hash, block, len(branch))
                return missing
            if block.number < self._first:
                break
            block = parent
        branch.reverse()
        return branch

    def end_of(self, head: Block) -> Missing | None:
        """The missing parent at which the branch of a head is known to end, if it still does."""
        end = self._ends.get(head.hash)
        return end if end is not None and end.hash not in self.blocks else None

    def make_root(self, block: Block, stands_to: int = MAX_NUMBER) -> None:
        """The parent of this block cannot be had: branches end here, and up to `stands_to` our blocks stand."""
        block.lose_parent(stands_to)
        self._ends.clear()

    def needs(self, block: Block, depth: int) -> Missing | None:
        """The parent of `block`, if that is the next to be fetched for a branch of which `depth` blocks are known."""
        if self._is_lowest(block) or block.parent_hash in self.blocks or self.is_canonical(block):
            return None
        if depth > 1 and block.number < self._first:
            return None  # the witness to the number of a head below the first block
        return Missing(block.parent_hash, block, depth)

    def adopt(self, branch: list[Block]) -> Switch:
        """Make the newest block of `branch` the head."""
        self._ends.clear()
        lowest, head = branch[0], branch[-1]
        found = self.blocks.get(lowest.parent_hash)
        fork: Block | Fork | None = found if found is not None and self.is_canonical(found) else None
        if fork is None and self._past.get(lowest.number - 1) == lowest.parent_hash:
            fork = Fork(lowest.number - 1, lowest.parent_hash)
        keep_to = fork.number if fork is not None else min(lowest.number - 2, lowest.stands_to)
        dropped = []
        if self.head is not None and keep_to < self.head.number:
            above = sorted((number for number in self.canonical if number > keep_to), reverse=True)
            dropped = [self.canonical.pop(number) for number in above]
        unreachable = self._leave_past(keep_to) if dropped else None
        hole = None
        below = self.canonical or self._past or (self.told,)
        if fork is None and max(below) >= 0:
            hole = self._undeclared(max(below) + 1, lowest.number - 1)
        elif fork is None and dropped and lowest.number > self._first:
            hole = self._undeclared(self._first, lowest.number - 1)
        self.told = -1
        for block in dropped:
            self._loosen(block)
        for block in branch:
            self._loose.pop(block.hash, None)
            self.blocks[block.hash] = block
        self.canonical.update({block.number: block for block in branch})
        if dropped and self.holes:
            self._cover_holes(branch)
        self.head = head
        self._first = min(self._first, lowest.number)
        return Switch(dropped, branch, fork, hole, unreachable)

    def upwards(self, number: int) -> list[Block]:
        """The canonical blocks from `number` on, oldest first."""
        if self.head is None:
            return []
        if self.head.number - number < 2 * len(self.canonical):
            numbers = range(number, self.head.number + 1)
            return [block for block in map(self.canonical.get, numbers) if block is not None]
        return [self.canonical[at] for at in sorted(self.canonical) if at >= number]

    def segment_below(self, number: int) -> list[Block]:
        """The canonical blocks below `number`, down to the next hole, oldest first."""
        top = max((at for at in self.canonical if at < number), default=-1)
        blocks = []
        while (block := self.canonical.get(top)) is not None:
            blocks.append(block)
            top -= 1
        blocks.reverse()
        return blocks

    def fill(self, heads: list[Head], now_ns: int) -> list[Block]:
        """Make these headers canonical, which stand below a root (oldest first); returns their blocks."""
        self._ends.clear()
        blocks = [self.add(head, now_ns) for head in heads]
        above = self.canonical[blocks[-1].number + 1]
        above.find_parent()
        first, last = blocks[0].number, blocks[-1].number
        below = self.canonical.get(first - 1)
        if below is None and first > self._first:
            blocks[0].lose_parent()
        self.canonical.update({block.number: block for block in blocks})
        for block in blocks:
            self._loose.pop(block.hash, None)
        self._fill_holes(first, last)
        self._first = min(self._first, first)
        return blocks

    def is_met(self, head: Head) -> bool:
        """Whether what is known below a header is its parent, or nothing is: then the chain joins there."""
        below = int(head.number, 16) - 1
        known = self.canonical.get(below)
        known_hash = known.hash if known is not None else self._past.get(below)
        return known_hash is None or known_hash == head.parent_hash or head.parent_hash in NO_PARENTS

    def was_told(self, number: int) -> bool:
        """Whether a block of this number was canonical, be it known still or forgotten."""
        return number >= self._first and not any(first <= number <= last for first, last in self.holes)

    def refill(self, heads: list[Head], now_ns: int) -> Switch:
        """Make these headers canonical, which stand below a root (oldest first) and reach below its hole.

        What stood there left the chain.  A Reorg drops everything above its fork, so what is above the hole is dropped
        and adopted again.
        """
        first, last = int(heads[0].number, 16), int(heads[-1].number, 16)
        self.canonical[last + 1].find_parent()
        blocks = [self.add(head, now_ns) for head in heads]
        self._fill_holes(first, last)
        if first - 1 not in self.canonical and self._past.get(first - 1) != heads[0].parent_hash:
            blocks[0].lose_parent()
        return self.adopt([*blocks, *self.upwards(last + 1)])

    def forget(self, unfinished: int = MAX_NUMBER) -> None:
        """Drop what is `keep` blocks below the head: no reorg reaches there.  From `unfinished` on nothing is dropped.

        After an outage of more than `keep` blocks there is such a number: those are still to be fetched and published.
        """
        if self.head is None or len(self.blocks) < self._keep + self._keep // 4:
            return
        floor = min(self.head.number - self._keep, unfinished)
        if floor <= self._forgotten_to:
            return
        self._forgotten_to = floor
        self._ends.clear()
        for number in sorted(number for number in self.canonical if number < floor):
            block = self.canonical.pop(number)
            self._past[number] = block.hash
            self.blocks.pop(block.hash, None)
        if not self.canonical:
            return
        for block_hash in [block_hash for block_hash in self._loose if self.blocks[block_hash].number < floor]:
            del self._loose[block_hash]
            del self.blocks[block_hash]
        while len(self._past) > MAX_PAST:
            del self._past[next(iter(self._past))]
        self.holes = [hole for hole in self.holes if hole[1] >= floor]

    def restore(self, blocks: list[Block], holes: list[tuple[int, int]]) -> None:
        """Begin with a canonical chain (oldest first) and what was declared: where it has no blocks are holes."""
        self.blocks = {block.hash: block for block in blocks}
        self.canonical = {block.number: block for block in blocks}
        self.head = blocks[-1]
        self._first = blocks[0].number
        self.holes = list(holes)
        self._cover_holes(blocks)

    def _is_lowest(self, block: Block) -> bool:
        """Whether a branch need not be followed below this block.

        Below the first block nothing was published that could be contradicted.  A head below that one is followed to
        its parent, which bears witness to its number: a made-up one would take back everything.
        """
        if self.told >= 0:
            return block.root or block.number <= self._first
        joins_past = self._past.get(block.number - 1) == block.parent_hash
        return block.root or joins_past or not self.canonical or block.number == self._first

    def _loosen(self, block: Block) -> None:
        self._loose[block.hash] = None
        if len(self._loose) > MAX_LOOSE:
            oldest = next(iter(self._loose))
            del self._loose[oldest], self.blocks[oldest]
            self._ends.clear()
            self.evicted += 1

    def _leave_past(self, keep_to: int) -> tuple[int, int] | None:
        """What of the blocks that are known no more is canonical no more."""
        gone = [number for number in self._past if number > keep_to]
        for number in gone:
            del self._past[number]
        return (min(gone), max(gone)) if gone else None

    def begin_above(self, number: int) -> None:
        """Begin with nothing but this: everything up to `number` was told, by hashes that are not known any more."""
        self.told = number
        self._first = number + 1
        self._ends.clear()

    def _cover_holes(self, branch: list[Block]) -> None:
        """Where a branch has blocks, and above it, there is no hole of another one, nor one that was filled."""
        for first, last in (*runs_of(block.number for block in branch), (branch[-1].number + 1, MAX_NUMBER)):
            self._fill_holes(first, last)

    def _fill_holes(self, first: int, last: int) -> None:
        self.holes = [part for hole in self.holes for part in _without(hole, first, last)]

    def _undeclared(self, first: int, last: int) -> tuple[int, int] | None:
        """What of `first..last` was in no earlier hole; holes only ever grow at their ends."""
        for begin, end in self.holes:
            if begin <= first <= end:
                first = end + 1
            if begin <= last <= end:
                last = begin - 1
        if first > last:
            return None
        self.holes.append((first, last))
        return first, last


def runs_of(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Rising numbers as runs, first and last of each."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _without(hole: tuple[int, int], first: int, last: int) -> list[tuple[int, int]]:
    """The parts of a hole that are not in `first..last`."""
    begin, end = hole
    if last < begin or end < first:
        return [hole]
    parts = [(begin, first - 1), (last + 1, end)]
    return [part for part in parts if part[0] <= part[1]]
