"""A part of a journal holds all that its places include and nothing else, wherever it stands."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from consumers.journal import JournalReader
from consumers.journal.part import JournalPlace, bounds_of, check_order, polls_of
from tests.consumers.journal_frames import append, heartbeat_message, open_writer
from tlv.codes import Domain, Flag, Source
from tlv.errors import UsageError
from tlv.layout import Block, BlockEnd, EventOrigin
from tlv.message import build

NOTHING = -1


def message(kind: str, number: int, sequence: int) -> bytes:
    """A message of a feed that is of block `number`, or of none."""
    if kind == "heartbeat":
        return heartbeat_message(sequence)
    flags = {"removed": Flag.REMOVED, "late": Flag.BACKFILL}.get(kind, 0)
    origin = EventOrigin(number, 0, 0, 0, 0, bytes(32), bytes(32))
    record = {"block": Block, "end": BlockEnd}.get(kind)
    body = [replace(record.unpack(bytes(record.layout.size)), number=number)] if record else [origin]
    domain = Domain.SYSTEM if kind == "end" else Domain.MARKET_DATA
    return build(domain, Source.POLYGON_COLLECTOR, body, sequence=sequence, flags=int(flags))


def feed(seed: int, blocks: int) -> list[tuple[str, int]]:
    """(kind, block) of the messages of a feed: overlapping blocks, REMOVED copies, late back-fills, other messages."""
    rng = random.Random(seed)
    told: list[tuple[float, str, int]] = []
    for number in range(1, blocks + 1):
        told.append((number, "block", number))
        told += [(number + rng.random() * 1.5, "event", number) for _ in range(rng.randrange(6))]
        told.append((number + 1.6 + rng.random(), "end", number))
        if rng.random() < 0.2:
            told += [(number + 2 + rng.random() * 3, "removed", number) for _ in range(2)]
        if rng.random() < 0.1:
            told.append((number + rng.randrange(5, 40), "late", number))
        told.append((number + rng.random(), "heartbeat", NOTHING))
    return [(kind, number) for _, kind, number in sorted(told)]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[int]]]:
    """A journal of three segments, packed, raw and open, and the block of each of its sequences."""
    directory = tmp_path_factory.mktemp("journal")
    told = feed(seed=11, blocks=300)
    with contextlib.ExitStack() as opened:
        first = 1
        for pack, share in ((True, 0.5), (False, 0.8), (False, 1.0)):
            opened.close()
            writer = opened.enter_context(open_writer(directory, pack=pack))
            while first <= len(told) * share:
                append(writer, [message(*told[first - 1], first)], first)
                first += 1
        yield directory, [number for _, number in told]


def sequences(directory: Path, begin: JournalPlace | None, end: JournalPlace | None) -> list[int]:
    """The sequences of a part."""
    with JournalReader(directory) as reader:
        return [int(sequence) for poll in polls_of(reader, begin, end) for sequence in poll.sequences]


def test_part_to_a_block_has_every_message_of_it_and_of_lower_ones_and_none_of_a_higher(
    recorded: tuple[Path, list[int]],
) -> None:
    directory, blocks = recorded
    wrong = 0
    for number in range(1, 301, 7):
        found = sequences(directory, None, JournalPlace("block", number))
        wanted = [sequence for sequence, block in enumerate(blocks, 1) if 0 < block <= number]
        others = [sequence for sequence, block in enumerate(blocks, 1) if block == NOTHING and sequence < wanted[-1]]
        assert found == sorted(wanted + others)
        wrong += found != list(range(1, found[-1] + 1))
    assert wrong > 30, "the feed has no blocks that overlap, so that a cut would do"
    print(f"row 55, replay --to: {wrong} of 43 blocks end behind messages of higher ones, 0 of their messages left out")


def test_part_from_a_block_to_another_has_exactly_these(recorded: tuple[Path, list[int]]) -> None:
    directory, blocks = recorded
    for low, high in ((1, 1), (40, 40), (100, 120), (290, 400), (301, 400)):
        found = sequences(directory, JournalPlace("block", low), JournalPlace("block", high))
        wanted = [sequence for sequence, block in enumerate(blocks, 1) if low <= block <= high]
        assert [sequence for sequence in found if blocks[sequence - 1] != NOTHING] == wanted
        if wanted:
            begin = next(sequence for sequence, block in enumerate(blocks, 1) if block >= low)
            between = [sequence for sequence in range(begin, wanted[-1]) if blocks[sequence - 1] == NOTHING]
            assert [sequence for sequence in found if blocks[sequence - 1] == NOTHING] == between


def test_part_by_sequence_is_exact_over_segments(recorded: tuple[Path, list[int]]) -> None:
    directory, blocks = recorded
    count = len(blocks)
    for first, last in ((1, 1), (5, 900), (count - 3, count + 5), (count + 1, count + 9)):
        found = sequences(directory, JournalPlace("sequence", first), JournalPlace("sequence", last))
        assert found == list(range(first, min(last, count) + 1))
    assert sequences(directory, None, JournalPlace("sequence", 700)) == list(range(1, 701))


def test_part_by_time_is_exact(recorded: tuple[Path, list[int]]) -> None:
    directory, _ = recorded
    with JournalReader(directory) as reader:
        walls = {}
        while len(poll := reader.poll()):
            published = (poll.timestamps + reader.clock_offset_ns).tolist()
            walls |= dict(zip(poll.sequences.tolist(), published, strict=True))
    for first, last in ((1, 3), (700, 720), (5, len(walls) - 5)):
        begin, end = JournalPlace("time", walls[first]), JournalPlace("time", walls[last])
        wanted = [sequence for sequence, wall in walls.items() if begin.value <= wall <= end.value]
        assert sequences(directory, begin, end) == wanted


def test_part_to_a_sequence_is_one_of_the_latest_ring(tmp_path: Path) -> None:
    for uuid in (bytes(16), bytes(range(16))):
        with open_writer(tmp_path, ring_uuid=uuid) as writer:
            append(writer, [b"x"] * 10, 1)
    assert sequences(tmp_path, None, JournalPlace("sequence", 4)) == [*range(1, 11), *range(1, 5)]
    assert sequences(tmp_path, JournalPlace("sequence", 3), JournalPlace("sequence", 4)) == [3, 4]


def test_bounds_that_no_place_sets_hold_every_number() -> None:
    every = (-(2**63), 2**63 - 1)
    bounds = bounds_of(None, None)
    assert (bounds.sequences, bounds.blocks) == (every, every)
    assert bounds.times[0] <= -(2**62) and bounds.times[1] >= 2**62
    assert bounds_of(JournalPlace("block", 7), JournalPlace("sequence", 9))[:2] == ((every[0], 9), (7, every[1]))


def test_part_that_ends_before_it_begins_is_refused() -> None:
    for kind in ("sequence", "block", "time"):
        with pytest.raises(UsageError, match=f"found {kind} 30 to 10"):
            check_order(JournalPlace(kind, 30), JournalPlace(kind, 10))
    check_order(JournalPlace("block", 30), JournalPlace("sequence", 10))
    check_order(JournalPlace("block", 30), JournalPlace("block", 30))
    check_order(None, JournalPlace("block", 30))
