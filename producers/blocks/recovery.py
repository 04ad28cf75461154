"""What an earlier collector published, read back from its ring, so that a restart continues there.

Owns the reading of messages that this package wrote.  It must never publish, nor know a ring: it is given payloads in
order.  A ring keeps the newest bytes, so its oldest messages may be gone: events lap the Block records in front of
them.  Any message may be damaged.  What is read is therefore weighed, and block ends, not block headers, say what was
told in full:

    its end is there       ended.  `event_count` says how many events stand; if so many are there it is known whole;
                           one that is whole and counts events held back is fetched again
    no end, its Block      not ended.  All its events come behind the Block record: it is fetched again, and what was
    record is there        told is known by identity
    no end, no record,     some of its events may be among those that are gone.  Fetched again they could be told
    or damage behind it    twice: `unsure`, to be declared as a Gap with WRITER_RESTARTED and left alone
    above all of these     it was not told: fetched

A torn ring with blocks and no word of an end: nothing below its lowest block is known, and REACH blocks are unsure.
One without any Block record or event: what lies between the ends and the head of the newest heartbeat is unsure, and
without a heartbeat whatever is not above the first head that comes (`lost`).

Of an ended block some events may be gone: it is `partial`.  A reorg that drops it cannot take them back, and says so by
a Gap, like one that reaches below all that a torn ring holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from producers.blocks.block import NOTHING_ELSEWHERE, Block, Elsewhere, Progress, ended_block
from producers.blocks.chain import ZERO_HASH, Chain, runs_of
from producers.chains.configuration import LARGEST_NUMBER
from producers.decode.segment import Segment
from producers.node.rpc_types import Head
from tlv.codes import Completeness, Domain, Flag, GapScope, Reason
from tlv.errors import FrameError
from tlv.layout import Block as BlockRecord
from tlv.layout import (
    BlockEnd,
    EventOrigin,
    Gap,
    Header,
    Heartbeat,
    PoolSwap,
    Reorg,
    Session,
    StateInvalidation,
    Uncovered,
)
from tlv.message import Message, parse
from tlv.record import Record

Identity = tuple[bytes, int]
NOWHERE = -1
REACH = 4096
"""Blocks: no collector goes further back for one head (`producers.blocks.head_queue.DEEPEST_WALK`)."""


class Recovered(NamedTuple):
    """What the ring holds of the earlier collector's blocks."""

    blocks: list[Block]
    """The canonical ones, oldest first, as far back as the ring reaches."""
    half_removed: Sequence[Segment] = ()
    """Events of dropped blocks that were not taken back yet, newest first."""
    holes: Sequence[tuple[int, int]] = ()
    """Block numbers that were declared as gaps, and may be fetched."""
    unsure: Sequence[tuple[int, int]] = ()
    """Block numbers that may have been told in part: to be declared."""
    ended: int = NOWHERE
    """Everything up to here was told, or declared."""
    chain_id: int = 0
    """0: the ring does not say."""
    genesis: bytes = bytes(32)
    damaged: int = 0
    """Messages that could not be read."""
    lost: bool = False
    """Something was told, and nothing says of which blocks."""
    partial: frozenset[str] = frozenset()
    """Hashes of blocks of which events stand that are not here: in a reorg they cannot be taken back."""
    torn: bool = False
    """Blocks below these were told too."""


class _Found:
    """One block as its messages describe it."""

    def __init__(self, number: int, block_hash: bytes) -> None:
        self.number, self.hash = number, block_hash
        self.record: BlockRecord | None = None
        self.mined_at = 0
        self.standing: dict[Identity, bytes] = {}
        self.swap_kinds: dict[Identity, int] = {}
        """Of these the swaps, with their kinds."""
        self.end: BlockEnd | None = None
        self.uncovered: tuple[Uncovered, ...] = ()
        """Swaps that its end says are not published."""
        self.reopened = False
        """Its end was to be published anew, or counted events that were held back."""
        self.whole = False
        """Every event of it that was told is in `standing`."""

    @property
    def known_whole(self) -> bool:
        """Whether nothing of it is missing here."""
        return self.whole or (self.end is not None and len(self.standing) >= self.end.event_count)

    @property
    def elsewhere(self) -> Elsewhere:
        """What its end counts and that is not here; nothing where that end is gone itself."""
        if self.end is None or self.end.verdict == Completeness.UNKNOWN:
            return NOTHING_ELSEWHERE
        here = len(self.swap_kinds) + sum(one.swaps for one in self.uncovered)
        return Elsewhere(
            max(self.end.log_count - len(self.standing), 0),
            max(self.end.event_count - len(self.standing), 0),
            max(self.end.swap_count - here, 0),
        )

    def set_ended(self) -> None:
        """It was told in full, or is not to be told again; why is not known."""
        self.end = BlockEnd(self.number, 0, len(self.standing) + 1, 0, 0, self.hash, Completeness.UNKNOWN)


