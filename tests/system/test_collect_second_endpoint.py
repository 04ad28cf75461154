"""A collector with two endpoints that do not say the same: real nodes, real sockets, and relays that keep logs back."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from producers.kinds.events import EVENT_OF_TOPIC
from producers.statistics import Statistics
from tests.producers.collected import Identity, canonical_events, read_story
from tlv.codes import Completeness
from tlv.layout import BlockEnd
from tools.prove.feed.campaign import chain_toml
from tools.recording import RecordingNode
from tools.recording.bundle import bundled_recording
from tools.rig.evm.faults import WsRelay
from tools.rig.evm.node import Node
from tools.rig.evm.world import World
from tools.warm import warm_collector, warm_ring

BLOCKS = 40
LAST_BLOCK = 13522298
KEPT_BACK = 4
"""One log in so many, chosen by the transaction's hash."""


class KeepingBack(WsRelay):
    """A node that indexed incompletely: some logs are neither pushed nor listed.  Its successes are indistinguishable
    from those of a whole one (hyperindex#1498, go-ethereum#31593)."""

    async def _to_client(self, up: ClientConnection, down: ServerConnection) -> None:
        try:
            async for text in up:
                message = json.loads(text)
                pushed = message.get("params", {}).get("result", {})
                if is_kept_back(pushed):
                    continue
                if isinstance(message.get("result"), list):
                    message["result"] = [log for log in message["result"] if not is_kept_back(log)]
                await down.send(json.dumps(message))
        except ConnectionClosed:
            return


def is_kept_back(result: Any) -> bool:
    """Whether `result` is a log that such a node does not have."""
    return "transactionHash" in result and "address" in result and int(result["transactionHash"], 16) % KEPT_BACK == 0


async def follow(world: World, chain: Path, ring: str, first: str, second: str) -> Statistics:
    """Collect from `first` while blocks with swaps are mined, until all have ended."""
    options = CollectorOptions(
        chain=load_chain(str(chain)), urls=(first,), ring=ring, second_url=second, cross_check_share=1.0
    )
    collector = Collector(options)
    work = asyncio.create_task(collector.run())
    async with asyncio.timeout(90):
        while not collector.statistics.blocks:
            await asyncio.sleep(0.02)
        number = 0
        for at in range(BLOCKS):
            world.v2_swap(at % 2, world.weth, 10**15)
            world.v3_swap(world.weth, 10**15)
            await asyncio.to_thread(world.mine)
            await asyncio.sleep(0.03)
            number = int(world.rpc("eth_blockNumber"), 16)
        while collector.statistics.safe_number < number:
            assert not work.done()
            await asyncio.sleep(0.02)
    collector.stop()
    return await work


def listed(world: World, ring: str) -> set[Identity]:
    """The node's own logs of the pools, from the first block in the ring on; the Transfers of a pair are no events."""
    first = min(end.number for end in ends(ring))
    pools = {pool.lower() for pool in world.pools}
    return {
        (bytes.fromhex(log["blockHash"][2:]), bytes.fromhex(log["transactionHash"][2:]), int(log["logIndex"], 16))
        for log in world.logs()
        if log["address"] in pools and log["topics"][0] in EVENT_OF_TOPIC and int(log["blockNumber"], 16) >= first
    }


def ends(ring: str) -> list[BlockEnd]:
    return [
        record for message in read_story(ring).messages for record in message.records if isinstance(record, BlockEnd)
    ]


def test_logs_that_the_first_node_keeps_back_come_from_the_second(ring_name: str, tmp_path: Path) -> None:
    warm_ring()
    warm_collector()

    async def run(world: World, node: Node, chain: Path) -> Statistics:
        async with KeepingBack(node.url) as first:
            return await follow(world, chain, ring_name, first.url, node.url)

    with Node() as node:
        world = World.build(node.rpc)
        world.hold_mining(True)
        chain = tmp_path / "chain.toml"
        chain.write_text(chain_toml(world))
        statistics = asyncio.run(run(world, node, chain))
        expected = listed(world, ring_name)
    story = read_story(ring_name)
    assert len(expected) >= 3 * BLOCKS  # Swap and Sync of a pair, Swap of a V3 pool
    assert set(story.standing) == expected
    assert not story.twice.total()
    assert statistics.cross_check_finds > BLOCKS // KEPT_BACK
    assert statistics.cross_check_shortfalls == 0
    assert {end.verdict for end in {end.hash: end for end in ends(ring_name)}.values()} <= {
        Completeness.CROSS_CHECKED,
        Completeness.BLOOM_NEGATIVE,
    }


