"""A collector that dies anywhere, and the next one, on what the ring still holds: exact, or a Gap; nothing told twice.

Real feeds and the recording node's core on a virtual clock.  The ring is a list of messages of which the newest are
kept, as in shared memory; the whole list is what a reader saw that was never behind.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import pytest

from producers.blocks.recovery import recover
from producers.blocks.resume import resume
from producers.blocks.state_file import Position
from producers.chains.configuration import EarlyBlock, load_chain
from producers.decode.pool_table import PoolTable
from producers.decode.segment import Segment
from producers.feed import Feed
from producers.kinds.selection import LogSelection
from producers.node.errors import WrongRingError
from producers.output.epoch import OutputRing
from tests.producers.branches import Branches
from tests.producers.collected import Identity, proven_pools
from tests.producers.swap_accounts import assert_no_swap_is_uncounted
from tests.producers.virtual import WALL, Conversation
from tlv.codes import Domain, Flag, GapScope
from tlv.layout import BackfillBegin, BlockEnd, EventOrigin, Gap, Reorg
from tlv.layout import Block as BlockRecord
from tlv.message import parse
from tools.recording.core import NodeCore

EVERYTHING = LogSelection()
RING = b"r" * 16


class Life:
    """One node, and one collector after the other on the same ring."""

    def __init__(self, branches: Branches) -> None:
        self.core = NodeCore(branches.recording())
        self.told: list[bytes] = []
        """Everything that ever was in the ring."""
        self.epoch = 0
        self.position: Position | None = None

    def begin(
        self, kept: int | None = None, selection: LogSelection = EVERYTHING, damaged: int | None = None
    ) -> Conversation:
        """A collector that finds the newest `kept` messages, one of them `damaged`."""
        self.epoch += 1
        left = self.told if kept is None else self.told[max(0, len(self.told) - kept) :]
        if damaged is not None:
            broken = bytearray(left[damaged])
            broken[len(broken) // 2] ^= 0x40
            left = [*left[:damaged], bytes(broken), *left[damaged + 1 :]]
        chain = load_chain("polygon")
        recovered = resume(chain, "ring", RING, left if self.epoch > 1 else None, self.position)
        ring = OutputRing(RING, self.epoch, len(self.told) + 1)
        table = PoolTable(proven_pools().values())
        feed = Feed(chain, ring, table, {}, selection, recovered, now_ns=0, wall_ns=WALL)
        conversation = _Recorder(feed, self)
        conversation.connect()
        return conversation

    def die(self, conversation: Conversation, lost: int = 0) -> None:
        """The newest `lost` messages never reached the ring."""
        safe = conversation.feed.safe_block
        if lost:
            del self.told[-lost:]
        elif safe is not None:
            self.position = Position.of(137, safe, load_chain("polygon").genesis, RING)
        if conversation.client is not None:
            self.core.disconnect(conversation.client)

    def finish(self, conversation: Conversation) -> None:
        conversation.play()


class _Recorder(Conversation):
    def __init__(self, feed: Feed, life: Life) -> None:
        super().__init__(feed)
        self.core = life.core
        self._life = life

    def _read(self) -> None:
        for item in self.feed.messages():
            if isinstance(item, Segment):
                for payload in item.messages():
                    self._life.told.append(payload)
            else:
                self._life.told.append(item)


class Verdict:
    """What a reader that saw everything makes of it."""

    def __init__(self, told: Sequence[bytes], canonical: Mapping[Identity, object]) -> None:
        standing: set[Identity] = set()
        numbers: dict[Identity, int] = {}
        gaps: list[Gap] = []
        self.twice = 0
        forgotten: set[int] = set()
        after_reorg = False
        self.ends: dict[int, int] = {}
        for sequence, payload in enumerate(told, 1):
            message = parse(payload)
            assert message.header.sequence == sequence
            record = message.records[0]
            after_reorg = isinstance(record, Reorg) or (after_reorg and not isinstance(record, BlockRecord | BlockEnd))
            if isinstance(record, Gap) and record.scope == GapScope.BLOCK_NUMBERS:
                gaps.append(record)
                if after_reorg:  # of dead blocks that are not known any more: should they come back, they are told anew
                    forgotten |= set(range(record.first, record.last + 1))
            elif isinstance(record, BlockEnd):
                self.ends[record.number] = self.ends.get(record.number, 0) + 1
            origin = message.first(EventOrigin)
            if message.header.domain != Domain.MARKET_DATA or origin is None:
                continue
            identity = (origin.block_hash, origin.transaction_hash, origin.log_index)
            numbers[identity] = origin.block_number
            if message.header.flags & Flag.REMOVED:
                standing.discard(identity)
            else:
                self.twice += identity in standing and origin.block_number not in forgotten
                standing.add(identity)
        self.gaps = [(gap.first, gap.last) for gap in gaps]
        self.declared = {number for first, last in self.gaps for number in range(first, last + 1)}
        self.extra = standing - canonical.keys()
        self.missing = canonical.keys() - standing


def numbers_of(branches: Branches) -> dict[bytes, int]:
    return {bytes.fromhex(block_hash[2:]): block.number for block_hash, block in branches.blocks.items()}


def judge(life: Life, branches: Branches) -> Verdict:
    """Nothing twice, nothing of a dead branch, and what is missing is declared."""
    verdict = Verdict(life.told, branches.canonical())
    numbers = numbers_of(branches)
    undeclared = sorted({numbers[identity[0]] for identity in verdict.missing} - verdict.declared)
    extra = sorted({numbers[identity[0]] for identity in verdict.extra} - verdict.declared)
    assert (verdict.twice, extra, undeclared) == (0, [], [])
    assert_no_swap_is_uncounted(life.told, branches.logs)
    return verdict


def catching_up(seed: int, blocks: int = 60) -> tuple[Life, Branches]:
    """A collector that saw the first blocks, was away for the rest, and has just caught up with all of it."""
    branches = Branches(seed, blocks)
    life = Life(branches)
    first = life.begin()
    for _ in range(6):
        first.step()
    first.disconnect()
    while life.core.due_ns is not None:
        life.core.step()
    first.connect()
    first.wait(2)
    return life, branches


def whole_life(life: Life, branches: Branches, cut: int, whole: list[bytes]) -> Life:
    """The same node, and a ring that was cut after so many messages."""
    again = Life(branches)
    again.core, again.epoch, again.told = life.core, 1, whole[:cut]
    return again


def test_collector_killed_while_catching_up_on_a_ring_that_lost_its_headers_declares_what_it_cannot_know() -> None:
    """Events lap the Block records that were published in front of them: 87 blocks were missing without a Gap."""
    life, branches = catching_up(1)
    whole = list(life.told)
    assert judge(life, branches).gaps == []
    begin = next(at for at, payload in enumerate(whole) if isinstance(parse(payload).records[0], BackfillBegin))
    declared: Counter[int] = Counter()
    for cut in range(begin + 10, len(whole), max(1, (len(whole) - begin) // 24)):
        for kept in (1, 10, 50, 150, cut):
            again = whole_life(life, branches, cut, whole)
            again.finish(again.begin(kept))
            verdict = judge(again, branches)
            assert kept < cut or verdict.gaps == []
            declared[kept] += len(verdict.declared)
    assert declared[1] > 0 < declared[50]


def test_collector_that_lost_the_ends_continues_at_its_state_file() -> None:
    """What the file says was ended is not declared: only what came behind it is."""
    life, branches = catching_up(2)
    whole = list(life.told)
    ends = [at for at, payload in enumerate(whole) if isinstance(parse(payload).records[0], BlockEnd)]
    for cut in (ends[len(ends) // 2], ends[-1]):
        with_file, without = (whole_life(life, branches, cut, whole) for _ in range(2))
        end = parse(whole[[at for at in ends if at < cut][-1]]).records[0]
        assert isinstance(end, BlockEnd)
        with_file.position = position_at(branches, "0x" + end.hash.hex(), RING)
        verdicts = []
        for again in (with_file, without):
            again.finish(again.begin(1))
            verdicts.append(judge(again, branches))
        assert len(verdicts[0].declared) <= len(verdicts[1].declared)


def position_at(branches: Branches, block_hash: str, ring: bytes, number: int | None = None) -> Position:
    """A state file that says everything up to this block is in `ring`."""
    block = branches.blocks[block_hash]
    return Position(
        137,
        block.number if number is None else number,
        block_hash,
        block.parent_hash,
        0,
        genesis_text(),
        f"0x{ring.hex()}",
    )


def genesis_text() -> str:
    return "0x" + load_chain("polygon").genesis.hex()


def test_collector_of_a_state_file_of_another_ring_believes_the_ring_that_it_has() -> None:
    """The other ring was told more; in this one, those blocks are still to come."""
    life, branches = catching_up(3)
    whole = list(life.told)
    cut = max(at for at, payload in enumerate(whole) if isinstance(parse(payload).records[0], BackfillBegin))
    again = whole_life(life, branches, cut, whole)
    again.position = position_at(branches, branches.head.hash, b"other ring......")
    again.finish(again.begin())
    assert judge(again, branches).gaps == []


def test_collector_of_an_old_state_file_believes_the_newer_ring() -> None:
    """300 events were told twice."""
    life, branches = catching_up(4)
    life.position = position_at(branches, next(iter(branches.blocks)), RING)
    life.finish(life.begin())
    assert judge(life, branches).gaps == []


def test_collector_whose_ring_is_gone_continues_behind_its_state() -> None:
    """Across the loss of a ring events come at least once; in the new ring none below the state's block."""
    branches = Branches(5, 30)
    line = [block for block in branches.blocks.values() if block.hash in branches._line(branches.head)]
    resumed = line[len(line) // 2]
    life = Life(branches)
    while life.core.due_ns is not None:
        life.core.step()
    life.position = position_at(branches, resumed.hash, b"gone............")
    life.finish(life.begin())
    verdict = Verdict(life.told, branches.canonical())
    numbers = numbers_of(branches)
    assert verdict.twice == 0
    assert verdict.extra == set()
    assert {numbers[identity[0]] for identity in verdict.missing} <= set(range(resumed.number + 1))
    assert verdict.gaps == []


def test_collector_of_a_state_from_the_future_tells_nothing_below_it() -> None:
    """A backend that lags, or a file of another chain: nothing is taken back that was never told here."""
    branches = Branches(6, 20)
    life = Life(branches)
    while life.core.due_ns is not None:
        life.core.step()
    life.position = position_at(branches, branches.head.hash, b"gone............", branches.head.number + 1000)
    life.position = msgspec.structs.replace(life.position, hash="0x" + "77" * 32)
    conversation = life.begin()
    conversation.wait(2)
    kinds = {type(parse(payload).records[0]) for payload in life.told}
    assert not kinds & {Reorg, BlockRecord}


@pytest.mark.parametrize("seed", range(12))
def test_collectors_killed_anywhere_with_reorgs_tell_one_story(seed: int) -> None:
    """Many epochs on one ring, whole or torn: messages that never reached it, reorgs told by half."""
    chance = random.Random(seed)
    branches = Branches(seed, 50)
    life = Life(branches)
    torn = seed % 2 == 1
    while life.core.due_ns is not None:
        conversation = life.begin(chance.randint(30, 200) if torn and life.epoch else None)
        before = len(life.told)
        for _ in range(chance.randint(3, 25)):
            if not conversation.step():
                break
        life.die(conversation, chance.randint(0, (len(life.told) - before) // 2))
    life.finish(life.begin())
    verdict = judge(life, branches)
    assert life.epoch > 3
    assert torn or verdict.gaps == []


@pytest.mark.parametrize("seed", range(8))
def test_damaged_message_anywhere_in_the_ring_is_counted_and_what_follows_from_it_doubted(seed: int) -> None:
    life, branches = catching_up(seed)
    whole, chance = list(life.told), random.Random(seed)
    for _ in range(12):
        cut = chance.randint(10, len(whole))
        again = whole_life(life, branches, cut, whole)
        again.finish(again.begin(damaged=chance.randrange(cut)))
        judge(again, branches)


def test_damaged_message_is_counted() -> None:
    life, _ = catching_up(1)
    assert recover(life.told).damaged == 0
    assert recover([*life.told[:50], b"", b"\xff" * 80, life.told[50][:-1], *life.told[50:]]).damaged == 3


def test_collector_with_another_log_selection_continues() -> None:
    """Blocks that were not ended are fetched whole, and what was told of them is known by identity."""
    life, branches = catching_up(7)
    whole = list(life.told)
    for cut in range(40, len(whole), 60):
        again = whole_life(life, branches, cut, whole)
        again.finish(again.begin(selection=LogSelection(events_only=True)))
        assert judge(again, branches).gaps == []


def test_collector_declares_once_what_an_earlier_one_declared() -> None:
    """Blocks that a restart gave up are left alone by the next: fetched, they would be told twice."""
    life, branches = catching_up(8)
    again = whole_life(life, branches, len(life.told) - 30, list(life.told))
    again.finish(again.begin(60))
    gaps = judge(again, branches).gaps
    for _ in range(3):
        again.finish(again.begin())
    assert judge(again, branches).gaps == gaps


def test_ring_of_another_chain_is_refused() -> None:
    life, _ = catching_up(1)
    with pytest.raises(WrongRingError, match=r"ring market: expected chain 1 \(ethereum\), found 137; give another"):
        resume(load_chain("ethereum"), "market", RING, life.told, None)
    other = msgspec.structs.replace(load_chain("polygon"), identity=EarlyBlock("0x" + "ab" * 32))
    with pytest.raises(WrongRingError, match="another chain of id 137; give another --ring, or remove it: ringstat gc"):
        resume(other, "market", RING, life.told, None)
