"""The collector on the recorded sessions, over a real WebSocket and into a real ring: exactly the canonical events."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from tests.producers.collected import (
    Story,
    canonical_events,
    collect_recording,
    read_story,
    recorded_rows,
    states_before_events,
)
from tlv.codes import Completeness, Flag, GapScope, Reason
from tlv.layout import BackfillBegin, BackfillEnd, Block, BlockEnd, EventOrigin, Gap, Reorg, Session
from tools.coverage.account import SwapAccount
from tools.recording import Faults

CANONICAL_BLOCKS = 175
CANONICAL_LOGS = 5136
FIRST_BLOCK = 13522111


def test_collector_on_recording_publishes_exactly_the_canonical_events(ring_name: str) -> None:
    statistics = asyncio.run(collect_recording(ring_name))
    story = read_story(ring_name)
    expected = canonical_events()
    # 276 of QuickSwap and Dfyn, 90 of Cometh and Elk, 3 exchanges of the pool of Curve.
    assert len(expected) == 369
    assert story.standing == expected
    assert not story.twice.total()
    account = SwapAccount()
    for message in story.messages:
        account.take(message)
    account.close()
    assert account.uncounted == 0 < account.published.total() < account.swaps
    assert statistics.events_published - statistics.removed_events == len(expected)
    assert not states_before_events(story)


def test_collector_on_recording_tells_the_story_of_its_blocks(ring_name: str) -> None:
    statistics = asyncio.run(collect_recording(ring_name))
    messages = read_story(ring_name).messages
    records = [message.records[0] for message in messages]

    assert isinstance(records[0], Session)
    assert records[0].first_sequence == 1
    gaps = [(gap.first, gap.last) for gap in records if isinstance(gap, Gap)]
    assert gaps == statistics.gaps == [(13522170, 13522174), (13522231, 13522238)]
    assert {(gap.scope, gap.reason) for gap in records if isinstance(gap, Gap)} == {
        (GapScope.BLOCK_NUMBERS, Reason.NODE_HAS_NO_BLOCK)
    }
    reorgs = [(reorg.fork_number, reorg.depth) for reorg in records if isinstance(reorg, Reorg)]
    assert reorgs == [(13522193, 1), (13522238, 1), (13522238, 2)]

    ends = [end for end in records if isinstance(end, BlockEnd)]
    assert len({end.hash for end in ends}) == CANONICAL_BLOCKS
    assert all(end.verdict != Completeness.UNKNOWN for end in ends)
    assert sum(end.log_count for end in {end.hash: end for end in ends}.values()) == CANONICAL_LOGS
    begins = [record for record in records if isinstance(record, BackfillBegin)]
    assert len(begins) == len([record for record in records if isinstance(record, BackfillEnd)]) == statistics.backfills


def test_collector_on_recording_ends_a_block_after_its_last_event(ring_name: str) -> None:
    asyncio.run(collect_recording(ring_name))
    announced, ended = set(), set()
    for message in read_story(ring_name).messages:
        record, origin = message.records[0], message.first(EventOrigin)
        if isinstance(record, Block):
            announced.add(record.hash)
            ended.discard(record.hash)
        elif isinstance(record, BlockEnd):
            ended.add(record.hash)
        elif origin is not None and not message.header.flags & Flag.REMOVED:
            assert origin.block_hash in announced
            assert origin.block_hash not in ended


def final_ends(story: Story) -> dict[bytes, int]:
    """The blocks that stand in the end, each with the number of its logs."""
    standing: dict[int, BlockEnd] = {}
    for message in story.messages:
        record = message.records[0]
        if isinstance(record, Reorg):
            standing = {number: end for number, end in standing.items() if number <= record.fork_number}
        elif isinstance(record, BlockEnd):
            standing[record.number] = record
    return {end.hash: end.log_count for end in standing.values()}


@pytest.mark.parametrize(
    ("faults", "reconnects", "duplicates"),
    [
        pytest.param(Faults(), 0, 0, id="smooth"),
        pytest.param(Faults(disconnects=30, seed=7), 30, 0, id="30-disconnects"),
        pytest.param(Faults(duplicate=0.3, reorder=0.5, seed=11), 0, 1000, id="duplicated-and-reordered"),
    ],
)
def test_collector_on_disturbed_recording_publishes_exactly_the_canonical_events(
    ring_name: str, faults: Faults, reconnects: int, duplicates: int
) -> None:
    statistics = asyncio.run(collect_recording(ring_name, faults=faults))
    story = read_story(ring_name)
    assert story.standing == canonical_events()
    assert not story.twice.total()
    assert statistics.gaps == [(13522170, 13522174), (13522231, 13522238)]
    assert statistics.reconnects == reconnects, "as many disconnects as were asked for"
    assert statistics.duplicates >= duplicates
    ends = final_ends(story)
    # A head that came before the node said which chain it serves goes with its connection: here the first one's.
    first = min(block.number for message in story.messages if (block := message.first(Block)))
    assert first - FIRST_BLOCK in (0, bool(reconnects))
    assert len(ends) == CANONICAL_BLOCKS - (first - FIRST_BLOCK)
    assert sum(ends.values()) == CANONICAL_LOGS - logs_below(first)


def logs_below(number: int) -> int:
    """How many logs the canonical blocks below `number` have."""
    rows = map(msgspec.json.decode, recorded_rows("recording_2021-04-20_canonical_logs"))
    return sum(int(row["blockNumber"], 16) < number for row in rows)


def test_last_in_block_marks_the_end_of_each_block_and_nothing_else(ring_name: str) -> None:
    asyncio.run(collect_recording(ring_name))
    messages = read_story(ring_name).messages
    marked = [message for message in messages if message.header.flags & Flag.LAST_IN_BLOCK]
    assert len(marked) >= CANONICAL_BLOCKS
    assert marked == [message for message in messages if isinstance(message.records[0], BlockEnd)]


def test_collector_with_pool_cache_asks_nothing_twice(new_ring_name, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    cache = tmp_path / "pools.jsonl"
    first_ring, second_ring = new_ring_name(), new_ring_name()
    first = asyncio.run(collect_recording(first_ring, pool_cache=cache))
    second = asyncio.run(collect_recording(second_ring, pool_cache=cache))
    assert 0 < second.pools < first.pools
    assert read_story(second_ring).standing == read_story(first_ring).standing == canonical_events()
