"""A kept tick map against one that is summed up anew from everything that stands."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from consumers.arbitrage.kept_ticks import KEPT_BLOCKS, Change, KeptTicks
from consumers.arbitrage.pool_book import PoolBook
from consumers.arbitrage.tick_math import MAX_TICK, MIN_TICK
from tests.consumers.test_pool_state import V3_HEAD, at, block_hash, burn, invalidation, mint, reorg
from tlv.codes import Reason
from tlv.layout import Block, PoolTicks, TickLiquidity

SPACING = 10
POOL = V3_HEAD[0]


def part(
    block: int, count: int, first: int = MIN_TICK, last: int = MAX_TICK, spacing: int = SPACING, branch: str = "a"
) -> PoolTicks:
    """The head of one part of a map."""
    return PoolTicks(*V3_HEAD, block, block_hash(block, branch), first, last, spacing, count)


def map_of(changes: list[Change]) -> list[TickLiquidity]:
    """The initialised ticks that a list of changes leaves."""
    gross, net = Counter[int](), Counter[int]()
    for change in changes:
        for tick, sign in ((change.tick_lower, 1), (change.tick_upper, -1)):
            gross[tick] += change.amount
            net[tick] += sign * change.amount
    return [TickLiquidity(gross[tick], net[tick], tick) for tick in sorted(gross) if gross[tick]]


def announced(number: int) -> Block:
    """A Block of this number."""
    return Block(number, 0, 0, 0, 0, 0, block_hash(number), bytes(32))


def change(block: int, log: int, lower: int, upper: int, amount: int, branch: str = "a") -> Change:
    """A Mint, or with a negative amount a Burn."""
    return Change(block, block_hash(block, branch), log, lower, upper, amount)


def kept(ticks: KeptTicks) -> list[TickLiquidity] | None:
    """What is known."""
    if ticks.map is None:
        return None
    assert ticks.map.net.keys() == ticks.gross.keys() == set(ticks.map.ticks)
    return [TickLiquidity(ticks.gross[tick], ticks.map.net[tick], tick) for tick in ticks.map.ticks]


def test_kept_ticks_follow_seeded_changes_reorgs_and_new_maps() -> None:
    """Mints, burns to nothing, reorgs of all depths and maps that come late: always the sum of what stands."""
    rng = random.Random(9)
    for _ in range(60):
        ticks, standing, block, branch = KeptTicks(), list[Change](), 100, 0
        for _ in range(80):
            what = rng.random()
            if what < 0.55:
                block += rng.randint(0, 2)
                low = rng.randint(-9, 8) * SPACING
                made = change(block, len(standing), low, rng.randint(low // SPACING + 1, 9) * SPACING, 7, str(branch))
                if what < 0.25 and standing:
                    whole = rng.choice(standing)
                    owned = sum(c.amount for c in standing if c[3:5] == whole[3:5])
                    made = change(block, len(standing), *whole[3:5], -owned, str(branch))
                standing.append(made)
                ticks.apply(made)
            elif what < 0.75:
                fork, branch = block - rng.randint(1, 4), branch + 1
                dropped = [c for c in standing if c.block_number > fork]
                standing = [c for c in standing if c.block_number <= fork]
                ticks.roll_back(fork)
                for c in reversed(dropped):
                    ticks.take_back(at(c.block_number, c.log_index, str(branch - 1)))
                block = fork + 1
            elif what < 0.8:
                ticks.void()
            else:
                as_of = block - rng.randint(1, 4)
                whole_map = map_of([c for c in standing if c.block_number <= as_of])
                ticks.take(part(as_of, len(whole_map)), whole_map, 0)
            assert kept(ticks) in (None, map_of(standing))
        whole_map = map_of(standing)
        assert ticks.take(part(block, len(whole_map)), whole_map, 0)
        assert kept(ticks) == whole_map


ONE = [change(5, 0, -10, 20, 100)]


def test_kept_ticks_in_parts_are_known_with_the_last_one() -> None:
    low, high = map_of(ONE)
    ticks = KeptTicks()
    assert not ticks.take(part(5, 1, MIN_TICK, 19), [low], 0)
    assert kept(ticks) is None
    assert ticks.take(part(5, 1, 20, MAX_TICK), [high], 0)
    assert kept(ticks) == [low, high]


@pytest.mark.parametrize(
    "parts",
    [
        [part(5, 1, 20, MAX_TICK)],
        [part(5, 1, MIN_TICK, 18), part(5, 1, 20, MAX_TICK)],
        [part(5, 1, MIN_TICK, 19), part(5, 1, 20, MAX_TICK, branch="b")],
        [part(5, 1, MIN_TICK, 19), part(5, 2, 20, MAX_TICK)],
        [part(5, 1, MIN_TICK, 19), part(5, 1, MIN_TICK, 19)],
        [part(5, 1, MIN_TICK, 19, spacing=0), part(5, 1, 20, MAX_TICK, spacing=0)],
    ],
    ids=["no_first", "hole", "other_block", "count_differs", "no_last", "no_spacing"],
)
def test_kept_ticks_from_parts_that_are_no_whole_map_stay_unknown(parts: list[PoolTicks]) -> None:
    ticks = KeptTicks()
    for one, tick in zip(parts, map_of(ONE), strict=False):
        assert not ticks.take(one, [tick], 0)
    assert kept(ticks) is None


@pytest.mark.parametrize("found", [[(20, 7), (10, 7)], [(10, 7), (10, 7)], [(10, 7), (20, 0)]])
def test_kept_ticks_from_a_map_that_no_pool_can_have_stay_unknown(found: list[tuple[int, int]]) -> None:
    ticks = KeptTicks()
    assert not ticks.take(part(100, 2), [TickLiquidity(gross, 0, tick) for tick, gross in found], 0)
    assert kept(ticks) is None


def test_kept_ticks_of_a_burn_beyond_what_there_is_are_unknown() -> None:
    ticks = KeptTicks()
    ticks.take(part(5, 2), map_of(ONE), 0)
    ticks.apply(change(6, 0, -10, 20, -101))
    assert kept(ticks) is None


def test_kept_ticks_reorg_below_the_maps_block_voids_it_and_one_above_does_not() -> None:
    ticks = KeptTicks()
    ticks.take(part(5, 2), map_of(ONE), 0)
    ticks.roll_back(5)
    assert kept(ticks) == map_of(ONE)
    ticks.roll_back(4)
    assert kept(ticks) is None


def test_kept_ticks_older_map_than_the_known_one_is_not_taken() -> None:
    ticks = KeptTicks()
    ticks.take(part(6, 2), map_of(ONE), 0)
    assert not ticks.take(part(5, 0), [], 0)
    assert kept(ticks) == map_of(ONE)


def test_kept_ticks_map_older_than_the_changes_that_are_kept_is_not_taken() -> None:
    ticks = KeptTicks()
    ticks.apply(change(1000, 0, -10, 20, 1))
    assert not ticks.take(part(1000 - KEPT_BLOCKS - 1, 2), map_of(ONE), 0)
    assert ticks.take(part(1000 - KEPT_BLOCKS, 2), map_of(ONE), 0)


def test_kept_ticks_changes_are_forgotten_when_no_map_can_need_them() -> None:
    ticks = KeptTicks()
    changes = [change(block, 0, -10, 20, 1) for block in range(1, 4 * KEPT_BLOCKS)]
    for one in changes:
        ticks.apply(one)
    assert len(ticks._changes) <= 2 * KEPT_BLOCKS + 1
    oldest = changes[-1].block_number - KEPT_BLOCKS
    ticks.take(part(oldest, 2), map_of(changes[:oldest]), 0)
    assert kept(ticks) == map_of(changes)


def book_with_map(block: int) -> PoolBook:
    """A book that saw the Blocks from `block` on, and a map as of it."""
    book = PoolBook()
    book.see_block(announced(block))
    assert book.take_ticks(part(block, 2), map_of(ONE)) is not None
    return book


def ticks_of(book: PoolBook) -> list[TickLiquidity] | None:
    """What the book knows of the pool's map."""
    pool = book.get(POOL)
    return kept(pool.ticks) if pool else None


