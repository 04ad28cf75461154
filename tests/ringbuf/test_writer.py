"""One writer: what it refuses, how it waits, how the next one goes on."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from ringbuf import (
    BadSegment,
    BatchTooLarge,
    FrameTooLong,
    Full,
    NotOwner,
    Reader,
    RingClosed,
    RingFull,
    RingInfo,
    RingNotFound,
    RingOrphaned,
    Status,
    Writer,
    kernels,
)
from ringbuf.layout import COMMIT_0, COMMIT_SEQUENCE, COMMIT_WORDS, INTENT, TAIL
from ringbuf.names import lock_object
from ringbuf.ring import unlink_ring
from ringbuf.segment import path_of
from ringbuf.status import FULL
from tlv.errors import UsageError

SMALL = 1 << 16


def payloads(reader: Reader) -> list[bytes]:
    return [bytes(frame.payload) for frame in reader.poll()]


def test_publish_many_is_one_commit(ring_name: str) -> None:
    buffer = np.arange(100, dtype=np.uint8)
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name) as reader:
        assert writer.publish_many(buffer, np.array([0, 50]), np.array([3, 11]), kind=9) == 1
        assert payloads(reader) == [bytes(range(3)), bytes(range(50, 61))]
        assert RingInfo.read(ring_name).counters["batches"] == 1
        assert writer.publish_many(buffer, np.array([], dtype=np.int64), np.array([], dtype=np.int64)) == 3


@pytest.mark.parametrize(
    ("offsets", "lengths", "complaint"),
    [([0], [1, 2], "1 offsets, but 2"), ([-1], [1], "beyond the 10"), ([5], [6], "beyond"), ([5], [-1], "beyond")],
)
def test_publish_many_with_frames_outside_the_buffer_is_refused(
    ring_name: str, offsets: list[int], lengths: list[int], complaint: str
) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, pytest.raises(UsageError, match=complaint):
        writer.publish_many(np.zeros(10, dtype=np.uint8), np.array(offsets), np.array(lengths))


def test_publish_many_over_a_quarter_of_the_ring_publishes_nothing(ring_name: str) -> None:
    offsets = np.zeros(300, dtype=np.int64)
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name) as reader:
        with pytest.raises(BatchTooLarge, match="the batch exceeds 16384 bytes"):
            writer.publish_many(np.zeros(10, dtype=np.uint8), offsets, offsets)
        assert reader.poll().status is Status.EMPTY and writer.next_sequence == 1


def test_writer_without_wake_publishes_the_same(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL, no_wake=True) as writer, Reader.attach(ring_name) as reader:
        writer.publish(b"one")
        writer.publish_many(np.zeros(8, dtype=np.uint8), np.array([0]), np.array([8]))
        with writer.batch() as batch:
            batch.append(b"three", key=True)
        assert payloads(reader) == [b"one", bytes(8), b"three"]


def test_writer_closed_refuses_and_can_be_closed_again(ring_name: str) -> None:
    writer = Writer.create(ring_name, capacity=SMALL)
    writer.close()
    writer.close()
    with pytest.raises(RingClosed, match="this writer was closed"):
        writer.publish(b"late")
    with pytest.raises(RingClosed), writer.batch() as batch:
        batch.append(b"late")
    with pytest.raises(RingClosed):
        writer.heartbeat()


def test_writer_after_fork_belongs_to_the_parent(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name, reliable=True) as reader:
        pid = os.fork()
        if pid == 0:
            refused = 0
            for attempt in (lambda: writer.publish(b"mine"), writer.heartbeat, lambda: Writer.open(ring_name)):
                try:
                    attempt()
                except NotOwner:
                    refused += 1
            lossy = reader.state[0]["slot"] == -1 and reader.check() is Status.EMPTY
            writer.close()
            reader.close()
            os._exit(0 if refused == 3 and lossy else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert writer.publish(b"still ours") == 1 and payloads(reader) == [b"still ours"]
        assert RingInfo.read(ring_name).slots[0].alive


def test_take_over_goes_on_with_the_next_sequence_and_epoch(ring_name: str) -> None:
    first = Writer.create(ring_name, capacity=SMALL)
    uuid = first.uuid
    first.publish(b"one")
    reader = Reader.attach(ring_name, start="oldest")
    first.close()
    with Writer.open(ring_name) as second:
        assert (second.epoch, second.next_sequence, second.uuid) == (2, 2, uuid)
        second.publish(b"two")
        assert payloads(reader) == [b"one"]
        assert reader.poll().status is Status.EPOCH_CHANGED and reader.epoch == 2
        assert payloads(reader) == [b"two"]
        assert RingInfo.read(ring_name).counters["recoveries"] == 1
    reader.close()


@pytest.mark.parametrize("damage", ["no record", "wild sequence", "intent behind"])
def test_take_over_of_a_ring_without_a_commit_record_is_refused(ring_name: str, damage: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer:
        writer.publish(b"one")
        if damage == "no record":
            kernels.put_word(writer.words, TAIL, 128)
        elif damage == "wild sequence":
            kernels.put_word(writer.words, COMMIT_0 + COMMIT_SEQUENCE, 999)
            kernels.put_word(writer.words, COMMIT_0 + COMMIT_WORDS + COMMIT_SEQUENCE, 999)
        else:
            kernels.put_word(writer.words, INTENT, 0)
    with pytest.raises(BadSegment, match="no commit record belongs to its tail; unlink it"):
        Writer.open(ring_name)


@pytest.mark.parametrize("start", [Writer.open, Writer.open_or_create])
def test_second_writer_after_the_lock_object_was_removed_is_refused(
    ring_name: str, start: Callable[[str], Writer]
) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer:
        path_of(lock_object(ring_name)).unlink()
        gc.collect()  # what other tests left must not go meanwhile
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        with pytest.raises(NotOwner, match="-lock: that one was removed under it"):
            start(ring_name)
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
        assert writer.publish(b"still the only one") == 1
    with start(ring_name) as successor:
        assert successor.next_sequence == 2


def test_writer_killed_while_a_forked_child_lives_on_can_be_followed(ring_name: str) -> None:
    """The child inherits the parent's maps, and with them copies of descriptors: none may keep a lock."""
    ready, release = os.pipe(), os.pipe()
    parent = os.fork()
    if parent == 0:
        writer = Writer.create(ring_name, capacity=SMALL)
        if os.fork() == 0:
            os.write(ready[1], b"x")
            os.read(release[0], 1)
            os._exit(0)
        writer.publish(b"last words")
        os.read(release[0], 1)
    assert os.read(ready[0], 1) == b"x"
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    with Writer.standby(ring_name, timeout_s=5.0) as successor:
        assert successor.epoch == 2
    os.write(release[1], b"x")
    for fd in (*ready, *release):
        os.close(fd)


