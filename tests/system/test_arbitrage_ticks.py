"""Node, collector, ring and strategy: the map a strategy keeps is the contract's, and what it promises is paid.

The pools are the real contracts on a local node; positions, swaps, reorgs and lost connections are seeded.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from consumers.arbitrage.config import ArbitrageConfig, GasConfig
from consumers.arbitrage.flash_arbitrage import FlashArbitrage
from consumers.arbitrage.pool_state import Pool, Price
from consumers.arbitrage.signal import legs_in, verify_signal
from consumers.strategy import Driver
from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from producers.output.pool_readings import PoolWatch
from producers.output.tick_program import Tick
from ringbuf import Reader, Status
from tests.producers.output.liquidity import Liquidity, contract_price, contract_ticks, reorganise_in_quiet
from tlv.codes import Domain, QuoteVerdict
from tlv.layout import LAYOUT_DIGEST, ArbitrageSignal, BlockEnd, WayTick
from tlv.message import Message, build, parse
from tools.prove.feed.campaign import chain_toml
from tools.rig.evm.faults import WsRelay
from tools.rig.evm.node import Node
from tools.rig.evm.world import V3_FEE, World
from tools.warm import warm_collector, warm_ring

ROUNDS = 60
CHECK_EVERY = 6
TRANSACTION_GAS = 21_000
"""What every transaction costs before it does anything (yellow paper, G_transaction)."""


class Follower:
    """A strategy behind a collector of the local node."""

    def __init__(self, world: World, reader: Reader, collector: Collector) -> None:
        self.world, self.reader, self.collector = world, reader, collector
        self.strategy = FlashArbitrage(ArbitrageConfig(gross=True, wrapped_native=world.weth))
        self.driver = Driver(self.strategy, reader.uuid)
        self.signals: list[Message] = []
        self.closed = -1

    @property
    def pool(self) -> Pool | None:
        """The V3 pool as the strategy knows it."""
        return self.strategy.book.get(bytes.fromhex(self.world.v3_pool[2:]))

    @property
    def knows_the_pool(self) -> bool:
        """Whether the V3 pool's state and map are known."""
        return self.pool is not None and self.pool.ticks.map is not None and self.pool.current is not None

    def read(self) -> None:
        """Deliver what is in the ring."""
        while (poll := self.reader.poll()).status is Status.OK:
            for frame in poll:
                record = parse(frame.payload).records[0]
                self.closed = record.number if isinstance(record, BlockEnd) else self.closed
                for draft in self.driver.deliver(frame.sequence, frame.publish_time_ns, bytes(frame.payload)):
                    self.signals.append(parse(build(Domain.SIGNAL, draft.source, draft.records)))

    async def catch_up(self) -> None:
        """Mine empty blocks until what moved is closed, and the pool is known with its map.

        A snapshot that came too late for a later event is asked for again, as a user would by SIGUSR1.
        """
        moved = int(self.world.rpc("eth_blockNumber"), 16)
        async with asyncio.timeout(60):
            while self.closed < moved or not self.knows_the_pool:
                await asyncio.to_thread(self.world.mine)
                await asyncio.sleep(0.05)
                self.read()
                if self.closed >= moved and not self.knows_the_pool:
                    self.collector.want_states()

    def exact_across_ticks(self, block: int) -> list[tuple[Message, ArbitrageSignal]]:
        """What was said of this block's end about cycles that cross at least three ticks."""
        return [
            (message, signal)
            for message in self.signals
            if (signal := message.first(ArbitrageSignal)) is not None
            and (signal.block_number, signal.verdict) == (block, QuoteVerdict.EXACT)
            and sum(isinstance(record, WayTick) for record in message.records) > 3
        ]

    async def check(self) -> None:
        """What the strategy knows is what the contract says."""
        await self.catch_up()
        pool = self.pool
        assert pool is not None and pool.ticks.map is not None and pool.current is not None
        kept = pool.ticks.map
        found = [Tick(tick, pool.ticks.gross[tick], kept.net[tick]) for tick in kept.ticks]
        assert found == await asyncio.to_thread(contract_ticks, self.world, "latest")
        price, tick, liquidity = contract_price(self.world, "latest")
        assert pool.current.value == Price(price, liquidity, tick)
        assert kept.active(tick) == liquidity
        assert self.driver.poisoned == 0


