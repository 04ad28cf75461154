"""The messages on a relay's socket, as values and bytes.  No socket, no clock, no ring in here.

    client                                    relay
      | -- Subscribe, Resume*, Filter* --------> |
      | <------- SubscribeAck, one per ring ---- |
      | <------- Batch, message, message, ...  - |     again and again; Gap for what is lost
      | <------- RingReplaced, SubscribeAck ---- |     when a ring was made anew, behind all of the old one
      | <------- Heartbeat, when it is quiet --- |
      | -- Ack --------------------------------> |     named clients, at any time
      | <------- Farewell ---------------------- |     at any message boundary; then the connection ends

Everything is a message in the project's wire format, so the bytes of a stream frame themselves.  Messages of the relay
itself have source RELAY and sequence 0; everything else is a ring's message, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from consumers.relay.errors import Farewell as FarewellError
from tlv.codes import (
    MAGIC,
    MAX_MESSAGE,
    Domain,
    FarewellReason,
    FeedReason,
    FeedState,
    GapScope,
    Reason,
    Source,
    StreamStart,
)
from tlv.errors import FrameError
from tlv.filter import EVERYTHING, MessageFilter
from tlv.layout import (
    HEADER_SIZE,
    LAYOUT_DIGEST,
    Ack,
    Farewell,
    Filter,
    Gap,
    Header,
    Heartbeat,
    Resume,
    RingReplaced,
    Subscribe,
    SubscribeAck,
)
from tlv.message import Message, build, parse
from tlv.record import Record

ANY_RING = bytes(16)
"""The uuid in a Resume that means whatever ring the relay serves."""
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
"""Names become file names, so none can lead out of the directory of cursors."""


class ClientRequest(NamedTuple):
    """What a client asked for."""

    name: str
    start: StreamStart
    at_least_once: bool
    resume: tuple[Resume, ...]
    wanted: MessageFilter


def from_relay(record: Record) -> bytes:
    """A message of the relay itself."""
    return build(Domain.SYSTEM, Source.RELAY, [record])


def from_client(*records: Record) -> bytes:
    """A message of a client."""
    return build(Domain.SYSTEM, Source.RELAY_CLIENT, records)


def subscribe(
    *,
    name: str = "",
    start: StreamStart = StreamStart.LATEST,
    at_least_once: bool = False,
    resume: Iterable[Resume] = (),
    wanted: MessageFilter = EVERYTHING,
) -> bytes:
    """A client's first message."""
    types, filters = wanted.to_wire()
    return from_client(Subscribe(LAYOUT_DIGEST, types, start, int(at_least_once), name), *resume, *filters)


def acknowledge(sequence: int, ring_uuid: bytes) -> bytes:
    """An Ack."""
    return from_client(Ack(sequence, ring_uuid))


def accept(ring_index: int, ring_name: str, ring_uuid: bytes, first_sequence: int) -> bytes:
    """The SubscribeAck for one ring."""
    return from_relay(SubscribeAck(first_sequence, LAYOUT_DIGEST, ring_uuid, ring_index, ring_name))


def gap(first: int, last: int, reason: Reason) -> bytes:
    """A Gap in the ring of the Batch or SubscribeAck before it."""
    return from_relay(Gap(first, last, GapScope.RING_SEQUENCES, reason))


def replaced(old: bytes, last_sequence: int, new: bytes) -> bytes:
    """The step from a ring to the one that follows it under its name; the new one's SubscribeAck comes next."""
    return from_relay(RingReplaced(last_sequence, old, new))


def heartbeat() -> bytes:
    """The Heartbeat of a quiet connection."""
    return from_relay(Heartbeat(0, 0, 0, 0, 0, 0, FeedState.LIVE, 0, FeedReason.OK))


def farewell(error: FarewellError) -> bytes:
    """The last message of a connection."""
    return from_relay(Farewell(as_signed(error.expected), as_signed(error.found), error.reason))


def as_signed(value: int) -> int:
    """The i64 with the same 64 bits: a client's digest may be any u64, and a Farewell repeats it in an i64."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def is_client_name(name: str) -> bool:
    """Whether a client may have this name, which names a file; the empty one is of a client without."""
    return NAME_CHARACTERS.issuperset(name) and not name.startswith(".")


def read_subscription(message: Message) -> ClientRequest:
    """What a client's first message asks for.

    Raises:
        FarewellError: it is refused; send the Farewell and close the connection.
    """
    hello = message.first(Subscribe)
    if hello is None:
        raise FarewellError(FarewellReason.BAD_HELLO)
    if hello.layout_digest != LAYOUT_DIGEST:
        raise FarewellError(FarewellReason.LAYOUT_DIFFERS, LAYOUT_DIGEST, hello.layout_digest)
    if not is_client_name(hello.name):
        raise FarewellError(FarewellReason.NAME_REFUSED)
    try:
        start = StreamStart(hello.start)
        wanted = MessageFilter.from_wire(hello.types, (item for item in message.records if isinstance(item, Filter)))
    except ValueError:
        raise FarewellError(FarewellReason.BAD_HELLO) from None
    if start is StreamStart.ACKNOWLEDGED and not hello.name:
        raise FarewellError(FarewellReason.NAME_REFUSED)
    resume = tuple(item for item in message.records if isinstance(item, Resume))
    return ClientRequest(hello.name, start, bool(hello.at_least_once), resume, wanted)


class Inbox:
    """Collects a client's bytes into messages.  Holds at most one message's worth."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes.

        Raises:
            FarewellError: the bytes are no message.
        """
        self._bytes += data
        messages = []
        while len(self._bytes) >= HEADER_SIZE:
            size = HEADER_SIZE + Header.unpack(self._bytes).payload_size
            if size > MAX_MESSAGE:
                raise FarewellError(FarewellReason.BAD_MESSAGE, MAX_MESSAGE, size)
            if size > len(self._bytes):
                self._check_magic()
                break
            try:
                messages.append(parse(bytes(self._bytes[:size])))
            except FrameError as error:
                raise FarewellError(FarewellReason.BAD_MESSAGE) from error
            del self._bytes[:size]
        return messages

    def _check_magic(self) -> None:
        """Refuse garbage at once; waiting for the rest of it would keep the connection until its time-out."""
        found = Header.unpack(self._bytes).magic
        if found != MAGIC:
            raise FarewellError(FarewellReason.BAD_MESSAGE, MAGIC, found)
