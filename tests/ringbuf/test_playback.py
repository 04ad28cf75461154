"""Frames once more: paced, and into another ring."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from ringbuf import Reader, Writer
from ringbuf.playback import Pace, forward
from tlv.errors import UsageError

SMALL = 1 << 16


@pytest.mark.parametrize("speed", [0, -1.0, float("inf"), float("nan")])
def test_pace_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(UsageError, match="expected a number above 0"):
        Pace(speed)


def test_pace_plays_in_parts_and_stops_when_asked(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name) as reader:
        for payload in (b"a", b"b", b"c"):
            writer.publish(payload)
            time.sleep(0.02)
        poll = reader.poll()
        assert [len(part) for part in Pace(None).parts(poll)] == [3]
        begin = time.monotonic()
        assert sum(len(part) for part in Pace(1.0).parts(poll)) == 3
        assert time.monotonic() - begin >= 0.035, "it was faster than it was recorded"
        assert [len(part) for part in Pace(1e-6).parts(poll, lambda: True)] == [1]


def test_forward_copies_payloads_and_kinds_in_few_commits(new_ring_name: Callable[[], str]) -> None:
    source, target = new_ring_name(), new_ring_name()
    with (
        Writer.create(source, capacity=4 * SMALL) as writer,
        Reader.attach(source) as reader,
        Writer.create(target, capacity=SMALL) as copy,
        Reader.attach(target) as copied,
    ):
        forward(copy, reader.poll())
        assert copy.next_sequence == 1
        sent = [(kind, bytes([kind]) * length) for kind in (1, 1, 2) for length in (3, 6000, 7000)]
        for kind, payload in sent:
            writer.publish(payload, kind)
        forward(copy, reader.poll())
        assert [(frame.kind, bytes(frame.payload)) for frame in copied.poll()] == sent


def test_longest_pause_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="expected seconds above 0"):
        Pace(1.0, longest_pause_s=0)


def played(ring_name: str, pace: Pace, count: int, ring: bytes, clock_offset_ns: int | None) -> float:
    """Seconds until all frames of a ring came, and that an empty poll has no parts."""
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name) as reader:
        assert list(pace.parts(reader.poll(), ring=ring)) == []
        for number in range(count):
            writer.publish(bytes([number]))
        begin = time.monotonic()
        assert sum(len(part) for part in pace.parts(reader.poll(), ring=ring, clock_offset_ns=clock_offset_ns)) == count
        writer.close(unlink=True)
        return time.monotonic() - begin


def test_pace_of_the_next_ring_is_bounded_and_by_the_wall_clock(
    new_ring_name: Callable[[], str],
) -> None:
    """The second ring was recorded an hour later, on a clock that began anew: the pause is bounded."""
    pace, begin = Pace(1.0, longest_pause_s=0.05), time.monotonic()
    played(new_ring_name(), pace, 2, b"a", 0)
    played(new_ring_name(), pace, 2, b"b", 3600 * 10**9)
    assert time.monotonic() - begin >= 0.05
    assert played(new_ring_name(), pace, 2, b"b", None) < 3600
    assert played(new_ring_name(), pace, 2, b"a", None) < 3600
