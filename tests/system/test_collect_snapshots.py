"""PoolState against a real node: reserves and prices are those that the contracts tell for that very block."""

from __future__ import annotations

import asyncio
from pathlib import Path

from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from ringbuf import Reader, Status
from tlv.codes import Flag, Protocol
from tlv.layout import LAYOUT_DIGEST, PoolState
from tlv.message import parse
from tools.prove.feed.campaign import chain_toml
from tools.rig.evm.node import Node
from tools.rig.evm.world import World, call_data
from tools.warm import warm_collector, warm_ring


def words(world: World, pool: str, signature: str, block_number: int) -> list[int]:
    """What a view function of a pool returned after a block."""
    answer = world.rpc("eth_call", {"to": pool, "data": call_data(signature)}, hex(block_number))
    return [int(answer[at : at + 64], 16) for at in range(2, len(answer), 64)]


def snapshots(reader: Reader) -> list[PoolState]:
    """Every new PoolState that tells more than who the pool is."""
    found = []
    while (poll := reader.poll()).status is Status.OK:
        for frame in poll:
            message = parse(frame.payload)
            record = message.records[0]
            if isinstance(record, PoolState) and message.header.flags & Flag.SNAPSHOT and record.block_number > 0:
                found.append(record)
    return found


async def collect(world: World, url: str, chain: Path, ring: str) -> list[PoolState]:
    """Trade once in every pool, then only mine; ask for all states in the middle."""
    warm_ring()
    warm_collector()
    collector = Collector(CollectorOptions(chain=load_chain(str(chain)), urls=(url,), ring=ring))
    work = asyncio.create_task(collector.run())
    async with asyncio.timeout(60):
        while collector.statistics.blocks == 0:
            await asyncio.sleep(0.02)
        for exchange in range(2):
            world.v2_swap(exchange, world.weth, 10**15)
        world.v3_swap(world.weth, 10**15)
        told: list[PoolState] = []
        with Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
            for enough in (3, 6):
                while len(told) < enough:
                    world.mine()
                    await asyncio.sleep(0.05)
                    told += snapshots(reader)
                collector.want_states()
    collector.stop()
    await work
    return told


def test_collector_tells_the_state_of_pools_when_they_appear_and_on_demand(ring_name: str, tmp_path: Path) -> None:
    with Node() as node:
        world = World.build(node.rpc)
        world.hold_mining(True)
        chain = tmp_path / "chain.toml"
        chain.write_text(chain_toml(world))
        told = asyncio.run(collect(world, node.url, chain, ring_name))
        assert {record.pool.hex() for record in told} == {pool[2:] for pool in world.pools}
        for record in told:
            pool = "0x" + record.pool.hex()
            if record.protocol == Protocol.UNISWAP_V2:
                reserves = words(world, pool, "getReserves()", record.block_number)
                assert [record.reserve0, record.reserve1] == reserves[:2]
            else:
                price, tick = words(world, pool, "slot0()", record.block_number)[:2]
                assert (record.sqrt_price_x96, record.tick) == (price, tick - (tick >> 255 << 256))
                assert [record.liquidity] == words(world, pool, "liquidity()", record.block_number)
