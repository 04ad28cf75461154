"""A validation must notice every lie: a real ring and a real node, and then one thing is changed.

The ring is filled by a real collector from a local node with real contracts; only the reader's copy is falsified.
"""

from __future__ import annotations

import asyncio
import copy
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from producers.chains.configuration import ChainConfig, load_chain
from producers.collector import Collector, CollectorOptions
from producers.node.errors import EndpointError
from ringbuf import Frame, Reader, unlink
from tests.tools.rig.limited_node import RangeLimitRelay
from tlv.errors import FeedError
from tlv.layout import LAYOUT_DIGEST, PoolSwap
from tools.prove.feed.campaign import chain_toml
from tools.rig.evm.node import Node
from tools.rig.evm.world import World
from tools.validate import witness as asked_again
from tools.validate.judgement import judge
from tools.validate.ledger import RingLedger

BLOCKS = 12


@dataclass
class Scene:
    """A node, what a collector made of it, and what the node says when asked again."""

    node: Node
    chain: ChainConfig
    frames: list[Frame]
    ledger: RingLedger
    testimony: asked_again.Testimony

    @property
    def numbers(self) -> range:
        return range(self.ledger.first, self.ledger.closed + 1)

    def witness(self, url: str = "", chain: ChainConfig | None = None) -> asked_again.NodeWitness:
        return asked_again.NodeWitness((url or self.node.url,), chain or self.chain)


def read(frames: list[Frame]) -> RingLedger:
    ledger = RingLedger()
    ledger.take(frames)
    return ledger


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    ring = f"test.validate.{secrets.token_hex(4)}"
    with Node() as node:
        world = World.build(node.rpc)
        world.hold_mining(True)
        toml: Path = tmp_path_factory.mktemp("scene") / "chain.toml"
        toml.write_text(chain_toml(world))
        chain = load_chain(str(toml))
        try:
            asyncio.run(collect(world, CollectorOptions(chain=chain, urls=(node.url,), ring=ring, until_idle_s=1.0)))
            with Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
                frames = [frame._replace(payload=memoryview(bytes(frame.payload))) for frame in reader.poll(4096)]
        finally:
            unlink(ring)
        ledger = read(frames)
        numbers = range(ledger.first, ledger.closed + 1)
        testimony = asked_again.NodeWitness((node.url,), chain).read(numbers, ledger.pools, singly=False)
        yield Scene(node, chain, frames, ledger, testimony)


async def collect(world: World, options: CollectorOptions) -> None:
    """A dozen blocks with swaps, mints and burns on all three pools, a reorg among them."""
    collector = Collector(options)
    running = asyncio.create_task(collector.run())
    while collector.statistics.blocks == 0:
        await asyncio.sleep(0.05)
    for number in range(BLOCKS):
        world.v2_swap(number % 2, world.weth, 10**15 + number)
        world.v3_swap(world.usdc, 10**6 + number)
        world.v3_burn(1, 1000 + number)
        world.mine()
        if number == BLOCKS // 2:
            await asyncio.sleep(0.3)  # so that the block is known before it is dropped
            world.reorg(2)
        await asyncio.sleep(0.02)
    world.mine(2)
    await running


@pytest.fixture
def scene(played: Scene) -> Scene:
    """A copy that a test may falsify."""
    return Scene(played.node, played.chain, played.frames, read(played.frames), copy.deepcopy(played.testimony))


def test_judgement_of_an_honest_ring_finds_nothing(scene: Scene) -> None:
    judgement = judge(scene.ledger, scene.testimony)
    assert judgement.expected > 3 * BLOCKS
    assert len(scene.ledger.events) == judgement.expected
    assert scene.ledger.window.reorgs
    assert (judgement.missing, judgement.extra, judgement.different, judgement.miscounted) == (0, 0, 0, 0)
    assert not judgement.doubtful
    assert not scene.ledger.window.complaints


def test_judgement_of_a_withheld_event_says_missing_and_where(scene: Scene) -> None:
    identity, told = next(iter(scene.ledger.events.items()))
    del scene.ledger.events[identity]
    judgement = judge(scene.ledger, scene.testimony)
    assert (judgement.missing, judgement.extra, judgement.miscounted) == (1, 0, 1)
    assert judgement.doubtful == {told.origin.block_number}
    assert f"in block {told.origin.block_number}, log {told.origin.log_index}" in judgement.examples[0]


def test_judgement_of_an_invented_event_says_extra(scene: Scene) -> None:
    (block_hash, _, index), told = next(iter(scene.ledger.events.items()))
    scene.ledger.events[block_hash, bytes(32), index] = told
    judgement = judge(scene.ledger, scene.testimony)
    assert (judgement.missing, judgement.extra, judgement.miscounted) == (0, 1, 1)


