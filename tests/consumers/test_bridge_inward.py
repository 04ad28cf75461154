"""Where a bridge continues in the ring that an earlier one left."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from consumers.bridge.address import Access, Address
from consumers.bridge.batch import pack
from consumers.bridge.broker import Broker
from consumers.bridge.inward import ORIGIN, PASSED_KEPT, Inward
from ringbuf import Poll, Reader, RingInfo, Status, Writer
from ringbuf.layout import INDEX_ROWS, LENGTH_ROW, OFFSET_ROW, SCHEMA_BYTES, SEQUENCE_ROW
from tests.consumers.bridge_rig import STREAM, SUBJECT, message
from tlv.codes import Domain, GapScope, Reason, Source
from tlv.layout import LAYOUT_DIGEST, Gap
from tlv.message import build, parse

BROKER = Broker(Access((Address("nats", "127.0.0.1", 4222),)), STREAM, SUBJECT)
A, B, C = (bytes([number]) * 16 for number in (1, 2, 3))


@pytest.mark.parametrize(
    ("source", "last"),
    [(Source.BRIDGE, 90), (Source.POLYGON_COLLECTOR, 7), (Source.RELAY, 7)],
)
def test_gap_at_the_end_of_a_ring_counts_as_what_it_names_if_a_bridge_told_it(
    ring_name: str, source: Source, last: int
) -> None:
    gap = build(Domain.SYSTEM, source, [Gap(8, 90, GapScope.RING_SEQUENCES, Reason.NOT_RETAINED)], sequence=7)
    with Writer.create(ring_name, capacity=1 << 16, layout_digest=LAYOUT_DIGEST, schema=ORIGIN + "11" * 16) as writer:
        writer.publish(gap)
    assert reopened(ring_name).received.last_sequence == last


def reopened(ring: str) -> Inward:
    """A new process's, which has found the ring that is there."""
    inward = Inward(ring, BROKER, durable="here")
    inward._reopen()
    return inward


@pytest.fixture
def begin(ring_name: str) -> Iterator[Callable[[], Inward]]:
    """Starts one process after the other, each where the one before it was killed."""
    started: list[Inward] = []

    def kill() -> None:
        if started and started[-1]._writer is not None:
            started[-1]._writer.close()

    def start() -> Inward:
        kill()
        started.append(reopened(ring_name))
        return started[-1]

    yield start
    kill()


def batch(ring: bytes, first: int, last: int) -> bytes:
    """Frames of a ring."""
    frames = [message(sequence) for sequence in range(first, last + 1)]
    index = np.zeros((INDEX_ROWS, len(frames)), np.int64)
    index[SEQUENCE_ROW], index[LENGTH_ROW] = range(first, last + 1), [len(frame) for frame in frames]
    padded = [frame + bytes(-len(frame) % 8) for frame in frames]
    index[OFFSET_ROW, 1:] = np.cumsum([len(frame) for frame in padded])[:-1]
    buffer = np.frombuffer(b"".join(padded), np.uint8)
    return pack(ring, Poll(Status.OK, None, 0, buffer, buffer.data, index))


def take(inward: Inward, *batches: bytes) -> None:
    """Let it have these, as the next deliveries of its consumer."""
    for data in batches:
        delivery = inward._delivered + 1
        reply = f"$JS.ACK.{STREAM}.here.1.{delivery}.{delivery}.0.0"
        inward._take(Msg(Client(), SUBJECT, reply, data), print)


def frames_of(ring: str) -> list[int | tuple[int, int]]:
    """The sequences in it; a Gap as what it names."""
    found: list[int | tuple[int, int]] = []
    with Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
        for frame in reader.poll():
            told = parse(frame.payload)
            gap = told.first(Gap) if told.header.source == Source.BRIDGE else None
            found.append((gap.first, gap.last) if gap is not None else told.header.sequence)
    return found


def test_batches_of_a_ring_that_was_followed_by_another_are_repeats_also_after_a_restart(
    ring_name: str, begin: Callable[[], Inward]
) -> None:
    inward = begin()
    take(inward, batch(A, 1, 3), batch(B, 1, 2), batch(C, 1, 2))
    ring = RingInfo.read(ring_name).identity.uuid
    for bridge in (inward, begin()):
        take(bridge, batch(A, 1, 3), batch(B, 1, 2), batch(C, 1, 2))
        assert bridge.received.repeated == 7
        assert RingInfo.read(ring_name).identity.uuid == ring
    take(begin(), batch(C, 3, 4))
    assert frames_of(ring_name) == [1, 2, 3, 4]


def test_frames_of_an_earlier_ring_that_never_came_are_published_without_those_that_did(
    ring_name: str, begin: Callable[[], Inward]
) -> None:
    inward = begin()
    take(inward, batch(A, 1, 3), batch(B, 1, 2), batch(A, 2, 6))
    assert frames_of(ring_name) == [4, 5, 6]
    take(inward, batch(B, 1, 3))
    assert frames_of(ring_name) == [3]


def test_loss_at_the_beginning_of_a_ring_that_follows_another_is_a_gap(
    ring_name: str, begin: Callable[[], Inward]
) -> None:
    inward = begin()
    take(inward, batch(A, 5, 6))
    assert (frames_of(ring_name), inward.received.lost) == ([5, 6], 0)  # where a first ring begins, nothing is missing
    take(inward, batch(B, 5, 6))
    assert (frames_of(ring_name), inward.received.lost) == ([(1, 4), 5, 6], 4)


def test_rings_before_it_that_a_ring_names_have_room_in_its_schema(ring_name: str, begin: Callable[[], Inward]) -> None:
    inward = begin()
    longest = 1 << 60
    for number in range(PASSED_KEPT + 9):
        take(inward, batch(bytes([number]) * 16, longest, longest))
    assert len(inward._schema()) < SCHEMA_BYTES
    again = begin()
    assert again._passed == inward._passed and len(again._passed) == PASSED_KEPT


def test_receiver_without_a_ring_remembers_what_it_believed_to_be_acknowledged(ring_name: str) -> None:
    inward = reopened(ring_name)
    assert inward._knows(A, 7)
    inward._origin, inward.received.last_sequence = B, 3
    assert [inward._knows(A, 7), inward._knows(A, 8), inward._knows(B, 3), inward._knows(B, 4)] == [True, False] * 2
