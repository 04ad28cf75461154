"""The journal gives back what it was given: frames, gaps, order, across segments, recorders and incarnations."""

from __future__ import annotations

import os
import threading
from contextlib import closing
from pathlib import Path

import pytest

from consumers.journal import ForeignFileError, Fsync, JournalDamaged, JournalError, JournalInUse, JournalReader
from consumers.journal import layout as journal_layout
from consumers.journal.errors import SegmentGone
from consumers.journal.layout import GRANT_BYTES, MAX_PAYLOAD
from consumers.journal.reader import while_dropped
from consumers.journal.sealing import Retention, drop_old, seal
from consumers.journal.segment import SegmentFile, list_segments, open_bytes, parse_header, read_head
from ringbuf import Loss, Status
from tests.consumers.journal_frames import (
    RING,
    UUID,
    append,
    block_message,
    heartbeat_message,
    layout,
    numbered,
    open_writer,
    random_payloads,
    read_all,
)
from tlv.codes import Reason
from tlv.errors import UsageError
from tlv.record import Record

SMALL = GRANT_BYTES


@pytest.mark.parametrize("pack", [False, True])
def test_journal_many_segments_gives_back_every_frame(tmp_path: Path, pack: bool) -> None:
    payloads = random_payloads(3000, seed=1, longest=60_000)
    with open_writer(tmp_path, segment_bytes=SMALL, pack=pack) as writer:
        for first in range(0, len(payloads), 100):
            append(writer, payloads[first : first + 100], first + 1)
    segments = list_segments(tmp_path)
    assert len(segments) > 2
    assert all(segment.packed is pack and segment.index_path.exists() is not pack for segment in segments)
    assert read_all(tmp_path) == numbered(payloads)


def test_journal_frame_keeps_time_and_kind(tmp_path: Path) -> None:
    payloads = random_payloads(20, seed=2)
    with open_writer(tmp_path) as writer:
        append(writer, payloads, 1)
    with JournalReader(tmp_path) as reader:
        frames = list(reader)
    _, table, count = layout(payloads, 1)
    assert [frame.publish_time_ns for frame in frames] == table[3, :count].tolist()
    assert [frame.kind for frame in frames] == table[4, :count].tolist()
    assert (reader.name, reader.uuid) == (RING, UUID)


def test_journal_longest_frame_is_kept_and_a_longer_one_refused(tmp_path: Path) -> None:
    payloads = [bytes([size % 251]) * size for size in (1 << 17, 1 << 20, (1 << 20) + 1, 5 << 20, 3)]
    with open_writer(tmp_path, segment_bytes=SMALL) as writer:
        append(writer, payloads, 1)
        buffer, table, count = layout([b"x"], 6)
        table[2, 0] = MAX_PAYLOAD + 1
        with pytest.raises(JournalError, match="at most 1073741824 bytes, found 1073741825"):
            writer.append(buffer, table, count)
    assert read_all(tmp_path) == numbered(payloads)


