"""Tick maps through the whole collector: published where it says, and asked again after whatever voids them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from producers.output.pool_readings import PoolWatch
from producers.output.tick_program import Tick
from ringbuf import Reader, Status
from tests.producers.output.liquidity import Liquidity, contract_ticks, reorganise_in_quiet
from tests.producers.output.test_tick_maps import ticks_in
from tlv.layout import LAYOUT_DIGEST, PoolState, PoolTicks, Reorg, StateInvalidation
from tlv.message import Message, parse
from tlv.record import Record
from tools.prove.feed.campaign import chain_toml
from tools.rig.evm.faults import WsRelay
from tools.rig.evm.node import Node
from tools.rig.evm.world import World
from tools.warm import warm_collector, warm_ring

MOVES = 12


class Watcher:
    """Reads a ring while the node mines, and holds every map against the contract."""

    def __init__(self, world: World, reader: Reader) -> None:
        self.world, self.reader = world, reader
        self.messages: list[Message] = []

    def records(self, kind: type[Record]) -> int:
        """How many messages began with such a record."""
        return sum(isinstance(message.records[0], kind) for message in self.messages)

    async def until_map(self, count: int, enough: Callable[[], bool] = lambda: True) -> None:
        """Mine until so many maps were told; the last of them is the contract's."""
        await self.until(lambda: enough() and len(self.read_maps()) == count)
        number, ticks = self.read_maps()[-1]
        assert ticks == await asyncio.to_thread(contract_ticks, self.world, number)

    async def until(self, enough: Callable[[], bool]) -> None:
        """Mine until it is so."""
        async with asyncio.timeout(60):
            while not enough():
                await asyncio.to_thread(self.world.mine)
                await asyncio.sleep(0.05)
                while (poll := self.reader.poll()).status is Status.OK:
                    self.messages += [parse(frame.payload) for frame in poll]

    def read_maps(self) -> list[tuple[int, list[Tick]]]:
        """Block number and ticks of every whole map, in the order in which they were told."""
        found: list[tuple[int, list[Tick]]] = []
        parts: list[Message] = []
        for before, message in zip([None, *self.messages], self.messages, strict=False):
            head = message.records[0]
            if not isinstance(head, PoolTicks):
                assert not parts, "a map's messages follow each other"
                continue
            if not parts:
                state = before.records[0] if before is not None else None
                assert isinstance(state, PoolState) and state.block_number == head.block_number
            parts.append(message)
            if head.last_tick == 887272:
                found.append((head.block_number, ticks_in(parts)))
                parts = []
        return found


async def live(world: World, node: Node, chain: Path, ring: str) -> None:
    """Watch the pool through moves, a demand, a reorg and a lost connection."""
    warm_ring()
    warm_collector()
    liquidity = Liquidity(world, 11)
    async with WsRelay(node.url) as relay:
        watch = PoolWatch(everything=True)
        collector = Collector(
            CollectorOptions(chain=load_chain(str(chain)), urls=(relay.url,), ring=ring, tick_watch=watch)
        )
        work = asyncio.create_task(collector.run())
        with Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
            watcher = Watcher(world, reader)
            await watcher.until(lambda: collector.statistics.blocks > 0)
            world.v3_swap(world.weth, 10**15)
            await watcher.until_map(1)
            for _ in range(MOVES):
                liquidity.move()
                await asyncio.to_thread(world.mine)
            collector.want_states()
            await watcher.until_map(2)
            liquidity.mint(3, 4, 10**17)
            await reorganise_in_quiet(world, 8)
            await watcher.until_map(3, lambda: watcher.records(Reorg) > 0)
            await relay.close_all(1011)
            await watcher.until_map(4, lambda: watcher.records(StateInvalidation) > 0)
        collector.stop()
        await work
        assert collector.statistics.tick_maps == 4


def test_collector_tells_maps_when_pools_appear_on_demand_after_reorgs_and_after_losses(
    ring_name: str, tmp_path: Path
) -> None:
    with Node() as node:
        world = World.build(node.rpc)
        world.hold_mining(True)
        chain = tmp_path / "chain.toml"
        chain.write_text(chain_toml(world))
        asyncio.run(live(world, node, chain, ring_name))
