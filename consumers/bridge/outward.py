"""Ring to JetStream.

Owns the order of the sending side's steps; knows nothing of the receiver.

    connect, be the only sender, find the stream fit -> resume behind the last batch of the stream -> poll, send -> ...
       ^                                                                                             |
       +---- the broker failed, the stream changed, or it took back what it had acknowledged -------+

The last batch of the stream says where to go on, so a killed bridge repeats at most what was in flight.  Frames that
the ring has overwritten come from the journal, if there is one; what neither has is lost: it is counted and told, and
the receiver finds it missing between two batches.

Rings that follow each other under the name are sent one after the other (`consumers.incarnations`).  Between two stands
a RingReplaced, as the old one's next frame, so that the far end finds what it lacks of the old one's end, or that
nobody knows how much that is.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import math
import time
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from consumers.bridge.batch import Limits, UnpackedBatch, limits_of, pack, portions, unpack
from consumers.bridge.broker import BROKER_ERRORS, WATCH_S, Broker, BrokerConnection, Say, connect, this_process
from consumers.bridge.counts import Sent
from consumers.bridge.errors import BridgeError, BridgeRefused, SequenceConflict
from consumers.bridge.presence import Presence
from consumers.bridge.retrying import Retrying
from consumers.bridge.sending import SENDER_HEADER, BatchChain, Stored
from consumers.bridge.sent_stream import SentStream, StreamWanted
from consumers.held import HELD_BEHIND, LOOK_S, HeldRings
from consumers.incarnations import (
    RECORDER_PATIENCE_S,
    Await,
    Read,
    Replaced,
    RingCursor,
    Step,
    behind_damage,
    next_step,
)
from consumers.journal.errors import ForeignFileError, JournalDamaged, JournalError
from consumers.journal.extents import RecordedRings
from consumers.journal.reader import JournalReader
from consumers.report import LineWithFields
from ringbuf import CorruptRing, Loss, Poll, Reader, Status
from ringbuf.async_reader import AsyncWaiter
from ringbuf.layout import INDEX_ROWS, LENGTH_ROW, SEQUENCE_ROW, TIME_ROW
from tlv.codes import Domain, Reason, Source
from tlv.errors import FrameError, SegmentError, UsageError
from tlv.layout import LAYOUT_DIGEST, RingReplaced
from tlv.message import build, parse

IDLE_WAIT_S = 0.1
BridgeStart = Literal["oldest", "latest", "journal"]
NOT_HELD = 1 << 62
CONFLICTS_TO_REFUSE = 3
"""Batches of another sender that we met at the stream's end: one may be the last of a killed one."""


