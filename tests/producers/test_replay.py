"""Recorded frames into a ring again: what is changed in them, what is not, and when they come."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from producers.output.replay import Replay, Replayed
from ringbuf import BatchTooLarge, FrameTooLong, Loss, Poll, Reader, Status, Writer
from ringbuf.playback import Pace, forward
from tests.tlv.samples import random_message
from tlv.codes import Flag
from tlv.errors import UsageError
from tlv.message import parse

MS = 1_000_000


def poll_of(payloads: list[bytes], *, loss: Loss | None = None, times: list[int] | None = None, kind: int = 0) -> Poll:
    """A poll that brought `payloads` with sequences from 1 on."""
    table = np.zeros((5, len(payloads)), np.int64)
    data = b""
    for i, payload in enumerate(payloads):
        table[:, i] = i + 1, len(data), len(payload), times[i] if times else i, kind
        data += payload + bytes(-len(payload) % 8)
    buffer = np.frombuffer(bytearray(data), np.uint8)
    return Poll(Status.OK, loss, 0, buffer, buffer.data, table)


def read_all(name: str) -> list[tuple[int, int, bytes]]:
    """(sequence, kind, payload) of every frame in a ring."""
    with Reader.attach(name, start="oldest") as reader:
        found: list[tuple[int, int, bytes]] = []
        while frames := reader.poll():
            found.extend((frame.sequence, frame.kind, bytes(frame.payload)) for frame in frames)
        return found


def messages(count: int, seed: int) -> list[bytes]:
    """Random messages."""
    rng = random.Random(seed)
    return [random_message(rng) for _ in range(count)]


def test_replay_changes_nothing_but_flag_and_checksum(ring_name: str) -> None:
    payloads = messages(2000, seed=1)
    with Writer.create(ring_name) as writer:
        done = Replay(writer).play([poll_of(payloads[:1500]), poll_of(payloads[1500:], loss=Loss(bytes(16), 7, 9))])
    assert done == Replayed(2000, sum(map(len, payloads)), 3, 0)
    frames = read_all(ring_name)
    assert [sequence for sequence, _, _ in frames] == list(range(1, 2001))
    for payload, (_, _, copy) in zip(payloads, frames, strict=True):
        before, after = parse(payload), parse(copy)  # which verifies the checksum
        assert after.records == before.records
        assert after.header.flags == before.header.flags | Flag.REPLAY
        fields = ("domain", "source", "sequence", "timestamp_ns", "payload_size")
        assert [getattr(after.header, name) for name in fields] == [getattr(before.header, name) for name in fields]


def test_replay_damaged_message_stays_damaged(ring_name: str) -> None:
    whole = messages(1, seed=2)[0]
    damaged = bytearray(whole)
    damaged[-1] ^= 1
    with Writer.create(ring_name) as writer:
        done = Replay(writer).play([poll_of([bytes(damaged), b"no message", whole])])
    assert (done.frames, done.unmarked) == (3, 2)
    assert [payload for _, _, payload in read_all(ring_name)][:2] == [bytes(damaged), b"no message"]


def test_replay_keeps_kinds(ring_name: str) -> None:
    poll = poll_of([b"%d" % i for i in range(100)])
    poll.kinds[:] = [i // 7 for i in range(100)]
    with Writer.create(ring_name) as writer:
        forward(writer, poll)
    assert [(kind, payload) for _, kind, payload in read_all(ring_name)] == [(i // 7, b"%d" % i) for i in range(100)]


@pytest.mark.parametrize("longest", [0, 40, 700, 8000])
def test_forward_of_more_than_a_batch_may_hold_takes_several(ring_name: str, longest: int) -> None:
    rng = random.Random(longest)
    payloads = [rng.randbytes(rng.randrange(longest + 1)) for _ in range(3000)]
    with Writer.create(ring_name, capacity=1 << 16, full_timeout_s=30.0) as writer:
        received: list[bytes] = []
        with Reader.attach(ring_name, reliable=True) as reader:
            worker = threading.Thread(target=lambda: received.extend(drain(reader, len(payloads))))
            worker.start()
            forward(writer, poll_of(payloads))
            worker.join()
    assert received == payloads


def drain(reader: Reader, count: int) -> Iterator[bytes]:
    """The next `count` payloads."""
    while count:
        poll = reader.poll()
        assert poll.loss is None
        for frame in poll:
            yield bytes(frame.payload)
        count -= len(poll)
        if not poll:
            reader.wait(1.0)


def test_forward_of_a_frame_that_is_too_long_is_refused(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=1 << 16) as writer:
        with pytest.raises((FrameTooLong, BatchTooLarge)):
            forward(writer, poll_of([b"a", bytes(60_000), b"b"]))
        assert writer.next_sequence == 1 + 1


def test_pace_gives_frames_when_they_are_due() -> None:
    times = [50 * MS, 50 * MS, 90 * MS, 130 * MS]
    began = time.monotonic_ns()
    seen = []
    for part in Pace(4.0).parts(poll_of([b""] * 4, times=times)):
        seen += [(frame.sequence, time.monotonic_ns() - began) for frame in part]
    assert [sequence for sequence, _ in seen] == [1, 2, 3, 4]
    assert seen[2][1] >= 10 * MS and seen[3][1] >= 20 * MS


def test_pace_clock_that_goes_back_begins_anew() -> None:
    pace = Pace(1.0)
    hour = 3_600_000 * MS
    list(pace.parts(poll_of([b""], times=[hour])))
    assert [len(part) for part in pace.parts(poll_of([b""] * 2, times=[5, 5]))] == [2]


def test_pace_between_rings_of_two_boots_goes_by_the_wall_clock() -> None:
    pace = Pace(1.0)
    hours = 5 * 3_600_000 * MS
    list(pace.parts(poll_of([b""], times=[10]), ring=b"old", clock_offset_ns=hours))
    begin = time.monotonic_ns()
    # The second boot was up 4,900 s when it began, 30 ms later by the wall clock.
    later = 4900_000 * MS
    parts = list(pace.parts(poll_of([b""], times=[later]), ring=b"new", clock_offset_ns=hours + 30 * MS - later))
    taken = time.monotonic_ns() - begin
    assert len(parts) == 1 and 20 * MS < taken < 20_000 * MS


@pytest.mark.parametrize("ring", [b"same", b"new"])
def test_pace_pause_is_at_most_the_longest(ring: bytes) -> None:
    pace = Pace(10.0, longest_pause_s=0.2)
    list(pace.parts(poll_of([b""], times=[10]), ring=b"same", clock_offset_ns=0))
    begin = time.monotonic_ns()
    assert len(list(pace.parts(poll_of([b""], times=[3_600_000 * MS]), ring=ring, clock_offset_ns=0))) == 1
    assert 15 * MS < time.monotonic_ns() - begin < 20_000 * MS


def test_pace_late_frames_come_in_one_part() -> None:
    pace = Pace(1000.0)
    list(pace.parts(poll_of([b""], times=[0])))
    time.sleep(0.01)
    assert [len(part) for part in pace.parts(poll_of([b""] * 500, times=[MS] * 500))] == [500]


@pytest.mark.parametrize("speed", [0.0, -1.0, float("inf"), float("nan")])
def test_pace_speed_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(UsageError, match="expected a number above 0"):
        Pace(speed)


def test_replay_in_a_pause_gives_signs_of_life_and_stops_when_asked(new_ring_name: Callable[[], str]) -> None:
    with Writer.create(new_ring_name()) as writer:
        with Reader.attach(writer.name, stale_after_s=0.5) as reader:
            asked = threading.Event()
            polls = [poll_of(messages(2, seed=3), times=[0, 3_600_000 * MS])]
            worker = threading.Thread(target=lambda: Replay(writer, 1.0).play(polls, asked.is_set))
            worker.start()
            time.sleep(0.8)
            status = reader.check()
            asked.set()
            worker.join(5.0)
            assert not worker.is_alive()
        assert status is Status.EMPTY
        assert writer.next_sequence == 2