def test_book_mint_and_burn_move_the_map_and_a_burn_of_nothing_does_not() -> None:
    book = book_with_map(5)
    book.apply(mint(50, 0, 20), at(6))
    book.apply(burn(100, -10, 20), at(6, 1))
    book.apply(burn(0, -30, 70), at(6, 2))
    assert ticks_of(book) == [TickLiquidity(50, 50, 0), TickLiquidity(50, -50, 20)]
    book.take_back(burn(100, -10, 20), at(6, 1))
    book.reorganise(reorg(fork=5))
    assert ticks_of(book) == map_of(ONE)


def test_book_map_that_comes_after_later_events_holds_them_too() -> None:
    book = PoolBook()
    book.see_block(announced(5))
    book.apply(mint(50, 0, 20), at(6))
    book.apply(mint(1, 0, 20), at(5))
    book.take_ticks(part(5, 2), map_of(ONE))
    assert ticks_of(book) == map_of([*ONE, change(6, 0, 0, 20, 50)])


def test_book_invalidated_map_is_unknown_until_one_of_a_trusted_block_comes_and_then_holds_earlier_events() -> None:
    book = book_with_map(5)
    book.apply(mint(50, 0, 20), at(8))
    book.apply_invalidation(invalidation(Reason.DISCONNECTED, since=7))
    assert ticks_of(book) is None
    book.take_ticks(part(6, 2), map_of(ONE))
    assert ticks_of(book) is None
    book.take_ticks(part(7, 2), map_of(ONE))
    assert ticks_of(book) == map_of([*ONE, change(8, 0, 0, 20, 50)])


