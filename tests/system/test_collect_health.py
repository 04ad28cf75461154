"""The feed dies while processes live: `ringstat` and `status` see it, with the reason, and see it come back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from tools.feed_stat import FeedStat, look_at_feed
from tools.prove.feed.campaign import chain_toml
from tools.rig.evm.faults import WsRelay
from tools.rig.evm.node import Node
from tools.rig.evm.world import World
from tools.ringstat import look
from tools.warm import warm_collector, warm_ring

PATIENCE_S = 60.0
"""Longer than any machine is busy; what must happen within 5 s is shown on a virtual clock (`test_health.py`)."""


async def until(ring: str, wanted: Callable[[FeedStat], bool]) -> FeedStat:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            feed = look_at_feed(ring)
            if feed is not None and wanted(feed):
                return feed
            await asyncio.sleep(0.1)


def test_status_sees_a_feed_die_in_each_way_and_come_back(ring_name: str, tmp_path: Path) -> None:
    seen: dict[str, FeedStat] = {}

    async def run() -> None:
        warm_ring()
        warm_collector()
        with Node() as node:
            world = await asyncio.to_thread(World.build, node.rpc)
            toml = tmp_path / "chain.toml"
            toml.write_text(chain_toml(world))
            async with WsRelay(node.url) as relay:
                options = CollectorOptions(chain=load_chain(str(toml)), urls=(relay.url,), ring=ring_name)
                collector = Collector(options)
                work = asyncio.create_task(collector.run())
                await asyncio.to_thread(world.mine)
                seen["idle"] = await until(ring_name, lambda feed: feed.healthy and feed.blocks_behind == 0)
                await asyncio.sleep(6)  # an idle development chain is not an outage
                seen["still idle"] = await until(ring_name, lambda feed: feed.head_age_s > 5)
                relay.stall(True)
                seen["stalled"] = await until(ring_name, lambda feed: not feed.healthy)
                relay.stall(False)
                await until(ring_name, lambda feed: feed.healthy)
                relay.refuse_with = 429
                await relay.close_all(1013, "try again later")
                seen["refused"] = await until(ring_name, lambda feed: feed.reason == "refused")
                assert look(ring_name).problem.startswith("feed is refused")
                relay.refuse_with = None
                seen["back"] = await until(ring_name, lambda feed: feed.healthy)
                assert look(ring_name).healthy
                collector.stop()
                await work

    asyncio.run(run())
    assert seen["still idle"].healthy
    assert seen["stalled"].reason in ("silent", "not_answering")
    assert seen["back"].state == "live"


def test_collector_that_hangs_is_unhealthy_although_its_process_lives(
    ring_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing turns its loop: no heartbeat comes, whatever the last one said."""
    monkeypatch.setattr("tools.feed_stat.SILENT_S", 0.05)
    collector = Collector(CollectorOptions(chain=load_chain("polygon"), urls=("ws://127.0.0.1:1",), ring=ring_name))
    collector._publish()
    feed = look_at_feed(ring_name)
    while feed is not None and feed.heartbeat_age_s <= 0.05:
        feed = look_at_feed(ring_name)
    assert feed is not None
    assert feed.reason == "no_heartbeat"
    assert "has told no heartbeat" in look(ring_name).problem
    collector.stop()
    asyncio.run(collector.run())
