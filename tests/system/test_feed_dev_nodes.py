"""What only development nodes do: thousands of blocks made at once, another chain behind the same port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from producers.node.errors import WrongChainError
from tests.producers.collected import Story
from tlv.layout import Block, BlockEnd, Gap
from tools.prove.feed.campaign import chain_toml, messages_of, true_events
from tools.rig.evm.kinds import HARDHAT, KINDS, NodeKind
from tools.rig.evm.node import Node
from tools.rig.evm.world import World
from tools.warm import warm_collector, warm_ring

TIMEOUT_S = 60.0


@asynccontextmanager
async def collecting(node: Node, world: World, folder: Path, ring: str) -> AsyncIterator[asyncio.Task[None]]:
    """A collector of this world at work, until the block ends."""
    warm_ring()
    warm_collector()
    chain = folder / "chain.toml"
    chain.write_text(chain_toml(world))
    collector = Collector(CollectorOptions(chain=load_chain(str(chain)), urls=(node.url,), ring=ring))
    work = asyncio.create_task(collector.run())
    try:
        yield work
    finally:
        collector.stop()
        await work


async def closed(world: World, ring: str) -> Story:
    """What the ring tells once the node's newest block was ended in it."""
    head = world.rpc("eth_getBlockByNumber", "latest", False)["hash"]
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            await asyncio.sleep(0.2)
            messages = [message for _, message in messages_of(ring)]
            if any(f"0x{end.hash.hex()}" == head for message in messages if (end := message.first(BlockEnd))):
                break
    return story_of(ring)


def story_of(ring: str) -> Story:
    """What a ring tells that may still be written."""
    story = Story()
    for _, message in messages_of(ring):
        story.add(message)
    return story


def trade(world: World, blocks: int = 3) -> None:
    """Blocks of two swaps."""
    for _ in range(blocks):
        world.v2_swap(0, world.weth, 10**15)
        world.v3_swap(world.usdc, 10**6)
        world.mine()


def test_feed_over_blocks_that_hardhat_makes_at_once_has_them_all(ring_name: str, tmp_path: Path) -> None:
    """Of 3,000 it announces the first and the last; it has them all by number; what was a Gap meanwhile is healed."""
    with Node(kind=HARDHAT) as node:
        world = World.build(node.rpc)
        world.hold_mining(True)
        story = asyncio.run(leap(node, world, tmp_path, ring_name))
        first = min(block.number for message in story.messages if (block := message.first(Block)))
        assert story.standing == true_events(world, world.logs(first))
    assert any(message.first(Gap) for message in story.messages), "too weak: nothing was to be healed"


def not_ended(story: Story) -> set[int]:
    """The numbers of the blocks that were told or declared, and have not ended since."""
    standing: set[int] = set()
    for message in story.messages:
        if gap := message.first(Gap):
            standing |= set(range(gap.first, gap.last + 1))
        if block := message.first(Block):
            standing.add(block.number)
        if end := message.first(BlockEnd):
            standing.discard(end.number)
    return standing


async def leap(node: Node, world: World, folder: Path, ring: str) -> Story:
    async with collecting(node, world, folder, ring):
        await asyncio.to_thread(trade, world)
        await closed(world, ring)
        await asyncio.to_thread(world.mine, 3000)
        await asyncio.to_thread(trade, world)
        await closed(world, ring)
        async with asyncio.timeout(TIMEOUT_S):
            while not_ended(story := story_of(ring)):
                await asyncio.sleep(0.5)
        return story


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_feed_from_a_node_that_came_back_with_another_chain_ends_and_tells_nothing_of_it(
    kind: NodeKind, ring_name: str, tmp_path: Path
) -> None:
    """The same contracts at the same addresses on another chain of the same id: only its first block tells."""
    with Node(kind=kind) as node:
        world = World.build(node.rpc)
        world.hold_mining(True)
        before = asyncio.run(replace_chain(node, world, tmp_path, ring_name))
    after = story_of(ring_name)
    assert len(before.standing) >= 27
    assert after.standing == before.standing
    assert [gap for message in after.messages if (gap := message.first(Gap))] == []


async def replace_chain(node: Node, world: World, folder: Path, ring: str) -> Story:
    """What the ring told of the old chain when its node was killed, in whose place another chain came."""
    with pytest.raises(WrongChainError, match="expected block 0 of chain 137"):
        async with collecting(node, world, folder, ring) as work:
            world.mine()
            await closed(world, ring)
            await asyncio.to_thread(trade, world, 10)
            old = await closed(world, ring)
            await asyncio.to_thread(node.kill)
            await asyncio.to_thread(node.restart)
            again = await asyncio.to_thread(World.build, node.rpc)
            assert again.pools == world.pools
            again.hold_mining(True)
            await asyncio.to_thread(trade, again)
            await asyncio.wait([work], timeout=TIMEOUT_S)
    return old
