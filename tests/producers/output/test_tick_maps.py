"""Tick maps read from a real node, over a wire that a test can break: every map told is the contract's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from producers.blocks.block import Block
from producers.chains.configuration import load_chain
from producers.context import Context
from producers.decode.pool_table import PoolTable, VerifiedEmitter
from producers.node.jsonrpc import NS
from producers.node.rpc_types import Head
from producers.node.timers import Clock
from producers.output.introductions import Introductions
from producers.output.outbox import Outbox
from producers.output.pool_readings import PAUSE_BLOCKS, PoolWatch
from producers.output.tick_maps import TickMaps, first_questions
from producers.output.tick_program import MAX_TICK, MIN_TICK, Tick, all_words
from tests.producers.output.liquidity import SPACING, Liquidity, contract_price, contract_ticks
from tlv.codes import Flag, Protocol, Source
from tlv.layout import PoolState, PoolTicks, TickLiquidity
from tlv.message import Message, parse
from tools.prove.feed.campaign import verified_pools
from tools.rig.evm.node import Node, NodeRefusal
from tools.rig.evm.world import World

Answer = dict[str, Any]
ALL = PoolWatch(everything=True)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A node with some positions in its V3 pool."""
    with Node() as node:
        world = World.build(node.rpc)
        world.hold_mining(True)
        liquidity = Liquidity(world, 1)
        for width in (1, 3, 40, 700):
            liquidity.mint(width, 2 * width, 10**16)
        world.mine()
        yield world


class Wire:
    """A reader of tick maps and a node.  `answered` may replace what the node answers."""

    def __init__(self, world: World, watch: PoolWatch = ALL) -> None:
        self.world = world
        context = Context.of(load_chain("polygon"), Clock())
        self.rpc, self.stats = context.rpc, context.stats
        self.canonical = True
        self.asked: list[dict[str, Any]] = []
        pools = [msgspec.structs.replace(pool, tick_spacing=SPACING, fee_pips=500) for pool in verified_pools(world)]
        self.v3 = next(row for row, pool in enumerate(pools) if pool.protocol == Protocol.UNISWAP_V3)
        table = PoolTable(pools)
        self.outbox = Outbox(Source.POLYGON_COLLECTOR, context.clock, table, 1)
        introductions = Introductions(self.outbox, table, {})
        introductions.introduce(range(len(pools)))
        self.outbox.take()
        self.maps = TickMaps(context, introductions, self.outbox, lambda _: self.canonical, watch)

    def block(self, number: str = "latest") -> Block:
        """A block of the node as the collector knows it."""
        return Block(msgspec.convert(self.world.rpc("eth_getBlockByNumber", number, False), Head), 0)

    def step(self, answered: Callable[[Answer], Answer] = lambda answer: answer) -> int:
        """Send what is to be sent, and bring the answers; how many that was."""
        frames = self.rpc.outgoing()
        for frame in frames:
            request = msgspec.json.decode(frame)
            self.asked.append(request)
            answer: Answer = {"jsonrpc": "2.0", "id": request["id"]}
            try:
                answer["result"] = self.world.rpc(request["method"], *request["params"])
            except NodeRefusal as error:
                answer["error"] = {"code": -32000, "message": str(error)}
            self.rpc.read(msgspec.json.encode(answered(answer)))
        return len(frames)

    def run(self) -> list[Message]:
        """Ask until nothing is left to ask; what was told."""
        while self.step():
            pass
        return self.told()

    def told(self) -> list[Message]:
        """What was told since the last call."""
        messages = []
        for item in self.outbox.take():
            assert isinstance(item, bytes)
            messages.append(parse(item))
        return messages


def later(block: Block, blocks: int) -> Block:
    """The same block, so many numbers higher."""
    return Block(msgspec.structs.replace(block.head, number=hex(block.number + blocks)))


def ticks_in(messages: list[Message]) -> list[Tick]:
    """The map that a row of messages tells; asserts that it is whole."""
    ticks, next_tick = [], MIN_TICK
    for message in messages:
        head, *records = message.records
        assert isinstance(head, PoolTicks) and message.header.flags == Flag.SNAPSHOT
        assert (head.first_tick, head.count) == (next_tick, len(records))
        for record in records:
            assert isinstance(record, TickLiquidity) and head.first_tick <= record.tick <= head.last_tick
            ticks.append(Tick(record.tick, record.liquidity_gross, record.liquidity_net))
        next_tick = head.last_tick + 1
    assert next_tick == MAX_TICK + 1
    return ticks


