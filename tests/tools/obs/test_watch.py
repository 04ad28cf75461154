"""Which frames of a poll are looked into."""

from __future__ import annotations

import numpy as np
import pytest

from ringbuf import Poll, Status
from ringbuf.layout import INDEX_ROWS, LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW
from tlv.layout import HEADER_SIZE, Heartbeat, Unproven
from tools.obs.watch import kept_frames


def poll_of(*payloads: bytes) -> Poll:
    """A poll whose buffer ends with its last frame."""
    index = np.zeros((INDEX_ROWS, len(payloads)), dtype=np.int64)
    index[SEQUENCE_ROW] = range(1, len(payloads) + 1)
    index[LENGTH_ROW] = [len(payload) for payload in payloads]
    index[OFFSET_ROW, 1:] = np.cumsum(index[LENGTH_ROW])[:-1]
    content = b"".join(payloads)
    return Poll(Status.OK, None, 0, np.frombuffer(content, dtype=np.uint8), memoryview(content), index)


def of_type(number: int) -> bytes:
    return bytes(HEADER_SIZE) + bytes([number]) + bytes(7)


@pytest.mark.parametrize("last", [b"", b"x", bytes(HEADER_SIZE), bytes([Heartbeat.layout.type]) * HEADER_SIZE])
def test_frames_that_are_kept_are_found_whatever_ends_the_buffer(last: bytes) -> None:
    poll = poll_of(of_type(16), of_type(Heartbeat.layout.type), b"short", of_type(Unproven.layout.type), last)
    assert [frame.sequence for frame in kept_frames(poll)] == [2, 4]


def test_frames_of_an_empty_poll_are_none() -> None:
    index = np.zeros((INDEX_ROWS, 0), dtype=np.int64)
    assert kept_frames(Poll(Status.EMPTY, None, 0, np.zeros(8, dtype=np.uint8), memoryview(b""), index)) == []
