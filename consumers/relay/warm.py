"""Compiles the relay's kernels by calling each once on a small message, for `alphapulse warm`."""

from __future__ import annotations

import numpy as np

from consumers.relay.kernels import FOUND_CELLS, await_run, message_end, pack_batch, read_run, split_messages
from ringbuf.layout import INDEX_ROWS, LENGTH_ROW, MIN_CAPACITY, READER
from tlv.codes import Domain, FeedReason, Source
from tlv.filter import EVERYTHING
from tlv.layout import Heartbeat
from tlv.message import build


def warm() -> None:
    """Pack one message as the relay does, and split the stream as a client does."""
    message = np.frombuffer(
        bytearray(build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [Heartbeat(0, 0, 0, 0, 0, 0, 0, 0, FeedReason.OK)])),
        np.uint8,
    )
    index = np.zeros((INDEX_ROWS, 1), np.int64)
    index[LENGTH_ROW] = message.size
    out = np.zeros(1024, np.uint8)
    _, _, _, size = pack_batch(out, message, index, 0, 1, 1, 0, 0, EVERYTHING.tables)
    split_messages(out, 0, size, np.zeros(4, np.int64))
    message_end(out, 0, size)  # in what several clients get, and in what is left of it for one
    message_end(np.frombuffer(bytes(out), np.uint8), 0, size)
    control = np.zeros(MIN_CAPACITY // 8, np.int64)  # as large as a ring in which nothing was published
    words = control.copy()
    words.flags.writeable = False  # as a reader's are: of another type, the kernels would compile again
    here = (words, control, np.zeros(1, READER), control[:0], index, out, np.zeros(FOUND_CELLS, np.int64))
    read_run(*here, 0, 1, 1, 0, 0, *EVERYTHING.tables)
    await_run(*here, 0, 1, 1, 0, 0, 0, 0, 0, *EVERYTHING.tables)
