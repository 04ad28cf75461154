"""A client's end of a relay's stream, without the socket.

Owns the client's state: the rings, its next sequence in each, and the Batch that is being delivered.  Messages go in,
items come out.  It checks that every sequence is delivered, filtered or lost: a Batch or Gap that does not continue the
one before it is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from consumers.relay.errors import Farewell, RelayError
from ringbuf import Loss
from tlv.codes import Source
from tlv.layout import Batch, Gap, Header, SubscribeAck
from tlv.layout import Farewell as FarewellRecord
from tlv.message import Message, parse


@dataclass(eq=False)
class ServedRing:
    """A ring that the relay serves, and how far this client has come in it."""

    name: str
    uuid: bytes
    next_sequence: int
    handled: int
    acknowledged: int
    filtered_first: int = 0
    filtered_last: int = 0
    """The newest run of sequences of which the filter left nothing."""

    def note_handled(self, last: int) -> None:
        """Everything up to `last` is handled, and with it the filtered sequences directly behind it."""
        self.handled = max(self.handled, last)
        if self.handled >= self.filtered_first - 1:
            self.handled = max(self.handled, self.filtered_last)


class Item(NamedTuple):
    """One message of a ring, its checksum verified.  Once it is handled, so is every sequence up to `covers`."""

    ring: ServedRing
    sequence: int
    data: bytes
    covers: int

    @property
    def message(self) -> Message:
        """The message's header and typed records."""
        return parse(self.data, verify=False, where=f"ring {self.ring.name}, sequence {self.sequence}")


@dataclass
class ClientStream:
    """The state of one client's stream.  `rings` survives a connection; everything else belongs to one."""

    rings: dict[bytes, ServedRing] = field(default_factory=dict)
    _by_index: dict[int, ServedRing] = field(default_factory=dict)
    _ring: ServedRing | None = None
    _batch: Batch | None = None
    _left: int = 0

    def reconnected(self) -> None:
        """Forget the connection, keep the rings."""
        self._by_index.clear()
        self._ring = self._batch = None
        self._left = 0

    def take(self, data: bytes, items: list[Item | Loss]) -> None:
        """Take one whole, verified message; append what it brings to `items`.

        Raises:
            Farewell: the relay ends the connection.
            RelayError: the relay broke its own protocol.
        """
        header = Header.unpack(data)
        if header.source != Source.RELAY:
            self._deliver(header, data, items)
            return
        message = parse(data, verify=False, where="relay")
        for record in message.records:
            match record:
                case SubscribeAck():
                    self._accepted(record)
                case Batch():
                    self._begin(record, items)
                case Gap():
                    self._lose(record, items)
                case FarewellRecord():
                    raise Farewell(record.reason, record.expected, record.found)

    def _accepted(self, ack: SubscribeAck) -> None:
        ring = self.rings.get(ack.ring_uuid)
        if ring is None:
            before = ack.first_sequence - 1
            ring = ServedRing(ack.ring_name, ack.ring_uuid, ack.first_sequence, before, before)
            self.rings[ack.ring_uuid] = ring
        elif ack.first_sequence > ring.next_sequence:
            raise RelayError(f"ring {ring.name}: asked for {ring.next_sequence}, offered {ack.first_sequence}")
        ring.next_sequence = ack.first_sequence
        self._by_index[ack.ring_index] = ring

    def _begin(self, batch: Batch, items: list[Item | Loss]) -> None:
        ring = self._by_index.get(batch.ring_index)
        if ring is None or self._left:
            raise RelayError(f"a Batch of ring number {batch.ring_index} was not announced, or {self._left} too early")
        if batch.first != ring.next_sequence or batch.count > batch.last - batch.first + 1:
            raise RelayError(f"ring {ring.name}: expected a Batch from {ring.next_sequence} on, found {batch}")
        self._ring, self._batch, self._left = ring, batch, batch.count
        if batch.count == 0:
            ring.next_sequence = batch.last + 1
            if batch.first != ring.filtered_last + 1:
                ring.filtered_first = batch.first
            ring.filtered_last = batch.last
            ring.note_handled(ring.handled)
            # Filtered sequences are handled as soon as the item before them is.
            if items and isinstance(item := items[-1], Item) and item.ring is ring:
                items[-1] = item._replace(covers=batch.last)

    def _deliver(self, header: Header, data: bytes, items: list[Item | Loss]) -> None:
        ring, batch = self._ring, self._batch
        if ring is None or batch is None or not self._left:
            raise RelayError("a ring's message came without a Batch before it")
        self._left -= 1
        whole = batch.count == batch.last - batch.first + 1
        if whole:
            sequence = covers = batch.last - self._left
        else:
            sequence, covers = header.sequence, batch.last if self._left == 0 else batch.first - 1
        ring.next_sequence = covers + 1
        items.append(Item(ring, sequence, data, covers))

    def _lose(self, gap: Gap, items: list[Item | Loss]) -> None:
        ring = self._ring
        if ring is None or self._left or gap.first != ring.next_sequence:
            raise RelayError(f"a Gap from {gap.first} to {gap.last} does not continue the stream")
        ring.next_sequence = gap.last + 1
        items.append(Loss(ring.uuid, gap.first, gap.last, gap.reason))
