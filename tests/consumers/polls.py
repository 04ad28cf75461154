"""Polls made of messages, as a ring or a journal would give them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ringbuf import Loss, Poll, Status
from ringbuf.layout import INDEX_ROWS, LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW, TIME_ROW
from tlv.buffers import Longs


def poll_of(messages: Sequence[bytes], first: int = 1, loss: Loss | None = None) -> Poll:
    """A poll of these payloads, with sequences from `first` on; each is published at 1,000 ns times its sequence."""
    starts, data = [], bytearray()
    for message in messages:
        starts.append(len(data))
        data += message + bytes(-len(message) % 8)
    buffer = np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8)
    index: Longs = np.zeros((INDEX_ROWS, len(messages)), np.int64)
    index[SEQUENCE_ROW] = np.arange(first, first + len(messages))
    index[TIME_ROW] = index[SEQUENCE_ROW] * 1_000
    index[OFFSET_ROW], index[LENGTH_ROW] = starts, [len(message) for message in messages]
    return Poll(Status.OK, loss, 0, buffer, buffer.data, index)