class RingStory:
    """The messages of a ring, read one after the other: `recover` says what follows from them."""

    def __init__(self) -> None:
        self.found: dict[bytes, _Found] = {}
        self.canonical: dict[int, _Found] = {}
        self.dropped: list[_Found] = []
        self.owed = 0
        """REMOVED copies that the newest Reorg announced, and that are not here."""
        self.fallen = (0, NOWHERE)
        """The numbers that it took back."""
        self.holes: list[tuple[int, int]] = []
        self.abandoned: list[tuple[int, int]] = []
        """Declared by a restart: never fetched again."""
        self.refused: list[tuple[int, int]] = []
        """Declared when their lists were refused, and what was told of them before that is not here."""
        self.safe = NOWHERE
        """As the newest heartbeat says."""
        self.head = NOWHERE
        """The newest block that was canonical at the newest heartbeat."""
        self.deepest_fork = LARGEST_NUMBER
        """What was ended above it before may have left the chain since."""
        self.placed = False
        """A Block record or an event is here: since these come in block order, no higher block was told before it."""
        self.chain_id, self.genesis = 0, bytes(32)
        self.damaged = 0
        self.torn = False
        """Something that was told is not here."""
        self._next = 1

    def read(self, payload: bytes | memoryview) -> None:
        """One message, or what is left of it."""
        try:
            message = parse(payload)
        except FrameError:
            self.damaged += 1
            self._doubt()
            return
        if message.header.sequence > self._next:
            self._doubt()
        self._next = message.header.sequence + 1
        if message.records:
            self._take(message.records[0], message, payload)

    def _take(self, record: Record, message: Message, payload: bytes | memoryview) -> None:
        match record:
            case BlockRecord():
                self._adopt(record)
            case Reorg():
                self._drop_above(record.fork_number)
                self.owed, self.fallen = record.removed_events, (record.fork_number + 1, record.old_head_number)
            case BlockEnd():
                block = self._block(record.number, record.hash)
                again = record.held_back > 0 and block.whole  # what was held back then may be proven now
                block.end, block.reopened = (None, True) if again else (record, False)
                block.uncovered = tuple(one for one in message.records[1:] if isinstance(one, Uncovered))
            case StateInvalidation(reason=Reason.LATE_LOGS):
                self.safe = min(self.safe, record.since_block - 1)
                if record.since_block in self.canonical:
                    block = self.canonical[record.since_block]
                    block.end, block.reopened = None, True
            case Gap(scope=GapScope.BLOCK_NUMBERS):
                self._hole(record)
            case Heartbeat():
                # A collector that has no head yet, since it began above what was told, has that as its safe number.
                self.safe, self.head = record.safe_number, max(record.head_number, record.safe_number)
            case Session():
                self.chain_id, self.genesis = record.chain_id, record.genesis
            case _ if message.header.domain == Domain.MARKET_DATA:
                origin = message.first(EventOrigin)
                if origin is not None:
                    self._stand(message.header, record, origin, bytes(payload))

    def _hole(self, gap: Gap) -> None:
        if gap.reason == Reason.CHAIN_BROKEN:  # behind a Reorg and its copies: blocks that were known no more
            self.dropped = [block for block in self.dropped if not gap.first <= block.number <= gap.last]
        if gap.reason == Reason.RANGE_REFUSED and gap.first not in self.canonical:
            self.refused.append((gap.first, gap.last))
            return
        if gap.reason != Reason.WRITER_RESTARTED:
            self.holes.append((gap.first, gap.last))
            return
        self.abandoned.append((gap.first, gap.last))
        if gap.first <= self.fallen[0] and self.fallen[1] <= gap.last:
            self.owed = 0
        for number, block in self.canonical.items():
            if gap.first <= number <= gap.last and block.end is None:
                block.set_ended()

    def _adopt(self, record: BlockRecord) -> None:
        """A block that comes back is published anew, copies of its events included."""
        self.safe, self.owed = min(self.safe, record.number - 1), 0
        self._make_way(record.number, record.hash)
        block = _Found(record.number, record.hash)
        block.record, block.mined_at, block.whole = record, record.timestamp, True
        self.placed = True
        self.canonical[record.number] = self.found[record.hash] = block

    def _make_way(self, number: int, block_hash: bytes) -> None:
        """Where another block stands, the Reorg that dropped it is gone."""
        before = self.canonical.get(number)
        if before is not None and before.hash != block_hash:
            self._drop_above(number - 1)

    def _drop_above(self, fork: int) -> None:
        fallen = sorted((number for number in self.canonical if number > fork), reverse=True)
        self.dropped = [self.canonical.pop(number) for number in fallen]
        self.safe, self.deepest_fork = min(self.safe, fork), min(self.deepest_fork, fork)

    def _block(self, number: int, block_hash: bytes) -> _Found:
        """The block of an event or an end; where its Block record is gone it is known by these alone."""
        block = self.canonical.get(number)
        if block is None or block.hash != block_hash:
            self._make_way(number, block_hash)
            block = self.canonical[number] = self.found[block_hash] = _Found(number, block_hash)
        return block

    def _stand(self, header: Header, record: Record, origin: EventOrigin, payload: bytes) -> None:
        identity = (origin.transaction_hash, origin.log_index)
        if header.flags & Flag.REMOVED:
            found = self.found.get(origin.block_hash)
            if found is None:  # of a branch that fell before anything that is here
                self.owed -= 1
                return
            self.owed -= self.canonical.get(found.number) is not found  # else flagged, and taken back without a Reorg
            found.standing.pop(identity, None)
            found.swap_kinds.pop(identity, None)
            return
        block = self._block(origin.block_number, origin.block_hash)
        block.mined_at = origin.block_timestamp
        self.placed = True
        block.standing[identity] = payload
        if isinstance(record, PoolSwap):
            block.swap_kinds[identity] = record.protocol

    def _doubt(self) -> None:
        """Messages are missing here: they may have been events of every block whose Block record is not behind them."""
        self.torn = True
        for block in self.found.values():
            block.whole = False


