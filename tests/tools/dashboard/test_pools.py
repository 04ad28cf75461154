"""The fold of pools' states: the same as the strategy's book after every frame, and what a page shows of it."""

from __future__ import annotations

import pickle
import random
from fractions import Fraction

import pytest

from consumers.arbitrage.book_strategy import BookStrategy
from consumers.arbitrage.pool_book import PoolBook
from consumers.arbitrage.pool_state import Price, Reserves
from consumers.arbitrage.tick_math import MAX_TICK, MIN_TICK
from consumers.strategy import Driver
from tests.consumers import three_coins
from tests.consumers.journal_frames import RING, UUID
from tests.consumers.recorded_market import Publisher, canonical_events, orphaned_events
from tests.tools.dashboard.histories import RandomMarket
from tests.tools.dashboard.polls import Published, poll_of
from tlv.codes import Domain, FeeKind, Flag, Protocol, Venue
from tlv.layout import (
    Block,
    EventOrigin,
    PoolFee,
    PoolMint,
    PoolState,
    PoolSwap,
    PoolSync,
    PoolTicks,
    TickLiquidity,
    VenueName,
)
from tools.dashboard.pools import PoolStates
from tools.dashboard.price import DIGITS, decimal, price_of_reserves, price_of_root
from tools.dashboard.shapes import PoolStateRow

Held = tuple[Reserves | Price | None, int | None, int, tuple[tuple[int, int], ...] | None]
"""A pool's state, fee, decimals of both tokens as one number, and net liquidity by tick."""
Named = tuple[str, bytes, bytes]
"""A pool and its tokens."""


def held_by_book(book: PoolBook) -> dict[Named, Held]:
    """What the book holds, by pool and pair."""
    return {
        ("0x" + pool.address.hex(), pool.token0, pool.token1): (
            pool.current.value if pool.current else None,
            pool.fee_pips,
            pool.decimals0 * 1000 + pool.decimals1,
            tuple(pool.ticks.map.net.items()) if pool.ticks.map else None,
        )
        for pool in book
    }


def held_by_fold(pools: PoolStates) -> dict[Named, Held]:
    """What the fold shows, by pool and pair."""
    pools.changed()
    return {(row.pool, *tokens_of(row)): held_in(row, pools) for row in pools.rows()}


def tokens_of(row: PoolStateRow) -> tuple[bytes, bytes]:
    """A row's tokens."""
    return bytes.fromhex(row.token0.address[2:]), bytes.fromhex(row.token1.address[2:])


def held_in(row: PoolStateRow, pools: PoolStates) -> Held:
    """A row's part of it."""
    state: Reserves | Price | None = None
    if row.known and row.tick is not None:
        state = Price(int(row.sqrt_price_x96), int(row.liquidity), row.tick)
    elif row.known:
        state = Reserves(int(row.reserve0), int(row.reserve1))
    _, ring = pools._rings[RING]
    ticks = ring._ticks.get(ring._row_of(bytes.fromhex(row.pool[2:]), tokens_of(row)))
    net = tuple(ticks.map.net.items()) if ticks and ticks.map else None
    return state, row.fee_pips, row.token0.decimals * 1000 + row.token1.decimals, net


@pytest.mark.parametrize("seed", range(12))
def test_fold_of_a_random_history_holds_what_the_book_holds(seed: int) -> None:
    rng = random.Random(seed)
    market = RandomMarket(rng)
    market.run(150)
    payloads = market.ring.payloads
    keeper = BookStrategy()
    driver = Driver(keeper, UUID)
    pools = PoolStates()
    at, compared = 0, 0
    while at < len(payloads):
        lost = rng.choice([0] * 60 + [1, 3])
        at += lost
        part = payloads[at : at + rng.choice([1, 1, 2, 9, 60])]
        if rng.random() < 0.02:
            part[0] = part[0][:-1]
        if lost:
            driver.lose(at - lost + 1, at)
        for sequence, payload in enumerate(part, at + 1):
            driver.deliver(sequence, sequence * 10**9, payload)
        pools.take_poll(RING, UUID, poll_of(part, at + 1, lost), 0)
        at += len(part)
        if rng.random() < 0.1:
            pools = pickle.loads(pickle.dumps(pools))
        expected = held_by_book(keeper.book)
        assert held_by_fold(pools) == expected, f"seed {seed}, behind frame {at}"
        compared += sum(state is not None for state, *_ in expected.values())
    assert compared > 100


