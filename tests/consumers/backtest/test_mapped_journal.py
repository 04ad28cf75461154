"""A mapped journal: the frames of the journal, each as it was, and everything that is missing in it said."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from consumers.backtest.mapped_journal import JournalFacts, MappedJournal, map_journal, ranges
from consumers.journal import JournalError, JournalReader
from consumers.journal.layout import HEADER_BYTES
from consumers.journal.segment import list_segments
from ringbuf import Loss
from tests.consumers.backtest.small_market import SmallMarket, small_market
from tests.consumers.journal_frames import open_writer
from tlv.codes import Domain, GapScope, Reason, Source
from tlv.errors import UsageError
from tlv.layout import Gap, SignalIdentity
from tlv.message import build
from tools.rig.long_journal import append

Item = Loss | tuple[bytes, int, int, bytes]


def mapped(directory: Path) -> MappedJournal:
    found = map_journal(directory)
    assert found is not None
    return found


def facts_of(directory: Path) -> JournalFacts:
    with mapped(directory) as journal:
        return journal.facts


def items_in(journal: MappedJournal, frames_per_poll: int) -> list[Item]:
    found: list[Item] = []
    for stretch, poll in journal.polls(frames_per_poll):
        if poll.loss is not None:
            found.append(poll.loss)
        found += [(stretch.ring, frame.sequence, frame.publish_time_ns, bytes(frame.payload)) for frame in poll]
    return found


def items_read(directory: Path) -> list[Item]:
    found: list[Item] = []
    with JournalReader(directory) as reader:
        for item in reader:
            is_loss = isinstance(item, Loss)
            found.append(item if is_loss else (reader.uuid, item.sequence, item.publish_time_ns, bytes(item.payload)))
    return found


@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize("frames_per_poll", [1, 7, 4096])
def test_mapped_frames_are_those_that_a_reader_gives(tmp_path: Path, pack: bool, frames_per_poll: int) -> None:
    small_market(30).write(tmp_path, segments=3, pack=pack)
    assert len(list_segments(tmp_path)) == 3
    with mapped(tmp_path) as journal:
        assert items_in(journal, frames_per_poll) == items_read(tmp_path)
        facts = journal.facts
        assert (facts.first_block, facts.last_block, facts.ended) == (1, 30, True)
        assert facts.missing() == []
        assert journal.data_bytes >= sum(len(item[3]) for item in items_read(tmp_path) if not isinstance(item, Loss))


@pytest.mark.parametrize("pack", [True, False])
def test_damage_in_the_middle_is_a_loss_of_its_frames_and_told(tmp_path: Path, pack: bool) -> None:
    small_market(400).write(tmp_path, pack=pack)
    path = list_segments(tmp_path)[0].path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)
    with mapped(tmp_path) as journal:
        [loss] = [item for item in items_in(journal, 64) if isinstance(item, Loss)]
        assert journal.facts.losses == [loss]
        assert items_in(journal, 64) == items_read(tmp_path)
        [reason] = journal.facts.missing()
        assert (
            reason == f"{loss.count} frames are missing in the journal: sequences {ranges([(loss.first, loss.last)])}"
        )


def test_segment_that_was_removed_is_a_loss(tmp_path: Path) -> None:
    small_market(60).write(tmp_path, segments=3)
    list_segments(tmp_path)[1].path.unlink()
    with mapped(tmp_path) as journal:
        assert len(journal.facts.losses) == 1
        assert items_in(journal, 4096) == items_read(tmp_path)


def test_several_rings_are_told_and_their_frames_keep_their_ring(tmp_path: Path) -> None:
    small_market(5, seed=1).write(tmp_path)
    small_market(6, seed=2).write(tmp_path, ring_uuid=bytes(range(1, 17)))
    with mapped(tmp_path) as journal:
        assert journal.facts.rings == [bytes(range(16)), bytes(range(1, 17))]
        assert items_in(journal, 4096) == items_read(tmp_path)
        assert any("made anew 1 times" in reason for reason in journal.facts.missing())


def test_gaps_of_the_collector_and_events_held_back_are_told(tmp_path: Path) -> None:
    market = SmallMarket()
    market.block(1)
    for scope in (GapScope.BLOCK_NUMBERS, GapScope.RING_SEQUENCES):
        market.put(Domain.SYSTEM, [Gap(2, 4, scope, Reason.NODE_HAS_NO_BLOCK)], 0)
    market.block(5, held_back=3)
    assert facts_of(market.write(tmp_path)).missing() == [
        "the collector lacked blocks 2 to 4",
        "frames were lost before they were recorded: sequences 2 to 4",
        "1 blocks ended with events of unproven pools held back",
    ]


def test_journal_that_is_still_written_is_read_to_its_present_end_and_said_so(tmp_path: Path) -> None:
    market = small_market(4)
    with open_writer(tmp_path) as writer:
        append(writer, market.frames)
        with mapped(tmp_path) as journal:
            assert journal.facts.frames == len(market.frames)
            [reason] = journal.facts.missing()
            assert "still being written" in reason


def test_journal_without_a_frame_is_refused(tmp_path: Path) -> None:
    small_market(1).write(tmp_path, pack=False)
    os.truncate(list_segments(tmp_path)[0].path, HEADER_BYTES)
    with pytest.raises(JournalError, match="expected recorded frames, found none"):
        map_journal(tmp_path)


def test_folder_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="expected segment files, found none"):
        map_journal(tmp_path)
    with pytest.raises(UsageError, match="is no journal"):
        map_journal(tmp_path / "missing")


def test_journal_of_another_layout_is_refused_with_what_to_do(tmp_path: Path) -> None:
    small_market(2).write(tmp_path, layout_digest=5)
    with pytest.raises(JournalError, match=r"expected layout digest .*`alphapulse export` there"):
        map_journal(tmp_path)


def test_journal_of_signals_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    identity = SignalIdentity(1, 1, 0, bytes(16), "some", 1)
    message = build(Domain.SIGNAL, Source.USER_STRATEGY, [identity], sequence=1)
    with open_writer(tmp_path, ring_name="signal.some") as writer:
        append(writer, [(1, message)])
    with pytest.raises(
        UsageError, match=r"expected a journal of a market.*found one of ring signal.some: signal \(1\)"
    ):
        map_journal(tmp_path)


def test_frames_that_are_no_messages_are_kept_for_the_strategy(tmp_path: Path) -> None:
    market = small_market(2)
    market.frames[3:3] = [(1, b""), (1, b"short"), (1, bytes(200))]
    with mapped(market.write(tmp_path)) as journal:
        assert items_in(journal, 4096) == items_read(tmp_path)


def test_what_one_run_writes_into_a_frame_no_other_process_sees(tmp_path: Path) -> None:
    with mapped(small_market(2).write(tmp_path)) as journal:
        before = journal.data.copy()
        child = os.fork()
        if child == 0:
            journal.data[:] = 0
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert np.array_equal(journal.data, before)


def test_map_that_is_asked_to_stop_gives_none(tmp_path: Path) -> None:
    assert map_journal(small_market(2).write(tmp_path), asked_to_stop=lambda: True) is None


@pytest.mark.parametrize(
    ("pairs", "text"),
    [
        ([(5, 5)], "5"),
        ([(1, 2), (4, 4)], "1 to 2, 4"),
        ([(number, number) for number in range(7)], "0, 1, 2, 3, 4, and 2 more"),
    ],
)
def test_ranges_name_the_first_few(pairs: list[tuple[int, int]], text: str) -> None:
    assert ranges(pairs) == text
