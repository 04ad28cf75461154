"""What the pools hold, through events, reorgs, gaps and snapshots: `Pool` and `PoolBook`."""

from __future__ import annotations

import pytest

from consumers.arbitrage.pool_book import PoolBook
from consumers.arbitrage.pool_state import KEPT_BLOCKS, Pool, Price, Reserves
from tests.consumers.recorded_market import canonical_events, orphaned_events
from tlv.codes import InvalidationScope, Protocol, Reason, Venue
from tlv.layout import (
    EventOrigin,
    PoolBurn,
    PoolCreated,
    PoolMint,
    PoolState,
    PoolSwap,
    PoolSync,
    Reorg,
    StateInvalidation,
)

HEAD = (b"p" * 20, b"0" * 20, b"1" * 20, Venue.QUICKSWAP_V2, 18, 6, Protocol.UNISWAP_V2)
V3_HEAD = (b"q" * 20, b"0" * 20, b"1" * 20, Venue.UNISWAP_V3_POLYGON, 18, 6, Protocol.UNISWAP_V3)
NOBODY = bytes(20)


def at(block: int, log: int = 0, branch: str = "a") -> EventOrigin:
    """The origin of an event on one of two branches."""
    return EventOrigin(block, 0, 0, 0, log, block_hash(block, branch), bytes(32))


def block_hash(block: int, branch: str = "a") -> bytes:
    """A hash that tells block and branch."""
    return f"{branch}{block}".encode().ljust(32, b".")


def sync(reserve0: int, reserve1: int) -> PoolSync:
    """A Sync of the V2 pool."""
    return PoolSync(*HEAD, reserve0, reserve1)


def swap(price: int, liquidity: int, tick: int) -> PoolSwap:
    """A Swap of the V3 pool."""
    return PoolSwap(*V3_HEAD, 0, 0, 0, 0, price, liquidity, tick, NOBODY, NOBODY)


def mint(amount: int, lower: int, upper: int) -> PoolMint:
    """A Mint of the V3 pool."""
    return PoolMint(*V3_HEAD, 0, 0, amount, lower, upper, NOBODY, NOBODY)


def burn(amount: int, lower: int, upper: int) -> PoolBurn:
    """A Burn of the V3 pool."""
    return PoolBurn(*V3_HEAD, 0, 0, amount, lower, upper, NOBODY, NOBODY)


def snapshot(block: int, reserves: tuple[int, int] = (0, 0), fee_pips: int = 3000) -> PoolState:
    """A snapshot of the V2 pool."""
    return PoolState(*HEAD, *reserves, 0, 0, block, fee_pips, 0, 0, NOBODY, "A", "B")


def reorg(fork: int, fork_hash: bytes = b"f" * 32) -> Reorg:
    """The chain goes back to `fork`."""
    return Reorg(fork, fork + 2, fork + 1, 2, 0, fork_hash, bytes(32), bytes(32))


def invalidation(
    reason: Reason, since: int = 0, scope: InvalidationScope = InvalidationScope.ALL_POOLS
) -> StateInvalidation:
    """The collector takes back what it said."""
    return StateInvalidation(since, scope, reason, HEAD[0])


def held(book: PoolBook, pool: bytes = HEAD[0]) -> Reserves | Price | None:
    """The state the book believes in."""
    found = book.get(pool)
    return found.current.value if found and found.current else None


@pytest.fixture
def book() -> PoolBook:
    """A book that saw two Syncs, in blocks 10 and 12."""
    book = PoolBook()
    book.apply(sync(100, 200), at(10))
    book.apply(sync(110, 190), at(12, 5))
    return book


def test_book_sync_sets_reserves(book: PoolBook) -> None:
    assert held(book) == Reserves(110, 190)


def test_book_v2_swap_leaves_reserves_to_sync(book: PoolBook) -> None:
    v2_swap = PoolSwap(*HEAD, 5, 0, 0, 4, 0, 0, 0, NOBODY, NOBODY)
    assert book.apply(v2_swap, at(13)) is None
    assert held(book) == Reserves(110, 190)


def test_book_removed_sync_restores_the_one_before(book: PoolBook) -> None:
    book.take_back(sync(110, 190), at(12, 5))
    assert held(book) == Reserves(100, 200)


def test_book_all_syncs_removed_pool_is_unknown(book: PoolBook) -> None:
    book.take_back(sync(110, 190), at(12, 5))
    book.take_back(sync(100, 200), at(10))
    assert held(book) is None