def test_judgement_of_one_wei_says_different_with_both_values(scene: Scene) -> None:
    identity, told = next(
        (key, told)
        for key, told in scene.ledger.events.items()
        if isinstance(told.record, PoolSwap) and told.record.amount0_in
    )
    assert isinstance(told.record, PoolSwap)
    true = told.record.amount0_in
    scene.ledger.events[identity] = told._replace(record=msgspec.structs.replace(told.record, amount0_in=true + 1))
    judgement = judge(scene.ledger, scene.testimony)
    assert (judgement.missing, judgement.extra, judgement.different) == (0, 0, 1)
    assert f"expected {true}, found {true + 1}" in judgement.examples[0]


def test_judgement_of_an_event_in_another_block_says_different(scene: Scene) -> None:
    identity, told = next(iter(scene.ledger.events.items()))
    moved = msgspec.structs.replace(told.origin, block_number=told.origin.block_number + 1)
    scene.ledger.events[identity] = told._replace(origin=moved)
    assert judge(scene.ledger, scene.testimony).different == 1


def test_ledger_counts_a_flipped_bit_as_broken_wherever_it_is(scene: Scene) -> None:
    frame = scene.frames[len(scene.frames) // 2]
    for bit in range(0, 8 * len(frame.payload), 41):
        payload = bytearray(frame.payload)
        payload[bit // 8] ^= 1 << bit % 8
        ledger = read([frame._replace(payload=memoryview(payload))])
        assert ledger.window.counts["broken"] == 1, bit
        assert "expected" in ledger.window.complaints[-1]


def test_ledger_counts_a_skipped_and_a_swapped_frame(scene: Scene) -> None:
    skipped = read([*scene.frames[:5], *scene.frames[6:]])
    assert skipped.window.counts["out_of_sequence"] == 1
    assert "expected sequence 6, found 7" in skipped.window.complaints[0]
    first, second = scene.frames[3:5]
    swapped = read([*scene.frames[:3], first._replace(payload=second.payload), *scene.frames[4:]])
    assert swapped.window.counts["out_of_sequence"] == 1


def test_ledger_forgets_what_was_judged_and_keeps_what_follows(scene: Scene) -> None:
    ledger, middle = scene.ledger, scene.numbers[len(scene.numbers) // 2]
    ledger.forget(middle)
    assert ledger.first == middle + 1
    assert all(number > middle for number in ledger.blocks)
    later = asked_again.Testimony(
        {number: found for number, found in scene.testimony.blocks.items() if number > middle}
    )
    judgement = judge(ledger, later)
    assert judgement.expected > 0
    assert not judgement.doubtful


def test_witness_reads_the_same_by_range_and_block_by_block(scene: Scene) -> None:
    singly = scene.witness().read(scene.numbers, scene.ledger.pools, singly=True)
    assert singly.blocks == scene.testimony.blocks
    assert not singly.unread


def test_witness_behind_a_range_limit_halves_and_reads_the_same(scene: Scene) -> None:
    async def read_through_relay() -> tuple[asked_again.Testimony, int]:
        async with RangeLimitRelay(scene.node.url, most=3) as relay:
            witness = scene.witness(relay.url)
            read_again = asyncio.to_thread(witness.read, scene.numbers, scene.ledger.pools, singly=False)
            return await read_again, relay.refused

    testimony, refused = asyncio.run(read_through_relay())
    assert testimony.blocks == scene.testimony.blocks
    assert refused > 2


def test_witness_finds_pools_that_the_ring_never_mentioned(scene: Scene) -> None:
    alone = scene.witness().read(scene.numbers, {}, singly=False)
    assert alone.blocks == scene.testimony.blocks


def test_witness_refutes_pools_of_a_factory_that_is_not_configured(scene: Scene) -> None:
    left = msgspec.structs.replace(scene.chain, factories=scene.chain.factories[1:])
    witness = scene.witness(chain=left)
    judgement = judge(scene.ledger, witness.read(scene.numbers, scene.ledger.pools, singly=False))
    assert witness.emitters.counts() == {"confirmed": 2, "refuted": 1}
    assert judgement.extra > 0
    assert judgement.missing == 0


def test_witness_counts_a_block_that_nobody_has_as_unread(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.validate.witness.BLOCK_PATIENCE_S", 0.3)
    head = int(scene.node.rpc("eth_blockNumber"), 16)
    testimony = scene.witness().read([head, head + 100], {}, singly=True)
    assert testimony.unread == {head + 100}
    assert testimony.blocks.keys() == {head}


def test_witness_without_a_node_says_which_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.validate.witness.FIRST_PAUSE_S", 0.001)
    witness = asked_again.NodeWitness(("ws://127.0.0.1:1/v2/0123456789abcdef",), load_chain("polygon"))
    with pytest.raises(EndpointError, match=r"cannot connect to 127\.0\.0\.1: Connect") as caught:
        witness.read([1], {}, singly=False)
    assert isinstance(caught.value, FeedError)
    assert "0123456789abcdef" not in str(caught.value)
