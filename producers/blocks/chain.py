"""The chain of blocks as one node shows it, and what is known of each block's logs.

Owns parent links, the canonical branch, reorgs and holes.  It must never know requests, pools or messages: it answers
"what changes if this head is adopted", and `producers.feed` acts on it.

Life of a block:

    unknown --add--> KNOWN --adopt--> OPEN ----close----> CLOSED        logs are being pushed; then complete
                       ^      |        |
                       |      |        +--doubt--+                      a hole, a late log, silence, a lost connection
                       |      |                  v
                       |      +-----adopt----> WANTED --fetched--> CLOSED
                       |                         +------given up--> LOST     no node can tell: published as a Gap
                       +------ drop: any state, by a reorg; remembered, since branches come back ------+

Only newHeads decides what is canonical.  Answers to requests are tied to a hash, so a stale one can do no harm.
A hole is where a parent cannot be had: the lowest block above it is a `root`, and nothing below it is contradicted
except what stands at the root's height or above, and the block that should have been its parent.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from producers.node.rpc_types import Head, Log
from producers.output.outbox import Segment
from tlv.codes import Completeness

MAX_NUMBER = (1 << 63) - 1
ZERO_HASH = "0x" + "0" * 64


class Progress(Enum):
    """How far the logs of a block are."""

    KNOWN = 0
    OPEN = 1
    WANTED = 2
    CLOSED = 3
    LOST = 4


Waiting = tuple[int, Log, bool]
"""(log index, log, fetched): came for a block, and was not looked at yet."""


class Block:
    """A header and the logs that came for it."""

    __slots__ = (
        "arrived_ns",
        "doubt",
        "ended",
        "events",
        "fetched",
        "hash",
        "head",
        "held_until_ns",
        "highest_index",
        "live",
        "next_index",
        "number",
        "parent_hash",
        "positives",
        "progress",
        "published",
        "pushed",
        "quarantined",
        "root",
        "seen",
        "timestamp",
        "to_replay",
        "topics",
        "verdict",
        "waiting",
    )

    def __init__(self, head: Head, arrived_ns: int) -> None:
        self.head = head
        self.number = int(head.number, 16)
        self.hash = head.hash
        self.parent_hash = head.parent_hash
        self.timestamp = int(head.timestamp, 16)
        self.arrived_ns = arrived_ns
        self.progress = Progress.KNOWN
        self.verdict = Completeness.UNKNOWN
        self.live = False
        """Announced on this connection, with the log subscription already active: its logs are pushed to us."""
        self.doubt = False
        """Something unreadable came while its logs were being pushed."""
        self.root = False
        """Its parent cannot be had."""
        self.ended = False
        """Its BlockEnd, or the Gap in its stead, is published."""
        self.seen: set[str] = set()
        """Identity of every log that came: transaction hash and log index."""
        self.highest_index = -1
        self.next_index = 0
        """The first log index that was not published; below it there is no hole."""
        self.topics: set[str | None] = set()
        """The first topics among them."""
        self.positives: set[str] | None = None
        """Topics of ours that its bloom filter may hold; None if it has none."""
        self.pushed = 0
        """Logs that came by subscription."""
        self.waiting: list[Waiting] = []
        self.published: list[Segment] = []
        """Its messages that are in the ring."""
        self.to_replay = False
        """Came back after a reorg: `published` has to be published again."""
        self.events = 0
        """Messages in `published`."""
        self.fetched = 0
        """Answers to eth_getLogs that were merged into it."""
        self.quarantined = 0
        """Logs that wait for their emitter to be verified."""
        self.held_until_ns = -1
        """Until when its end waits for a second endpoint's opinion; -1 while that was not asked."""

    @property
    def contiguous(self) -> bool:
        """Whether the log indices have no hole, as far as they go.  Erigon restarts the index, hence `>=`."""
        return len(self.seen) >= self.highest_index + 1

    @property
    def wanted(self) -> bool:
        """Whether the node is to be asked for its logs."""
        return self.progress is Progress.WANTED

    def disbelieve(self, log: Log) -> None:
        """A pool that is proven does not emit such a log: it was garbled on its way, and counts as not come."""
        place = identify(log)
        if place is not None:
            self.seen.discard(place[0])
        self.doubt = True

    def advance_to_hole(self, waiting: list[Waiting]) -> int:
        """How many of the logs, sorted by index, stand before the first hole; from now on the hole is behind them."""
        for count, (index, _, _) in enumerate(waiting):
            if index > self.next_index:
                return count
            self.next_index = max(self.next_index, index + 1)
        return len(waiting)


def identify(log: Log) -> tuple[str, int] | None:
    """A log's identity within its block, and its index; None if the node left out, or garbled, a part of it."""
    transaction, text = log.transaction_hash, log.log_index
    if transaction is None or text is None:
        return None
    try:
        index = int(text, 16) if text != "0x" else 0  # some nodes write zero so
    except ValueError:
        return None
    return transaction + hex(index), index


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

    def add(self, head: Head, now_ns: int) -> Block:
        """The block of this header, new or known already."""
        block = self.blocks.get(head.hash)
        if block is None:
            block = self.blocks[head.hash] = Block(head, now_ns)
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
                break  # what is below was never told, so nothing there can be contradicted
            if len(branch) >= limit:
                block.root = True
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

    def upwards(self, number: int) -> Iterator[Block]:
        """The canonical blocks from `number` on, oldest first."""
        if self.head is None:
            return
        for at in range(number, self.head.number + 1):
            block = self.canonical.get(at)
            if block is not None:
                yield block

    def forget(self, untold: int = MAX_NUMBER) -> None:
        """Drop what is `keep` blocks below the head: no reorg reaches there.  From `untold` on nothing is dropped.

        After an outage of more than `keep` blocks there is such a number: those are still to be fetched and published.
        """
        if self.head is None or len(self.blocks) < self._keep + self._keep // 4:
            return
        floor = min(self.head.number - self._keep, untold)
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
