"""Batches on their way into a stream, in order and without a hole between them.

Owns the window of what was sent and not acknowledged.  Each batch names the sequence that must stand before it.  That
is enough for one batch under way at a time: what has that sequence was read or acknowledged before the batch was sent.

A sequence does not say whose batch has it.  If a late batch of another chain (of a second sender, or of our own earlier
connection) takes the place of ours n+1, ours n+2 still finds the sequence that it expects.  So each batch of a `linked`
chain has an id, used once, and all but the first name the id of the one before: the server refuses all that follow one
that it did not store, and WINDOW batches are under way.

A chain is linked in a stream that only our subject goes into, since only there the sequences to come are known, and
that has one replica.  Each replica compares ids with what it knows by itself: one on server 2.9 that was away longer
than the stream's duplicate window knows none, refuses what the others store, stays behind, and tells nobody.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import NamedTuple

from nats.js.api import PubAck

from consumers.bridge.batch import HEADERS_ROOM
from consumers.bridge.broker import BROKER_ERRORS, BrokerConnection
from consumers.bridge.errors import BridgeError

WINDOW = 32
"""Batches of a linked chain that were sent and not yet acknowledged: enough to hide the round trip, little to repeat
after a crash."""
ACK_TIMEOUT_S = 4.0
SENDER_HEADER = "Alphapulse-Sender"


class Stored(NamedTuple):
    """A batch that the stream has."""

    ring: bytes
    """uuid of the incarnation that its frames are of."""
    first: int
    last: int
    from_journal: bool

    @property
    def frames(self) -> int:
        """How many it holds."""
        return self.last - self.first + 1


class _Sent(NamedTuple):
    ack: asyncio.Future[PubAck]
    batch: Stored


class BatchChain:
    """Sends batches of one subject, each behind the one before it.

    `end` is the sequence of the stream's last message if the stream is `exclusive`, else of the subject's last.
    Only in an exclusive stream a chain can be `linked`.
    """

    def __init__(self, connection: BrokerConnection, who: str, end: int, *, exclusive: bool, linked: bool) -> None:
        assert len(who) < HEADERS_ROOM // 4
        assert exclusive or not linked
        self._connection = connection
        self._who = who
        self._expected = end
        self._exclusive = exclusive
        self._name = secrets.token_hex(8) if linked else ""
        self._before = ""
        """Id of the last batch that was sent."""
        self._under_way: deque[_Sent] = deque()
        self._settled: list[Stored] = []
        self.stored = end
        """Sequence in the stream of the last batch that was acknowledged."""

    async def send(self, data: bytes, batch: Stored) -> None:
        """Send a batch, once there is room in the window.

        Raises:
            BridgeError: an earlier one was refused or not acknowledged in time.
            SequenceConflict: the stream does not end where we left it.
        """
        while len(self._under_way) >= (WINDOW if self._name else 1):
            await self._settle_one()
        try:
            ack = await self._connection.publish(data, self._headers())
        except BROKER_ERRORS as error:
            self._connection.check()
            raise self._connection.translated(error) from None
        ack.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._under_way.append(_Sent(ack, batch))
        self._expected += 1

    async def drain(self) -> None:
        """Wait until all is acknowledged; raises as `send`."""
        while self._under_way:
            await self._settle_one()

    def take_stored(self) -> list[Stored]:
        """What was acknowledged since the last call."""
        stored, self._settled = self._settled, []
        return stored

    def _headers(self) -> dict[str, str]:
        which = "Nats-Expected-Last-Sequence" if self._exclusive else "Nats-Expected-Last-Subject-Sequence"
        stream = self._connection.broker.stream
        headers = {which: str(self._expected), "Nats-Expected-Stream": stream, SENDER_HEADER: self._who}
        if self._before:
            headers["Nats-Expected-Last-Msg-Id"] = self._before
        if self._name:
            self._before = headers["Nats-Msg-Id"] = f"{self._name}.{self._expected + 1}"
        return headers

    async def _settle_one(self) -> None:
        sent = self._under_way.popleft()
        try:
            ack = await self._connection.answer(sent.ack, ACK_TIMEOUT_S, "the acknowledgement of a batch")
        except BROKER_ERRORS as error:
            raise self._connection.translated(error) from None
        if self._exclusive and ack.seq != self.stored + 1:
            raise BridgeError(
                f"{self._connection.broker.shown}: expected sequence {self.stored + 1} for a batch, found {ack.seq}"
            )
        self.stored = ack.seq
        self._settled.append(sent.batch)
        if not self._exclusive:
            self._expected = ack.seq