def test_book_that_missed_frames_takes_no_map_until_it_misses_no_event_of_a_later_block() -> None:
    book = book_with_map(5)
    book.apply(mint(50, 0, 20), at(8))
    book.lose()
    book.take_ticks(part(9, 2), map_of(ONE))
    assert ticks_of(book) is None
    book.see_block(announced(11))
    book.take_ticks(part(9, 2), map_of(ONE))
    assert ticks_of(book) is None, "block 10 may have moved it unseen"
    book.take_ticks(part(10, 2), map_of(ONE))
    assert ticks_of(book) == map_of(ONE)


def test_book_that_saw_no_block_yet_takes_no_map() -> None:
    book = PoolBook()
    assert book.take_ticks(part(5, 2), map_of(ONE)) is None


def test_map_behind_an_earlier_event_lacks_what_came_later() -> None:
    """Whenever the map itself was read: before the event, or after it."""
    rng = random.Random(10)
    for _ in range(40):
        ticks, standing = KeptTicks(), list[Change]()
        for log in range(40):
            low = rng.randint(-9, 8) * SPACING
            made = change(100 + log // 5, log, low, rng.randint(low // SPACING + 1, 9) * SPACING, rng.randint(1, 9))
            standing.append(made)
            ticks.apply(made)
        as_of = rng.randint(99, 108)
        whole = map_of([one for one in standing if one.block_number <= as_of])
        assert ticks.take(part(as_of, len(whole)), whole, 0)
        for one in standing:
            found = ticks.at(one.block_number, one.log_index)
            expected = map_of([c for c in standing if c.log_index <= one.log_index])
            assert found is not None
            assert [(tick, found.net[tick]) for tick in found.ticks] == [(t.tick, t.liquidity_net) for t in expected]
            assert found.spacing == SPACING
    ticks.void()
    assert ticks.at(100, 0) is None
