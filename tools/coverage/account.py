"""Every swap of the blocks that ended, as published or as not, from the messages of one chain alone.

Owns the account.  It must never know where messages come from: whoever reads a ring or a journal gives it each message,
and says where some are missing.

A swap is counted with its block, and a block counts by its newest BlockEnd, as long as it is of the chain: a Reorg
takes it out, and it counts again if it comes back.  A block of which something was told before the first message here,
or while messages were lost, is *cut*: what is missing of it nobody can say, so it is left out and counted by itself.

    swap_count of its end  =  swaps that stand  +  swaps of the Uncovered records behind it  +  uncounted

What an Unproven record says of an emitter later also holds for the swaps that earlier ends left open.  The newest
`DEPTH` blocks are kept one by one, those below are added up: no collector goes back further.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from tlv.codes import EmitterProof, Flag, GapScope, NotPublished
from tlv.layout import (
    Block,
    BlockEnd,
    EventOrigin,
    Gap,
    PoolState,
    PoolSwap,
    Reorg,
    Session,
    Uncovered,
    Unproven,
    VenueName,
)
from tlv.message import Message
from tlv.venues import VENUES

RECORDS = (Block, BlockEnd, Gap, PoolState, PoolSwap, Reorg, Session, Unproven, VenueName)
"""What it needs of a stream."""
DEPTH = 1024
"""Blocks; a collector keeps those that may still change, 256 on Polygon."""
NOWHERE = -1
NO_ADDRESS, NO_HASH = bytes(20), bytes(32)
AGAINST: dict[int, NotPublished] = {
    EmitterProof.NO_POOL: NotPublished.NO_POOL,
    EmitterProof.UNSUPPORTED: NotPublished.UNSUPPORTED,
}
"""By what an Unproven record says; a code that a later collector has says nothing here."""
Identity = tuple[bytes, int]
"""A log of a block: hash of its transaction, index."""


class SwapPool(NamedTuple):
    """What a published swap says of its pool."""

    protocol: int
    venue: int
    address: bytes


class Miscounted(NamedTuple):
    """A block whose numbers do not add up."""

    number: int
    hash: bytes
    uncounted: int
    """Negative: more swaps than its end counts."""


class MissingRange(NamedTuple):
    """What the stream lacks: frames, or blocks that no node could show."""

    scope: str
    """`frames` or `blocks`."""
    first: int
    last: int


class UnpublishedSwaps:
    """Swaps of one emitter and kind that are not published."""

    def __init__(self) -> None:
        self.swaps: Counter[NotPublished] = Counter()
        self.factory = NO_ADDRESS


class BlockSwaps:
    """One block, as far as its messages came."""

    def __init__(self, number: int, block_hash: bytes, losses: int, *, whole: bool) -> None:
        self.number, self.hash, self.losses, self.whole = number, block_hash, losses, whole
        self.swaps: dict[Identity, SwapPool] = {}
        self.end: BlockEnd | None = None
        self.uncovered: tuple[Uncovered, ...] = ()


def reason_of(uncovered: Uncovered) -> NotPublished:
    """Why swaps are not published; for a reason that a later collector has nobody here can say it."""
    return NotPublished(uncovered.reason) if uncovered.reason in frozenset(NotPublished) else NotPublished.UNPROVEN


class SwapAccount:
    """The swaps of one chain."""

    def __init__(self, depth: int = DEPTH) -> None:
        self.chain_id, self._genesis = 0, NO_HASH
        self.blocks = self.cut = self.open = 0
        """Blocks that ended; that are cut; that did not end."""
        self.swaps = self.uncounted = 0
        """Of the blocks that ended; beyond what is published or said, either way."""
        self.miscounted: list[Miscounted] = []
        self.late = 0
        """Ends of blocks too far below the newest to be counted anew."""
        self.gaps: list[MissingRange] = []
        self.published: Counter[SwapPool] = Counter()
        self.emitters: dict[tuple[bytes, int], UnpublishedSwaps] = {}
        """By emitter and kind; a zero emitter stands for those that an end did not name."""
        self.factory_of: dict[bytes, bytes] = {}
        self.venue_of: dict[bytes, int] = {}
        """Of each factory of which a pool was seen."""
        self._depth = depth
        self._canonical: dict[int, BlockSwaps] = {}
        self._known: dict[bytes, BlockSwaps] = {}
        self._highest = self._floor = NOWHERE
        self._losses = 0
        self._standing: dict[bytes, int] = {}

    def lose(self, first: int, last: int) -> None:
        """These frames are missing."""
        self._losses += 1
        self.gaps.append(MissingRange("frames", first, last))

    def begin_ring(self) -> None:
        """What follows is of another ring of the same name: what the one before would have said more is missing."""
        self._losses += 1

    def take(self, message: Message) -> None:
        """The next message."""
        record = message.records[0] if message.records else None
        match record:
            case PoolSwap():
                origin = message.first(EventOrigin)
                if origin is not None:
                    self._swap(record, origin, removed=bool(message.header.flags & Flag.REMOVED))
            case Block():
                self._announce(record)
            case BlockEnd():
                uncovered = tuple(one for one in message.records[1:] if isinstance(one, Uncovered))
                self._end(record, uncovered)
            case Reorg():
                self._drop_above(record.fork_number)
            case Unproven():
                self._standing[record.emitter] = record.standing
            case PoolState():
                self.factory_of[record.pool] = record.factory
                self.venue_of[record.factory] = record.venue
            case VenueName():
                VENUES.learn(record.code, record.name)
            case Session():
                self._begin(record.chain_id, record.genesis)
            case Gap(scope=GapScope.BLOCK_NUMBERS):
                self.gaps.append(MissingRange("blocks", record.first, record.last))
            case Gap():
                self.lose(record.first, record.last)

    def close(self) -> None:
        """Nothing more comes: everything is added up."""
        self._settle(self._highest)
        for (emitter, _), found in self.emitters.items():
            against = AGAINST.get(self._standing.get(emitter, EmitterProof.UNKNOWN))
            if against is not None:
                found.swaps[against] += found.swaps.pop(NotPublished.UNPROVEN, 0)

    # The chain

    def _begin(self, chain_id: int, genesis: bytes) -> None:
        """An epoch; of another chain if it says so: block numbers begin anew then."""
        if (self.chain_id and chain_id not in (0, self.chain_id)) or (
            self._genesis != NO_HASH and genesis not in (NO_HASH, self._genesis)
        ):
            self._settle(self._highest)
            self._highest = self._floor = NOWHERE
        self.chain_id = chain_id or self.chain_id
        self._genesis = self._genesis if genesis == NO_HASH else genesis

    def _announce(self, record: Block) -> None:
        """A block that comes back is told anew, with its events."""
        if record.number <= self._floor:
            return
        self._make_way(record.number, record.hash)
        block = BlockSwaps(record.number, record.hash, self._losses, whole=True)
        self._canonical[record.number] = self._known[record.hash] = block
        if record.number > self._highest:
            self._highest = record.number
            if len(self._canonical) > 2 * self._depth:
                self._settle(record.number - self._depth)

    def _block(self, number: int, block_hash: bytes) -> BlockSwaps | None:
        """The block that a swap or an end names; None if it is added up already."""
        block = self._known.get(block_hash)
        if block is None:
            if number <= self._floor:
                return None
            self._make_way(number, block_hash)
            block = BlockSwaps(number, block_hash, self._losses, whole=False)
            self._canonical[number] = self._known[block_hash] = block
            self._highest = max(self._highest, number)
        block.whole = block.whole and block.losses == self._losses
        return block

    def _make_way(self, number: int, block_hash: bytes) -> None:
        """Where another block stands, the Reorg that dropped it is missing."""
        before = self._canonical.get(number)
        if before is not None and before.hash != block_hash:
            self._drop_above(number - 1)

    def _drop_above(self, fork: int) -> None:
        for number in [number for number in self._canonical if number > fork]:
            del self._canonical[number]

    def _swap(self, swap: PoolSwap, origin: EventOrigin, *, removed: bool) -> None:
        block = self._block(origin.block_number, origin.block_hash)
        if block is None:
            return
        identity = (origin.transaction_hash, origin.log_index)
        if removed:
            block.swaps.pop(identity, None)
        else:
            block.swaps[identity] = SwapPool(swap.protocol, swap.venue, swap.pool)

    def _end(self, end: BlockEnd, uncovered: tuple[Uncovered, ...]) -> None:
        block = self._block(end.number, end.hash)
        if block is None:
            self.late += 1
        else:
            block.end, block.uncovered = end, uncovered

    # Added up

    def _settle(self, highest: int) -> None:
        """Add up the blocks to this number."""
        for number in sorted(number for number in self._canonical if number <= highest):
            self._add(self._canonical.pop(number))
        self._known = {block.hash: block for block in self._known.values() if block.number > highest}
        self._floor = max(self._floor, highest)

    def _add(self, block: BlockSwaps) -> None:
        if block.end is None or not block.whole:
            self.open += block.end is None
            self.cut += block.end is not None
            return
        self.blocks += 1
        self.swaps += block.end.swap_count
        self.published.update(block.swaps.values())
        for one in block.uncovered:
            emitter = self.emitters.setdefault((one.emitter, one.protocol), UnpublishedSwaps())
            emitter.swaps[reason_of(one)] += one.swaps
            emitter.factory = emitter.factory if one.factory == NO_ADDRESS else one.factory
        uncounted = block.end.swap_count - len(block.swaps) - sum(one.swaps for one in block.uncovered)
        if uncounted:
            self.uncounted += abs(uncounted)
            self.miscounted.append(Miscounted(block.number, block.hash, uncounted))
