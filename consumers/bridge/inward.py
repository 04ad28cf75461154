"""JetStream to ring.

Owns the order of the receiving side's steps; knows nothing of the sender but its batches.

    connect -> resume behind the last batch acknowledged -> fetch, check, publish, acknowledge -> ...
       ^                                                             |
       +---- the broker failed, stream or consumer were deleted ----+

A batch is acknowledged after it is in the ring, so a killed bridge gets it again; frames that the ring already has are
cut off by sequence, never by the stream's own numbers: a stream made anew begins again at 1.  A frame keeps its
header, and as long as nothing is missing its sequence in this ring is the one that it had where it was first published.
A loss becomes a Gap message in its place, and is counted and told.  A ring that was made anew at the far end is made
anew here, and its readers get the status ORPHANED.  The new one names those before it, so that their batches, if they
are read once more, are known as repeats.
"""

from __future__ import annotations

import asyncio

import nats.js.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from consumers.bridge.batch import Limits, UnpackedBatch, find_damaged, limits_of_ring, portions, read_header, unpack
from consumers.bridge.broker import BROKER_ERRORS, WATCH_S, Broker, BrokerConnection, Say, connect, this_process
from consumers.bridge.counts import Received
from consumers.bridge.durable import FETCH_TIMEOUT_S, Durable
from consumers.bridge.errors import BridgeError, BridgeRefused
from consumers.bridge.retrying import Retrying
from consumers.bridge.stream_config import StreamJudgement, judge_for_receiving
from consumers.report import LineWithFields
from ringbuf import DEFAULT_CAPACITY, Reader, RingInfo, RingNotFound, RingNotReady, Writer, unlink
from tlv.codes import Domain, GapScope, Reason, Source
from tlv.errors import FrameError
from tlv.layout import LAYOUT_DIGEST, Gap
from tlv.message import build, parse

FETCH = 64
ORIGIN = "bridged from "
"""What the schema text of a bridged ring begins with.  `UUID:SEQUENCE` of its origin and of those before it follow:
what had been received of each when this ring was made."""
PASSED_KEPT = 16
"""Of those before it: the schema text takes 18 with the longest sequences."""


