"""Where a bridge continues in the ring that an earlier one left."""

from __future__ import annotations

import asyncio

import pytest

from consumers.bridge.address import Access, Address
from consumers.bridge.broker import Broker
from consumers.bridge.inward import ORIGIN, Inward
from ringbuf import Writer
from tests.consumers.bridge_rig import STREAM, SUBJECT
from tlv.codes import Domain, GapScope, Reason, Source
from tlv.layout import LAYOUT_DIGEST, Gap
from tlv.message import build


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
    stop = asyncio.Event()
    stop.set()
    broker = Broker(Access((Address("nats", "127.0.0.1", 4222),)), STREAM, SUBJECT)
    received = asyncio.run(Inward(ring_name, broker, durable="here").run(stop, print))
    assert received.last_sequence == last
