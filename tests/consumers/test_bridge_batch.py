"""Batches of frames: their bytes, and how much goes into one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.bridge.batch import (
    HEADERS_ROOM,
    Limits,
    find_damaged,
    limits_of,
    pack,
    portions,
    unpack,
)
from consumers.bridge.errors import LayoutDiffers
from ringbuf import Poll, Reader, Status, Writer
from ringbuf.layout import INDEX_ROWS, LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW
from tests.consumers.bridge_rig import message, publish
from tlv.errors import FrameError
from tlv.layout import LAYOUT_DIGEST


def packed(ring_name: str, frames: int) -> bytes:
    with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST) as writer, Reader.attach(ring_name) as reader:
        publish(writer, frames)
        data = pack(reader.uuid, reader.poll())
        writer.close(unlink=True)
    return data


def poll_of(lengths: list[int]) -> Poll:
    """Frames of zeros."""
    index = np.zeros((INDEX_ROWS, len(lengths)), np.int64)
    index[LENGTH_ROW] = lengths
    index[OFFSET_ROW] = np.concatenate(([0], np.cumsum(-(-np.array(lengths) // 8) * 8)[:-1]))
    index[SEQUENCE_ROW] = np.arange(1, len(lengths) + 1)
    buffer = np.zeros(sum(lengths) + 8 * len(lengths), np.uint8)
    return Poll(Status.OK, None, 0, buffer, buffer.data, index)


def test_batch_of_frames_survives_packing(ring_name: str) -> None:
    batch = unpack(packed(ring_name, 5))
    assert (batch.first_sequence, batch.last_sequence) == (1, 5)
    frames = [bytes(batch.buffer[o : o + n]) for o, n in zip(batch.offsets, batch.lengths, strict=True)]
    assert frames == [message(sequence) for sequence in range(1, 6)]
    assert find_damaged(batch.buffer, batch.offsets, batch.lengths) == -1


@pytest.mark.parametrize("cut", [0, 10, 55, 60, -1])
def test_batch_truncated_is_refused(ring_name: str, cut: int) -> None:
    data = packed(ring_name, 3)
    with pytest.raises(FrameError):
        unpack(data[:cut])


def test_batch_of_another_layout_is_refused_with_what_to_do(ring_name: str) -> None:
    data = bytearray(packed(ring_name, 1))
    data[8:16] = (7).to_bytes(8, "little")
    with pytest.raises(LayoutDiffers, match=r"expected layout digest 0x.*, found 0x7; run both .* on a new stream"):
        unpack(bytes(data))


def test_batch_with_flipped_bit_names_damaged_frame(ring_name: str) -> None:
    data = bytearray(packed(ring_name, 3))
    batch = unpack(bytes(data))
    data[int(batch.offsets[1]) + 40] ^= 1
    batch = unpack(bytes(data))
    assert find_damaged(batch.buffer, batch.offsets, batch.lengths) == 1


def test_portions_respect_frames_and_bytes() -> None:
    lengths = np.array([100] * 300 + [200_000, 200_000, 1], np.int64)
    assert list(portions(lengths, Limits())) == [(0, 256), (256, 301), (301, 303)]
    assert list(portions(lengths[:3], Limits())) == [(0, 3)]
    assert list(portions(lengths[:0], Limits())) == []


@given(largest=st.integers(1024, 1 << 20), data=st.data())
def test_batch_within_limits_fits_the_message(largest: int, data: st.DataObject) -> None:
    limits = limits_of(largest)
    lengths = data.draw(st.lists(st.integers(1, limits.largest), min_size=1, max_size=300))
    for first, last in portions(np.array(lengths, np.int64), limits):
        batch = pack(bytes(16), poll_of(lengths[first:last]))
        assert len(batch) + HEADERS_ROOM <= largest
        assert [int(n) for n in unpack(batch).lengths] == lengths[first:last]


def test_limits_of_a_default_server_are_a_quarter_of_its_message() -> None:
    assert limits_of(1 << 20)[:2] == Limits()[:2]