def test_fold_of_the_recording_with_its_reorgs_holds_what_the_book_holds() -> None:
    publisher = Publisher()
    publisher.snapshots()
    for number in sorted({origin.block_number for _, origin in orphaned_events()}):
        left = [event for event in orphaned_events() if event[1].block_number == number]
        publisher.blocks([event for event in canonical_events() if event[1].block_number < number])
        publisher.blocks(left)
        publisher.reorg(number - 1, b"f" * 32, left)
    publisher.blocks(canonical_events())
    keeper, pools = BookStrategy(), PoolStates()
    driver = Driver(keeper, UUID)
    for sequence, published_ns, payload in publisher.frames:
        driver.deliver(sequence, published_ns, payload)
        pools.take_poll(RING, UUID, poll_of([payload], sequence), 0)
        expected = held_by_book(keeper.book)
        assert held_by_fold(pools) == expected, f"behind frame {sequence}"
    assert sum(state is not None for state, *_ in expected.values()) > 20


def test_room_grows_with_the_pools_and_a_fold_that_was_pickled_goes_on_as_the_other() -> None:
    ring = Published()
    for number in range(500):
        head = (number.to_bytes(20, "big"), TOKEN0, TOKEN1, Venue.QUICKSWAP_V2, 18, 6, Protocol.UNISWAP_V2)
        for block in (1, 2, 3):
            ring.put(Domain.MARKET_DATA, [PoolSync(*head, number + 1, block), origin_at(block)])
    pools = PoolStates()
    pools.take_poll(RING, UUID, poll_of(ring.payloads[:700]), 0)
    copy = pickle.loads(pickle.dumps(pools))
    rest = poll_of(ring.payloads[700:], 701)
    for fold in (pools, copy):
        fold.take_poll(RING, UUID, rest, 0)
    changed = pools.changed()
    assert changed == copy.changed() == copy.rows() and len(changed) == 500
    assert (changed[-1].reserve0, changed[-1].reserve1, changed[-1].events) == ("500", "3", 3)
    assert not pools.changed()


def test_row_and_detail_of_a_concentrated_pool() -> None:
    head = (b"q" * 20, TOKEN0, TOKEN1, Venue.UNISWAP_V3_POLYGON, 18, 6, Protocol.UNISWAP_V3)
    state = PoolState(*head, 0, 0, 0, 0, 0, 500, 0, 10, bytes(20), "<b>\u202e", "USDC")
    ticks = [TickLiquidity(5, 5, -20), TickLiquidity(7, 7, 0), TickLiquidity(12, -12, 20)]
    whole_map = PoolTicks(*head, 10, bytes(32), MIN_TICK, MAX_TICK, 10, len(ticks))
    ring = Published()
    ring.put(Domain.MARKET_DATA, [Block(10, 0, 0, 0, 0, 0, bytes(32), bytes(32))])
    ring.put(Domain.MARKET_DATA, [state], Flag.SNAPSHOT)
    ring.put(Domain.MARKET_DATA, [PoolSwap(*head, 1, 0, 0, 1, 1 << 96, 12, 3, bytes(20), bytes(20)), origin_at(10)])
    ring.put(Domain.MARKET_DATA, [whole_map, *ticks])
    ring.put(Domain.MARKET_DATA, [PoolMint(*head, 1, 1, 1 << 127, 0, 30, bytes(20), bytes(20)), origin_at(11)])
    ring.put(Domain.MARKET_DATA, [PoolFee(*head, 11, 0, 750, 750, FeeKind.DYNAMIC)])
    pools = PoolStates()
    pools.take_poll(RING, UUID, poll_of(ring.payloads), 0)
    detail = pools.detail(RING, b"q" * 20)
    assert detail is not None
    row = detail.row
    assert (row.token0.symbol, row.token1.symbol, row.fee_pips, row.kind) == ("<b>\u202e", "USDC", 750, "uniswap_v3")
    assert (row.price, row.liquidity, row.tick, row.block) == ("1000000000000", str(12 + (1 << 127)), 3, 11)
    steps = [(step.tick, int(step.liquidity)) for step in detail.steps]
    assert steps == [(MIN_TICK, 0), (-20, 5), (0, 12 + (1 << 127)), (20, 1 << 127), (30, 0)]
    assert detail.ticks_block == 10
    assert [(block, price) for _, block, price in detail.prices] == [(10, "1000000000000")]
    assert pools.detail(RING, b"r" * 20) is None and pools.detail("other", b"q" * 20) is None


