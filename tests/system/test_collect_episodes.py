"""Row 26 of the fault table: silence, half-open connections, resets, a trickle of bytes, names that do not resolve.

Thirty episodes with shortened time-outs: each must end with a new block collected within the bound, never with more
than one socket open, and readers must have seen in between that the feed was away.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from tests.producers.collected import read_story
from tlv.codes import FeedState
from tlv.layout import Heartbeat
from tools.prove.feed.campaign import chain_toml
from tools.rig.evm.faults import TcpRelay
from tools.rig.evm.node import Node
from tools.rig.evm.world import World
from tools.warm import warm_collector, warm_ring

EPISODES = 30
WATCHDOG_S = 0.5
RECOVERY_S = 20.0
"""Watchdog, a few full-jitter pauses (every other endpoint does not resolve), and a busy machine."""
UNRESOLVABLE = "ws://alphapulse.invalid:8546"


async def silence(relay: TcpRelay) -> None:
    relay.stalled = True
    await asyncio.sleep(2 * WATCHDOG_S)
    relay.stalled = False


async def half_open(relay: TcpRelay) -> None:
    relay.stalled = True
    await asyncio.sleep(WATCHDOG_S / 2)
    relay.reset()
    relay.stalled = False


async def reset(relay: TcpRelay) -> None:
    relay.reset()


async def finish(relay: TcpRelay) -> None:
    relay.finish()


async def trickle(relay: TcpRelay) -> None:
    relay.trickle(True)
    await asyncio.sleep(2 * WATCHDOG_S)
    relay.trickle(False)


async def live_through(world: World, node: Node, chain: Path, ring: str) -> None:
    warm_ring()
    warm_collector()
    chance = random.Random(26)
    episodes: list[Callable[[TcpRelay], Awaitable[None]]] = [silence, half_open, reset, finish, trickle]
    async with TcpRelay(node.port) as relay:
        options = CollectorOptions(
            chain=load_chain(str(chain)),
            urls=(relay.url, UNRESOLVABLE),
            ring=ring,
            watchdog_s=WATCHDOG_S,
            open_timeout_s=2 * WATCHDOG_S,
        )
        collector = Collector(options)
        work = asyncio.create_task(collector.run())
        for _ in range(EPISODES):
            await chance.choice(episodes)(relay)
            number = await asyncio.to_thread(mined, world)
            async with asyncio.timeout(RECOVERY_S):
                while collector.statistics.safe_number < number:
                    assert relay.open_connections <= 2, "the relay may not have noticed the end of the one before"
                    assert not work.done()
                    await asyncio.sleep(0.02)
        for _ in range(20):  # most lives were shorter than the second between two heartbeats; this one is not
            await asyncio.to_thread(mined, world)
            await asyncio.sleep(0.1)
        collector.stop()
        await work
    assert collector.statistics.reconnects >= EPISODES // 2
    assert collector.statistics.gaps == []


def mined(world: World) -> int:
    """The number of a block that is new now."""
    world.v2_swap(0, world.weth, 10**12)
    world.mine()
    return int(world.rpc("eth_blockNumber"), 16)


def test_collector_recovers_from_thirty_network_failures(ring_name: str, tmp_path: Path) -> None:
    with Node() as node:
        world = World.build(node.rpc)
        world.hold_mining(True)
        chain = tmp_path / "chain.toml"
        chain.write_text(chain_toml(world))
        asyncio.run(live_through(world, node, chain, ring_name))
    beats = [record for message in read_story(ring_name).messages for record in message.records]
    states = {record.feed_state for record in beats if isinstance(record, Heartbeat)}
    assert {FeedState.DISCONNECTED, FeedState.LIVE} <= states
