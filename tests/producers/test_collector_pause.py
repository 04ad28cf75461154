"""The pause between two connections: signs of life while it lasts, and an end."""

from __future__ import annotations

import asyncio
import time

import pytest

from producers import collector as shell
from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from ringbuf import Reader
from tlv.codes import FeedReason, FeedState
from tlv.layout import Heartbeat
from tlv.message import parse

PATIENCE_S = 60.0
"""Longer than any machine is busy; no outcome depends on it."""


def heartbeats(ring: str) -> list[Heartbeat]:
    """What the ring, which may still be written to, holds of them."""
    with Reader.attach(ring, start="oldest") as reader:
        messages = [parse(bytes(frame.payload)) for frame in reader.poll()]
    return [record for message in messages if (record := message.first(Heartbeat)) is not None]


async def closed(collector: Collector) -> None:
    """Let go of the ring without a connection."""
    collector.stop()
    await collector.run()


def idle_collector(ring: str, urls: tuple[str, ...] = ("ws://127.0.0.1:1",)) -> Collector:
    return Collector(CollectorOptions(chain=load_chain("polygon"), urls=urls, ring=ring))


def test_pause_gives_signs_of_life_until_the_collector_is_stopped(
    ring_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "HEARTBEAT_S", 0.01)

    async def run() -> None:
        collector = idle_collector(ring_name)
        pause = asyncio.create_task(collector._pause(3600))
        async with asyncio.timeout(PATIENCE_S):
            while len(heartbeats(ring_name)) < 4:
                assert not pause.done()
                await asyncio.sleep(0.01)
            collector.stop()
            await pause
        await closed(collector)

    asyncio.run(run())
    assert {record.feed_state for record in heartbeats(ring_name)} == {FeedState.CONNECTING}


def test_pause_lasts_as_long_as_it_was_told_and_ends(ring_name: str) -> None:
    async def run() -> float:
        collector = idle_collector(ring_name)
        began = time.monotonic()
        async with asyncio.timeout(PATIENCE_S):
            await collector._pause(0.2)
        lasted = time.monotonic() - began
        await closed(collector)
        return lasted

    assert asyncio.run(run()) >= 0.2


def test_pause_with_an_open_circuit_says_so(ring_name: str) -> None:
    async def run() -> None:
        collector = idle_collector(ring_name)
        while collector._endpoints.circuit is not shell.Circuit.OPEN:
            collector._failed("cannot connect", FeedReason.UNREACHABLE, "words")
        await collector._pause(0.01)
        await closed(collector)

    asyncio.run(run())
    last = heartbeats(ring_name)[-1]
    assert (last.feed_state, last.reason) == (FeedState.CIRCUIT_OPEN, FeedReason.CIRCUIT_OPEN)
