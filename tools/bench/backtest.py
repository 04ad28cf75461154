"""Backtests: frames a second through strategies over a mapped journal, beside a plain strategy live on a ring.

Frames are Sync events of 32 V2 pools, of 254 bytes.  The native and the plain strategy do the same: they compare the
two reserves.  A reading is the best pass; the journal is mapped before, as for all runs of a sweep but the first.  Both
signal nothing, so no executor reads; the last reading is of a strategy that orders through 4 of the pools, of which the
executor reads.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from consumers.backtest.mapped_journal import MappedJournal, map_journal
from consumers.backtest.run import run_backtest
from consumers.execution.executor import PaperExecutor
from consumers.journal import Fsync, JournalWriter
from consumers.loading import AnyStrategy
from consumers.native import EVENT, NativeDrafts, NativeFrame, NativeStrategy, has, view
from consumers.runner import Runner
from consumers.strategy import Driver, Strategy
from ringbuf import Reader, Status, Writer
from ringbuf.layout import INDEX_ROWS, LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW, TIME_ROW
from tlv.codes import Domain, Protocol, Source, Venue
from tlv.jit import kernel
from tlv.layout import LAYOUT_DIGEST, EventOrigin, OrderLeg, PoolRecord, PoolSync
from tlv.message import build
from tools.bench.result import BenchResult
from tools.bench.timing import per_second

BATCH = 4096
NATIVE_BATCHES, PLAIN_BATCHES = 100, 4
POOLS = 32
CAPACITY = 1 << 23
FASTER = 10
"""How many times the plain live rate a native backtest must have."""


class Counting(Strategy):
    """Looks at each Sync, as little as a strategy can do."""

    name: ClassVar[str] = "counting"
    wants = frozenset({PoolSync})

    def __init__(self) -> None:
        super().__init__()
        self.above = 0

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        """Compare the two reserves."""
        assert isinstance(record, PoolSync)
        self.above += record.reserve0 > record.reserve1


class NativeCounting(NativeStrategy):
    """The same in machine code."""

    name: ClassVar[str] = "native_counting"
    wants = frozenset({PoolSync})
    state = np.dtype([("above", "<i8")])

    @kernel
    def handler(state: Any, frame: NativeFrame, drafts: NativeDrafts) -> None:  # noqa: N805 - a kernel has no self
        """Compare the two reserves, from their highest limbs down."""
        if frame.what != EVENT or not has(frame, PoolSync):
            return
        sync = view(frame, PoolSync)
        for limb in (3, 2, 1, 0):
            if sync["reserve0"][limb] != sync["reserve1"][limb]:
                state["above"] += np.int64(sync["reserve0"][limb] > sync["reserve1"][limb])
                return


class Ordering(Counting):
    """Asks for a swap once in a thousand events."""

    name: ClassVar[str] = "ordering"

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        """Order through the pool that moved."""
        self.above += 1
        if self.above % 1000 == 0:
            leg = OrderLeg(record.pool, record.token0, record.token1, 1)
            self.order([leg], 1, block_number=origin.block_number, expires_block=origin.block_number + 1)


def run(seconds: float) -> list[BenchResult]:
    """All readings, each over `seconds`."""
    live = live_rate(seconds)
    with tempfile.TemporaryDirectory(prefix="bench-backtest") as folder:
        native = rate(Path(folder) / "native", NATIVE_BATCHES, NativeCounting, seconds)
        plain = rate(Path(folder) / "plain", PLAIN_BATCHES, Counting, seconds)
        ordering = rate(Path(folder) / "ordering", PLAIN_BATCHES, Ordering, seconds)
    beside = "plain strategy on a live ring"
    return [
        reading("backtest of a native strategy", native, beside, live, FASTER * live),
        reading("backtest of a plain strategy", plain, beside, live),
        reading("backtest of a plain strategy that orders", ordering, "one that does not", plain),
    ]


def reading(name: str, value: float, beside: str, baseline: float, target: float | None = None) -> BenchResult:
    """A rate beside another."""
    return BenchResult(name, value, "M frames/s", beside, baseline, value / baseline, target, "of one core")


def messages() -> list[bytes]:
    """A batch of Sync events; prices stay, so nobody signals."""
    found = []
    for number in range(BATCH):
        pool = number % POOLS + 1
        head = (
            bytes([pool] * 20),
            bytes([101] * 20),
            bytes([102] * 20),
            Venue.QUICKSWAP_V2,
            18,
            6,
            Protocol.UNISWAP_V2,
        )
        origin = EventOrigin(number + 1, 0, 0, 0, 0, bytes(32), bytes(32))
        data = build(
            Domain.MARKET_DATA,
            Source.POLYGON_COLLECTOR,
            [PoolSync(*head, pool << 80, 1 << 80), origin],
            sequence=number + 1,
            timestamp_ns=number + 1,
        )
        found.append(data)
    return found


def write_journal(directory: Path, batches: int) -> None:
    """A journal of so many batches."""
    data = messages()
    stride = len(data[0]) + 7 & -8
    buffer = np.frombuffer(b"".join(one.ljust(stride, b"\0") for one in data), np.uint8)
    table = np.zeros((INDEX_ROWS, BATCH), np.int64)
    table[OFFSET_ROW] = np.arange(BATCH) * stride
    table[LENGTH_ROW] = len(data[0])
    with JournalWriter(directory, ring_name="market.bench", ring_uuid=bytes(range(16)), fsync=Fsync.NEVER) as journal:
        for number in range(batches):
            table[SEQUENCE_ROW] = table[TIME_ROW] = np.arange(BATCH) + 1 + number * BATCH
            journal.append(buffer, table, BATCH)


def mapped(directory: Path, batches: int) -> MappedJournal:
    """The same, mapped."""
    write_journal(directory, batches)
    found = map_journal(directory)
    assert found is not None  # nobody asked it to stop
    return found


def rate(directory: Path, batches: int, make: Callable[[], AnyStrategy], seconds: float) -> float:
    """Millions of frames a second through a backtest."""
    with mapped(directory, batches) as journal:
        done = per_second(
            lambda: run_backtest(journal, [make()], PaperExecutor(), {}, lambda _: None), batches * BATCH, seconds
        )
    return done / 1e6


def live_rate(seconds: float) -> float:
    """Millions of frames a second through a plain strategy that reads a ring as the host does."""
    data = messages()
    with (
        Writer.create(f"bench.{os.getpid()}.market", capacity=CAPACITY, layout_digest=LAYOUT_DIGEST) as market,
        Writer.create(f"bench.{os.getpid()}.signal", capacity=1 << 20, layout_digest=LAYOUT_DIGEST) as signals,
    ):
        for message in data:
            market.publish(message)

        def read() -> None:
            with Reader.attach(market.name, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
                runner = Runner(Driver(Counting(), reader.uuid), reader, signals)
                while runner.step() is not Status.EMPTY:
                    pass

        found = per_second(read, BATCH, seconds)
        market.close(unlink=True)
        signals.close(unlink=True)
    return found / 1e6