def test_standby_takes_over_when_the_writer_goes(ring_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RingNotFound):
        Writer.standby(ring_name)
    writer = Writer.create(ring_name, capacity=SMALL)
    with pytest.raises(NotOwner):
        Writer.standby(ring_name, timeout_s=0.0)
    monkeypatch.setattr(time, "sleep", lambda _: writer.close())  # it goes between two looks
    with Writer.standby(ring_name) as successor:
        assert successor.epoch == 2


def test_heartbeat_keeps_an_idle_writer_from_being_stale(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer:
        reader = Reader.attach(ring_name, stale_after_s=0.2)
        time.sleep(0.25)
        assert reader.check() is Status.WRITER_STALE
        writer.heartbeat()
        assert reader.check() is Status.EMPTY
        reader.close()


def fill(writer: Writer) -> None:
    for _ in range(2 * SMALL // 4096):
        writer.publish(bytes(4000))


def test_full_ring_evicts_the_slow_consumer_and_tells_it(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL, full_timeout_s=0.01) as writer:
        with Reader.attach(ring_name, reliable=True) as slow:
            fill(writer)
            assert slow.evicted
            poll = slow.poll()
            assert poll.loss is not None and poll.loss.first == 1 and slow.evicted
            slow.join()
            assert not slow.evicted
        info = RingInfo.read(ring_name)
        assert info.counters["evictions"] == 1 and info.counters["back_pressure"] == 1 and not info.slots


def test_full_ring_with_policy_raise_tells_the_publisher(ring_name: str) -> None:
    writer = Writer.create(ring_name, capacity=SMALL, full=Full.RAISE, full_timeout_s=0.0)
    with writer, Reader.attach(ring_name, reliable=True) as slow:
        with pytest.raises(RingFull, match=r"consumer slot 0 made no room in 0\.0 s"):
            fill(writer)
        with pytest.raises(RingFull):
            writer.publish_many(np.zeros(16000, dtype=np.uint8), np.arange(3) * 4000, np.full(3, 4000))
        assert not slow.evicted and slow.poll().loss is None


def test_full_ring_with_policy_drop_new_counts_and_keeps_the_sequence_dense(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL, full=Full.DROP_NEW, full_timeout_s=0.0) as writer:
        with Reader.attach(ring_name, reliable=True) as slow:
            while writer.publish(bytes(4000)):
                pass
            dropped_at = writer.next_sequence
            with writer.batch() as batch:
                assert batch.append(bytes(4000)) == 0
            read = len(slow.poll())
            slow.poll()
            assert writer.publish(b"room again") == dropped_at == read + 1
        assert RingInfo.read(ring_name).counters["dropped"] == 2


def test_full_ring_waits_for_a_consumer_that_reads(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL, full_timeout_s=10.0) as writer:
        reader = Reader.attach(ring_name, reliable=True)
        done = threading.Event()

        def consume() -> None:
            while not done.is_set():
                reader.poll()
                reader.wait(0.005)

        consumer = threading.Thread(target=consume)
        consumer.start()
        for _ in range(4):
            fill(writer)
        done.set()
        consumer.join()
        assert reader.lost == 0 and not reader.evicted
        reader.close()


def test_full_ring_evicts_nobody_if_the_slow_consumer_reads_on_at_the_last_moment(ring_name: str) -> None:
    """The race itself: between the scan that found the ring full and the look for whom to evict."""
    with Writer.create(ring_name, capacity=SMALL, full=Full.DROP_NEW, full_timeout_s=0.0) as writer:
        slow = Reader.attach(ring_name, reliable=True)
        for _ in range(8):
            writer.publish(bytes(4000))
        other = Reader.attach(ring_name, reliable=True)  # in the middle of the ring, and in nobody's way
        while writer.publish(bytes(4000)):
            pass
        native = (writer.words, writer.control, writer.state, np.zeros(4000, dtype=np.uint8))
        writer._full = Full.EVICT
        slow.poll()
        slow.poll()  # what the first delivered counts as read

        def attempt() -> int:
            return kernels.publish(*native, 0, 4000, 0, 0, 1)

        assert writer._settle(FULL, 4000, attempt) == writer.next_sequence - 1
        assert not slow.evicted and not other.evicted
        slow.close()
        other.close()


def test_full_ring_frees_the_slot_of_a_dead_consumer_at_once(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL, full=Full.RAISE, full_timeout_s=0.0) as writer:
        dead = Reader.attach(ring_name, reliable=True)
        dead._lock.close()  # what the kernel does when its process dies
        fill(writer)
        assert not RingInfo.read(ring_name).slots
        with Reader.attach(ring_name, reliable=True):
            assert RingInfo.read(ring_name).slots[0].slot == 0, "the writer kept the lock of the slot it freed"


def test_payload_too_long_is_counted(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL, max_frame=64) as writer:
        with pytest.raises(FrameTooLong, match="payload of 33 bytes exceeds 32"):
            writer.publish(bytes(33))
        with pytest.raises(FrameTooLong), writer.batch() as batch:
            batch.append(bytes(33))
        with pytest.raises(FrameTooLong):
            writer.publish_many(np.zeros(40, dtype=np.uint8), np.array([0]), np.array([33]))
        assert RingInfo.read(ring_name).counters["rejects"] == 3


def test_writer_whose_ring_lost_its_name_says_so_at_its_heartbeat(ring_name: str) -> None:
    writer = Writer.create(ring_name, capacity=SMALL)
    writer.heartbeat()
    unlink_ring(ring_name)
    with pytest.raises(RingOrphaned, match="the name is gone or means another one"):
        writer.heartbeat()
    writer.close()
