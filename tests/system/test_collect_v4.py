"""Uniswap V4 through the whole collector: what a ring says of its pools is what the contracts say, to the wei."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

from consumers.arbitrage.book_strategy import BookStrategy
from consumers.arbitrage.legs import leg_of, refusal
from consumers.arbitrage.pool_state import Pool, Price
from consumers.strategy import Driver
from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from producers.kinds.uniswap_v4 import charged
from producers.output.pool_readings import PoolWatch
from ringbuf import Reader, Status
from tests.consumers.journal_frames import UUID
from tests.producers.output.liquidity import reorganise_in_quiet
from tlv.codes import Protocol
from tlv.layout import LAYOUT_DIGEST, Block, BlockEnd, PoolFee, PoolState, PoolSwap, Reorg
from tlv.message import Message, parse
from tools.prove.feed.campaign import chain_toml
from tools.rig.evm.node import Node
from tools.rig.evm.v4 import NATIVE_COIN, V4Pool
from tools.rig.evm.world import World
from tools.warm import warm_collector, warm_ring

MOVES = 10
WETH, USDC = 10**20, 3 * 10**11
"""Equal in worth."""


class Watcher:
    """Reads a ring into a book while the node mines."""

    def __init__(self, world: World, reader: Reader) -> None:
        self.world, self.reader = world, reader
        self.keeper = BookStrategy()
        self.driver = Driver(self.keeper, UUID)
        self.messages: list[Message] = []
        self.head = self.ended = 0

    def read(self) -> None:
        while (poll := self.reader.poll()).status is Status.OK:
            for frame in poll:
                self.driver.deliver(frame.sequence, frame.publish_time_ns, frame.payload)
                message = parse(frame.payload)
                self.messages.append(message)
                match message.records[0]:
                    case Block() as block:
                        self.head = block.number
                    case BlockEnd() as end:
                        self.ended = end.number

    async def until(self, enough: Callable[[], bool]) -> None:
        """Mine until it is so, the next block when the ring has the last."""
        async with asyncio.timeout(60):
            while not enough():
                if self.head >= self.world.height():
                    await asyncio.to_thread(self.world.mine)
                await asyncio.sleep(0.03)
                self.read()

    def pool(self, v4: V4Pool) -> Pool | None:
        return self.keeper.book.get(v4.id)

    def agrees(self, v4: V4Pool) -> bool:
        """Whether the book holds what the contract does at the end of the last block that was told."""
        pool = self.pool(v4)
        if pool is None or pool.current is None:
            return False
        real = v4.read_price(self.ended)
        held = Price(real.sqrt_price_x96, real.liquidity, real.tick)
        known = (pool.current.value, pool.fee_pips, pool.fee_pips_back)
        return known == (held, *charged(real.fee_pips, real.protocol_fee))

    def has_map(self, v4: V4Pool) -> bool:
        """Whether it holds the ticks too."""
        pool = self.pool(v4)
        return pool is not None and pool.ticks.map is not None and dict(pool.ticks.map.net) == v4.read(self.ended).net


async def trade(watcher: Watcher, pools: list[V4Pool], rng: random.Random) -> None:
    """Swaps, one a block, each paid as the book says; changes of liquidity, and of what the protocol takes, between."""
    world = watcher.world
    for _ in range(MOVES):
        v4 = rng.choice(pools)
        spacing, middle = v4.key[3], v4.read_price().tick // v4.key[3]
        if rng.random() < 0.5:
            below = middle - rng.randint(0, 9)
            v4.provide((below * spacing, (middle + rng.randint(1, 9)) * spacing), 10 ** rng.randint(12, 15))
        if rng.random() < 0.3:
            v4.charge_for_protocol(rng.randint(0, 1000), rng.randint(0, 1000))
        world.mine()
        height = world.height()
        await watcher.until(lambda: watcher.ended >= height and all(map(watcher.agrees, pools)))  # noqa: B023
        token_in = rng.choice(v4.key[:2])
        other = next(token for token in v4.key[:2] if token != token_in)
        if v4.key[0] == NATIVE_COIN:  # without a map it has to stay within a range
            amount = (WETH if token_in == NATIVE_COIN else USDC) * rng.randint(1, 10) // 10**6
        else:
            amount = (WETH if token_in == world.weth else USDC) * rng.randint(1, 10**5) // 10**6
        pool = watcher.pool(v4)
        assert pool is not None and refusal(pool) is None
        expected = leg_of(pool, bytes.fromhex(token_in[2:])).out(amount)
        before = coins(world, other)
        sent = v4.swap(token_in, amount)
        world.mine()
        receipt = world.receipt(sent)
        paid = coins(world, other) - before
        if other == NATIVE_COIN:
            paid += int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
        assert paid == expected
        height = world.height()
        await watcher.until(lambda: watcher.ended >= height)  # noqa: B023
        assert watcher.agrees(v4)


def coins(world: World, token: str) -> int:
    """What the account holds."""
    return (
        int(world.rpc("eth_getBalance", world.account, "latest"), 16) if token == NATIVE_COIN else world.balance(token)
    )


async def live(world: World, node: Node, first: V4Pool, chain: Path, ring: str) -> None:
    """Two pools that were there before the collector, one of the native coin; then a third one is made."""
    native, late = first.beside(NATIVE_COIN, 3000, 60), first.beside(first.key[0], 0, 200)
    world.receipt(native.initialize(WETH, USDC))
    world.receipt(native.provide(native.full_range, 10**15))
    world.hold_mining(True)
    watch = PoolWatch(frozenset((first.id, late.id)))
    collector = Collector(CollectorOptions(chain=load_chain(str(chain)), urls=(node.url,), ring=ring, tick_watch=watch))
    work = asyncio.create_task(collector.run())
    with Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
        watcher, pools = Watcher(world, reader), [first, native]
        await watcher.until(lambda: collector.statistics.blocks > 0)
        for pool in pools:
            pool.swap(pool.key[1], USDC // 1000)
        await watcher.until(lambda: all(map(watcher.agrees, pools)) and watcher.has_map(first))
        late.initialize(*((WETH, USDC) if late.key[0] == world.weth else (USDC, WETH)))
        late.provide(late.full_range, 10**15)
        pools.append(late)
        await watcher.until(lambda: all(map(watcher.agrees, pools)) and watcher.has_map(late))
        await trade(watcher, pools, random.Random(5))
        assert watcher.has_map(first) and watcher.has_map(late)
        # What the protocol takes changes in a block that leaves the chain.
        native.charge_for_protocol(77, 78)
        native.swap(NATIVE_COIN, 10**15)
        world.mine()
        await watcher.until(lambda: watcher.agrees(native))
        await reorganise_in_quiet(world, world.height() - height_of_fee(watcher) + 1)
        seen = len(watcher.messages)
        world.mine()
        await watcher.until(lambda: any(isinstance(m.records[0], Reorg) for m in watcher.messages[seen:]))
        await watcher.until(lambda: all(map(watcher.agrees, pools)))
    collector.stop()
    await work
    check_records(watcher, pools)


def height_of_fee(watcher: Watcher) -> int:
    """The block of the last change of a fee."""
    return max(m.records[1].block_number for m in watcher.messages if isinstance(m.records[0], PoolFee))


def check_records(watcher: Watcher, pools: list[V4Pool]) -> None:
    """Each pool is told with its coins, names and spacing, and every swap with its fee."""
    records = [message.records[0] for message in watcher.messages]
    for v4 in pools:
        states = [record for record in records if isinstance(record, PoolState) and record.pool == v4.id]
        assert {(f"0x{record.token0.hex()}", f"0x{record.token1.hex()}") for record in states} == {v4.key[:2]}
        assert {record.factory.hex() for record in states if any(record.factory)} == {v4.manager[2:]}
        assert {record.tick_spacing for record in states} == {v4.key[3]} and not any(any(r.hooks) for r in states)
        if v4.key[0] == NATIVE_COIN:
            assert {(record.symbol0, record.decimals0) for record in states} == {("POL", 18)}
    swaps = [record for record in records if isinstance(record, PoolSwap)]
    assert len(swaps) > MOVES and {record.protocol for record in swaps} == {Protocol.UNISWAP_V4}


def test_collector_tells_v4_pools_as_their_contracts_have_them(ring_name: str, tmp_path: Path) -> None:
    with Node() as node:
        world = World.build(node.rpc)
        amounts = (WETH, USDC) if world.tokens[0] == world.weth else (USDC, WETH)
        first = V4Pool.build(world, *world.tokens, *amounts, spacing=60)
        chain = tmp_path / "chain.toml"
        chain.write_text('native_symbol = "POL"\n' + chain_toml(world, first.chain_table))
        warm_ring()
        warm_collector()
        asyncio.run(live(world, node, first, chain, ring_name))