def test_book_removed_copy_of_another_branch_changes_nothing(book: PoolBook) -> None:
    assert book.take_back(sync(110, 190), at(12, 5, branch="b")) is None
    assert held(book) == Reserves(110, 190)


def test_book_reorg_restores_the_state_at_the_fork(book: PoolBook) -> None:
    book.reorganise(reorg(fork=11))
    assert held(book) == Reserves(100, 200)


def test_book_reorg_then_removed_copies_then_new_branch_is_exact(book: PoolBook) -> None:
    book.reorganise(reorg(fork=11))
    book.take_back(sync(110, 190), at(12, 5))
    book.apply(sync(120, 170), at(12, 3, branch="b"))
    assert held(book) == Reserves(120, 170)
    book.reorganise(reorg(fork=11))
    assert held(book) == Reserves(100, 200)


def test_book_reorg_below_all_that_is_known_makes_unknown(book: PoolBook) -> None:
    book.reorganise(reorg(fork=9))
    assert held(book) is None


def test_book_reorg_with_unknown_fork_makes_all_unknown(book: PoolBook) -> None:
    book.reorganise(reorg(fork=11, fork_hash=bytes(32)))
    assert held(book) is None


def test_book_lost_feed_makes_unknown_until_the_next_sync(book: PoolBook) -> None:
    book.apply_invalidation(invalidation(Reason.DISCONNECTED))
    assert held(book) is None
    book.take_back(sync(110, 190), at(12, 5))
    assert held(book) is None
    book.apply(sync(130, 150), at(14))
    assert held(book) == Reserves(130, 150)


def test_book_snapshot_older_than_an_event_that_was_forgotten_sets_no_state(book: PoolBook) -> None:
    book.apply_invalidation(invalidation(Reason.DISCONNECTED, since=11))
    book.take_snapshot(snapshot(11, (100, 200)))
    assert held(book) is None, "the Sync of block 12 still stands in the ring"
    book.take_snapshot(snapshot(12, (110, 190)))
    assert held(book) == Reserves(110, 190)


def test_book_snapshot_after_a_reorg_took_the_newer_event_sets_the_state(book: PoolBook) -> None:
    book.apply_invalidation(invalidation(Reason.DISCONNECTED, since=11))
    book.reorganise(reorg(fork=11))
    book.take_snapshot(snapshot(11, (100, 200)))
    assert held(book) == Reserves(100, 200)


def test_book_invalidation_of_one_pool_spares_the_others(book: PoolBook) -> None:
    book.apply(swap(7, 8, 9), at(12))
    book.apply_invalidation(invalidation(Reason.LATE_LOGS, scope=InvalidationScope.ONE_POOL))
    assert held(book) is None
    assert held(book, V3_HEAD[0]) == Price(7, 8, 9)


def test_book_invalidation_for_a_reorg_leaves_it_to_the_reorg(book: PoolBook) -> None:
    book.apply_invalidation(invalidation(Reason.REORG, since=12))
    assert held(book) == Reserves(110, 190)


def test_book_snapshot_gives_fee_and_keeps_newer_state(book: PoolBook) -> None:
    book.take_snapshot(snapshot(block=11, reserves=(1, 1)))
    pool = book.get(HEAD[0])
    assert pool is not None and pool.fee_pips == 3000
    assert held(book) == Reserves(110, 190)


def test_book_snapshot_without_fee_leaves_it_unknown(book: PoolBook) -> None:
    book.take_snapshot(snapshot(block=11, fee_pips=0))
    pool = book.get(HEAD[0])
    assert pool is not None and pool.fee_pips is None


def test_book_snapshot_after_a_hole_counts_only_if_taken_after_it(book: PoolBook) -> None:
    book.apply_invalidation(invalidation(Reason.DISCONNECTED, since=13))
    book.take_snapshot(snapshot(block=12, reserves=(110, 190)))
    assert held(book) is None
    book.take_snapshot(snapshot(block=13, reserves=(140, 140)))
    assert held(book) == Reserves(140, 140)


def test_book_event_in_the_block_of_a_snapshot_is_newer(book: PoolBook) -> None:
    book.take_snapshot(snapshot(block=14, reserves=(140, 140)))
    book.apply(sync(150, 130), at(14, 0))
    assert held(book) == Reserves(150, 130)