class Outward:
    """Carries one ring, and those that follow it under its name, to one subject until `stop` is set or, with
    `until_closed`, the ring is closed.  A ring that is not there yet is waited for.

    `start` counts until the stream has a batch: begin at the ring's oldest frame, at the next one that is published
    ("latest"), or at the oldest of the journal ("journal").  A ring that comes later is sent from its first frame.

    Raises:
        CorruptRing: the ring holds what no writer writes.
        BridgeRefused: the subject has another sender.
    """

    def __init__(
        self,
        ring: str,
        broker: Broker,
        *,
        journal: Path | None = None,
        wanted: StreamWanted | None = None,
        until_closed: bool = False,
        start: BridgeStart = "oldest",
    ) -> None:
        self.ring = ring
        self.broker = broker
        self.journal = journal
        self.sent = Sent()
        self._stream = SentStream(wanted or StreamWanted())
        self._presence = Presence(this_process(), ring)
        self._ring_sent = b""  # the incarnation that `sent.last_sequence` is of
        self._conflicts = 0
        self._limits = Limits()
        self._until_closed = until_closed
        self._recorded = RecordedRings(journal) if journal is not None else None
        self._rings = HeldRings(
            partial(Reader.attach, ring, start="oldest", layout_digest=LAYOUT_DIGEST),
            self._recorded.uuids if self._recorded is not None else tuple,
        )
        self._start = start
        self._begin: RingCursor | None = None
        """Where to begin, settled when a ring is first seen: what it loses before a batch gets through is counted."""
        self._has_looked = False
        self._passed: list[bytes] = []
        """The incarnations that were sent to their end, oldest first."""
        self._waiter: AsyncWaiter | None = None
        """Of the reader that was read last."""
        self._reading = b""
        """The ring whose reader stands at the cursor."""
        self._waiting_since = 0.0
        self._unread: RingCursor | None = None
        """Where the journal gave nothing of what it is said to have, and since when."""
        self._unread_since = 0.0
        self._said_waiting = False

    async def run(self, stop: asyncio.Event, say: Say) -> Sent:
        """Send until stopped.  What concerns a person goes to `say`; a failing broker is tried again."""
        if self.journal is not None and not self.journal.is_dir():
            say(f"journal {self.journal}: not there yet; until it is, what the ring overwrites is lost")
        retrying = Retrying(stop, say, self.sent)
        holding = asyncio.create_task(self._hold_rings())
        try:
            while not stop.is_set():
                try:
                    if await self._session(stop, say):
                        break
                except BridgeRefused:
                    raise
                except BridgeError as failure:
                    await retrying.after(failure)
        finally:
            holding.cancel()
            self._end_wait()
            self._rings.close()
        return self.sent

    async def _hold_rings(self) -> None:
        """Hold each ring that gets the name, also while there is no broker: its map outlives its name."""
        while True:
            with contextlib.suppress(SegmentError, OSError):  # the next poll says so
                self._look()
            for ring in self._rings.rings[: -1 - HELD_BEHIND]:
                if ring.uuid != self._reading:
                    ring.release()
            await asyncio.sleep(LOOK_S)

    async def _session(self, stop: asyncio.Event, say: Say) -> bool:
        """One connection's life.  True once the ring is closed and everything of it was acknowledged."""
        connection = await connect(self.broker)
        self.sent.connections += 1
        watch: asyncio.Task[None] | None = None
        try:
            await asyncio.gather(self._presence.begin(connection), self._stream.prepare(connection, say))
            if connection.optional_refused:
                say(f"{self.broker.shown}: no permission for _alphapulse.sender.>; a second sender shows late")
            self._reading, self._waiting_since, self._unread = b"", 0.0, None
            cursor, end = await self._resume_point(connection)
            cursor = cursor or self._again()
            if cursor is not None:
                self._send_again(cursor.uuid)
            chain = self._stream.chain(connection, self._presence.who, end)
            self._limits = limits_of(self._stream.largest_message(connection))
            watch = asyncio.create_task(self._watch(connection, chain))
            return await self._pump(connection, chain, cursor, stop, say)
        except SequenceConflict as conflict:
            raise await self._who_else(connection, conflict) from None
        except BROKER_ERRORS as error:
            raise connection.translated(error) from None
        finally:
            if watch is not None:
                watch.cancel()
            await connection.close()

    async def _watch(self, connection: BrokerConnection, chain: BatchChain) -> None:
        """Look every WATCH_S at what nobody tells us: the stream, and who else sends."""
        try:
            while True:
                await asyncio.sleep(WATCH_S)
                await self._stream.check(connection, chain.stored)
                if (other := await self._presence.other(connection)) is not None:
                    raise self._presence.refusal(connection, other)
                self.sent.failing_now = 0
        except BridgeError as error:
            connection.fail(error)
        except BROKER_ERRORS as error:
            connection.fail(connection.translated(error))

    def _again(self) -> RingCursor | None:
        """Where to go on if the stream lost all that we sent: at the ring's oldest frame, in case nobody had them."""
        ring = self._rings.get(self._ring_sent)
        if ring is None:
            return None
        return RingCursor(ring.uuid, min(self.sent.last_sequence + 1, ring.extent().first))

    async def _resume_point(self, connection: BrokerConnection) -> tuple[RingCursor | None, int]:
        """What comes behind the last batch that the stream has, None if it has none; and where the stream's or the
        subject's last message stands."""
        last = await connection.message(last_by_subj=self.broker.subject)
        end = self._stream.end(0 if last is None else int(last["seq"]))
        if last is None:
            return None, end
        try:
            batch = unpack(base64.b64decode(last.get("data") or ""))
            replaced = replacement_in(batch)
        except FrameError as error:
            raise BridgeError(f"stream {self.broker.stream} holds something else: {error}") from None
        if replaced is not None:
            return RingCursor(replaced.new_uuid, 1), end
        return RingCursor(batch.ring_uuid, batch.last_sequence + 1), end

    async def _who_else(self, connection: BrokerConnection, conflict: SequenceConflict) -> BridgeError:
        """What to make of a stream that went on without us: the late batch of a killed sender, or a living one."""
        try:
            last = await connection.message(last_by_subj=self.broker.subject)
        except (BridgeError, *BROKER_ERRORS):
            return conflict
        headers = base64.b64decode((last or {}).get("hdrs") or "").decode(errors="replace")
        sender = headers.partition(f"{SENDER_HEADER}:")[2].partition("\r")[0].strip()
        if not sender or sender == self._presence.who:
            return conflict
        self._conflicts += 1
        if self._conflicts < CONFLICTS_TO_REFUSE:
            return BridgeError(f"{conflict}: {sender} sends to subject {self.broker.subject} too")
        return BridgeRefused(f"{conflict}: {sender} goes on sending to subject {self.broker.subject}")

    async def _pump(
        self,
        connection: BrokerConnection,
        chain: BatchChain,
        cursor: RingCursor | None,
        stop: asyncio.Event,
        say: Say,
    ) -> bool:
        while not stop.is_set():
            connection.check()
            self._look()
            cursor = cursor or self._first_cursor(say)
            step = self._decide(cursor) if cursor is not None else Await.RING
            before = cursor
            if cursor is None or isinstance(step, Await):
                await self._rest(chain, step, say)
            elif isinstance(step, Loss):
                reason = Reason.DAMAGED if self._is_unreadable(cursor) else step.reason
                self._lose(Loss(step.ring, step.first, step.last, reason), say)
                cursor = RingCursor(cursor.uuid, step.last + 1)
            elif isinstance(step, Replaced):
                await self._send_replaced(chain, cursor, step, say)
                cursor = step.cursor
            elif step is Read.JOURNAL:
                cursor = await self._send_recorded(chain, cursor, say)
                if cursor == before:
                    self._note_unread(cursor)
                    await asyncio.sleep(IDLE_WAIT_S)  # retention or packing may have taken it away at this moment
            else:
                cursor = await self._send_ring(chain, cursor, say)
                if cursor is None:
                    return True
        await self._drain(chain)
        return True

    async def _rest(self, chain: BatchChain, step: Step, say: Say) -> None:
        await self._drain(chain)
        if step is Await.RING and not self._said_waiting:
            self._said_waiting = True
            say(f"waiting for ring {self.ring}: its producer has not made it, or not made it anew, yet")
        await asyncio.sleep(IDLE_WAIT_S)

    def _look(self) -> None:
        """Look which ring has the name, and settle where to begin as soon as there is one."""
        self._rings.look(time.monotonic())
        self._begin = self._begin or self._beginning()
        self._has_looked = True

    def _beginning(self) -> RingCursor | None:
        """Where `start` says to begin; None while there is no ring."""
        recorded = self._recorded.extents() if self._start == "journal" and self._recorded is not None else []
        if recorded:
            return RingCursor(recorded[0].uuid, recorded[0].first)
        newest = self._rings.newest
        if newest is None:
            return None
        extent = newest.extent()
        from_now = self._start == "latest" and not self._has_looked
        return RingCursor(newest.uuid, extent.behind if from_now else extent.first)

    def _first_cursor(self, say: Say) -> RingCursor | None:
        """Where to begin in a stream that has nothing of any ring; None while there is none.  Rings may have followed
        each other while there was no broker."""
        oldest = next(iter(self._rings.rings), None)
        begin = self._begin
        if self._ring_sent and oldest is not None:  # the stream lost it, and the ring that it was of is forgotten
            begin = RingCursor(oldest.uuid, oldest.extent().first)
        if begin is None:
            return None
        self._send_again(begin.uuid)
        before = f"; the {begin.sequence - 1:,} before it are not sent" if begin.sequence > 1 else ""
        say(
            f"ring {self.ring}: stream {self.broker.stream} has no batch of subject {self.broker.subject}; "
            f"begins at frame {begin.sequence} of ring {begin.uuid.hex()} (start: {self._start}){before}"
        )
        return begin

    def _send_again(self, uuid: bytes) -> None:
        """This ring and those behind it are still to be sent, even if they were: the stream lost them."""
        if uuid in self._passed:
            del self._passed[self._passed.index(uuid) :]

    def _decide(self, cursor: RingCursor) -> Step:
        if self._reading == cursor.uuid:
            return Read.RING
        try:
            recorded = self._recorded.extents() if self._recorded is not None else []
        except OSError as error:
            raise BridgeError(f"journal {self.journal}: {error.strerror or error}") from None
        if self._recorded is not None and self._is_unreadable(cursor):
            recorded = behind_damage(recorded, cursor, self._recorded.segment_behind(*cursor))
        waited = time.monotonic() - self._waiting_since if self._waiting_since else 0.0
        due = self._recorded is not None and waited < RECORDER_PATIENCE_S
        step = next_step(cursor, self._rings.extents(), recorded, recorder_due=due, passed=self._passed)
        if step is Await.RECORDER:
            self._waiting_since = self._waiting_since or time.monotonic()
        else:
            self._waiting_since = 0.0
        return step

    def _is_unreadable(self, cursor: RingCursor) -> bool:
        """Whether the journal said that it is damaged there, or another version's, or gives nothing for too long."""
        return cursor == self._unread and time.monotonic() - self._unread_since > RECORDER_PATIENCE_S

    def _note_unread(self, cursor: RingCursor) -> None:
        if cursor != self._unread:
            self._unread, self._unread_since = cursor, time.monotonic()

    async def _send_ring(self, chain: BatchChain, cursor: RingCursor, say: Say) -> RingCursor | None:
        """Send the next batch of the ring that is held; returns where to go on, None where the bridge ends."""
        ring = self._rings.get(cursor.uuid)
        reader = ring.reader if ring is not None else None
        if ring is None or reader is None:
            self._reading = b""
            return cursor
        if self._reading != cursor.uuid:
            reader.seek(cursor.sequence)
            self._reading, self._said_waiting = cursor.uuid, False
        poll = reader.poll(self._limits.frames, self._limits.bytes)
        if poll.loss is not None:
            self._reading = b""  # from the journal, or counted
            return cursor
        if len(poll):
            await self._send(chain, cursor.uuid, poll)
            return RingCursor(cursor.uuid, int(poll.sequences[-1]) + 1)
        if poll.status is Status.NEED:
            await self._send_large(chain, reader, poll.need, say)
            return RingCursor(cursor.uuid, reader.sequence)
        if poll.status is Status.CORRUPT:
            await self._drain(chain)
            raise CorruptRing(f"ring {self.ring}: no frame at sequence {reader.sequence}")
        if poll.status in (Status.EMPTY, Status.CLOSED):
            await self._drain(chain)
            if poll.status is Status.CLOSED and self._until_closed:
                return None
            if ring.ended:
                self._reading = b""
            elif poll.status is Status.CLOSED or reader.nameless:
                await asyncio.sleep(IDLE_WAIT_S)
            else:
                if self._waiter is None or self._waiter.reader is not reader:
                    self._end_wait()
                    self._waiter = AsyncWaiter(reader)
                await self._waiter.wait(IDLE_WAIT_S)
        return cursor

    def _end_wait(self) -> None:
        if self._waiter is not None:
            self._waiter.close()
        self._waiter = None

    def _lose(self, loss: Loss, say: Say) -> None:
        self.sent.lost += loss.count
        where = "the ring has overwritten them"
        if self.journal:
            damaged = loss.reason == Reason.DAMAGED
            where += ", and the journal is damaged there" if damaged else ", and the journal lacks them"
        text = f"ring {self.ring}: {loss.count:,} frames, {loss.first} to {loss.last}, are lost: {where}"
        say(LineWithFields(text, sequence=loss.first, last_sequence=loss.last))

    async def _send_replaced(self, chain: BatchChain, cursor: RingCursor, step: Replaced, say: Say) -> None:
        """Send the RingReplaced as the next frame of the old ring."""
        record = RingReplaced(step.last_sequence, step.old, step.new)
        data = build(Domain.SYSTEM, Source.BRIDGE, [record], sequence=cursor.sequence)
        await chain.send(
            pack_message(step.old, cursor.sequence, data),
            Stored(step.old, cursor.sequence, cursor.sequence, from_journal=False),
        )
        await self._drain(chain)
        self._passed.append(step.old)
        self.sent.frames -= 1  # it is none of the ring's
        self.sent.replacements += 1
        if step.loss is not None:
            self.sent.unknown_ends += 1
            say(
                f"ring {self.ring} was replaced: what was published behind its frame {cursor.sequence - 1} and before "
                "the next ring is lost, uncounted"
            )

    async def _send(self, chain: BatchChain, ring_uuid: bytes, poll: Poll, *, from_journal: bool = False) -> None:
        batch = Stored(ring_uuid, int(poll.sequences[0]), int(poll.sequences[-1]), from_journal)
        await chain.send(pack(ring_uuid, poll), batch)
        self._count(chain)

    async def _send_large(self, chain: BatchChain, reader: Reader, need: int, say: Say) -> None:
        """Send a frame that is larger than a batch alone, or count it as lost."""
        if need > self._limits.largest:
            sequence = reader.sequence
            self._tell_too_large(sequence, need, say)
            reader.seek(sequence + 1)
            return
        poll = reader.poll(1, need)
        if len(poll):
            await self._send(chain, reader.uuid, poll)

    async def _send_recorded(self, chain: BatchChain, cursor: RingCursor, say: Say) -> RingCursor:
        """Send what the journal has from `cursor` on, until the ring has it or the journal ends; returns how far."""
        assert self.journal is not None
        try:
            with JournalReader(self.journal) as reader:
                reader.seek_sequence(cursor.sequence, cursor.uuid)
                while True:
                    poll = reader.poll()
                    if poll.loss is not None and poll.loss.ring == cursor.uuid and poll.loss.last >= cursor.sequence:
                        last = min(poll.loss.last, self._ring_begin(cursor.uuid) - 1)
                        if last >= cursor.sequence:
                            self._lose(Loss(cursor.uuid, cursor.sequence, last, poll.loss.reason), say)
                            cursor = RingCursor(cursor.uuid, last + 1)
                        if last < poll.loss.last:
                            return cursor  # the ring has the rest
                    if not len(poll) or reader.uuid != cursor.uuid:
                        return cursor
                    for first, last in portions(poll.lengths, self._limits):
                        part = poll.part(first, last)
                        if int(part.lengths.max()) > self._limits.largest:  # then it is alone
                            self._tell_too_large(int(part.sequences[0]), int(part.lengths.max()), say)
                        else:
                            await self._send(chain, cursor.uuid, part, from_journal=True)
                        cursor = RingCursor(cursor.uuid, int(part.sequences[-1]) + 1)
                    if self._ring_begin(cursor.uuid) <= cursor.sequence:
                        return cursor
        except (JournalDamaged, ForeignFileError) as error:
            say(f"journal {self.journal}: {error}")
            self._unread, self._unread_since = cursor, -math.inf
            return cursor
        except (JournalError, UsageError) as error:
            say(f"journal {self.journal}: {error}")
            return cursor
        except OSError as error:
            raise BridgeError(f"journal {self.journal}: {error.strerror or error}") from None

    def _ring_begin(self, uuid: bytes) -> int:
        """The first sequence that the ring still has; beyond all others if it is not held."""
        ring = self._rings.get(uuid)
        return ring.extent().first if ring is not None and ring.reader is not None else NOT_HELD

    def _tell_too_large(self, sequence: int, size: int, say: Say) -> None:
        self.sent.lost += 1
        self.sent.too_large += 1
        text = (
            f"ring {self.ring}: frame {sequence} of {size:,} bytes is lost: the server takes {self._limits.largest:,} "
            "at most (max_payload, or the stream's max_msg_size)"
        )
        say(LineWithFields(text, sequence=sequence))

    async def _drain(self, chain: BatchChain) -> None:
        await chain.drain()
        self._count(chain)

    def _count(self, chain: BatchChain) -> None:
        for batch in chain.take_stored():
            self.sent.batches += 1
            self.sent.frames += batch.frames
            self.sent.from_journal += batch.frames if batch.from_journal else 0
            self.sent.last_sequence = batch.last
            self._ring_sent = batch.ring
            self._conflicts = 0


def replacement_in(batch: UnpackedBatch) -> RingReplaced | None:
    """The RingReplaced that a batch consists of, if it is one of those."""
    if len(batch.lengths) != 1:
        return None
    start = int(batch.offsets[0])
    message = parse(batch.buffer[start : start + int(batch.lengths[0])].tobytes())
    return message.first(RingReplaced) if message.header.source == Source.BRIDGE else None


def pack_message(ring_uuid: bytes, sequence: int, message: bytes) -> bytes:
    """One message as a batch."""
    index = np.zeros((INDEX_ROWS, 1), np.int64)
    index[SEQUENCE_ROW], index[TIME_ROW], index[LENGTH_ROW] = sequence, time.monotonic_ns(), len(message)
    buffer = np.frombuffer(message, np.uint8)
    return pack(ring_uuid, Poll(Status.OK, None, 0, buffer, buffer.data, index))