async def follow(
    world: World, node: Node, chain: Path, ring: str, play: Callable[[Follower, WsRelay], Awaitable[None]]
) -> Follower:
    """Run a collector with a watch on all pools, and a strategy, while `play` moves the world."""
    warm_ring()
    warm_collector()
    async with WsRelay(node.url) as relay:
        options = CollectorOptions(
            chain=load_chain(str(chain)), urls=(relay.url,), ring=ring, tick_watch=PoolWatch(everything=True)
        )
        collector = Collector(options)
        work = asyncio.create_task(collector.run())
        with Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
            follower = Follower(world, reader, collector)
            async with asyncio.timeout(60):
                while collector.statistics.blocks == 0:
                    await asyncio.sleep(0.02)
            for exchange in range(2):
                world.v2_swap(exchange, world.weth, 10**12)
            world.v3_swap(world.weth, 10**12)
            await play(follower, relay)
        collector.stop()
        await work
    return follower


@pytest.mark.parametrize("seed", [1, 2])
def test_strategy_keeps_the_contracts_map_through_moves_reorgs_and_losses(
    ring_name: str, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)

    async def play(follower: Follower, relay: WsRelay) -> None:
        world, liquidity = follower.world, Liquidity(follower.world, seed)
        await follower.check()
        for number in range(1, ROUNDS + 1):
            for _ in range(rng.randint(1, 3)):
                liquidity.move()
            await asyncio.to_thread(world.mine)
            follower.read()
            what = rng.random()
            if what < 0.15:
                await reorganise_in_quiet(world, rng.randint(1, 3))
            elif what < 0.25:
                await relay.close_all(rng.choice((1000, 1011)))
            if number % CHECK_EVERY == 0:
                await follower.check()

    with Node() as node:
        world = World.build(node.rpc)
        world.hold_mining(True)
        chain = tmp_path / "chain.toml"
        chain.write_text(chain_toml(world))
        follower = asyncio.run(follow(world, node, chain, ring_name, play))
    assert all(not verify_signal(message) for message in follower.signals)


def swap(world: World, pool: bytes, token_in: str, amount: int) -> tuple[int, int]:
    """Sell on one of the world's pools; what came out, and the gas it took."""
    token_out = world.usdc if token_in == world.weth else world.weth
    before = world.balance(token_out)
    names = [exchange.pair for exchange in world.exchanges]
    if (name := "0x" + pool.hex()) in names:
        sent = world.v2_swap(names.index(name), token_in, amount)
    else:
        sent = world.v3_swap(token_in, amount)
    world.mine()
    gas_used = int(world.receipt(sent)["gasUsed"], 16)
    return world.balance(token_out) - before, gas_used


@pytest.mark.parametrize("sold", [8 * 10**18, -20 * 10**18], ids=["weth_sold", "usdc_sold"])
def test_signal_across_ticks_pays_what_it_says_to_the_wei(ring_name: str, tmp_path: Path, sold: int) -> None:
    """A trade on a V2 exchange moves it away from the V3 pool; the cycle that brings them together crosses ticks."""
    chances: list[tuple[Message, ArbitrageSignal]] = []

    async def play(follower: Follower, _: WsRelay) -> None:
        world, liquidity = follower.world, Liquidity(follower.world, 5)
        for below, above in ((3, 4), (30, 50), (-2, 200), (400, -5), (700, 900), (9, 9)):
            liquidity.mint(below, above, 10**18)
            await asyncio.to_thread(world.mine)
        await follower.check()
        token, amount = (world.weth, sold) if sold > 0 else (world.usdc, -sold * 3000 // 10**12)
        # On a slow machine the block may be fetched late, as history of which the strategy says nothing: move again.
        async with asyncio.timeout(60):
            while not chances:
                world.v2_swap(0, token, amount)
                amount = 10**6
                await asyncio.to_thread(world.mine)
                moved = int(world.rpc("eth_blockNumber"), 16)
                await follower.catch_up()
                chances.extend(follower.exact_across_ticks(moved))

    with Node() as node:
        world = World.build(node.rpc)
        world.hold_mining(True)
        chain = tmp_path / "chain.toml"
        chain.write_text(chain_toml(world))
        asyncio.run(follow(world, node, chain, ring_name, play))
        message, signal = chances[0]
        assert verify_signal(message) == []
        legs, gas_v3 = legs_in(message), 0
        assert V3_FEE in {leg.fee_pips for leg in legs} and legs[0].amount_in == signal.amount_in
        for leg in legs:
            amount, gas_used = swap(world, leg.pool, "0x" + leg.token_in.hex(), leg.amount_in)
            assert amount == leg.amount_out
            gas_v3 = gas_used - TRANSACTION_GAS if leg.fee_pips == V3_FEE else gas_v3
        assert legs[-1].amount_out == signal.amount_out
        gas, crossed = GasConfig(), sum(isinstance(record, WayTick) for record in message.records) - 1
        assert gas_v3 <= gas.v3_swap_units + crossed * gas.v3_tick_units
