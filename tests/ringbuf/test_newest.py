"""The newest frames, newest first: the same as a reader reads, backwards."""

from __future__ import annotations

import random

import pytest

from ringbuf import Reader, Writer
from ringbuf.newest import PIECE, newest_frames


def written(writer: Writer, count: int, seed: int = 1) -> list[bytes]:
    chance = random.Random(seed)
    payloads = [chance.randbytes(chance.randrange(0, 3000)) for _ in range(count)]
    for payload in payloads:
        writer.publish(payload)
    return payloads


@pytest.mark.parametrize("capacity", [1 << 16, 1 << 18])
@pytest.mark.parametrize("count", [0, 1, 3, 40, 400])
def test_newest_frames_are_those_of_a_reader_backwards(ring_name: str, capacity: int, count: int) -> None:
    with Writer.create(ring_name, capacity=capacity) as writer:
        written(writer, count)
        newest = [frame.payload for frame in newest_frames(ring_name, capacity)]
        with Reader.attach(ring_name, start="oldest") as reader:
            readable = []
            while poll := reader.poll():
                readable += [bytes(frame.payload) for frame in poll]
    shared = min(len(newest), len(readable))
    assert newest[:shared] == readable[::-1][:shared]
    assert sum(map(len, newest)) >= sum(map(len, readable)) - 2 * PIECE, "but for the piece that is being overwritten"


def test_newest_frames_are_limited_to_the_bytes_that_were_asked_for(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=1 << 20) as writer:
        payloads = written(writer, 600)
        newest = [frame.payload for frame in newest_frames(ring_name, PIECE)]
    assert 0 < len(newest) < 100
    assert newest == payloads[::-1][: len(newest)]


def test_newest_frames_carry_the_time_of_their_publishing(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=1 << 16) as writer:
        written(writer, 5)
        stamps = [frame.publish_ns for frame in newest_frames(ring_name)]
    assert stamps == sorted(stamps, reverse=True)
    assert stamps[-1] > 0
