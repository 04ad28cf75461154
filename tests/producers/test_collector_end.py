"""When a collector that may end is through."""

from __future__ import annotations

import asyncio
import time

from producers.chains.configuration import load_chain
from producers.collector import SETTLE_S, Collector, CollectorOptions
from ringbuf import Writer
from tests.producers.virtual import Conversation
from tlv.layout import LAYOUT_DIGEST
from tlv.units import NS
from tools.bench.collector.load import event_blocks, served

IDLE_S = 1000.0
EVENTS = 2000


def test_collector_that_is_still_asking_ends_a_while_after_it_became_idle(ring_name: str) -> None:
    async def run() -> None:
        options = CollectorOptions(
            chain=load_chain("polygon"), urls=("ws://127.0.0.1:1",), ring=ring_name, until_idle_s=IDLE_S
        )
        collector = Collector(options)
        conversation = Conversation(collector._feed)
        conversation.now_ns = time.monotonic_ns()

        def is_over(idle_s: float) -> bool:
            collector._heard_ns = time.monotonic_ns() - int(idle_s * NS)
            return collector._finished()

        assert (is_over(IDLE_S - 100), is_over(IDLE_S + 1)) == (False, True), "nothing was asked"
        collector._feed.connected(**conversation.clock)
        assert collector._feed.requests(), "and nobody answers"
        assert not collector._feed.settled
        assert (is_over(IDLE_S - 100), is_over(IDLE_S + SETTLE_S - 4), is_over(IDLE_S + SETTLE_S + 0.1)) == (
            False,
            False,
            True,
        )
        collector._writer.close()

    asyncio.run(run())


def test_collector_that_goes_on_in_a_ring_smaller_than_its_capacity_publishes_what_fits_that_ring(
    ring_name: str,
) -> None:
    Writer.create(ring_name, capacity=1 << 16, layout_digest=LAYOUT_DIGEST).close()
    with served(event_blocks, EVENTS) as url:
        chain = load_chain("polygon")
        options = CollectorOptions(chain=chain, urls=(url,), ring=ring_name, capacity=1 << 24, until_idle_s=0.5)
        statistics = asyncio.run(Collector(options).run())
    assert statistics.events_published > EVENTS // 2