def test_journal_gap_is_given_back_exactly(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        append(writer, [b"a", b"b"], 1)
        writer.append_gap(3, 9, Reason.LAPPED)
        append(writer, [b"c"], 10)
        writer.append_gap(11, 11, Reason.LAPPED)
        assert (writer.frames, writer.lost, writer.resume_at) == (3, 8, 12)
    assert read_all(tmp_path) == [(1, b"a"), (2, b"b"), Loss(UUID, 3, 9, 1), (10, b"c"), Loss(UUID, 11, 11, 1)]


def test_journal_first_frame_may_have_any_sequence(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        append(writer, [b"a"], 1 << 62)
    assert read_all(tmp_path) == [(1 << 62, b"a")]


def test_writer_sequence_that_does_not_continue_is_refused(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        append(writer, [b"a"], 1)
        with pytest.raises(JournalError, match="expected sequence 2, found 3"):
            append(writer, [b"b"], 3)
        append(writer, [b"b"], 2)
    assert read_all(tmp_path) == [(1, b"a"), (2, b"b")]


@pytest.mark.parametrize("fsync", list(Fsync))
def test_writer_opened_again_continues(tmp_path: Path, fsync: Fsync) -> None:
    for first in (1, 3, 5):
        with open_writer(tmp_path, fsync=fsync, interval_s=0.01) as writer:
            assert writer.resume_at == (first if first > 1 else None)
            append(writer, [b"a", b"b"], first)
    assert read_all(tmp_path) == numbered([b"a", b"b"] * 3)


def test_writer_other_incarnation_begins_anew_and_reader_says_so(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        append(writer, [b"old"], 7)
    with open_writer(tmp_path, ring_uuid=bytes(16)) as writer:
        assert writer.resume_at is None
        append(writer, [b"new"], 1)
    with JournalReader(tmp_path) as reader:
        first = [bytes(frame.payload) for frame in reader.poll()]
        between = reader.poll().status
        second = [bytes(frame.payload) for frame in reader.poll()]
        assert (first, between, second) == ([b"old"], Status.EPOCH_CHANGED, [b"new"])
        assert reader.uuid == bytes(16)
        reader.seek_sequence(7, UUID)
        assert [bytes(frame.payload) for frame in reader.poll()] == [b"old"]


def test_writer_other_ring_is_refused(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        append(writer, [b"a"], 1)
    with pytest.raises(UsageError, match=r"expected a journal of ring signal\.other, found market\.test"):
        open_writer(tmp_path, ring_name="signal.other")


def test_writer_second_recorder_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    with open_writer(tmp_path), pytest.raises(JournalInUse, match="expected to be its only recorder"):
        open_writer(tmp_path)
    open_writer(tmp_path).close()


def test_writer_too_small_segments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="segment_bytes"):
        open_writer(tmp_path, segment_bytes=GRANT_BYTES - 1)


def test_writer_retention_drops_the_oldest_segments_only(tmp_path: Path) -> None:
    payload = b"z" * 100_000
    with open_writer(tmp_path, segment_bytes=SMALL, pack=False, retain_bytes=3 * SMALL) as writer:
        for sequence in range(1, 301):
            append(writer, [payload], sequence)
    kept = read_all(tmp_path)
    assert sum(segment.path.stat().st_size for segment in list_segments(tmp_path)) <= 4 * SMALL
    assert kept[-1] == (300, payload)
    assert kept == numbered([payload] * len(kept), 301 - len(kept))


def test_writer_retention_by_age_drops_what_was_complete_long_ago(tmp_path: Path) -> None:
    payload = b"z" * 100_000
    with open_writer(tmp_path, segment_bytes=SMALL, pack=False) as writer:
        for sequence in range(1, 301):
            append(writer, [payload], sequence)
    segments = list_segments(tmp_path)
    now_s = segments[-1].path.stat().st_mtime
    for age_s, segment in zip((500.0, 400.0, 90.0), segments, strict=False):
        os.utime(segment.path, (now_s, now_s - age_s))
    assert drop_old(tmp_path, Retention(seconds=100.0), now_s) == 2
    assert list_segments(tmp_path) == segments[2:]
    assert drop_old(tmp_path, Retention(seconds=0.0), now_s + 1e6) == 0
    assert drop_old(tmp_path, Retention(seconds=1.0), now_s + 1e6) == len(segments) - 4


def test_reader_segment_taken_away_is_a_gap(tmp_path: Path) -> None:
    payload = b"z" * 100_000
    with open_writer(tmp_path, segment_bytes=SMALL, pack=False) as writer:
        for sequence in range(1, 121):
            append(writer, [payload], sequence)
    segments = list_segments(tmp_path)
    with JournalReader(tmp_path) as reader:
        segments[1].path.unlink()
        items = list(reader)
    gaps = [item for item in items if isinstance(item, Loss)]
    frames = [item.sequence for item in items if not isinstance(item, Loss)]
    assert len(gaps) == 1
    assert sorted([*frames, *range(gaps[0].first, gaps[0].last + 1)]) == list(range(1, 121))


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("index", ["kept", "missing", "damaged"])
def test_reader_seek_sequence_finds_every_frame(tmp_path: Path, pack: bool, index: str) -> None:
    payloads = random_payloads(900, seed=3, longest=120_000)
    with open_writer(tmp_path, segment_bytes=SMALL, pack=pack) as writer:
        for first in range(0, 900, 30):
            append(writer, payloads[first : first + 30], first + 1)
    for segment in list_segments(tmp_path):
        path = segment.path if pack else segment.index_path
        data = bytearray(path.read_bytes())
        if index == "missing" and not pack:
            path.unlink()
        elif index != "kept":
            # Of a packed segment: the index in its trailer, or the footer, without which there is no trailer.
            data[-60 if index == "damaged" else -4] ^= 1
            path.write_bytes(data)
    with JournalReader(tmp_path) as reader:
        for sequence in range(1, 901, 53):
            reader.seek_sequence(sequence)
            frame = reader.poll()[0]
            assert (frame.sequence, bytes(frame.payload)) == (sequence, payloads[sequence - 1])


def test_reader_seek_block_finds_the_first_mention(tmp_path: Path) -> None:
    blocks = [100 + sequence // 40 for sequence in range(1, 9001)]
    blocks[5000] = 90  # a late back-fill does not move the line
    with open_writer(tmp_path, segment_bytes=SMALL) as writer:
        for first in range(1, 9001, 100):
            batch = range(first, first + 100)
            append(writer, [block_message(blocks[s - 1], s) if s % 3 else heartbeat_message(s) for s in batch], first)
    with JournalReader(tmp_path) as reader:
        for number in (90, 100, 101, 137, 200, 290, 324):
            reader.seek_block(number)
            wanted = next(s for s, block in enumerate(blocks, 1) if block >= number and s % 3)
            assert reader.poll()[0].sequence == wanted
        reader.seek_block(325)
        assert len(reader.poll()) == 0


def test_reader_seek_time_finds_the_first_frame_published_then(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        append(writer, [b"x" * 500] * 3000, 1)
    with JournalReader(tmp_path) as reader:
        for sequence in (1, 2, 1500, 3000):
            reader.seek_time(1_000_000 + sequence + reader.clock_offset_ns)
            assert reader.poll()[0].sequence == sequence


def test_reader_start_latest_gives_only_what_comes(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        append(writer, [b"a"], 1)
        with JournalReader(tmp_path, start="latest") as reader:
            assert reader.poll().status is Status.EMPTY
            append(writer, [b"b"], 2)
            assert [bytes(frame.payload) for frame in reader.poll()] == [b"b"]


def test_reader_beside_the_writer_gets_every_frame_once(tmp_path: Path) -> None:
    total = 60_000
    writer = open_writer(tmp_path, segment_bytes=SMALL)
    append(writer, [b"%08d" % 1], 1)

    def write() -> None:
        with writer:
            for first in range(2, total + 1, 50):
                last = min(first + 50, total + 1)
                append(writer, [b"%08d" % s * 30 for s in range(first, last)], first)

    thread = threading.Thread(target=write)
    thread.start()
    seen = 0
    with JournalReader(tmp_path) as reader:
        while seen < total:
            poll = reader.poll()
            assert poll.loss is None
            for frame in poll:
                seen += 1
                assert frame.sequence == seen
                assert frame.payload[:8] == b"%08d" % seen
        thread.join()
        assert reader.poll().status is Status.CLOSED


@pytest.mark.parametrize("content", [b"", b"not a journal", b"\0" * 200])
def test_reader_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "segment-00000001.journal").write_bytes(content)
    with pytest.raises(JournalDamaged, match=r"segment-00000001\.journal: expected"):
        JournalReader(tmp_path)


def test_reader_other_layout_is_refused(tmp_path: Path) -> None:
    with open_writer(tmp_path, layout_digest=12345) as writer:
        append(writer, [b"a"], 1)
    advice = r"`alphapulse export` there\), or record into a new directory"
    with pytest.raises(ForeignFileError, match=rf"expected layout digest .*, found 0x3039; .*{advice}"):
        JournalReader(tmp_path)
    assert [bytes(frame.payload) for frame in JournalReader(tmp_path, layout_digest=12345)] == [b"a"]


def test_reader_empty_or_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="expected segment files, found none"):
        JournalReader(tmp_path)
    with pytest.raises(UsageError, match="is no journal"):
        JournalReader(tmp_path / "absent")


def test_reader_seek_passes_over_a_segment_that_was_dropped_meanwhile(tmp_path: Path) -> None:
    """A link that leads nowhere is listed and cannot be opened, like a file dropped in between."""
    payload = b"z" * 100_000
    with open_writer(tmp_path, segment_bytes=SMALL, pack=False) as writer:
        for sequence in range(1, 101):
            append(writer, [payload], sequence)
    first, second, *_ = list_segments(tmp_path)
    with JournalReader(tmp_path) as reader:
        first.path.unlink()
        first.path.symlink_to(tmp_path / "nowhere")
        reader.seek_sequence(3, UUID)
        assert reader.poll().sequences[0] == parse_header(second.path, read_head(second), 0).first_sequence


def test_look_at_a_journal_whose_listed_segments_were_all_dropped_meanwhile_is_made_again(tmp_path: Path) -> None:
    """Retention of a journal that is written fast may drop all that was listed before the first is opened."""
    journal, looked = tmp_path / "journal", []
    with open_writer(journal, segment_bytes=SMALL, pack=False) as writer:
        for sequence in range(1, 101):
            append(writer, [b"z" * 100_000], sequence)
    *dropped, last = list_segments(journal)
    assert dropped
    last.path.rename(tmp_path / "not written yet")

    def look(segments: list[SegmentFile]) -> int:
        looked.append(segments)
        if segments == dropped:
            for segment in dropped:
                segment.path.unlink()
            (tmp_path / "not written yet").rename(last.path)
        with closing(open_bytes(segments[0])):
            return segments[0].ordinal

    assert while_dropped(journal, look) == last.ordinal
    assert looked == [dropped, [last]]
    last.path.unlink()
    last.path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(SegmentGone, match="dropped or taken away"):
        while_dropped(journal, look)


def test_reader_segment_packed_behind_its_back_is_still_read(tmp_path: Path) -> None:
    payloads = random_payloads(600, seed=5, longest=60_000)
    with open_writer(tmp_path, segment_bytes=SMALL, pack=False) as writer:
        for first in range(0, 600, 50):
            append(writer, payloads[first : first + 50], first + 1)
    listed = list_segments(tmp_path)
    for segment in listed:
        seal(segment, pack=True)
    for segment in listed:
        with closing(open_bytes(segment)) as source:
            assert source.path.suffix == ".zst"
    assert read_all(tmp_path) == numbered(payloads)
    list_segments(tmp_path)[0].path.unlink()
    with pytest.raises(SegmentGone, match="dropped or taken away"):
        open_bytes(listed[0])


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in vars(journal_layout).values()
        if isinstance(kind, type) and issubclass(kind, Record) and kind != Record
    ],
)
def test_record_of_a_journal_cannot_be_changed(kind: type[Record]) -> None:
    record = kind.unpack(bytes(kind.layout.size))
    name = next(iter(kind.layout.kinds))
    with pytest.raises(AttributeError, match="immutable"):
        setattr(record, name, getattr(record, name))


def test_journal_writes_a_gap_into_what_room_is_left_of_a_segment(tmp_path: Path) -> None:
    with open_writer(tmp_path, segment_bytes=SMALL, pack=False) as writer:
        sequence = 1
        while writer.segment_bytes - writer._position > 400:  # room for one message, not for eight
            writer.append(*layout([bytes(64)], sequence))
            sequence += 1
        writer.append_gap(sequence, sequence + 9, Reason.LAPPED)
        assert len(list_segments(tmp_path)) == 1