def test_second_node_with_the_same_chain_id_and_other_blocks_confirms_nothing(ring_name: str, tmp_path: Path) -> None:
    warm_ring()
    warm_collector()
    with Node() as node, Node() as other:
        world = World.build(node.rpc)
        world.hold_mining(True)
        chain = tmp_path / "chain.toml"
        chain.write_text(chain_toml(world))
        statistics = asyncio.run(follow(world, chain, ring_name, node.url, other.url))
        expected = listed(world, ring_name)
    assert set(read_story(ring_name).standing) == expected
    assert statistics.cross_checks >= BLOCKS
    assert statistics.blocks_by_verdict["cross_checked"] == statistics.cross_check_finds == 0


async def collect(ring: str, second: str) -> Statistics:
    """The recorded sessions from a good node, with this second endpoint."""
    warm_ring()
    warm_collector()
    async with RecordingNode(speed=200.0) as first:
        options = CollectorOptions(
            chain=load_chain("polygon"),
            urls=(first.ws_url,),
            ring=ring,
            second_url=second,
            cross_check_share=1.0,
            until_idle_s=2.5,
        )
        collector = Collector(options)
        async with asyncio.timeout(90):
            return await collector.run()


def test_second_node_that_lists_fewer_logs_is_counted_and_not_believed(ring_name: str) -> None:
    async def run() -> Statistics:
        async with RecordingNode(speed=math.inf, start="now") as whole, KeepingBack(whole.ws_url) as second:
            return await collect(ring_name, second.url)

    statistics = asyncio.run(run())
    assert read_story(ring_name).standing == canonical_events()
    assert statistics.cross_check_shortfalls > 100
    assert statistics.cross_check_finds == 0
    assert statistics.repairs == 0


def test_second_node_of_another_chain_is_named_in_the_log(ring_name: str, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> Statistics:
        async with RecordingNode(bundled_recording("ethereum"), speed=math.inf) as second:
            return await collect(ring_name, second.ws_url)

    with caplog.at_level(logging.WARNING, "alphapulse.collector"):
        statistics = asyncio.run(run())
    assert "the second endpoint is gone: expected chain 137, found 1" in caplog.text
    assert read_story(ring_name).standing == canonical_events()
    assert statistics.cross_checks == 0


Handler = Callable[[ServerConnection], Awaitable[None]]


async def silent(connection: ServerConnection) -> None:
    """Answers nothing at all."""
    await connection.wait_closed()


async def slow(connection: ServerConnection) -> None:
    """Answers what chain it serves, and refuses everything else after 5 s: long after the block's end."""
    tasks = set()

    async def refuse(asked: dict[str, Any]) -> None:
        await asyncio.sleep(0 if asked["method"] == "eth_chainId" else 5)
        answer = {"result": "0x89"} if asked["method"] == "eth_chainId" else {"error": {"code": -32000, "message": "?"}}
        await connection.send(json.dumps({"id": asked["id"], **answer}))

    async for message in connection:
        tasks.add(asyncio.create_task(refuse(json.loads(message))))


async def cut_off(connection: ServerConnection) -> None:
    """Begins an answer, and resets the connection in the middle of it."""
    asked = json.loads(await connection.recv())
    await connection.send(json.dumps({"id": asked["id"], "result": "0x89"}))
    await connection.recv()
    connection.transport.write(b"\x81\x7e\x10\x00" + b'{"jsonrpc":"2.0","id":2,"result":[{"address":')
    await asyncio.sleep(0.02)
    connection.transport.abort()


async def nonsense(connection: ServerConnection) -> None:
    """Talks a lot, and says nothing."""
    for _ in range(2000):
        await connection.send('{"id":4711,"result":[]}')


@pytest.mark.parametrize("handler", [silent, slow, cut_off, nonsense])
def test_useless_second_node_holds_nothing_up(ring_name: str, handler: Handler) -> None:
    connections = 0

    async def count(connection: ServerConnection) -> None:
        nonlocal connections
        connections += 1
        await handler(connection)

    async def run() -> Statistics:
        async with serve(count, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            return await collect(ring_name, f"ws://127.0.0.1:{port}")

    statistics = asyncio.run(run())
    assert read_story(ring_name).standing == canonical_events()
    assert statistics.safe_number == LAST_BLOCK
    assert statistics.blocks_by_verdict["cross_checked"] == 0
    assert statistics.connections == 1, "the first connection is untouched"
    assert statistics.rejected == {}
    assert 1 <= connections <= 12
