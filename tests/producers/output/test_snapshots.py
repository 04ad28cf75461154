"""As of which block states are asked: one whose state the node can no longer be about to change."""

from __future__ import annotations

from producers.assembly import STILL_NS
from tests.producers.blocks.lying import LyingNode
from tests.producers.collected import proven_pools
from tests.producers.virtual import new_feed

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


def test_states_of_a_chain_that_stands_are_asked_as_of_its_head_after_a_moment() -> None:
    node = LyingNode(new_feed(pools=proven_pools().values()))
    node.push(node.mine(2))
    told_ns = node.now_ns
    node.wait(1.0)
    asked = asked_as_of(node)
    assert {number for _, number in asked} == {node.head["number"]}
    assert min(at_ns for at_ns, _ in asked) >= told_ns + STILL_NS