class Inward:
    """Carries one subject into one local ring until `stop` is set.

    Raises:
        BridgeError: the ring's name is another maker's.
        BridgeRefused: the durable has another receiver, or is none of a bridge.
    """

    def __init__(self, ring: str, broker: Broker, *, durable: str, capacity: int = DEFAULT_CAPACITY) -> None:
        self.ring = ring
        self.broker = broker
        self.capacity = capacity
        self.received = Received()
        self._durable = Durable(durable, this_process())
        self._writer: Writer | None = None
        self._limits = Limits()
        self._origin = b""
        self._passed: dict[bytes, int] = {}
        """The origins before this ring's, oldest first, and the last sequence that was received of each."""
        self._delivered = 0  # of this session's consumer
        self._dropped_told = 0

    async def run(self, stop: asyncio.Event, say: Say) -> Received:
        """Receive until stopped.  What concerns a person goes to `say`; a failing broker is tried again."""
        self._reopen()
        retrying = Retrying(stop, say, self.received)
        try:
            while not stop.is_set():
                try:
                    await self._session(stop, say)
                except BridgeRefused:
                    raise
                except BridgeError as failure:
                    await retrying.after(failure)
        finally:
            if self._writer is not None:
                self._writer.close()
        return self.received

    async def _session(self, stop: asyncio.Event, say: Say) -> None:
        connection = await connect(self.broker)
        self.received.connections += 1
        watch: asyncio.Task[None] | None = None
        try:
            consumer, judgement, created = await self._subscribe(connection, say)
            watch = asyncio.create_task(self._watch(connection, judgement, created, say))
            while not stop.is_set():
                messages = await self._fetch(connection, consumer)
                for at, message in enumerate(messages):
                    if self._begins_another(message):
                        # Until the new ring is made, only the broker knows how far we are.
                        if at:
                            await messages[at - 1].ack()
                        await connection.flush()
                    self._take(message, say)
                if messages:
                    await messages[-1].ack()
                if self._writer is not None:
                    self._writer.heartbeat()
        except BROKER_ERRORS as error:
            raise connection.translated(error) from None
        finally:
            if watch is not None:
                watch.cancel()
            await connection.close()

    async def _fetch(self, connection: BrokerConnection, consumer: JetStreamContext.PullSubscription) -> list[Msg]:
        connection.check()
        try:
            return list(await consumer.fetch(FETCH, timeout=FETCH_TIMEOUT_S))
        except TimeoutError:
            connection.check()
            return []
        except nats.js.errors.ServiceUnavailableError:
            await self._durable.check(connection)  # nobody answers: it says what was deleted
            raise

    async def _watch(self, connection: BrokerConnection, judgement: StreamJudgement, created: str, say: Say) -> None:
        """Look every WATCH_S at what nobody tells us: our consumer, the stream, and what it dropped unread."""
        stream = self.broker.stream
        try:
            while True:
                await asyncio.sleep(WATCH_S)
                consumer = await self._durable.check(connection)
                found = await connection.stream_info()
                if found is None or found["created"] != created:
                    raise connection.error(f"stream {stream} was deleted{' and made anew' if found else ''}")
                now = judge_for_receiving(found["config"], self.broker.subject)
                if now._replace(warnings=()) != judgement._replace(warnings=()):
                    raise connection.error(f"stream {stream}: its configuration has changed")
                self.received.failing_now = 0
                delivered = int(consumer["delivered"]["stream_seq"])
                dropped = int(found["state"]["first_seq"]) - delivered - 1
                if judgement.exclusive and delivered and dropped > 0 and delivered != self._dropped_told:
                    self._dropped_told = delivered
                    say(
                        f"stream {stream}: {dropped:,} batches were purged or dropped by its limits before they were "
                        "received; the next batch shows how many frames are lost"
                    )
        except BridgeError as error:
            connection.fail(error)
        except BROKER_ERRORS as error:
            connection.fail(connection.translated(error))

    async def _subscribe(
        self, connection: BrokerConnection, say: Say
    ) -> tuple[JetStreamContext.PullSubscription, StreamJudgement, str]:
        """Our durable consumer; what the stream's configuration means; and when the stream was made."""
        broker = self.broker
        found = await connection.stream_info()
        if found is None:
            raise connection.error(f"stream {broker.stream}: not there yet; `bridge out` makes it")
        judgement = judge_for_receiving(found["config"], broker.subject)
        if judgement.refusal:
            raise connection.error(f"stream {broker.stream} cannot be used: {judgement.refusal}")
        if judgement.lacks_subject:
            taken = ", ".join(found["config"].get("subjects") or ["none"])
            raise connection.error(
                f"stream {broker.stream}: subject {broker.subject} is not there yet (it takes {taken}); "
                "`bridge out` adds it"
            )
        if not connection.noted and self.received.connections == 1:
            for warning in judgement.warnings:
                say(f"stream {broker.stream}: {warning}")
        await self._durable.take_over(connection, found, self._knows)
        self._delivered = 0
        consumer = await connection.stream.pull_subscribe_bind(durable=self._durable.name, stream=broker.stream)
        return consumer, judgement, found["created"]

    def _knows(self, origin: bytes, last: int) -> bool:
        """Whether our ring, or one before it, has the frames of `origin` up to `last`.  Without one, what was
        acknowledged is believed, and remembered."""
        if not self._origin:
            self._passed[origin] = max(last, self._passed.get(origin, 0))
        if last <= self._passed.get(origin, 0):
            return True
        return origin == self._origin and last <= self.received.last_sequence

    def _take(self, message: Msg, say: Say) -> None:
        """Publish what is new in a batch.  Bytes that are no batch are counted, and acknowledged lest they repeat."""
        delivered = message.metadata.sequence.consumer
        if delivered != self._delivered + 1:
            # What the client dropped on its way is still in the stream: it is no loss yet.
            raise BridgeError(
                f"{self.broker.shown}: expected delivery {self._delivered + 1} of consumer {self._durable.name}, "
                f"found {delivered}; asking again"
            )
        self._delivered = delivered
        try:
            batch = unpack(message.data)
            damaged = find_damaged(batch.buffer, batch.offsets, batch.lengths)
            if damaged >= 0:
                raise FrameError(f"frame {damaged} of batch {batch.first_sequence} is damaged")
        except FrameError as error:
            self.received.refused += 1
            say(f"stream {self.broker.stream}: message {message.metadata.sequence.stream} is no batch: {error}")
            return
        self.received.batches += 1
        if batch.last_sequence <= self._passed.get(batch.ring_uuid, 0):
            self.received.repeated += len(batch.lengths)
            return
        writer = self._writer_for(batch.ring_uuid, say)
        expected = self.received.last_sequence + 1
        known = min(max(expected - batch.first_sequence, 0), len(batch.lengths))
        self.received.repeated += known
        if known == len(batch.lengths):
            return
        # Where the first ring begins, nothing before it is awaited; one that follows another begins with 1.
        if batch.first_sequence > expected and (self.received.last_sequence or self._passed):
            self._publish_gap(writer, expected, batch.first_sequence - 1, say)
        self._publish(writer, batch, known, say)
        self.received.last_sequence = batch.last_sequence

    def _publish(self, writer: Writer, batch: UnpackedBatch, known: int, say: Say) -> None:
        """Publish frame `known` and those behind it, in pieces that a small ring takes."""
        offsets, lengths = batch.offsets[known:], batch.lengths[known:]
        for first, last in portions(lengths, self._limits):
            sequence = batch.first_sequence + known + first
            if lengths[first] > self._limits.largest:  # then it is alone
                text = f"ring {self.ring}: frame {sequence} of {lengths[first]:,} bytes needs a larger --capacity"
                say(LineWithFields(text, sequence=sequence))
                self._publish_gap(writer, sequence, sequence, say)
                continue
            writer.publish_many(batch.buffer, offsets[first:last], lengths[first:last])
            self.received.frames += last - first

    def _publish_gap(self, writer: Writer, first: int, last: int, say: Say) -> None:
        gap = Gap(first, last, GapScope.RING_SEQUENCES, Reason.NOT_RETAINED)
        writer.publish(build(Domain.SYSTEM, Source.BRIDGE, [gap]))
        lost = last - first + 1
        self.received.lost += lost
        text = f"ring {self.ring}: {lost:,} frames, {first} to {last}, are lost: stream {self.broker.stream} lacks them"
        say(LineWithFields(text, sequence=first, last_sequence=last))

    def _writer_for(self, origin: bytes, say: Say) -> Writer:
        """The local ring of this origin; a new origin gets a new ring under the same name."""
        if self._writer is not None and self._origin == origin:
            return self._writer
        if self._writer is not None:
            say(f"ring {self.ring}: the far end has another ring ({origin.hex()}); it is made anew here")
            self._writer.close(unlink=True)
            self._passed[self._origin] = self.received.last_sequence
        self._origin, self.received.last_sequence = origin, self._passed.pop(origin, 0)
        self._passed = dict(list(self._passed.items())[-PASSED_KEPT:])
        self._writer = Writer.open_or_create(
            self.ring, capacity=self.capacity, layout_digest=LAYOUT_DIGEST, schema=self._schema()
        )
        self._limits = limits_of_ring(self._writer.identity)
        return self._writer

    def _begins_another(self, message: Msg) -> bool:
        """Whether this batch will make the ring anew."""
        try:
            return bool(self._origin) and read_header(message.data).ring_uuid != self._origin
        except FrameError:
            return False

    def _schema(self) -> str:
        known = {self._origin: self.received.last_sequence, **self._passed}
        return ORIGIN + " ".join(f"{uuid.hex()}:{last}" for uuid, last in known.items())

    def _reopen(self) -> None:
        """Continue the ring that an earlier bridge left: its origin and last sequence are read from itself."""
        try:
            info = RingInfo.read(self.ring)
        except (RingNotFound, RingNotReady):  # not ready: a bridge died while it made it; it is made anew
            return
        if not info.identity.schema.startswith(ORIGIN):
            raise BridgeError(f"ring {self.ring} exists and was not made by a bridge: choose another name")
        known = (word.partition(":") for word in info.identity.schema.removeprefix(ORIGIN).split(" "))
        self._passed = {bytes.fromhex(uuid): int(last or 0) for uuid, _, last in known}
        origin = next(iter(self._passed))
        if info.next_sequence == 1:
            unlink(self.ring)
            return
        with Reader.attach(self.ring, start=info.next_sequence - 1, layout_digest=LAYOUT_DIGEST) as reader:
            message = parse(reader.poll(1)[0].payload)
            # A Gap is published before the frames behind it, so it is the last message if we were killed in between.
            gap = message.first(Gap) if message.header.source == Source.BRIDGE else None
            self.received.last_sequence = gap.last if gap else message.header.sequence
        del self._passed[origin]
        self._origin = origin
        self._writer = Writer.open(self.ring, layout_digest=LAYOUT_DIGEST)
        self._limits = limits_of_ring(self._writer.identity)