def recover(
    payloads: Iterable[bytes | memoryview], ended: tuple[int, bytes] | None = None, story: RingStory | None = None
) -> Recovered:
    """Read the messages of a ring, oldest first; `story` is of those before `payloads`, if some were read before.

    `ended` is the newest block, number and hash, of which something else than the ring knows that it was told in full:
    the state file that was written beside it.
    """
    story = RingStory() if story is None else story
    for payload in payloads:
        story.read(payload)
    if ended is not None:
        _believe(story, *ended)
    settled = _settle_ends(story)
    unsure = story.refused + _settle_doubts(story, settled)
    top = max(story.canonical, default=NOWHERE)
    lost = False
    if story.torn and not story.placed:
        lost = story.head < 0
        # Ends alone: blocks above them may have been told by messages that are gone.
        if story.head > max(top, settled):
            unsure.append((max(top, settled) + 1, story.head))
        if lost or story.head > top:
            settled, top = (NOWHERE if lost else max(settled, story.head)), NOWHERE
    blocks = _known(story, unsure) if top >= max(settled, 0) else []
    owed = story.owed - sum(len(block.standing) for block in story.dropped)
    if owed > 0:
        unsure.append(story.fallen)  # of what is to be taken back, a part is gone
    unsure = list(dict.fromkeys(unsure))
    left = [_segment(list(block.standing.values())) for block in story.dropped if block.standing]
    return Recovered(
        blocks,
        left,
        story.holes,
        unsure,
        settled,
        story.chain_id,
        story.genesis,
        story.damaged,
        lost,
        frozenset(_hex(block.hash) for block in story.canonical.values() if not block.known_whole),
        story.torn,
    )


