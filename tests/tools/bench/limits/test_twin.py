"""The ring's layout is a contract: a program in C++ that knows it alone writes rings that we read, and reads ours."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from random import Random

import numpy as np
import pytest

from ringbuf import Reader, RingInfo, Status, Writer
from ringbuf.declare import word_of
from ringbuf.kernels import put_word
from ringbuf.layout import FORMAT, HEADER, MIN_CAPACITY
from ringbuf.names import ring_object
from tools.bench.limits.twin import compile_twin

FRAMES = 10_000
LARGEST = 400
BURST = 64
"""Frames that stay in the ring until they are read."""
ABOUT = struct.Struct("<qq")
Record = tuple[int, bytes]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_twin(tmp_path_factory.mktemp("twin"))


@pytest.fixture(scope="module")
def payloads() -> list[bytes]:
    rng = Random(15)
    return [rng.randbytes(rng.randrange(LARGEST)) for _ in range(FRAMES)]


def remove(name: str) -> None:
    Writer.open(name).close(unlink=True)


def split(output: bytes) -> tuple[list[Record], list[tuple[int, int]]]:
    """The frames that the twin drained, and its losses, as (first, last)."""
    frames, losses, at = [], [], 0
    while at < len(output):
        sequence, length = ABOUT.unpack_from(output, at)
        at += ABOUT.size
        if length < 0:
            losses.append((sequence, -1 - length))
        else:
            frames.append((sequence, output[at : at + length]))
            at += length
    return frames, losses


def test_ring_filled_by_the_twin_is_read_by_us_bit_for_bit_through_many_laps(
    program: Path, payloads: list[bytes], ring_name: str, tmp_path: Path
) -> None:
    Writer.create(ring_name, capacity=MIN_CAPACITY).close()
    given = tmp_path / "payloads"
    given.write_bytes(b"".join(struct.pack("<I", len(payload)) + payload for payload in payloads))
    found: list[Record] = []
    with Reader.attach(ring_name, start="oldest", reliable=True) as reader, given.open("rb") as source:
        filler = subprocess.Popen(
            [program, "ring-fill", ring_object(ring_name)], stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        while (poll := reader.poll()).status is not Status.CLOSED or not found:
            assert poll.loss is None and poll.status is not Status.CORRUPT
            found += [(frame.sequence, bytes(frame.payload)) for frame in poll]
            if not poll and filler.poll() not in (None, 0):
                raise AssertionError(filler.communicate()[1])
            reader.wait(1.0)
        assert filler.communicate() == (b"ready\n", b"") and filler.returncode == 0
        assert found == list(enumerate(payloads, 1))

        # Whoever writes next goes on behind it.
        with Writer.open(ring_name) as successor:
            assert successor.publish(b"ours again") == FRAMES + 1
        again = [reader.poll() for _ in range(2)]
        assert again[0].status is Status.EPOCH_CHANGED
        assert [bytes(frame.payload) for frame in again[1]] == [b"ours again"]
    info = RingInfo.read(ring_name)
    assert info.tail > 20 * MIN_CAPACITY
    remove(ring_name)


def test_ring_written_by_us_is_drained_by_the_twin_bit_for_bit_through_many_laps(
    program: Path, payloads: list[bytes], ring_name: str
) -> None:
    found = b""
    with Writer.create(ring_name, capacity=MIN_CAPACITY) as writer:
        drain = subprocess.Popen([program, "ring-drain", ring_object(ring_name)], stdout=subprocess.PIPE)
        assert drain.stdout is not None
        for at in range(0, FRAMES, BURST):
            burst = payloads[at : at + BURST]
            for payload in burst:
                writer.publish(payload)
            found += drain.stdout.read(sum(ABOUT.size + len(payload) for payload in burst))
    assert drain.communicate()[0] == b"" and drain.returncode == 0
    assert split(found) == (list(enumerate(payloads, 1)), [])
    remove(ring_name)


def test_twin_that_comes_late_tells_what_was_overwritten_and_reads_the_rest(
    program: Path, payloads: list[bytes], ring_name: str
) -> None:
    with Writer.create(ring_name, capacity=MIN_CAPACITY) as writer:
        for payload in payloads[:1000]:
            writer.publish(payload)
    output = subprocess.run([program, "ring-drain", ring_object(ring_name)], stdout=subprocess.PIPE, check=True).stdout
    frames, losses = split(output)
    [(first, last)] = losses
    assert first == 1 and 1 < last < 1000
    assert frames == list(enumerate(payloads[:1000], 1))[last:]
    remove(ring_name)


def test_twin_lapped_by_a_writer_flat_out_delivers_whole_frames_and_counts_the_others(
    program: Path, ring_name: str
) -> None:
    size, batch, batches = 128, 64, 300
    buffer = np.zeros((batch, size // 8), np.int64)
    offsets, lengths = np.arange(batch) * size, np.full(batch, size)
    with Writer.create(ring_name, capacity=MIN_CAPACITY) as writer:
        drain = subprocess.Popen([program, "ring-drain", ring_object(ring_name)], stdout=subprocess.PIPE)
        for number in range(batches):
            buffer[:] = np.arange(1, batch + 1)[:, None] + number * batch
            writer.publish_many(buffer.view(np.uint8).reshape(-1), offsets, lengths)
    frames, losses = split(drain.communicate()[0])
    assert drain.returncode == 0
    assert all(payload == struct.pack("<q", sequence) * (size // 8) for sequence, payload in frames)
    told = {sequence for sequence, _ in frames} | {lost for first, last in losses for lost in range(first, last + 1)}
    assert told == set(range(1, batch * batches + 1))
    assert len(frames) + sum(last - first + 1 for first, last in losses) == batch * batches
    remove(ring_name)


def test_twin_refuses_a_ring_of_another_layout_and_one_that_has_a_writer(program: Path, ring_name: str) -> None:
    def refusal(use: str) -> str:
        ended = subprocess.run(
            [program, use, ring_object(ring_name)], capture_output=True, text=True, input="", check=False
        )
        assert ended.returncode == 1
        return ended.stderr

    with Writer.create(ring_name, capacity=MIN_CAPACITY) as writer:
        assert refusal("ring-fill").startswith("expected a ring without a writer, found /alphapulse-")
        put_word(writer.words, word_of(HEADER, "version"), FORMAT + 1)
        assert "expected a ring of the layout that this was compiled for" in refusal("ring-drain")
        writer.close(unlink=True)
    assert "expected a shared-memory object" in refusal("ring-drain")
