"""The judge of the simulated world on messages made by hand: what a Reorg owes after a restart from a torn ring."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from producers.chains.configuration import load_chain
from tlv import layout
from tlv.codes import Flag, GapScope, Reason, Source
from tlv.layout import Block, EventOrigin, Gap, Reorg, Session
from tlv.message import build
from tlv.record import Record
from tools.prove.world.chain import BlockTree, Emitted, Mined
from tools.prove.world.contracts import draw_pools
from tools.prove.world.oracle import Oracle

Event = tuple[Mined, Emitted]


def zeros(kind: type[Record]) -> Record:
    return kind.unpack(bytes(kind.layout.size))


def raw(text: str) -> bytes:
    return bytes.fromhex(text[2:])


class Reader:
    """An oracle that hears what a collector would publish, and the chain that it publishes."""

    def __init__(self, ring_size: int | None) -> None:
        chain, rng = load_chain("polygon"), Random(4)
        self.tree = BlockTree(chain, rng, draw_pools(chain, rng, 4), [])
        for _ in range(3):
            self.tree.head = self.tree.mine(self.tree.head, 2, 2)
        self.oracle = Oracle(
            self.tree,
            lambda _: None,
            judges_ends=False,
            judges_states=False,
            judges_reorgs=False,
            ring_size=ring_size,
        )
        self._sequence = 0
        self.epoch = 0

    @property
    def causes(self) -> list[str]:
        return [fault.kind for fault in self.oracle.faults]

    def hear(self, *records: Record, flags: int = 0) -> None:
        self._sequence += 1
        domain = records[0].layout.domain
        assert domain is not None
        self.oracle.take(build(domain, Source.POLYGON_COLLECTOR, records, sequence=self._sequence, flags=flags))

    def begin(self) -> None:
        """A life of the collector begins."""
        self.epoch += 1
        self.hear(Session(bytes(16), self.epoch, self._sequence + 1, 137, layout.LAYOUT_DIGEST))

    def tell(self, block: Mined) -> list[Event]:
        """A block and its events."""
        self.hear(Block(block.number, 0, 0, 0, 0, 0, raw(block.hash), raw(block.parent_hash)))
        events = [(block, log) for log in block.events]
        for event in events:
            self.tell_event(event)
        return events

    def tell_event(self, event: Event, flags: int = 0) -> None:
        block, log = event
        nothing = zeros(getattr(layout, log.record))
        record = msgspec.structs.replace(nothing, pool=log.pool.ljust(32, b"\0"), **log.fields)
        transaction = raw(log.transaction)
        origin = EventOrigin(block.number, 0, 0, log.transaction_index, log.index, raw(block.hash), transaction)
        self.hear(record, origin, flags=flags)

    def take_back(self, *events: Event) -> None:
        for event in events:
            self.tell_event(event, int(Flag.REMOVED))

    def reorganise(self, removed: int) -> None:
        """All blocks but the first of the world leave the chain."""
        first, head = self.tree.first, self.tree.head
        fork, old = raw(first.hash), raw(head.hash)
        self.hear(Reorg(first.number, head.number, first.number + 1, 3, removed, fork, old, old))

    def give_up(self, *blocks: Mined) -> None:
        """Their events fell, and cannot be named any more."""
        numbers = [block.number for block in blocks]
        self.hear(Gap(min(numbers), max(numbers), GapScope.BLOCK_NUMBERS, Reason.CHAIN_BROKEN))

    def declare(self, block: Mined) -> None:
        """A restart could not know all of it."""
        self.hear(Gap(block.number, block.number, GapScope.BLOCK_NUMBERS, Reason.WRITER_RESTARTED))

    def go_on(self) -> None:
        self.tell(self.tree.mine(self.tree.first, 2, 0))


def told(kept: int | None) -> tuple[Reader, list[Event]]:
    """A reader that heard three blocks with their events, and a restart that read back the newest `kept` messages."""
    reader = Reader(kept)
    reader.begin()
    events = [event for block in reader.tree.head.path for event in reader.tell(block)]
    assert len({block.number for block, _ in events}) == 3
    reader.begin()
    reader.reorganise(len(events))
    events.reverse()
    return reader, events


def test_oracle_of_a_whole_ring_wants_every_copy_newest_first() -> None:
    reader, events = told(None)
    reader.take_back(*events)
    reader.go_on()
    assert reader.causes == []


@pytest.mark.parametrize("kept", [None, 1])
def test_oracle_finds_two_copies_in_the_wrong_order(kept: int | None) -> None:
    reader, events = told(kept)
    reader.take_back(events[1], events[0], *events[2:])
    reader.go_on()
    assert reader.causes == ["order of removal"]


@pytest.mark.parametrize("left_out", [0, 1, -1])
def test_oracle_finds_a_copy_that_was_left_out_without_a_gap(left_out: int) -> None:
    reader, events = told(1)
    block = events.pop(left_out)[0]
    reader.take_back(*events)
    reader.go_on()
    assert reader.causes == ["not taken back"]
    reader.declare(block)
    assert reader.causes == ["not taken back"], "the Gap came too late"


def test_oracle_excuses_what_a_restart_could_not_read_and_a_gap_behind_the_copies_declares() -> None:
    """Events above it, in the same block and below are known: their messages came later than its own."""
    reader, events = told(1)
    gone = [events[1], events[-2]]
    reader.take_back(*(event for event in events if event not in gone))
    for block, _ in gone:
        reader.declare(block)
    reader.go_on()
    assert reader.causes == []


def test_oracle_wants_each_block_of_which_something_stands_declared() -> None:
    reader, events = told(1)
    reader.take_back(*events[1:-1])
    reader.declare(events[0][0])
    reader.go_on()
    assert reader.causes == ["not taken back"]


@pytest.mark.parametrize("kept", [None, 1000])
def test_oracle_excuses_nothing_that_the_ring_still_held(kept: int | None) -> None:
    reader, events = told(kept)
    reader.take_back(*events[1:])
    reader.declare(events[0][0])
    reader.go_on()
    assert "not taken back" in reader.causes


def beyond_finality(left_out: int) -> tuple[Reader, list[Event]]:
    """So many blocks that the writer need not know the lowest, and a Reorg that leaves out some of their events."""
    reader = Reader(None)
    reader.begin()
    for _ in range(reader.tree.config.finality_blocks):
        reader.tree.head = reader.tree.mine(reader.tree.head, 2, 2)
    events = [event for block in reader.tree.head.path for event in reader.tell(block)]
    reader.reorganise(len(events) - left_out)
    reader.take_back(*events[: left_out - 1 : -1])
    return reader, events


def test_oracle_takes_a_gap_for_events_of_blocks_beyond_finality() -> None:
    reader, events = beyond_finality(2)
    reader.give_up(*(block for block, _ in events[:2]))
    reader.go_on()
    assert reader.causes == []


def test_oracle_wants_a_gap_for_each_event_that_is_not_taken_back() -> None:
    reader, events = beyond_finality(3)
    blocks = sorted({block.number: block for block, _ in events[:3]}.items())
    reader.give_up(blocks[0][1])
    reader.go_on()
    assert reader.causes == ["not taken back", "reorg"]


def test_oracle_excuses_no_gap_for_an_event_above_finality() -> None:
    reader, events = beyond_finality(12)
    reader.give_up(*(block for block, _ in events[:12]))
    reader.go_on()
    assert reader.causes == ["not taken back", "reorg"]
