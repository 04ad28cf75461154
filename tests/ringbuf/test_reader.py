"""One reader: where it starts, how it waits, what it is told."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from ringbuf import (
    CorruptRing,
    Frame,
    Loss,
    NoFreeSlot,
    Reader,
    RingClosed,
    RingInfo,
    RingOrphaned,
    Status,
    Wait,
    Writer,
    kernels,
    unlink,
)
from ringbuf.layout import (
    ANCHOR_0,
    ANCHORS,
    COMMIT_0,
    COMMIT_TAIL,
    COMMIT_WORDS,
    DATA,
    EPOCH_POSITION,
    INTENT,
    SLOTS,
    TAG_WORD,
    TAIL,
)
from tlv.errors import UsageError

SMALL = 1 << 16


def publish_numbers(writer: Writer, count: int) -> None:
    for _ in range(count):
        writer.publish(writer.next_sequence.to_bytes(8, "little"))


def numbers(reader: Reader, most: int = 5000) -> list[int]:
    return [int.from_bytes(frame.payload, "little") for frame in reader.poll(most)]


def test_attach_starts_where_it_was_told(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer:
        publish_numbers(writer, 5)
        writer.publish((6).to_bytes(8, "little"), key=True)
        publish_numbers(writer, 4)
        for start, first in (("oldest", 1), ("key", 6), (1, 1), (4, 4), (11, 11)):
            with Reader.attach(ring_name, start=start) as reader:  # type: ignore[arg-type]
                assert reader.sequence == first
                assert numbers(reader) == list(range(first, 11))
        with Reader.attach(ring_name) as reader:
            assert numbers(reader) == []


@pytest.mark.parametrize("start", ["oldest", "key", "latest", 1])
def test_attach_to_an_empty_ring_gets_the_first_frame(ring_name: str, start: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name, start=start) as reader:  # type: ignore[arg-type]
        publish_numbers(writer, 1)
        assert numbers(reader) == [1]


def test_attach_at_a_lost_sequence_reports_the_gap_first(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer:
        publish_numbers(writer, 3000)
        with Reader.attach(ring_name, start=7) as reader:
            assert reader.wait(0.0) is Status.OK
            poll = reader.poll(0)
            assert poll.status is Status.GAP and poll.loss is not None and poll.loss.first == 7
            assert poll.loss.count == poll.loss.last - 6 == reader.lost
            assert numbers(reader) == list(range(poll.loss.last + 1, 3001))


def test_attach_at_a_lost_sequence_and_lapped_again_is_one_gap(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer:
        publish_numbers(writer, 3000)
        with Reader.attach(ring_name, start=7) as reader:
            publish_numbers(writer, 3000)
            poll = reader.poll(5000)
            assert poll.loss == Loss(reader.uuid, 7, poll[0].sequence - 1) and poll[-1].sequence == 6000
            assert reader.lost + len(poll) == 5994


def test_attach_at_a_sequence_to_come_is_a_usage_error(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer:
        publish_numbers(writer, 3)
        with pytest.raises(UsageError, match=r"sequence 6 is yet to come \(next is 4\)"):
            Reader.attach(ring_name, start=6)
    with pytest.raises(UsageError, match="yet to come"):
        Reader.attach(ring_name, start=6)


def test_attach_with_a_place_that_is_none_is_a_usage_error(ring_name: str) -> None:
    with pytest.raises(UsageError, match="start: expected oldest, latest, key or a sequence from 1 on, found 'newest'"):
        Reader.attach(ring_name, start="newest")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="expected one of"):
        Reader.attach(ring_name, on_lap="never")  # type: ignore[arg-type]


@pytest.mark.parametrize("on_lap", ["latest", "key", "oldest"])
def test_reader_lapped_goes_on_where_it_was_told(ring_name: str, on_lap: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name, on_lap=on_lap) as reader:  # type: ignore[arg-type]
        publish_numbers(writer, 2900)
        writer.publish((2901).to_bytes(8, "little"), key=True)
        publish_numbers(writer, 99)
        poll = reader.poll(5000)
        if on_lap == "latest":
            assert poll.status is Status.GAP and poll.loss == Loss(reader.uuid, 1, 3000)
        elif on_lap == "key":
            assert poll.loss == Loss(reader.uuid, 1, 2900) and poll[0].sequence == 2901
        else:
            assert poll.loss is not None and 2000 < poll.loss.last < 2800
        assert reader.lost + len(poll) == 3000 and reader.counters["laps"] == 1


def test_reader_lapped_with_a_key_frame_that_is_gone_goes_on_at_the_latest(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer:
        writer.publish(b"key", key=True)
        with Reader.attach(ring_name, on_lap="key") as reader:
            publish_numbers(writer, 3000)
            assert reader.poll().loss == Loss(reader.uuid, 2, 3001)


def test_poll_with_too_little_room_says_how_much_is_needed(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name) as reader:
        writer.publish(bytes(100))
        poll = reader.poll(max_bytes=96)
        assert (poll.status, poll.need, len(poll)) == (Status.NEED, 100, 0)
        assert [len(frame.payload) for frame in reader.poll(max_bytes=100)] == [100]


def test_poll_takes_256_frames_at_most_unless_told_otherwise(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name) as reader:
        publish_numbers(writer, 300)
        assert [len(reader.poll()), len(reader.poll())] == [256, 44]


def test_poll_is_a_sequence_of_frames_and_arrays(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name) as reader:
        for payload in (b"a", b"bc", b"def"):
            writer.publish(payload, kind=len(payload))
        poll = reader.poll()
        assert len(poll) == 3 and isinstance(poll[1], Frame) and bytes(poll[-1].payload) == b"def"
        assert [frame.sequence for frame in poll[1:]] == [2, 3]
        assert poll.sequences.tolist() == [1, 2, 3] and poll.kinds.tolist() == [1, 2, 3]
        for offset, length, payload in zip(poll.offsets, poll.lengths, (b"a", b"bc", b"def"), strict=True):
            assert poll.buffer[offset : offset + length].tobytes() == payload
        assert (poll.timestamps > 0).all() and poll.timestamps[0] == poll[0].publish_time_ns
        assert reader.lag_bytes == 0 and reader.counters == {"frames": 3, "bytes": 6, "lost": 0, "laps": 0}
        writer.publish(b"behind" * 100)
        assert reader.lag_bytes == 640 > reader.position  # the descriptor and 600 bytes, in lines of 64


@pytest.mark.parametrize("mode", list(Wait))
def test_wait_returns_when_something_is_published_or_time_is_over(ring_name: str, mode: Wait) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name) as reader:
        assert reader.wait(0.001, mode) is Status.EMPTY
        timer = threading.Timer(0.01, writer.publish, (b"news",))
        timer.start()
        assert reader.wait(None, mode) is Status.OK
        timer.join()
        assert len(reader.poll()) == 1


def test_wait_finds_a_closed_ring_and_a_new_writer(ring_name: str) -> None:
    writer = Writer.create(ring_name, capacity=SMALL)
    with Reader.attach(ring_name) as reader:
        publish_numbers(writer, 1)
        writer.close()
        assert reader.wait(0.0) is Status.OK and numbers(reader) == [1]
        assert reader.wait(0.0) is Status.CLOSED and reader.poll().status is Status.CLOSED
        with Writer.open(ring_name):
            assert reader.wait(0.0) is Status.OK and reader.poll().status is Status.EPOCH_CHANGED
            assert reader.wait(0.0) is Status.EMPTY


def test_wait_finds_out_about_a_dead_writer_and_a_lost_name(ring_name: str) -> None:
    writer = Writer.create(ring_name, capacity=SMALL)
    with Reader.attach(ring_name) as reader:
        writer._lock.close()  # what the kernel does when its process dies
        assert reader.wait(5.0) is Status.WRITER_DEAD
        unlink(ring_name)
        assert reader.wait(5.0) is Status.ORPHANED
        with pytest.raises(RingOrphaned, match="attach again"):
            next(iter(reader))


def test_reader_iterates_frames_and_gaps_until_closed(ring_name: str) -> None:
    writer = Writer.create(ring_name, capacity=SMALL)
    reader = Reader.attach(ring_name)
    publish_numbers(writer, 3000)

    def finish() -> None:
        publish_numbers(writer, 10)
        writer.close()

    timer = threading.Timer(0.02, finish)
    timer.start()
    items = list(reader)
    timer.join()
    assert isinstance(items[0], Loss) and items[0].first == 1
    assert len(items) - 1 + items[0].count == 3010
    reader.close()
    with pytest.raises(RingClosed, match="this reader was closed"):
        reader.poll()


def test_reader_of_damaged_bytes_says_corrupt_and_stays(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name) as reader:
        publish_numbers(writer, 2)
        kernels.put_word(writer.words, DATA + TAG_WORD, 12345)
        assert reader.poll().status is Status.CORRUPT and reader.position == 0
        with pytest.raises(CorruptRing, match="no frame at position 0, sequence 1"):
            list(reader)
        kernels.put_word(writer.words, DATA + TAG_WORD, writer.identity.salt)
        kernels.put_word(writer.words, DATA + 8 + TAG_WORD, 12345)
        with pytest.raises(CorruptRing, match="no frame at position 64, sequence 2"):
            Reader.attach(ring_name, start=3)


def test_attach_to_a_ring_without_a_valid_place_is_corrupt(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer:
        publish_numbers(writer, 3)
        for turn in range(2):
            kernels.put_word(writer.words, COMMIT_0 + turn * COMMIT_WORDS + COMMIT_TAIL, 7)
        for i in range(ANCHORS):
            kernels.put_word(writer.words, ANCHOR_0 + i, 1 << 40)
        with pytest.raises(CorruptRing, match="neither a commit record nor an anchor"):
            Reader.attach(ring_name)
        kernels.put_word(writer.words, TAIL, 13)
        with pytest.raises(CorruptRing):
            Reader.attach(ring_name)


def test_reader_lapped_without_any_place_to_go_stays_and_says_empty(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name) as reader:
        publish_numbers(writer, 3)
        kernels.put_word(writer.words, TAIL, 1 << 40)
        kernels.put_word(writer.words, INTENT, 1 << 41)
        assert reader.poll().status is Status.EMPTY and reader.position == 0


def test_reader_of_a_wild_epoch_position_stays(ring_name: str) -> None:
    writer = Writer.create(ring_name, capacity=SMALL)
    with Reader.attach(ring_name) as reader:
        writer.close()
        with Writer.open(ring_name) as second:
            kernels.put_word(second.words, EPOCH_POSITION, -64)
            assert reader.poll().status is Status.EPOCH_CHANGED


def test_join_beyond_the_last_slot_is_refused(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL):
        readers = [Reader.attach(ring_name, reliable=True, start="oldest") for _ in range(SLOTS)]
        with pytest.raises(NoFreeSlot, match="all 64 consumer slots"):
            Reader.attach(ring_name, reliable=True)
        assert len(RingInfo.read(ring_name).slots) == SLOTS
        for reader in readers:
            reader.close()
        assert RingInfo.read(ring_name).slots == ()


def test_info_tells_what_the_ring_is(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL, schema="free text") as writer:
        publish_numbers(writer, 4)
        info = RingInfo.read(ring_name)
        assert (info.name, info.identity.schema, info.next_sequence, info.epoch) == (ring_name, "free text", 5, 1)
        assert info.writer_alive and not info.closed and info.counters["frames"] == 4 and info.publish_age_s < 60
    info = RingInfo.read(ring_name)
    assert info.closed and not info.writer_alive


def test_info_of_a_ring_never_published_has_no_publish_age(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL):
        info = RingInfo.read(ring_name)
        assert info.publish_age_s == float("inf") and 0 <= info.heartbeat_age_s < 60 and time.monotonic() > 0


def test_reader_returns_to_a_place_and_reads_the_same_again(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name) as reader:
        publish_numbers(writer, 5)
        place = reader.place()
        assert numbers(reader) == [1, 2, 3, 4, 5]
        reader.return_to(place)
        assert numbers(reader) == [1, 2, 3, 4, 5]


def test_reader_knows_whether_it_is_closed_waited_for_and_left_alone(ring_name: str) -> None:
    writer = Writer.create(ring_name, capacity=SMALL)
    reader = Reader.attach(ring_name)
    assert not (reader.closed or reader.reliable or reader.nameless or reader.abandoned)
    reader.join()
    assert reader.reliable and writer.reliable_readers == 1 and writer.evictions == 0
    writer.close(unlink=True)
    assert reader.nameless and reader.abandoned
    reader.close()
    assert reader.closed


def test_poll_gives_its_table_and_a_choice_of_its_frames(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name) as reader:
        publish_numbers(writer, 4)
        poll = reader.poll()
        chosen = poll.choice(np.array([0, 2]))
        assert [frame.sequence for frame in chosen] == [1, 3]
        assert poll.table.flags.c_contiguous and poll.table.shape[1] == 4