def test_pool_of_three_coins_has_a_row_for_each_pair_and_no_price() -> None:
    pools = PoolStates()
    pools.take_poll(RING, UUID, poll_of(three_coins.published().payloads), 0)
    rows = pools.changed()
    found = [[(token.symbol, token.decimals) for token in (row.token0, row.token1)] for row in rows]
    dai, usdc, wbtc = ("DAI", 18), ("USDC", 6), ("WBTC", 8)
    assert found == [[dai, usdc], [dai, wbtc], [usdc, wbtc]]
    assert {(row.kind, row.known, row.stateless, row.price, row.tick, row.liquidity, row.events) for row in rows} == {
        ("curve", False, True, None, None, "0", 1)
    }
    for row in rows:
        detail = pools.detail(RING, three_coins.POOL, tokens_of(row))
        assert detail is not None and (detail.row, detail.steps, detail.prices) == (row, [], [])
    first = pools.detail(RING, three_coins.POOL)
    assert first is not None and first.row == rows[0]
    assert pools.detail(RING, three_coins.POOL, (bytes(20), tokens_of(rows[0])[1])) is None


def test_names_that_come_later_are_on_the_rows_of_every_pool_of_the_token() -> None:
    ring = Published()
    heads = [(bytes([n]) * 20, TOKEN0, bytes([9 + n]) * 20, 1234, 18, 6, Protocol.UNISWAP_V2) for n in (1, 2)]
    for head in heads:
        ring.put(Domain.MARKET_DATA, [PoolSync(*head, 1, 1), origin_at(1)])
    pools = PoolStates()
    pools.take_poll(RING, UUID, poll_of(ring.payloads), 0)
    assert [(row.token0.symbol, row.venue) for row in pools.changed()] == [("", "1234")] * 2
    ring.put(Domain.SYSTEM, [VenueName(1234, "polygon.some_swap")])
    ring.put(
        Domain.MARKET_DATA,
        [PoolState(*heads[0], 0, 0, 0, 0, 0, 0, 0, 0, bytes(20), "WETH", "X")],
        Flag.SNAPSHOT,
    )
    pools.take_poll(RING, UUID, poll_of(ring.payloads[2:], 3), 0)
    assert [(row.token0.symbol, row.venue) for row in pools.changed()] == [("WETH", "polygon.some_swap")] * 2


def test_pools_of_a_ring_that_is_made_anew_are_not_known_until_it_says_them() -> None:
    ring = Published()
    head = (b"p" * 20, TOKEN0, TOKEN1, Venue.QUICKSWAP_V2, 18, 6, Protocol.UNISWAP_V2)
    ring.put(Domain.MARKET_DATA, [PoolSync(*head, 1, 1), origin_at(1)])
    pools = PoolStates()
    pools.take_poll(RING, UUID, poll_of(ring.payloads), 0)
    assert [row.known for row in pools.changed()] == [True]
    pools.take_poll(RING, b"n" * 16, poll_of([]), 0)
    assert [row.known for row in pools.changed()] == [False]


@pytest.mark.parametrize("seed", range(3))
def test_price_is_the_exact_quotient_cut_off_behind_fifteen_digits(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(500):
        numerator, denominator = (rng.getrandbits(rng.randrange(1, 256)) + 1 for _ in range(2))
        text = decimal(numerator, denominator)
        digits = text.replace(".", "").lstrip("0")
        assert len(digits.rstrip("0") if "." not in text else digits) <= DIGITS
        place = Fraction(10) ** (len(text.partition(".")[0].lstrip("0")) - DIGITS)
        if Fraction(text) < 1:
            place = Fraction(1, 10 ** (len(text.partition(".")[2]) - len(digits) + DIGITS))
        assert 0 <= Fraction(numerator, denominator) - Fraction(text) < place
    assert price_of_reserves(0, 1, 18, 18) is None and price_of_reserves(1, 1, 255, 18) is None
    assert price_of_reserves(3, 10, 18, 18) == "3.33333333333333"
    assert price_of_root(1 << 96, 18, 6) == "1000000000000" and price_of_root(0, 18, 6) is None


TOKEN0, TOKEN1 = b"0" * 20, b"1" * 20


def origin_at(block: int) -> EventOrigin:
    """The first event of a block."""
    return EventOrigin(block, 0, 0, 0, 0, block.to_bytes(32, "big"), bytes(32))
