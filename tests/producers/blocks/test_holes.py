"""Declared holes whose headers come later: filled, also where the chain was reorganised below them meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from producers.blocks.holes import LONGEST_PAUSE_NS
from producers.node.jsonrpc import Rejection
from tests.producers.blocks.lying import FIRST, LyingNode
from tests.producers.virtual import SECOND, new_feed
from tlv.layout import BackfillEnd, Block, BlockEnd, Gap, Reorg

HIDDEN_S = 90
"""Longer than parents are sought."""


class NodeWithHole(LyingNode):
    """A node that hides the headers of some blocks for a while."""

    def __init__(self) -> None:
        self.hidden: set[str] = set()
        self.garbled: set[str] = set()
        super().__init__(new_feed(), self._hide)

    def _hide(self, method: str, params: list[Any], result: Any) -> Any:
        name = result.get("hash") if isinstance(result, dict) else None
        if name in self.garbled:
            return {**result, "timestamp": "soon"}
        return None if name in self.hidden else result

    def hide(self, blocks: int) -> None:
        """Mine so many that nobody sees, and one that is pushed."""
        self.hidden |= {self.mine(2)["hash"] for _ in range(blocks)}
        self.push(self.mine(2))
        self.wait(HIDDEN_S, 0.5)

    def show(self) -> None:
        """From now on everything is shown."""
        self.hidden.clear()
        self.wait(LONGEST_PAUSE_NS / SECOND + 15, 0.5)


def gaps(node: LyingNode) -> list[tuple[int, int]]:
    return [(gap.first - FIRST, gap.last - FIRST) for gap in node.records(Gap)]


def test_backfill_says_how_many_events_were_new() -> None:
    node = LyingNode(new_feed())
    node.grow(5)
    node.feed.disconnected(**node.clock)
    for logs in (2, 0, 3):
        node.mine(logs)
    node.feed.connected(**node.clock)
    node.exchange()
    node.grow(3)
    assert node.standing() == node.canonical()
    assert (FIRST + 6, FIRST + 8, 5) in [(end.first, end.last, end.events) for end in node.records(BackfillEnd)]


@pytest.mark.parametrize("depth", [1, 40])
def test_hole_above_blocks_that_left_the_chain_is_filled_and_they_are_taken_back(depth: int) -> None:
    """A reorg forks below the hole, and nobody sees the blocks that it brings below it."""
    node = NodeWithHole()
    node.grow(60)
    del node.line[-depth:]
    node.hidden |= {node.mine(2)["hash"] for _ in range(depth)}
    node.hide(5)
    node.grow(3)
    assert gaps(node) == [(61, 65)]
    node.show()
    assert node.standing() == node.canonical()
    assert not node.story.twice.total()
    assert node.feed._assembly.chain.holes == []
    assert node.records(Reorg)[-1].fork_number == FIRST + 60 - depth
    assert {name[2:] for name in node.line} <= {end.hash.hex() for end in node.records(BlockEnd)} | {node.line[0][2:]}
    node.grow(2)
    assert node.standing() == node.canonical()


def test_hole_that_left_the_chain_is_not_filled_and_costs_no_reorg() -> None:
    node = NodeWithHole()
    node.grow(20)
    node.hide(4)
    del node.line[-12:]
    for _ in range(14):
        node.mine(2)
    node.push(node.head)
    node.show()
    assert node.standing() == node.canonical()
    assert [reorg.fork_number - FIRST for reorg in node.records(Reorg)] == [len(node.line) - 15]


def test_hole_below_all_that_is_remembered_is_filled_above_the_fork_of_its_reorg() -> None:
    """The blocks at the root's height are known by their hashes only: their events cannot be named, but they left."""
    node = NodeWithHole()
    node.grow(320, logs=1, seconds=0.3)
    kept_from = min(node.feed._assembly.chain.canonical) - FIRST
    del node.line[30:]
    node.hide(1)
    node.show()
    (reorg,) = node.records(Reorg)
    assert kept_from > 31
    assert (reorg.fork_number - FIRST, reorg.new_head_number - FIRST, reorg.depth) == (29, 31, 291)
    assert gaps(node) == [(30, kept_from - 1), (30, 30)]
    told = [block.number for block in node.records(Block)]
    assert told[-2:] == [FIRST + 31, FIRST + 30]


def test_hole_with_headers_that_cannot_be_read_is_filled_once_they_can_and_each_is_counted() -> None:
    node = NodeWithHole()
    node.grow(4)
    node.hide(3)
    node.garbled, node.hidden = node.hidden, set()
    before = node.feed.count().rejected.get(str(Rejection.BAD_HEAD), 0)
    node.wait(LONGEST_PAUSE_NS / SECOND + 15, 0.5)
    assert node.feed.count().rejected[str(Rejection.BAD_HEAD)] >= before + 3
    assert node.standing() != node.canonical()
    node.garbled = set()
    node.show()
    assert node.standing() == node.canonical()
    assert gaps(node) == [(5, 7)]


def test_block_that_left_the_chain_below_a_hole_holds_nobody_up() -> None:
    """Its logs cannot be had any more, and no head takes its place as long as nobody sees the headers above it."""
    node = NodeWithHole()
    node.grow(4)
    left = node.mine(2)
    node.push(left, [])
    del node.line[-1]
    del node.blocks[left["hash"]], node.logs[left["hash"]]
    node.hidden |= {node.mine(2)["hash"]}
    node.hide(3)
    node.grow(20)
    assert node.feed.safe_block is not None and node.feed.safe_block.number >= FIRST + 20
    assert {number for first, last in gaps(node) for number in range(first, last + 1)} >= {5, 6, 7, 8}
    node.show()
    assert node.standing() == node.canonical()
