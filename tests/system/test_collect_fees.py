"""An Algebra pool through the whole collector: what a reader says of the next fee is what the contract takes."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from consumers.arbitrage.book_strategy import BookStrategy
from consumers.arbitrage.pool_state import Pool, Price
from consumers.strategy import Driver
from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from producers.output.pool_readings import PoolWatch
from ringbuf import Reader, Status
from tests.producers.output.liquidity import reorganise_in_quiet
from tlv.layout import LAYOUT_DIGEST, BlockEnd
from tlv.message import parse
from tools.prove.feed.campaign import chain_toml
from tools.rig.evm.algebra import SPACING, AlgebraPool
from tools.rig.evm.node import Node
from tools.rig.evm.world import World
from tools.warm import warm_collector, warm_ring

ROUNDS = 16
PAUSES_S = (2, 2, 60, 600, 3600, 30_000, 100_000)


class Follower:
    """A reader's book, fed from the ring."""

    def __init__(self, world: World, reader: Reader, collector: Collector) -> None:
        self.world, self.reader, self.collector = world, reader, collector
        self.keeper = BookStrategy()
        self.driver = Driver(self.keeper, reader.uuid)
        self.closed = -1

    def pool(self, exchange: AlgebraPool) -> Pool | None:
        return self.keeper.book.get(bytes.fromhex(exchange.pool[2:]))

    async def catch_up(self, exchange: AlgebraPool) -> Pool:
        """Mine empty blocks until what moved is closed, and fee and ticks of the pool are known."""
        moved = self.world.height()
        async with asyncio.timeout(60):
            while True:
                while (poll := self.reader.poll()).status is Status.OK:
                    for frame in poll:
                        record = parse(frame.payload).records[0]
                        self.closed = record.number if isinstance(record, BlockEnd) else self.closed
                        self.driver.deliver(frame.sequence, frame.publish_time_ns, bytes(frame.payload))
                pool = self.pool(exchange)
                known = pool is not None and pool.current is not None and pool.ticks.map is not None
                if self.closed >= moved and pool is not None and known and pool.fee_pips is not None:
                    return pool
                await asyncio.to_thread(self.world.mine)
                await asyncio.sleep(0.05)


async def live(world: World, node: Node, exchange: AlgebraPool, chain: Path, ring: str) -> None:
    warm_ring()
    warm_collector()
    rng, depth = random.Random(3), (10**20, 3 * 10**11)
    amounts = depth if world.tokens[0] == world.weth else depth[::-1]
    watch = PoolWatch(everything=True)
    collector = Collector(CollectorOptions(chain=load_chain(str(chain)), urls=(node.url,), ring=ring, tick_watch=watch))
    work = asyncio.create_task(collector.run())
    fees = set()
    with Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
        follower = Follower(world, reader, collector)
        async with asyncio.timeout(60):
            while collector.statistics.blocks == 0:
                await asyncio.sleep(0.02)
        exchange.swap(world.weth, 10**15)
        await asyncio.to_thread(world.mine)
        for number in range(ROUNDS):
            pool = await follower.catch_up(exchange)
            state, _, net = exchange.read()
            assert pool.current is not None and pool.current.value == Price(*state)
            assert pool.ticks.map is not None and dict(pool.ticks.map.net) == net
            now = int(world.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16) + rng.choice(PAUSES_S)
            expected = pool.fees.fee_at(now)
            world.rpc("evm_setNextBlockTimestamp", hex(now))
            for _ in range(rng.randint(1, 2)):
                token = rng.choice(world.tokens)
                share = rng.randint(1, 10**4)
                exchange.swap(token, amounts[world.tokens.index(token)] * share // 10**5)
            await asyncio.to_thread(world.mine)
            assert exchange.fee() == expected
            fees.add(expected)
            if number % 3 == 1:
                middle = state.tick // SPACING * SPACING
                ticks = (middle - SPACING * rng.randint(1, 9), middle + SPACING * rng.randint(1, 9))
                exchange.mint(ticks, amounts[0] // 10, amounts[1] // 10)
                await asyncio.to_thread(world.mine)
            if number == ROUNDS // 2:
                await reorganise_in_quiet(world, 2)
    collector.stop()
    await work
    assert len(fees) > ROUNDS // 3 and follower.driver.poisoned == 0
    assert 0 < collector.statistics.fee_states < ROUNDS and collector.statistics.refused_fee_states == 0


def test_reader_behind_the_collector_says_the_fee_that_the_contract_takes(ring_name: str, tmp_path: Path) -> None:
    with Node() as node:
        world = World.build(node.rpc)
        amounts = (10**20, 3 * 10**11) if world.tokens[0] == world.weth else (3 * 10**11, 10**20)
        exchange = AlgebraPool.build(world, *world.tokens, *amounts)
        world.hold_mining(True)
        chain = tmp_path / "chain.toml"
        chain.write_text(chain_toml(world, exchange.chain_table))
        asyncio.run(live(world, node, exchange, chain, ring_name))
