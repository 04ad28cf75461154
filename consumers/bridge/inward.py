"""JetStream to ring.

Owns the order of the receiving side's steps; knows nothing of the sender but its batches.

    connect -> resume behind the last batch acknowledged -> fetch, check, publish, acknowledge -> ...

A batch is acknowledged after it is in the ring, so a killed bridge gets it again; frames that the ring already has are
cut off by sequence.  A frame keeps its header, and as long as nothing is missing its sequence in this ring is the one
that it had where it was first published.  A loss becomes a Gap message in its place, and is counted.  A ring that was
made anew at the far end is made anew here, and its readers get the status ORPHANED.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import nats.js.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from consumers.bridge.batch import UnpackedBatch, find_damaged, unpack
from consumers.bridge.broker import BROKER_ERRORS, Broker, connect
from consumers.bridge.errors import BridgeError
from ringbuf import DEFAULT_CAPACITY, Reader, RingInfo, RingNotFound, RingNotReady, Writer, unlink
from tlv.codes import Domain, GapScope, Reason, Source
from tlv.errors import FrameError
from tlv.layout import LAYOUT_DIGEST, Gap
from tlv.message import build, parse

FETCH = 64
FETCH_TIMEOUT_S = 0.5
RETRY_S = 0.5
ORIGIN = "bridged from "
"""What the schema text of a bridged ring begins with; the origin's uuid follows."""


@dataclass
class Received:
    """What the receiving side did."""

    batches: int = 0
    frames: int = 0
    repeated: int = 0
    lost: int = 0
    refused: int = 0
    connections: int = 0
    last_sequence: int = 0


class Inward:
    """Carries one subject into one local ring until `stop` is set."""

    def __init__(self, ring: str, broker: Broker, *, durable: str, capacity: int = DEFAULT_CAPACITY) -> None:
        self.ring = ring
        self.broker = broker
        self.durable = durable
        self.capacity = capacity
        self.received = Received()
        self._writer: Writer | None = None
        self._origin = b""

    async def run(self, stop: asyncio.Event, on_failure: Callable[[BridgeError], None]) -> Received:
        """Receive until stopped; a failing broker is reported to `on_failure` and tried again."""
        self._reopen()
        try:
            while not stop.is_set():
                try:
                    await self._session(stop)
                except BridgeError as failure:
                    on_failure(failure)
                    await asyncio.sleep(RETRY_S)
        finally:
            if self._writer is not None:
                self._writer.close()
        return self.received

    async def _session(self, stop: asyncio.Event) -> None:
        client, stream = await connect(self.broker)
        self.received.connections += 1
        try:
            consumer = await self._subscribe(stream)
            while not stop.is_set():
                try:
                    messages = await consumer.fetch(FETCH, timeout=FETCH_TIMEOUT_S)
                except TimeoutError:
                    messages = []
                for message in messages:
                    self._take(message)
                if messages:
                    await messages[-1].ack()
                elif self._writer is not None:
                    self._writer.heartbeat()
        except BROKER_ERRORS as error:
            raise BridgeError(f"NATS server {self.broker.shown}: lost ({error!r})") from None
        finally:
            await client.close()

    async def _subscribe(self, stream: JetStreamContext) -> JetStreamContext.PullSubscription:
        """Our durable consumer, made anew behind the last batch that was acknowledged.

        The old one would hold back for half a minute what a killed bridge had fetched, and deliver newer batches first.
        A bridge killed between deletion and creation begins at the start of the stream; the repeated frames are cut off
        by sequence.
        """
        broker = self.broker
        config = ConsumerConfig(ack_policy=AckPolicy.ALL, max_ack_pending=-1)
        try:
            acknowledged = (await stream.consumer_info(broker.stream, self.durable)).ack_floor.stream_seq
        except nats.js.errors.NotFoundError:
            pass
        else:
            # A broker that lost the end of its stream in a power cut has less than was acknowledged.
            last = (await stream.stream_info(broker.stream)).state.last_seq
            config.deliver_policy = DeliverPolicy.BY_START_SEQUENCE
            config.opt_start_seq = min(acknowledged, last) + 1
            await stream.delete_consumer(broker.stream, self.durable)
        return await stream.pull_subscribe(broker.subject, durable=self.durable, stream=broker.stream, config=config)

    def _take(self, message: Msg) -> None:
        """Publish what is new in a batch.  Bytes that are no batch are counted, and acknowledged lest they repeat."""
        try:
            batch = unpack(message.data)
            damaged = find_damaged(batch.buffer, batch.offsets, batch.lengths)
            if damaged >= 0:
                raise FrameError(f"frame {damaged} of batch {batch.first_sequence} is damaged")
        except FrameError:
            self.received.refused += 1
            return
        writer = self._writer_for(batch.ring_uuid)
        expected = self.received.last_sequence + 1
        known = min(max(expected - batch.first_sequence, 0), len(batch.lengths))
        self.received.batches += 1
        self.received.repeated += known
        if known == len(batch.lengths):
            return
        if batch.first_sequence > expected and self.received.last_sequence:
            self._publish_gap(writer, expected, batch.first_sequence - 1)
        self._publish(writer, batch, known)
        self.received.frames += len(batch.lengths) - known
        self.received.last_sequence = batch.last_sequence

    def _publish(self, writer: Writer, batch: UnpackedBatch, first: int) -> None:
        writer.publish_many(batch.buffer, batch.offsets[first:], batch.lengths[first:])

    def _publish_gap(self, writer: Writer, first: int, last: int) -> None:
        gap = Gap(first, last, GapScope.RING_SEQUENCES, Reason.NOT_RETAINED)
        writer.publish(build(Domain.SYSTEM, Source.BRIDGE, [gap]))
        self.received.lost += last - first + 1

    def _writer_for(self, origin: bytes) -> Writer:
        """The local ring of this origin; a new origin gets a new ring under the same name."""
        if self._writer is not None and self._origin == origin:
            return self._writer
        if self._writer is not None:
            self._writer.close(unlink=True)
            self.received.last_sequence = 0
        self._origin = origin
        self._writer = Writer.open_or_create(
            self.ring, capacity=self.capacity, layout_digest=LAYOUT_DIGEST, schema=ORIGIN + origin.hex()
        )
        return self._writer

    def _reopen(self) -> None:
        """Continue the ring that an earlier bridge left: its origin and last sequence are read from itself."""
        try:
            info = RingInfo.read(self.ring)
        except (RingNotFound, RingNotReady):  # not ready: a bridge died while it made it; it is made anew
            return
        if not info.identity.schema.startswith(ORIGIN):
            raise BridgeError(f"ring {self.ring} exists and was not made by a bridge: choose another name")
        if info.next_sequence == 1:
            unlink(self.ring)
            return
        with Reader.attach(self.ring, start=info.next_sequence - 1, layout_digest=LAYOUT_DIGEST) as reader:
            message = parse(reader.poll(1)[0].payload)
            # A Gap is published before the frames behind it, so it is the last message if we were killed in between.
            gap = message.first(Gap) if message.header.source == Source.BRIDGE else None
            self.received.last_sequence = gap.last if gap else message.header.sequence
        self._origin = bytes.fromhex(info.identity.schema.removeprefix(ORIGIN))
        self._writer = Writer.open(self.ring, layout_digest=LAYOUT_DIGEST)