def test_tick_map_is_the_contracts_own_behind_the_state_of_the_same_block(world: World) -> None:
    wire = Wire(world)
    wire.maps.want_all(0)
    block = wire.block()
    wire.maps.pump(block)
    state, *parts = wire.run()
    assert ticks_in(parts) == contract_ticks(world, block.number)
    told = state.records[0]
    assert isinstance(told, PoolState) and told.block_number == block.number
    assert (told.sqrt_price_x96, told.tick, told.liquidity) == contract_price(world, block.number)
    assert (
        {(part.records[0].block_number, part.records[0].block_hash.hex()) for part in parts}
        == {  # type: ignore[attr-defined]
            (block.number, block.hash[2:])
        }
    )
    assert len(wire.asked) == 3, "one call for the map, two for the state"
    assert all(request["params"][1] == {"blockHash": block.hash} for request in wire.asked)
    assert wire.stats.tick_maps == 1


def test_tick_map_of_a_block_in_the_past_is_that_blocks(world: World) -> None:
    wire = Wire(world)
    block = wire.block()
    before = contract_ticks(world, block.number)
    Liquidity(world, 2).mint(5, 5, 10**16)
    world.mine()
    wire.maps.want_all(0)
    wire.maps.pump(block)
    assert ticks_in(wire.run()[1:]) == before != contract_ticks(world, "latest")


def test_tick_map_with_more_ticks_than_an_answer_holds_is_asked_in_halves() -> None:
    with Node() as node:
        world = World.build(node.rpc)
        world.hold_mining(True)
        liquidity = Liquidity(world, 3)
        for at in range(400):
            liquidity.mint(2 * at + 10, 2 * at + 11, 10**15)
            if at % 20 == 19:
                world.mine()
        wire = Wire(world)
        wire.maps.want_all(0)
        wire.maps.pump(wire.block())
        parts = wire.run()[1:]
        found = ticks_in(parts)
        assert found == contract_ticks(world, "latest") and len(found) == 802
        assert len(wire.asked) > 3, "the node must have refused the first question"
        assert [len(part.records) - 1 for part in parts] == [128] * 6 + [34]
        assert wire.stats.refused_tick_maps == 0


def test_tick_map_after_a_disconnect_or_a_dropped_block_is_asked_again(world: World) -> None:
    wire = Wire(world)
    wire.maps.want_all(0)
    wire.maps.pump(wire.block())
    assert wire.step() == 1
    wire.rpc.outgoing()
    wire.rpc.abandon()
    assert wire.run() == []
    wire.maps.pump(wire.block())
    wire.canonical = False
    assert wire.run() == []
    wire.canonical = True
    wire.maps.pump(wire.block())
    assert ticks_in(wire.run()[1:]) == contract_ticks(world, "latest")
    assert wire.stats.refused_tick_maps == 0


def test_tick_map_obeys_a_rate_limit_and_goes_on_where_it_was(world: World) -> None:
    wire = Wire(world)
    wire.maps.want_all(0)
    wire.maps.pump(wire.block())

    def busy(answer: Answer) -> Answer:
        return {"jsonrpc": "2.0", "id": answer["id"], "error": {"code": 429, "message": "too many requests"}}

    assert wire.step(busy) == 1
    assert wire.step() == 0, "nothing is asked before the pause is over"
    wire.rpc.clock.now_ns += NS
    assert ticks_in(wire.run()[1:]) == contract_ticks(world, "latest")


def test_tick_map_answered_too_late_is_asked_in_halves(world: World) -> None:
    wire = Wire(world)
    wire.maps.want_all(0)
    wire.maps.pump(wire.block())
    assert len(wire.rpc.outgoing()) == 1
    wire.rpc.clock.now_ns += 60 * NS
    wire.rpc.expire()
    assert ticks_in(wire.run()[1:]) == contract_ticks(world, "latest")
    assert len(wire.asked) >= 4


