"""The recorded market as a table of frames, and what the native example must say about it, by plain Python."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np

from consumers.examples.native_mover import MoverParams, PriceMove
from consumers.strategy import Strategy
from ringbuf import Reader
from ringbuf.layout import INDEX_ROWS, LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW, TIME_ROW
from tests.consumers.recorded_market import Frame, canonical_frames
from tlv.buffers import Bytes, Longs
from tlv.codes import Flag
from tlv.layout import EventOrigin, PoolRecord, PoolSync


class PythonMover(Strategy):
    """`NativeMover` in Python: the same signals, byte for byte."""

    name = "native_mover"
    params = MoverParams
    wants = frozenset({PoolSync})

    def __init__(self, settings: MoverParams) -> None:
        super().__init__()
        self.settings = settings
        self.prices: dict[bytes, float] = {}

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        if not isinstance(record, PoolSync):
            return
        if self.trigger.flags & Flag.BACKFILL or not record.reserve0:
            return
        price = float(record.reserve1) / float(record.reserve0)
        before = self.prices.get(record.pool)
        self.prices[record.pool] = price
        if before is None:
            return
        move = int((price / before - 1.0) * 1e6)
        if abs(move) >= self.settings.threshold_pips:
            self.emit(PriceMove(move, record.pool), receive_time_ns=origin.receive_time_ns)

    def on_lost(self, first: int, last: int) -> None:
        self.prices.clear()


def table_of(frames: Iterable[Frame]) -> tuple[Bytes, Longs]:
    """Frames end to end in a buffer, and their table as polls have it."""
    listed = list(frames)
    table, at, parts = np.zeros((INDEX_ROWS, len(listed)), np.int64), 0, []
    for column, (sequence, publish_ns, data) in enumerate(listed):
        padding = bytes(-len(data) % 8)
        table[SEQUENCE_ROW, column], table[TIME_ROW, column] = sequence, publish_ns
        table[OFFSET_ROW, column], table[LENGTH_ROW, column] = at, len(data)
        parts += [data, padding]
        at += len(data) + len(padding)
    return np.frombuffer(bytearray(b"".join(parts)) or bytearray(8), np.uint8), table


@cache
def recorded_table() -> tuple[Bytes, Longs]:
    """The recording's."""
    return table_of(canonical_frames())


def read_all(name: str) -> list[bytes]:
    """Every payload in a ring."""
    with Reader.attach(name, start="oldest") as reader:
        found: list[bytes] = []
        while frames := reader.poll():
            found.extend(bytes(frame.payload) for frame in frames)
        return found
