"""Ring to JetStream.

Owns the order of the sending side's steps; knows nothing of the receiver.

    connect -> resume behind the last batch of the stream -> poll, publish, await acknowledgements -> ...
       ^                                                                   |
       +---- the broker failed, or took back what it had acknowledged -----+

The last batch of the stream says where to go on, so a killed bridge repeats at most what was in flight.  Frames that
the ring has overwritten come from the journal, if there is one; what neither has is lost: it is counted, and the
receiver finds it missing between two batches.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nats.js.errors
from nats.js import JetStreamContext
from nats.js.api import PubAck

from consumers.bridge.batch import BATCH_BYTES, BATCH_FRAMES, message_id, pack, portions, read_header
from consumers.bridge.broker import BROKER_ERRORS, Broker, connect
from consumers.bridge.errors import BridgeError
from consumers.journal.errors import JournalError
from consumers.journal.reader import JournalReader
from ringbuf import CorruptRing, Loss, Poll, Reader, RingNotFound, RingNotReady, Status, Wait
from tlv.errors import FrameError
from tlv.layout import LAYOUT_DIGEST

IN_FLIGHT = 32
"""Batches sent and not yet acknowledged: enough to hide the round trip, little to repeat after a crash."""
ACK_TIMEOUT_S = 5.0
IDLE_WAIT_S = 0.1
RETRY_S = 0.5


@dataclass
class Sent:
    """What the sending side did."""

    batches: int = 0
    frames: int = 0
    from_journal: int = 0
    lost: int = 0
    connections: int = 0
    last_sequence: int = 0


class Outward:
    """Carries one ring to one subject until `stop` is set or the ring is closed.

    Raises:
        RingNotFound: there is no such ring when it begins; a later one of the same name is waited for.
        CorruptRing: the ring holds what no writer writes.
    """

    def __init__(self, ring: str, broker: Broker, *, journal: Path | None = None) -> None:
        self.ring = ring
        self.broker = broker
        self.journal = journal
        self.sent = Sent()
        self._pending: deque[asyncio.Future[PubAck]] = deque()

    async def run(self, stop: asyncio.Event, on_failure: Callable[[BridgeError], None]) -> Sent:
        """Send until stopped; a failing broker is reported to `on_failure` and tried again."""
        while not stop.is_set():
            try:
                if await self._session(stop):
                    break
            except BridgeError as failure:
                on_failure(failure)
                await asyncio.sleep(RETRY_S)
        return self.sent

    async def _session(self, stop: asyncio.Event) -> bool:
        """One connection's life.  True once the ring is closed and everything of it was acknowledged."""
        client, stream = await connect(self.broker)
        self.sent.connections += 1
        self._pending.clear()
        try:
            with Reader.attach(self.ring, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
                start = await self._resume_point(stream, reader.uuid)
                if start is not None and start < reader.sequence:
                    await self._send_lost(stream, Loss(reader.uuid, start, reader.sequence - 1))
                elif start is not None:
                    reader.seek(start)
                return await self._pump(stream, reader, stop)
        except BROKER_ERRORS as error:
            raise BridgeError(f"NATS server {self.broker.shown}: lost ({error!r})") from None
        finally:
            await client.close()

    async def _resume_point(self, stream: JetStreamContext, ring_uuid: bytes) -> int | None:
        """The sequence behind the last batch that the stream has of this ring; None if it has none."""
        try:
            last = await stream.get_last_msg(self.broker.stream, self.broker.subject)
        except nats.js.errors.NotFoundError:
            return None
        try:
            header = read_header(last.data or b"")
        except FrameError as error:
            raise BridgeError(f"stream {self.broker.stream} holds something else: {error}") from None
        return header.first_sequence + header.count if header.ring_uuid == ring_uuid else None

    async def _pump(self, stream: JetStreamContext, reader: Reader, stop: asyncio.Event) -> bool:
        while not stop.is_set():
            poll = reader.poll(BATCH_FRAMES, BATCH_BYTES)
            if poll.loss is not None:
                await self._send_lost(stream, poll.loss)
            if len(poll):
                await self._send(stream, reader.uuid, poll)
            elif poll.status is Status.CORRUPT:
                await self._drain()
                raise CorruptRing(f"ring {self.ring}: no frame at sequence {reader.sequence}")
            elif poll.status is Status.CLOSED:
                await self._drain()
                return True
            elif poll.status is Status.EMPTY:
                await self._drain()
                if await asyncio.to_thread(reader.wait, IDLE_WAIT_S, Wait.FUTEX) is Status.ORPHANED:
                    await self._until_there_is_a_ring(stop)
                    return False
        await self._drain()
        return True

    async def _until_there_is_a_ring(self, stop: asyncio.Event) -> None:
        """The ring's name is gone or means another ring: wait until that can be attached; the next session sends it."""
        while not stop.is_set():
            with contextlib.suppress(RingNotFound, RingNotReady):
                Reader.attach(self.ring, layout_digest=LAYOUT_DIGEST).close()
                return
            await asyncio.sleep(IDLE_WAIT_S)

    async def _send(self, stream: JetStreamContext, ring_uuid: bytes, poll: Poll) -> None:
        while len(self._pending) >= IN_FLIGHT:
            await self._settle_one()
        headers = {"Nats-Msg-Id": message_id(ring_uuid, int(poll.sequences[0]), int(poll.sequences[-1]))}
        data = pack(ring_uuid, poll)
        self._pending.append(await stream.publish_async(self.broker.subject, data, headers=headers))
        self.sent.batches += 1
        self.sent.frames += len(poll)
        self.sent.last_sequence = int(poll.sequences[-1])

    async def _send_lost(self, stream: JetStreamContext, loss: Loss) -> None:
        """Send what the journal has of the frames that the ring has lost, and count those it lacks too."""
        found = 0
        for poll in self._recorded(loss):
            await self._send(stream, loss.ring, poll)
            found += len(poll)
        self.sent.from_journal += found
        self.sent.lost += loss.count - found

    def _recorded(self, loss: Loss) -> Iterator[Poll]:
        if self.journal is None:
            return
        try:
            with JournalReader(self.journal) as reader:
                reader.seek_sequence(loss.first, loss.ring)
                wanted, status = 0, Status.OK
                while status is Status.OK:
                    poll = reader.poll()
                    wanted = int((poll.sequences <= loss.last).sum())
                    for first, last in portions(poll.lengths[:wanted]):
                        yield poll.part(first, last)
                    status = poll.status if wanted == len(poll) else Status.EMPTY
        except JournalError as error:
            raise BridgeError(f"journal {self.journal}: {error}") from error

    async def _drain(self) -> None:
        while self._pending:
            await self._settle_one()

    async def _settle_one(self) -> None:
        await asyncio.wait_for(self._pending.popleft(), ACK_TIMEOUT_S)