def test_tick_map_that_contradicts_the_pools_liquidity_is_refused_and_asked_later(world: World) -> None:
    wire = Wire(world)
    wire.maps.want_all(0)
    block = wire.block()
    wire.maps.pump(block)

    def without_ticks(answer: Answer) -> Answer:
        return {"jsonrpc": "2.0", "id": answer["id"], "result": "0x" + "00" * 32}

    wire.step(without_ticks)
    assert wire.run() == []
    assert wire.stats.refused_tick_maps == 1
    wire.maps.pump(later(block, PAUSE_BLOCKS - 1))
    assert wire.step() == 0
    wire.maps.pump(later(block, PAUSE_BLOCKS))
    assert wire.step() == 1


def test_tick_map_answered_from_an_empty_state_is_refused(world: World) -> None:
    """What anvil does for a moment during a reorg: every word is zero, and so are price and liquidity."""
    wire = Wire(world)
    wire.maps.want_all(0)
    wire.maps.pump(wire.block())

    def zeros(answer: Answer) -> Answer:
        words = 7 if len(wire.asked) == 2 else 1  # slot0 has seven
        return {"jsonrpc": "2.0", "id": answer["id"], "result": "0x" + "00" * 32 * words}

    while wire.step(zeros):
        pass
    assert (wire.told(), len(wire.asked), wire.stats.refused_tick_maps) == ([], 3, 1)


def test_tick_map_from_a_node_that_cannot_run_the_program_is_given_up_after_one_word(world: World) -> None:
    wire = Wire(world)
    wire.maps.want_all(0)
    wire.maps.pump(wire.block())

    def refuse(answer: Answer) -> Answer:
        return {"jsonrpc": "2.0", "id": answer["id"], "error": {"code": -32602, "message": "expected a `to`"}}

    while wire.step(refuse):
        pass
    assert wire.told() == []
    assert (wire.stats.refused_tick_maps, len(wire.asked)) == (1, 11)


def test_tick_map_due_again_after_a_reorg_below_its_block_only(world: World) -> None:
    wire = Wire(world)
    wire.maps.want_all(0)
    block = wire.block()
    wire.maps.pump(block)
    wire.run()
    wire.maps.reorganise(block.number + 1)
    wire.maps.pump(block)
    assert wire.run() == []
    wire.maps.reorganise(block.number)
    wire.maps.pump(block)
    assert ticks_in(wire.run()[1:]) == contract_ticks(world, block.number)


def test_tick_map_older_than_what_readers_were_told_to_forget_is_not_asked(world: World) -> None:
    wire = Wire(world)
    block = wire.block()
    wire.maps.want_all(block.number + 1)
    wire.maps.want_all(0)
    wire.maps.pump(block)
    assert wire.step() == 0
    wire.maps.pump(later(block, 1))
    assert wire.step() == 1


def test_tick_map_only_of_watched_v3_pools_whose_events_are_published(world: World) -> None:
    nothing, other = PoolWatch(), PoolWatch(frozenset({bytes(20)}))
    for watch, asked in ((nothing, 0), (other, 0), (PoolWatch(frozenset({bytes.fromhex(world.v3_pool[2:])})), 1)):
        wire = Wire(world, watch)
        wire.maps.want_all(0)
        wire.maps.pump(wire.block())
        assert wire.step() == asked
    hidden = Wire(world)
    hidden.maps.is_followed = lambda _: False
    hidden.maps.want_all(0)
    hidden.maps.pump(hidden.block())
    assert hidden.step() == 0


@pytest.mark.parametrize(
    ("protocol", "covered"), [(Protocol.ALGEBRA, True), (Protocol.UNISWAP_V2, False), (200, False)]
)
def test_tick_maps_are_of_kinds_whose_bitmap_can_be_read(protocol: int, covered: bool) -> None:
    pool = VerifiedEmitter(bytes(20), bytes(20), bytes(20), 0, 18, 18, protocol=protocol)
    assert TickMaps.has_reading(pool) == covered


@pytest.mark.parametrize("spacing", [1, 10, 60, 200, 16383])
def test_first_questions_cover_every_word_once_from_the_lowest(spacing: int) -> None:
    words = list(first_questions(spacing))[::-1]
    assert (words[0].first, words[-1].last) == all_words(spacing)
    assert all(after.first == before.last + 1 for before, after in pairwise(words))
    for tick in (MIN_TICK, MAX_TICK):
        compressed = int(tick / spacing)  # towards zero: the outermost tick that can be initialised
        assert any(part.first <= compressed >> 8 <= part.last for part in words)


def test_first_questions_of_a_pool_without_a_known_spacing_are_none() -> None:
    assert list(first_questions(0)) == []
