"""As of which block states are asked: one whose state the node can no longer be about to change."""

from __future__ import annotations

from typing import Any

import msgspec

from producers.assembly import STILL_NS
from producers.blocks.block import Block
from producers.chains.configuration import load_chain
from producers.context import Context
from producers.decode.pool_table import PoolTable
from producers.node.rpc_types import Head
from producers.node.timers import Clock
from producers.output.introductions import Introductions
from producers.output.outbox import Outbox
from producers.output.snapshots import MAX_AT_ONCE, MAX_TOGETHER, Snapshots
from tests.producers.blocks.lying import LyingNode
from tests.producers.collected import proven_pools
from tests.producers.virtual import new_feed
from tlv.codes import Source

GET_RESERVES = "0902f1ac"


def asked_as_of(node: LyingNode) -> list[tuple[int, str]]:
    """When pools were asked for their reserves (ns), and as of which block number, whichever way it is named."""
    calls = [(at_ns, params) for at_ns, method, params in node.asked if method == "eth_call"]
    return [
        (at_ns, block if isinstance(block, str) else node.blocks[block["blockHash"]]["number"])
        for at_ns, (call, block) in calls
        if GET_RESERVES in call["data"]
    ]


def test_states_on_a_moving_chain_are_asked_as_of_a_block_that_has_a_successor() -> None:
    node = LyingNode(new_feed(pools=proven_pools().values()))
    for _ in range(20):
        node.push(node.mine(2))
        node.wait(0.3)
        assert node.head["number"] not in {number for _, number in asked_as_of(node)}
    assert len({number for _, number in asked_as_of(node)}) > 5


def test_node_that_runs_no_programs_is_asked_for_so_many_states_at_a_time() -> None:
    context, pools = Context.of(load_chain("polygon"), Clock()), list(proven_pools().values())[:60]
    table = PoolTable(pools)
    introductions = Introductions(Outbox(Source.POLYGON_COLLECTOR, context.clock, table, 1), table, {})
    introductions.introduce(range(len(pools)))
    snapshots = Snapshots(context, introductions, lambda block: True)
    block = Block(Head(number="0x10", hash="0x" + "11" * 32, parent_hash="0x" + "22" * 32, timestamp="0x1"))
    for row in range(MAX_TOGETHER // 2):
        snapshots.want(row, 0)
    snapshots.pump(block)
    (program,) = context.rpc.outgoing()
    reply(context, program, {"error": {"code": -32602, "message": "missing value for required argument 0"}})
    for one in context.rpc.outgoing():
        reply(context, one, {"result": "0x" + f"{1:064x}" * 3})
    snapshots.want_all(0)
    snapshots.pump(block)
    assert len(context.rpc.outgoing()) == MAX_AT_ONCE


def reply(context: Context, request: bytes, said: dict[str, Any]) -> None:
    """The node answers."""
    context.rpc.read(msgspec.json.encode({"id": msgspec.json.decode(request)["id"], **said}))


def test_states_of_a_chain_that_stands_are_asked_as_of_its_head_after_a_moment() -> None:
    node = LyingNode(new_feed(pools=proven_pools().values()))
    node.push(node.mine(2))
    told_ns = node.now_ns
    node.wait(1.0)
    asked = asked_as_of(node)
    assert {number for _, number in asked} == {node.head["number"]}
    assert min(at_ns for at_ns, _ in asked) >= told_ns + STILL_NS
