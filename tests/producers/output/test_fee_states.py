"""FeeStates read from a real node, over a wire that a test can break: all told are the contract's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from consumers.arbitrage.kept_fees import KeptFees
from producers.blocks.block import Block
from producers.chains.configuration import load_chain
from producers.context import Context
from producers.decode.pool_table import PoolTable, VerifiedEmitter
from producers.node.rpc_types import Head
from producers.node.timers import Clock
from producers.output.fee_program import MOST_POINTS, WINDOW_S, FeeReading, call_data, read_fee, read_volume
from producers.output.fee_states import AHEAD_S, FeeStates, enough_until
from producers.output.introductions import Introductions
from producers.output.outbox import Outbox
from producers.output.pool_readings import PAUSE_BLOCKS, PoolWatch, ToldReading
from tlv.codes import Flag, Protocol, Source
from tlv.layout import FeeState, Timepoint
from tlv.message import Message, parse
from tools.rig.evm.algebra import AlgebraPool
from tools.rig.evm.node import Node
from tools.rig.evm.world import World

Answer = dict[str, Any]
ALL = PoolWatch(everything=True)
REFUSED = {"code": -32000, "message": "execution aborted"}


@pytest.fixture(scope="module")
def exchange() -> Iterator[AlgebraPool]:
    """A node with an Algebra pool that traded."""
    with Node() as node:
        world = World.build(node.rpc)
        amounts = (10**20, 3 * 10**11) if world.tokens[0] == world.weth else (3 * 10**11, 10**20)
        made = AlgebraPool.build(world, *world.tokens, *amounts)
        for pause in (60, 4000, 90_000):
            node.rpc("evm_increaseTime", pause)
            world.receipt(made.swap(world.tokens[0], amounts[0] // 50))
        yield made


class Wire:
    """A reader of FeeStates and a node.  `answered` may replace what the node answers."""

    def __init__(self, exchange: AlgebraPool, watch: PoolWatch = ALL) -> None:
        self.rpc_of_node = exchange.world.rpc
        context = Context.of(load_chain("polygon"), Clock())
        self.rpc, self.stats, self.canonical = context.rpc, context.stats, True
        tokens = (bytes.fromhex(token[2:]) for token in (exchange.token0, exchange.token1))
        pool = bytes.fromhex(exchange.pool[2:])
        emitter = VerifiedEmitter(pool, *tokens, 406, 18, 6, protocol=Protocol.ALGEBRA, tick_spacing=60)
        table = PoolTable([emitter])
        self.outbox = Outbox(Source.POLYGON_COLLECTOR, context.clock, table, 1)
        introductions = Introductions(self.outbox, table, {})
        introductions.introduce([0])
        self.outbox.take()
        self.fees = FeeStates(context, introductions, self.outbox, lambda _: self.canonical, watch)

    def block(self) -> Block:
        """The newest block as the collector knows it."""
        return Block(msgspec.convert(self.rpc_of_node("eth_getBlockByNumber", "latest", False), Head), 0)

    def run(self, answered: Callable[[str, Answer], Answer] = lambda _, answer: answer) -> list[Message]:
        """Ask until nothing is left to ask; what was told."""
        while frames := self.rpc.outgoing():
            for frame in frames:
                request = msgspec.json.decode(frame)
                answer: Answer = {"jsonrpc": "2.0", "id": request["id"]}
                answer["result"] = self.rpc_of_node(request["method"], *request["params"])
                self.rpc.read(msgspec.json.encode(answered(request["method"], answer)))
        return [parse(item) for item in self.outbox.take() if isinstance(item, bytes)]


def test_fee_state_is_all_that_the_next_fee_follows_from(exchange: AlgebraPool) -> None:
    wire, world = Wire(exchange), exchange.world
    block = wire.block()
    wire.fees.want_all(0)
    wire.fees.pump(block)
    (message,) = wire.run()
    state, *points = message.records
    assert isinstance(state, FeeState) and message.header.flags == Flag.SNAPSHOT
    assert (state.block_number, state.count) == (block.number, len(points)) and wire.stats.fee_states == 1
    kept = KeptFees()
    assert kept.take(state, [point for point in points if isinstance(point, Timepoint)], 0)
    assert kept.fee_at(block.timestamp) == state.fee_pips == exchange.fee()
    before = world.rpc("evm_snapshot")
    for pause in (1, 7000):
        world.rpc("evm_setNextBlockTimestamp", hex(block.timestamp + pause))
        world.receipt(exchange.swap(world.tokens[0], 10**6))
        assert kept.fee_at(block.timestamp + pause) == exchange.fee()
        world.rpc("evm_revert", before)
        before = world.rpc("evm_snapshot")


def broken(method: str, member: str, value: Any) -> Callable[[str, Answer], Answer]:
    """A node that answers one method otherwise."""

    def answered(asked: str, answer: Answer) -> Answer:
        kept = {key: answer[key] for key in ("jsonrpc", "id")}
        return kept | {member: value} if asked == method else answer

    return answered


@pytest.mark.parametrize(
    ("method", "member", "value"),
    [
        ("eth_call", "error", REFUSED),
        ("eth_call", "result", "0x"),
        ("eth_call", "result", "0x" + "0" * 64 * 26),
        ("eth_getStorageAt", "error", REFUSED),
        ("eth_getStorageAt", "result", "0x" + "0" * 64),
        ("eth_getStorageAt", "result", "0x-1"),
    ],
)
def test_fee_state_that_cannot_be_had_or_contradicts_itself_is_asked_for_later(
    exchange: AlgebraPool, method: str, member: str, value: Any
) -> None:
    wire = Wire(exchange)
    block = wire.block()
    wire.fees.want_all(0)
    wire.fees.pump(block)
    assert wire.run(broken(method, member, value)) == []
    assert wire.stats.refused_fee_states == 1 and wire.fees.due == {0: block.number + PAUSE_BLOCKS}
    wire.fees.pump(block)
    assert wire.run() == []


def test_fee_state_of_a_block_that_left_the_chain_is_asked_for_at_once(exchange: AlgebraPool) -> None:
    wire = Wire(exchange)
    block = wire.block()
    wire.fees.want_all(0)
    wire.fees.pump(block)
    wire.canonical = False
    assert wire.run() == [] and wire.fees.due == {0: 0}
    wire.canonical = True
    wire.fees.pump(block)
    assert len(wire.run()) == 1
    wire.fees.reorganise(block.number + 1)
    assert wire.fees.due == {}
    wire.fees.reorganise(block.number)
    assert wire.fees.due == {0: 0}


def test_fee_state_only_of_watched_pools_whose_events_are_published(exchange: AlgebraPool) -> None:
    for watch, followed in ((PoolWatch(), True), (PoolWatch(frozenset({bytes(20)})), True), (ALL, False)):
        wire = Wire(exchange, watch)
        wire.fees.is_followed = lambda _, followed=followed: followed  # type: ignore[misc]
        wire.fees.want_all(0)
        assert wire.fees.due == {}


def point(sequence: int, timestamp: int) -> Timepoint:
    return Timepoint(0, 0, 0, timestamp, sequence, 0)


@pytest.mark.parametrize(
    ("points", "until"),
    [
        ([point(0, 5)], 0),
        ([point(0, 5), point(1, 9)], 0),
        ([point(3, 5), point(4, 9), point(5, 11)], 0),
        ([point(3, 5), point(4, 9), point(8, 50), point(9, 60)], 9 + WINDOW_S - AHEAD_S),
    ],
)
def test_fee_state_is_enough_until_a_day_behind_its_last_point_before_the_gap(
    points: list[Timepoint], until: int
) -> None:
    assert enough_until(FeeReading(0, 0, 0, (), points)) == until


def test_fee_state_is_read_again_before_it_ends(exchange: AlgebraPool) -> None:
    wire = Wire(exchange)
    block = wire.block()
    wire.fees._told[0] = ToldReading(block.number, block.timestamp)  # as if 64 timepoints ended here
    wire.fees.pump(block)
    assert len(wire.run()) == 1


def test_answers_of_the_program_that_no_pool_gives_are_none() -> None:
    assert read_fee("0x" + "f" * 64 * 26) is None
    assert read_volume("0x" + "f" * 66, 1) is None
    assert read_volume(hex(7 << 128 | 3), 3) == 7


def test_question_of_a_chain_younger_than_a_day_begins_with_its_first_second() -> None:
    asked = call_data(b"\x11" * 20, 5)
    assert asked[-2 * 64 :] == f"{0:064x}{MOST_POINTS:064x}"
    assert call_data(b"\x11" * 20, WINDOW_S + 7)[-2 * 64 : -64] == f"{7:064x}"