def test_book_late_sync_does_not_replace_a_newer_one(book: PoolBook) -> None:
    assert book.apply(sync(1, 1), at(11)) is None
    assert held(book) == Reserves(110, 190)
    book.take_back(sync(110, 190), at(12, 5))
    assert held(book) == Reserves(1, 1)


def test_book_v3_liquidity_around_the_price_follows_mint_and_burn() -> None:
    book = PoolBook()
    book.apply(swap(1 << 96, 1_000, 5), at(1))
    book.apply(mint(50, 0, 10), at(2))
    book.apply(mint(7, 6, 10), at(3))
    book.apply(burn(20, -10, 6), at(4))
    book.apply(burn(20, -10, 5), at(5))
    assert held(book, V3_HEAD[0]) == Price(1 << 96, 1_030, 5)
    book.take_back(burn(20, -10, 6), at(4))
    assert held(book, V3_HEAD[0]) == Price(1 << 96, 1_050, 5)


def test_book_v3_mint_before_any_price_is_unknown() -> None:
    book = PoolBook()
    assert book.apply(mint(50, 0, 10), at(2)) is None
    assert held(book, V3_HEAD[0]) is None


def test_book_late_v3_event_makes_the_pool_unknown() -> None:
    book = PoolBook()
    book.apply(swap(1 << 96, 1_000, 5), at(5))
    book.apply(swap(1 << 95, 900, 4), at(4))
    assert held(book, V3_HEAD[0]) is None


def test_book_initialize_event_sets_the_price() -> None:
    book = PoolBook()
    state = PoolState(*V3_HEAD, 0, 0, 1 << 96, 0, 0, 0, 0, 0, NOBODY, "", "")
    book.apply(state, at(3))
    assert held(book, V3_HEAD[0]) == Price(1 << 96, 0, 0)


def test_book_created_pool_is_known_with_its_fee() -> None:
    book = PoolBook()
    assert book.apply(PoolCreated(*V3_HEAD, 500, 10, NOBODY), at(3)) is None
    pool = book.get(V3_HEAD[0])
    assert pool is not None
    assert (pool.protocol, pool.fee_pips, pool.tick_spacing) == (Protocol.UNISWAP_V3, 500, 10)


def test_pool_history_is_bounded_but_keeps_what_a_reorg_needs() -> None:
    book = PoolBook()
    for block in range(1_000):
        book.apply(sync(block + 1, 1), at(block))
    pool = book.get(HEAD[0])
    assert isinstance(pool, Pool) and len(pool.history) <= KEPT_BLOCKS + 2
    book.reorganise(reorg(fork=999 - KEPT_BLOCKS))
    assert held(book) == Reserves(1_000 - KEPT_BLOCKS, 1)


def test_book_recorded_reorg_restores_every_pool_exactly() -> None:
    """Block 13522194 of the recording was reorged out: its events come, go, and leave no trace."""
    fork = 13522193
    before = [event for event in canonical_events() if event[1].block_number <= fork]
    orphaned = [event for event in orphaned_events() if event[1].block_number == fork + 1]
    after = [event for event in canonical_events() if fork < event[1].block_number <= fork + 40]
    assert any(isinstance(record, PoolSync) for record, _ in orphaned)

    smooth, rough = PoolBook(), PoolBook()
    for event in before:
        smooth.apply(*event)
        rough.apply(*event)
    for event in orphaned:
        rough.apply(*event)
    changed = [pool for pool in rough if held(rough, pool.address) != held(smooth, pool.address)]
    assert changed
    rough.reorganise(reorg(fork))
    for event in reversed(orphaned):
        rough.take_back(*event)
    assert all(held(rough, pool.address) == held(smooth, pool.address) for pool in rough)

    for event in after:
        smooth.apply(*event)
        rough.apply(*event)
    assert all(held(rough, pool.address) == held(smooth, pool.address) for pool in rough)


def test_book_recorded_removals_without_a_reorg_message_restore_too() -> None:
    """A node that sends removed logs and nothing else."""
    book, fork = PoolBook(), 13522193
    for event in canonical_events():
        if event[1].block_number <= fork:
            book.apply(*event)
    kept = {pool.address: held(book, pool.address) for pool in book}
    orphaned = [event for event in orphaned_events() if event[1].block_number == fork + 1]
    for event in orphaned:
        book.apply(*event)
    for event in reversed(orphaned):
        book.take_back(*event)
    assert {pool.address: held(book, pool.address) for pool in book} == kept | {
        event[0].pool: None for event in orphaned if event[0].pool not in kept
    }
