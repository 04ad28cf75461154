"""What survives a restart: the story in the ring, and the position on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from producers.blocks import state_file
from producers.blocks.block import Block, Progress, Taken, ended_block
from producers.blocks.chain import Chain
from producers.blocks.recovery import Recovered, recover, restore
from producers.blocks.state_file import Position
from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from producers.node.errors import StateFileError
from producers.node.rpc_types import Head, Log
from tests.producers.blocks.lying import LyingNode
from tests.producers.collected import canonical_events, read_story, recorded_rows
from tests.producers.virtual import Conversation, new_feed
from tlv.codes import (
    Completeness,
    Domain,
    Flag,
    GapScope,
    InvalidationScope,
    NotPublished,
    Protocol,
    Reason,
    Source,
)
from tlv.layout import Block as BlockRecord
from tlv.layout import BlockEnd, EventOrigin, Gap, Reorg, Session, StateInvalidation, Uncovered
from tlv.message import Message, build, parse
from tlv.record import Record
from tools.recording import RecordingNode
from tools.warm import warm_collector, warm_ring


async def collect_in_turns(ring: str, stops: int, state: Path | None = None, second_ring: str | None = None) -> None:
    """One node; collectors that are stopped after some blocks, one after the other, and a last one that finishes."""
    warm_ring()
    warm_collector()
    async with RecordingNode(speed=60.0) as node:
        for turn in range(stops + 1):
            last = turn == stops
            options = CollectorOptions(
                chain=load_chain("polygon"),
                urls=(node.ws_url,),
                ring=second_ring if second_ring and last else ring,
                until_idle_s=2.0 if last else None,
                state_file=state,
            )
            collector = Collector(options)
            work = asyncio.create_task(collector.run())
            begin = collector.statistics.blocks
            while not (work.done() or last or collector.statistics.blocks >= begin + 20):
                await asyncio.sleep(0.01)
            if not last:
                collector.stop()
            await work


def test_collectors_in_turns_tell_one_story(ring_name: str) -> None:
    asyncio.run(collect_in_turns(ring_name, stops=4))
    story = read_story(ring_name)
    assert story.standing == canonical_events()
    assert not story.twice.total()
    sessions = [message.records[0] for message in story.messages if isinstance(message.records[0], Session)]
    assert [session.epoch for session in sessions] == [1, 2, 3, 4, 5]
    assert any(isinstance(message.records[0], Reorg) for message in story.messages)


def test_collector_without_its_ring_resumes_at_its_state(new_ring_name: Callable[[], str], tmp_path: Path) -> None:
    first, second = new_ring_name(), new_ring_name()
    asyncio.run(collect_in_turns(first, stops=1, state=tmp_path / "state.json", second_ring=second))
    both = read_story(first).standing | read_story(second).standing
    assert both == canonical_events()


def built(message: Message, records: Sequence[Record]) -> bytes:
    """The bytes of a message with other records."""
    return build(
        Domain(message.header.domain),
        message.header.source,
        records,
        sequence=message.header.sequence,
        timestamp_ns=message.header.timestamp_ns,
        flags=message.header.flags,
    )


def told_of_twelve_steps() -> list[bytes]:
    """What a feed publishes of the beginning of the recording."""
    conversation = Conversation(new_feed())
    payloads: list[bytes] = []
    conversation.story.add = lambda message: payloads.append(built(message, message.records))  # type: ignore[method-assign]
    conversation.connect()
    for _ in range(12):
        conversation.step()
    return payloads


def numbers(recovered: Recovered, progress: Progress) -> list[int]:
    return [block.number for block in recovered.blocks if block.progress is progress]


def test_block_whose_repair_was_cut_off_is_fetched_again() -> None:
    """A late log opened it again, and the process died before its second end."""
    payloads = told_of_twelve_steps()
    repaired = parse(payloads[-1]).header.sequence
    assert repaired > 12
    before = recover(payloads)
    block = numbers(before, Progress.CLOSED)[-2]
    told = StateInvalidation(block, InvalidationScope.ALL_POOLS, Reason.LATE_LOGS, bytes(20))
    payloads.append(build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [told], sequence=repaired + 1, timestamp_ns=0))
    after = recover(payloads)
    assert numbers(after, Progress.WANTED) == [block, *numbers(before, Progress.WANTED)]
    chain = Chain(256)
    assert restore(chain, after) == block - 1


def test_block_whose_end_counts_events_held_back_is_fetched_again() -> None:
    """Their emitter may be proven by now."""
    payloads = told_of_twelve_steps()
    before = recover(payloads)
    block = numbers(before, Progress.CLOSED)[-2]
    for at, payload in enumerate(payloads):
        message = parse(payload)
        end = message.first(BlockEnd)
        if end is not None and end.number == block:
            counting = BlockEnd(block, end.log_count, end.event_count, 2, 0, end.hash, end.verdict)
            payloads[at] = built(message, [counting])
    after = recover(payloads)
    assert numbers(after, Progress.WANTED) == [block, *numbers(before, Progress.WANTED)]


def test_swaps_that_an_end_named_count_until_their_logs_come_again() -> None:
    """A block that leaves the chain and comes back is not fetched again: its next end says the same."""
    payloads = told_of_twelve_steps()
    ends = [at for at, payload in enumerate(payloads) if isinstance(parse(payload).records[0], BlockEnd)]
    message = parse(payloads[ends[-2]])
    end = message.records[0]
    assert isinstance(end, BlockEnd) and end.held_back == 0
    named = Uncovered(b"\x11" * 20, bytes(20), 3, Protocol.UNISWAP_V2, NotPublished.NO_POOL)
    more = msgspec.structs.replace(end, swap_count=end.swap_count + 3)
    payloads[ends[-2]] = built(message, [more, named])

    def recovered() -> Block:
        (block,) = (block for block in recover(payloads).blocks if block.hash == f"0x{end.hash.hex()}")
        assert (block.swap_count, block.told_uncovered) == (more.swap_count, (named,))
        return block

    block = recovered()
    block.leave()
    block.close(block.verdict)
    assert block.swap_count == more.swap_count
    block.want()
    assert (block.swap_count, block.told_uncovered) == (len(block.swaps), ())
    pushed_again = recovered()
    pushed_again.leave()
    log = Log("0x" + "11" * 20, transaction_hash="0x" + "99" * 32, log_index="0x7000", block_hash=pushed_again.hash)
    assert pushed_again.take(log, pushed=True) is Taken.NEW
    assert (pushed_again.told_uncovered, pushed_again.verdict) == ((), Completeness.UNKNOWN), "so it will be fetched"


def headers() -> list[Head]:
    return [msgspec.json.decode(line, type=Head) for line in recorded_rows("recording_2021-04-20_headers")]


def test_what_is_gone_from_a_torn_ring_counts_at_the_new_end_of_its_block_until_that_is_fetched() -> None:
    """Flagged events of it may be taken back, and its end told anew."""
    payloads = told_of_twelve_steps()
    messages = [parse(payload) for payload in payloads]
    end = max((record for message in messages if (record := message.first(BlockEnd))), key=lambda end: end.swap_count)
    origins = [message.first(EventOrigin) for message in messages]
    of_block = [at for at, origin in enumerate(origins) if origin is not None and origin.block_hash == end.hash]
    assert len(of_block) == end.event_count
    torn = recover(payloads[of_block[-1] :])
    block = torn.blocks[0]
    assert block.told_elsewhere and block.hash == "0x" + end.hash.hex()
    assert (block.events, len(block.seen)) == (1, 1)
    assert block.elsewhere.events == end.event_count - 1
    assert block.elsewhere.logs == end.log_count - 1
    assert block.swap_count == end.swap_count > len(block.swaps)

    named = Uncovered(b"\x01" * 20, bytes(20), 1, Protocol.CURVE, NotPublished.UNSUPPORTED)
    block.recall((named,))
    log = Log("0x" + "11" * 20, ("0x" + "22" * 32,), block_hash=block.hash, transaction_hash="0x33", log_index="0x7")
    assert block.take(log, pushed=True) is Taken.NEW
    block.pass_over()
    assert block.told_uncovered == (named,), "its end named what came"
    block.want()
    assert block.swap_count == len(block.swaps)
    assert block.elsewhere.events == 0


def test_state_file_saved_is_loaded_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert state_file.load(path, 137) is None
    for head in headers()[:3]:
        state_file.save(path, Position.of(137, Block(head, 0), b"g" * 32, b"r" * 16))
        position = state_file.load(path, 137)
        assert position is not None
        assert position.ended_in(b"r" * 16) == (int(head.number, 16), bytes.fromhex(head.hash[2:]))
        assert position.ended_in(b"s" * 16) is None
        recovered = position.resume()
        assert (recovered.chain_id, recovered.genesis) == (137, b"g" * 32)
        assert [(block.hash, block.number, block.ended) for block in recovered.blocks] == [
            (head.hash, int(head.number, 16), True)
        ]
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_state_file_of_another_chain_or_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    state_file.save(path, Position.of(137, Block(headers()[0], 0), b"g" * 32))
    with pytest.raises(StateFileError, match="expected chain 1, found 137"):
        state_file.load(path, 1)
    with pytest.raises(StateFileError, match="another chain of id 137; give another file"):
        state_file.load(path, 137, b"h" * 32)
    assert state_file.load(path, 137, b"g" * 32) is not None
    for damaged in (b"", b"{", b"\xff", path.read_bytes()[:-9], path.read_bytes().replace(b"0x", b"0y")):
        path.write_bytes(damaged)
        with pytest.raises(StateFileError, match=str(path)):
            state_file.load(path, 137)


def behind(payloads: list[bytes], domain: Domain, *records: Record, flags: int = 0) -> bytes:
    """The next message behind these."""
    sequence = parse(payloads[-1]).header.sequence + 1
    return build(domain, Source.POLYGON_COLLECTOR, records, sequence=sequence, timestamp_ns=0, flags=flags)


def reorg(fork: int, old_head: int, removed_events: int) -> Reorg:
    return Reorg(fork, old_head, fork + 1, old_head - fork, removed_events, b"f" * 32, b"o" * 32, b"n" * 32)


def test_blocks_above_the_fork_of_a_reorg_are_not_recovered_and_their_events_are_taken_back() -> None:
    payloads = told_of_twelve_steps()
    before = recover(payloads)
    fork, *fallen = before.blocks
    after = recover([*payloads, behind(payloads, Domain.SYSTEM, reorg(fork.number, fallen[-1].number, 0))])
    assert [block.number for block in after.blocks] == [fork.number]
    told = [block.events for block in reversed(fallen) if block.events]
    assert told and [len(segment.offsets) for segment in after.half_removed] == told


def test_events_that_a_gap_behind_their_reorg_declared_are_not_taken_back() -> None:
    """They were of blocks that the collector knew no more: the ring may still hold them."""
    payloads = told_of_twelve_steps()
    fork, *fallen = recover(payloads).blocks
    payloads.append(behind(payloads, Domain.SYSTEM, reorg(fork.number, fallen[-1].number, 0)))
    last = fallen[-2].number
    gap = Gap(fork.number + 1, last, GapScope.BLOCK_NUMBERS, Reason.CHAIN_BROKEN)
    payloads.append(behind(payloads, Domain.SYSTEM, gap))
    above = [block.events for block in reversed(fallen) if block.events and block.number > last]
    assert [len(segment.offsets) for segment in recover(payloads).half_removed] == above


def test_block_that_was_declared_and_told_is_no_hole_after_a_restart() -> None:
    payloads = told_of_twelve_steps()
    numbers = [block.number for block in recover(payloads).blocks]
    gap = Gap(numbers[0], numbers[1], GapScope.BLOCK_NUMBERS, Reason.RANGE_REFUSED)
    chain = Chain(256)
    restore(chain, recover([*payloads, behind(payloads, Domain.SYSTEM, gap)]))
    assert min(chain.canonical) == numbers[0] and chain.holes == []


def test_block_that_was_declared_and_whose_messages_are_gone_is_declared_again_and_not_fetched() -> None:
    """Its list was refused behind some of its events, and these would be told twice."""
    payloads = told_of_twelve_steps()
    numbers = [block.number for block in recover(payloads).blocks]
    gap = Gap(numbers[0], numbers[0], GapScope.BLOCK_NUMBERS, Reason.RANGE_REFUSED)
    payloads.append(behind(payloads, Domain.SYSTEM, gap))
    blocks = [message.records[0] for message in map(parse, payloads)]
    second = next(
        at for at, record in enumerate(blocks) if isinstance(record, BlockRecord) and record.number > numbers[0]
    )
    assert recover(payloads).holes == [(numbers[0], numbers[0])]
    torn = recover(payloads[second:])
    assert torn.holes == [] and (numbers[0], numbers[0]) in torn.unsure


def test_blocks_that_a_restart_declared_and_does_not_know_are_declared_again_when_they_leave() -> None:
    """Their events stand with the readers, and nobody can take them back."""
    before = LyingNode(new_feed())
    before.grow(9)
    known = [before.blocks[before.line[at]] for at in (1, 9)]
    blocks = [ended_block(msgspec.convert(head, Head), Completeness.UNKNOWN) for head in known]
    first, last = (block.number for block in blocks)
    torn = Recovered(
        blocks, [], [], [(first, last)], first, partial=frozenset(block.hash for block in blocks), torn=True
    )
    node = LyingNode(new_feed(recovered=torn))
    for _ in range(9):
        node.mine(2)
    node.push(node.head)
    node.line = node.line[:5]
    node.grow(8)
    assert [(gap.first, gap.last) for gap in node.records(Gap)] == [(first, last), (first + 1, last)]


def test_log_of_a_block_that_an_earlier_ring_has_is_told_neither_again_nor_as_late() -> None:
    """Nodes push the logs of a block anew when a branch with it comes back.  Once it did leave, they are told."""
    before = LyingNode(new_feed())
    before.grow(3)
    head = before.head
    told = Position(137, int(head["number"], 16), head["hash"], head["parentHash"], 1)
    node = LyingNode(new_feed(recovered=told.resume()))
    for _ in range(3):
        node.mine(2)
    assert node.head == head
    node.push(head, head=False)
    node.grow(1)
    assert not node.records(StateInvalidation)
    assert node.standing() == [(node.head["hash"], 0), (node.head["hash"], 1)]
    below, branch = node.line[:3], node.line[3:]
    node.line = below.copy()
    node.grow(3)
    node.line = below + branch
    node.grow(3)
    assert node.standing() == [event for event in node.canonical() if event[0] not in below]


def test_event_taken_back_of_a_block_that_is_not_here_is_not_owed() -> None:
    """Its block fell before the oldest message; the one Reorg announced as many as came."""
    payloads = told_of_twelve_steps()
    head = recover(payloads).blocks[-1].number
    payloads.append(behind(payloads, Domain.SYSTEM, reorg(head, head + 1, 1)))
    assert recover(payloads).unsure == [(head + 1, head + 1)]
    event = next(message for message in map(parse, payloads) if message.first(EventOrigin) is not None)
    origin = event.first(EventOrigin)
    assert origin is not None
    elsewhere = msgspec.structs.replace(origin, block_number=head + 1, block_hash=b"o" * 32)
    payloads.append(behind(payloads, Domain.MARKET_DATA, event.records[0], elsewhere, flags=Flag.REMOVED))
    assert recover(payloads).unsure == []
