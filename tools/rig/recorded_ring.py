"""A ring and its journal with many messages, made at the speed of the disk: what a client that was long away finds.

Owns the writing of both; the messages are all one message, since sequence and place in the stream are what counts.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from consumers.journal import Fsync, JournalWriter
from consumers.journal.layout import SCAN_ROWS
from ringbuf import Writer
from ringbuf.layout import LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW, TIME_ROW

PORTION = 2000
"""Messages per batch and commit."""


def fill_recorded(writer: Writer, directory: Path, payload: bytes, messages: int, *, pack: bool = True) -> int:
    """Publish at least so many messages and record each of them; the journal is closed in order.  Returns how many."""
    stride = (len(payload) + 7) // 8 * 8
    buffer = np.frombuffer(payload.ljust(stride, b"\0") * PORTION, np.uint8)
    offsets = np.arange(PORTION, dtype=np.int64) * stride
    lengths = np.full(PORTION, len(payload), np.int64)
    table = np.zeros((SCAN_ROWS, PORTION), np.int64)
    table[OFFSET_ROW], table[LENGTH_ROW] = offsets, lengths
    before = writer.next_sequence
    name, uuid = writer.name, writer.uuid
    with JournalWriter(directory, ring_name=name, ring_uuid=uuid, fsync=Fsync.NEVER, pack=pack) as journal:
        while writer.next_sequence - before < messages:
            table[SEQUENCE_ROW] = np.arange(writer.next_sequence, writer.next_sequence + PORTION)
            table[TIME_ROW] = time.monotonic_ns()
            journal.append(buffer, table, PORTION)
            writer.publish_many(buffer, offsets, lengths)
    return writer.next_sequence - before
