"""A plain strategy's frame: from a ring of Syncs to its `on_event`, with poll, filter, records and count."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack

from consumers.polled_frames import PolledFrames
from consumers.strategy import Driver, Strategy
from ringbuf import Reader, Writer
from tlv.codes import Domain, Protocol, Source, Venue
from tlv.layout import LAYOUT_DIGEST, EventOrigin, PoolRecord, PoolSync
from tlv.message import build
from tools.bench.result import BenchResult
from tools.bench.timing import fastest

FRAMES = 8_192
POOLS = 64
UNIT = 10**18


class Tally(Strategy):
    """Reads what most strategies read of an event."""

    name = "tally"

    def __init__(self) -> None:
        super().__init__()
        self.reserves: dict[bytes, int] = {}

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        """Keep the pool's newest reserve."""
        if isinstance(record, PoolSync):
            self.reserves[record.pool] = record.reserve0


def syncs() -> list[bytes]:
    """Syncs of 64 made-up V2 pools."""
    messages = []
    for log in range(FRAMES):
        pool = (log % POOLS + 1).to_bytes(20, "big")
        head = (pool, bytes([1]) * 20, bytes([2]) * 20, Venue.QUICKSWAP_V2, 18, 18, Protocol.UNISWAP_V2)
        origin = EventOrigin(log // 40, 0, 0, 0, log, bytes(32), bytes(32))
        records = (PoolSync(*head, 1_000 * UNIT + log, 2_000 * UNIT), origin)
        messages.append(build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, records, sequence=log + 1))
    return messages


def run_plain(seconds: float) -> BenchResult:
    """Microseconds of a frame, beside the same frames delivered message by message."""
    messages = syncs()
    with ExitStack() as stack:
        name = f"bench.{os.getpid()}.plain"
        writer = stack.enter_context(Writer.create(name, capacity=1 << 22, layout_digest=LAYOUT_DIGEST))
        stack.callback(writer.close, unlink=True)
        for message in messages:
            writer.publish(message)
        reader = stack.enter_context(Reader.attach(name, start="oldest"))
        driver = Driver(Tally(), writer.uuid)
        polled = PolledFrames(driver)

        def deliver() -> None:
            reader.seek("oldest")
            while frames := reader.poll():
                for _ in polled.deliver(frames):
                    pass

        def deliver_each() -> None:
            for sequence, message in enumerate(messages, 1):
                driver.deliver(sequence, 0, message)

        value, baseline = frame_us(deliver, seconds), frame_us(deliver_each, seconds)
    note = f"{1e6 / value:,.0f} frames/s from the ring to on_event"
    return BenchResult("strategy plain frame", value, "us", "message by message", baseline, baseline / value, 4.0, note)


def frame_us(work: Callable[[], object], seconds: float) -> float:
    """Microseconds a frame of the fastest pass."""
    return fastest(work, seconds) / FRAMES * 1e6