def _believe(story: RingStory, number: int, block_hash: bytes) -> None:
    """The state file knows of a later end than the ring, whose own is gone."""
    if not story.torn or number > story.deepest_fork:
        return
    block = story.canonical.get(number)
    if block is not None and block.hash != block_hash:
        return  # it left the chain after that file was written
    if block is None:
        if number <= max(story.canonical, default=story.safe):
            return
        block = story.canonical[number] = _Found(number, block_hash)
    if not block.whole and block.end is None and not block.reopened:
        block.set_ended()


def _settle_ends(story: RingStory) -> int:
    """Where ends are gone: they come in order, so what stands below another end, or a heartbeat's, was ended too.
    Returns the newest."""
    ends = (number for number, block in story.canonical.items() if block.end is not None)
    settled = max(ends, default=story.safe)
    settled = max(settled, story.safe)
    for number, block in story.canonical.items():
        if block.end is None and not (block.whole or block.reopened or number > settled):
            block.set_ended()
    return settled


def _settle_doubts(story: RingStory, settled: int) -> list[tuple[int, int]]:
    """The runs of blocks that were not ended, and of which messages may be gone; from now on they count as ended."""
    canonical = story.canonical
    if not story.torn:
        return []
    top = max(canonical, default=NOWHERE)
    floor = max(settled, (min(canonical, default=0) if settled < 0 else top) - REACH - 1)
    runs_before = (*story.holes, *story.refused, *story.abandoned)
    declared = {number for first, last in runs_before for number in range(max(first, floor), min(last, top) + 1)}
    doubtful = [number for number, block in canonical.items() if block.end is None and not block.whole]
    doubtful += [
        number for number in range(max(floor + 1, 0), top) if number not in canonical and number not in declared
    ]
    for number in doubtful:
        if number in canonical:
            canonical[number].set_ended()
    return runs_of(sorted(doubtful))


def _known(story: RingStory, unsure: list[tuple[int, int]]) -> list[Block]:
    """The canonical blocks, down to a number of which nothing is known."""
    canonical = story.canonical
    excused = [*story.holes, *story.abandoned, *unsure]
    found: list[_Found] = []
    for number in range(max(canonical), min(canonical) - 1, -1):
        declared = any(first <= number <= last for first, last in excused)
        block = canonical.get(number)
        if block is not None:
            found.append(block)
        elif not declared:
            break
    found.reverse()
    hashes = {block.number: block.hash for block in found}
    return [_block(block, hashes.get(block.number - 1)) for block in found]


def restore(chain: Chain, recovered: Recovered) -> int:
    """Put what was recovered into an empty chain; returns the newest block number up to which all are closed."""
    chain.restore(recovered.blocks, list(recovered.holes))
    for block in recovered.blocks:
        if block.parent_hash not in chain.blocks:
            block.lose_parent()
    closed = recovered.blocks[0].number - 1
    for block in recovered.blocks:
        if block.progress is not Progress.CLOSED:
            break
        closed = block.number
    if len(recovered.blocks) == 1 and closed == recovered.ended:
        chain.told = closed  # a head below it is a backend's that lags
    return closed


def _block(found: _Found, below: bytes | None) -> Block:
    record = found.record
    if record is not None:
        head = Head(
            number=hex(record.number),
            hash=_hex(record.hash),
            parent_hash=_hex(record.parent_hash),
            timestamp=hex(record.timestamp),
            base_fee_per_gas=hex(record.base_fee),
            gas_used=hex(record.gas_used),
            gas_limit=hex(record.gas_limit),
        )
    else:
        parent = _hex(below) if below is not None else ZERO_HASH
        head = Head(hex(found.number), _hex(found.hash), parent, hex(found.mined_at))
    block = Block(head) if found.end is None else ended_block(head, Completeness(found.end.verdict))
    if found.standing:
        identities = {_hex(transaction) + hex(index) for transaction, index in found.standing}
        indices = {index for _, index in found.standing}
        swaps = {_hex(transaction) + hex(index): kind for (transaction, index), kind in found.swap_kinds.items()}
        block.restore(identities, indices, _segment(list(found.standing.values())), swaps)
    block.recall(found.uncovered)
    if found.end is None:
        block.want()
    elif not found.known_whole:
        block.believe(found.elsewhere)
    return block


def _segment(messages: list[bytes]) -> Segment:
    lengths = np.array([len(message) for message in messages], dtype=np.int64)
    return Segment(np.frombuffer(b"".join(messages), dtype=np.uint8), lengths.cumsum() - lengths, lengths)


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
