"""A strategy that keeps a book: what it is told of pools that move, and of states that change otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from consumers.arbitrage.book_strategy import BookStrategy
from consumers.arbitrage.pool_state import Pool, Reserves
from consumers.strategy import Driver
from tests.consumers.execution.paper_market import E18, RING, A, PaperMarket
from tlv.codes import Domain, GapScope, WithdrawalReason
from tlv.layout import EventOrigin, Gap


class Watcher(BookStrategy):
    """Writes down what it is told; does not call its base's constructor."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Reserves | None]] = []

    def pool_moved(self, pool: Pool, origin: EventOrigin) -> None:
        self.told.append((f"moved in {origin.block_number}", held(pool)))

    def pools_restored(self, pools: Sequence[Pool], reason: WithdrawalReason) -> None:
        self.told += [(reason.name, held(pool)) for pool in pools]


def held(pool: Pool) -> Reserves | None:
    """The reserves that are known."""
    value = pool.current.value if pool.current else None
    assert value is None or isinstance(value, Reserves)
    return value


def test_book_strategy_is_told_what_moved_and_what_is_not_known_any_more() -> None:
    market, watcher = PaperMarket(), Watcher()
    market.begin()
    market.pool(A, 10 * E18, 20 * E18)
    market.swap(A, 11 * E18, 19 * E18)
    market.end()
    market.reorg(1)
    market.begin()
    market.swap(A, 12 * E18, 18 * E18)
    market.tell(Gap(90, 95, GapScope.BLOCK_NUMBERS, 0), domain=Domain.SYSTEM)
    market.swap(A, 13 * E18, 17 * E18)
    driver = Driver(watcher, RING)
    for one in market.inputs:
        driver.deliver(one.sequence, one.time_ns, one.payload)
    driver.lose(900, 901)
    assert not driver.poison
    first, moved = Reserves(10 * E18, 20 * E18), Reserves(11 * E18, 19 * E18)
    assert watcher.told == [
        ("GONE", first),
        ("moved in 100", moved),
        ("REORG", first),
        ("moved in 100", Reserves(12 * E18, 18 * E18)),
        ("STATE_UNKNOWN", None),
        ("moved in 100", Reserves(13 * E18, 17 * E18)),
        ("STATE_UNKNOWN", None),
    ]
