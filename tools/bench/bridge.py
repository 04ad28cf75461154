"""Frames through a real JetStream server: ring to stream, and stream to ring.

The baseline of both is the broker alone: the same batches, packed beforehand, published and acknowledged.  File storage
on the machine's own disk, one server, so replication is not in these numbers.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import tempfile
import time
from pathlib import Path

from consumers.bridge.address import parse_access
from consumers.bridge.batch import BATCH_BYTES, BATCH_FRAMES, pack
from consumers.bridge.broker import Broker, connect
from consumers.bridge.counts import Received, Sent
from consumers.bridge.errors import BridgeError
from consumers.bridge.inward import Inward
from consumers.bridge.outward import Outward
from consumers.bridge.sending import WINDOW
from consumers.bridge.stream_config import new_config
from ringbuf import Reader, RingNotFound, Writer, unlink
from tlv.codes import Domain, Source, Venue
from tlv.layout import LAYOUT_DIGEST, PoolSync
from tlv.message import build
from tools.bench.result import BenchResult
from tools.rig.nats_server import NatsServer

FRAMES_PER_SECOND_ASKED = 200_000
"""Frames measured for each second of the time asked for: some 33 MB of messages."""
TARGET = 500_000.0
CAPACITY = 1 << 27


def run(seconds: float) -> list[BenchResult]:
    """Measure both directions; `seconds` sets how many frames go through."""
    frames = max(int(FRAMES_PER_SECOND_ASKED * seconds), BATCH_FRAMES)
    with tempfile.TemporaryDirectory() as folder, NatsServer(Path(folder)) as server:
        asyncio.run(_carry(server, 1_000))  # compiles the kernels, opens the files
        outward, inward, alone = asyncio.run(_carry(server, frames))
    return [
        BenchResult("ring to stream", outward, "frames/s", "broker alone", alone, outward / alone, TARGET),
        BenchResult("stream to ring", inward, "frames/s", "broker alone", alone, inward / alone, TARGET),
    ]


async def _carry(server: NatsServer, frames: int) -> tuple[float, float, float]:
    near, far = (f"bench.{secrets.token_hex(4)}" for _ in range(2))
    broker = Broker(parse_access(server.url), near.replace(".", "-"), f"alphapulse.{near}")
    try:
        _fill(near, frames)
        alone = await _broker_alone(
            near, broker._replace(stream=f"{broker.stream}-alone", subject=f"alone.{near}"), frames
        )
        return await _send(near, broker, frames), await _receive(far, broker, frames), alone
    finally:
        for ring in (near, far):
            with contextlib.suppress(RingNotFound):
                unlink(ring)


def _refuse_failures(counts: Sent | Received, said: list[str]) -> None:
    if counts.failures:
        raise BridgeError(said[-1])


def _fill(ring: str, frames: int) -> None:
    sync = PoolSync(bytes(20), bytes(20), bytes(20), Venue.QUICKSWAP_V2, 18, 6, 2, 10**24, 10**12)
    with Writer.create(ring, capacity=CAPACITY, layout_digest=LAYOUT_DIGEST) as writer:
        for _ in range(frames):
            writer.publish(build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [sync], sequence=writer.next_sequence))


async def _broker_alone(ring: str, broker: Broker, frames: int) -> float:
    connection = await connect(broker)
    await connection.api(f"STREAM.CREATE.{broker.stream}", new_config(broker.stream, broker.subject))
    batches = []
    with Reader.attach(ring, start="oldest") as reader:
        while len(poll := reader.poll(BATCH_FRAMES, BATCH_BYTES)):
            batches.append(pack(reader.uuid, poll))
    begin = time.perf_counter()
    pending: list[asyncio.Future[object]] = []
    for data in batches:
        if len(pending) >= WINDOW:
            await pending.pop(0)
        pending.append(await connection.stream.publish_async(broker.subject, data))
    await asyncio.gather(*pending)
    rate = frames / (time.perf_counter() - begin)
    await connection.close()
    return rate


async def _send(ring: str, broker: Broker, frames: int) -> float:
    outward, said = Outward(ring, broker, until_closed=True), list[str]()
    task = asyncio.create_task(outward.run(asyncio.Event(), said.append))
    while not outward.sent.frames and not task.done():
        await asyncio.sleep(0)
    first, begin = outward.sent.frames, time.perf_counter()  # connecting and looking for others are not the rate
    await task
    _refuse_failures(outward.sent, said)
    return (frames - first) / (time.perf_counter() - begin)


async def _receive(ring: str, broker: Broker, frames: int) -> float:
    inward, stop = Inward(ring, broker, durable="bench", capacity=CAPACITY), asyncio.Event()
    said: list[str] = []
    task = asyncio.create_task(inward.run(stop, said.append))
    while not inward.received.frames and not task.done():
        await asyncio.sleep(0)
    first, begin = inward.received.frames, time.perf_counter()  # connecting and making the ring are not the rate
    while inward.received.frames < frames and not task.done():
        await asyncio.sleep(0.001)
    rate = (frames - first) / (time.perf_counter() - begin)
    stop.set()
    await task
    _refuse_failures(inward.received, said)
    return rate
