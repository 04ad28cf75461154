"""How old blocks are when their heads are pushed: counted of new ones only, whatever their timestamps say."""

from __future__ import annotations

import pytest

from tests.producers.blocks.lying import LyingNode
from tests.producers.virtual import SECOND, WALL, new_feed

HOUR_S = 3600


def ages_of(*timestamps_s: int) -> tuple[int, int]:
    """How many ages a feed counts of blocks with these timestamps, relative to their arrival, and the longest."""
    node = LyingNode(new_feed())
    node.grow(2)
    before = node.feed.stats.block_to_receive.count
    for timestamp_s in timestamps_s:
        at_s = (WALL + node.now_ns) // SECOND
        node.push(node.mine(timestamp=hex(max(at_s + timestamp_s, 0))))
    found = node.feed.stats.block_to_receive
    return found.count - before, found.longest_ns // SECOND


def test_block_pushed_while_it_is_new_is_counted_from_its_own_time() -> None:
    assert ages_of(-5, -7, -2) == (3, 7)


def test_block_from_a_moment_ahead_counts_as_no_time() -> None:
    assert ages_of(3) == (1, 0)


@pytest.mark.parametrize("timestamp_s", [-HOUR_S, -(1 << 40), HOUR_S, (1 << 63) - 1 - WALL])
def test_block_of_another_time_is_not_counted(timestamp_s: int) -> None:
    assert ages_of(timestamp_s) == (0, 0)


def test_block_that_was_fetched_is_not_counted() -> None:
    node = LyingNode(new_feed())
    node.grow(2)
    before = node.feed.stats.block_to_receive.count
    node.mine()  # nobody is told of it: its child's parent is fetched
    node.push(node.mine(timestamp=hex(WALL // SECOND)))
    node.wait(5)
    assert node.standing() == node.canonical()
    assert node.feed.stats.block_to_receive.count == before + 1
