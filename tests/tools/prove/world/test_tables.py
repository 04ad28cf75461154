"""The walk over what a feed holds finds every table, wherever it is kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from producers.node.hex import read_quantity
from tests.producers.virtual import new_feed
from tools.prove.world.tables import tables


class Holder:
    """Anything that is no part of the feed."""

    def __init__(self, held: object) -> None:
        self.held = held


def in_closure(held: object) -> Callable[[], object]:
    return lambda: held


@pytest.mark.parametrize(
    "hide",
    [
        lambda table: table,
        lambda table: {"key": [(table,)]},
        lambda table: deque([table]),
        lambda table: partial(read_quantity, table),
        lambda table: Holder(table).__init__,  # type: ignore[misc]
        in_closure,
        Holder,
    ],
)
def test_tables_of_a_feed_hold_one_that_is_hidden_in_it(hide: Callable[[object], object]) -> None:
    feed: Any = new_feed()
    before = tables(feed).total()
    feed._hidden = hide(set(range(1_000)))
    assert 1_000 <= tables(feed).total() - before < 1_010


def test_tables_of_a_feed_are_named_by_their_owners_and_hold_no_code() -> None:
    sizes = tables(new_feed())
    assert {"Chain.blocks", "Statistics.reorgs", "PoolTable.row_of", "JsonRpc._in_flight", "LogFetcher.due"} <= set(
        sizes
    )
    assert sizes.total() < 8_000, "of which the declared events of all kinds are more than a thousand"
