"""The pause between two connections: signs of life while it lasts, and an end."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from producers import collector as shell
from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from producers.statistics import Statistics
from ringbuf import Reader, SharedCounters
from ringbuf.counters import read_counters
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


def test_pause_shows_what_was_counted(ring_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        with contextlib.closing(SharedCounters.create(Statistics, ring_name, "collector")) as shared:
            options = CollectorOptions(chain=load_chain("polygon"), urls=("ws://127.0.0.1:1",), ring=ring_name)
            collector = Collector(options, shared)
            collector.statistics.receive_to_ring.add(7)
            async with asyncio.timeout(PATIENCE_S):
                await collector._pause(0.05)
            counted = read_counters(shared.object_name).as_record(Statistics)
            assert (counted.held_back, counted.head_number, counted.receive_to_ring.count) == (0, 0, 1)
            assert read_counters(shared.object_name).beat_age_s < PATIENCE_S
            await closed(collector)

    asyncio.run(run())


def test_loop_that_stood_still_counts_every_tick_that_it_held_up(ring_name: str) -> None:
    async def run() -> None:
        collector = idle_collector(ring_name)
        late = collector.statistics.loop_late
        collector._tick_due_ns = time.monotonic_ns() - 10 * shell.TICK_NS - 1
        collector._note_lateness()
        assert late.count >= 11, "one tick each 20 ms of the stall, the last of them just now"
        assert late.longest_ns >= 10 * shell.TICK_NS
        counted = late.count
        assert collector._time_to_tick() <= shell.TICK_NS / 1e9
        collector._tick_due_ns = time.monotonic_ns() + 3600 * 10**9
        collector._note_lateness()
        assert late.count == counted, "none was due"
        await closed(collector)

    asyncio.run(run())


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
