"""The book of native strategies: after every frame of random and recorded histories it quotes what Python's book
does."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from consumers.arbitrage.book_kernels import find_pair
from consumers.arbitrage.book_strategy import BookStrategy
from consumers.arbitrage.concentrated import current_range, swap, swap_step
from consumers.arbitrage.constant_product import FEE_UNIT, MAX_RESERVE, Hop
from consumers.arbitrage.cycle import ReserveLeg
from consumers.arbitrage.legs import pool_hop, refusal, usable_map
from consumers.arbitrage.pool_book import PoolBook
from consumers.arbitrage.pool_state import Pool, Reserves
from consumers.arbitrage.tick_math import MAX_SQRT_PRICE, MIN_SQRT_PRICE
from consumers.native import (
    QUOTED,
    BookView,
    NativeDrafts,
    NativeDriver,
    NativeFrame,
    NativeStrategy,
    pool_row,
    price,
    quote,
    reserves,
)
from consumers.native.quoting import (
    BAD_STATE,
    BEYOND_RANGE,
    EMPTY_POOL,
    HOOKED,
    NO_LIQUIDITY,
    REVERTED,
    UNKNOWN_FEE,
    UNKNOWN_POOL,
    UNKNOWN_STATE,
)
from consumers.strategy import Driver
from tests.consumers.journal_frames import UUID
from tests.consumers.recorded_market import Publisher, canonical_events, orphaned_events
from tests.consumers.three_coins import pairs_of_three_coins, published
from tests.tools.dashboard.histories import RandomMarket
from tests.tools.dashboard.polls import poll_of
from tlv.buffers import Limbs
from tlv.codes import Protocol
from tlv.filter import POOL_PREFIX
from tlv.jit import kernel


class NativeKeeper(NativeStrategy):
    """Keeps the book and counts."""

    name = "keeper"
    keeps_book = True
    state = np.dtype([("frames", "<i8"), ("priced", "<i8")])

    @kernel
    def handler(state: Any, frame: NativeFrame, drafts: NativeDrafts, book: BookView) -> None:  # noqa: N805
        state["frames"] += 1
        if price(book, 0) > 0.0:
            state["priced"] += 1


def limbs(value: int) -> Limbs:
    return np.frombuffer(bytearray(value.to_bytes(32, "little")), np.uint64)


def number(of: Limbs) -> int:
    return int.from_bytes(of.tobytes(), "little")


def in_python(pool: Pool, amount: int, falls: bool) -> tuple[int, int]:
    """(status, amount) that the pool pays by Python's arithmetic."""
    if pool.current is None:
        return UNKNOWN_STATE, 0
    value = pool.current.value
    if isinstance(value, Reserves) and max(value) > MAX_RESERVE and not pool.is_solidly:
        return BAD_STATE, 0
    if not isinstance(value, Reserves) and not 0 <= value.liquidity < 1 << 128:
        return BAD_STATE, 0
    if not isinstance(value, Reserves) and not MIN_SQRT_PRICE <= value.sqrt_price_x96 < MAX_SQRT_PRICE:
        return EMPTY_POOL, 0
    fee_pips = pool.fee(falls=falls)
    if fee_pips is None or fee_pips >= FEE_UNIT:
        return UNKNOWN_FEE, 0
    if isinstance(value, Reserves) and pool.is_solidly:
        return of_pair(pool, amount, falls)
    if isinstance(value, Reserves):
        if not value.reserve0 or not value.reserve1:
            return EMPTY_POOL, 0
        ordered = value if falls else value[::-1]
        paid = ReserveLeg(Hop(*ordered, fee_pips)).out(amount)
        return (REVERTED, 0) if paid is None else (QUOTED, paid)
    if pool.tick_spacing <= 0 or not value.liquidity:
        return EMPTY_POOL, 0
    if refusal(replace(pool, fee_pips=fee_pips, fee_pips_back=fee_pips)) == "tick":
        return BAD_STATE, 0
    quoted, known = HOOKED if pool.is_hooked else QUOTED, usable_map(pool)
    whole = known is not None and all(-(1 << 127) <= net < 1 << 127 for net in known.net.values())
    if known is None or not whole:
        around = current_range(value.sqrt_price_x96, value.tick, value.liquidity, fee_pips, pool.tick_spacing)
        edge = around.floor_price if falls else around.ceiling_price
        step = swap_step(value.sqrt_price_x96, edge, value.liquidity, amount, fee_pips)
        return (BEYOND_RANGE, 0) if step.sqrt_price_x96 == edge else (quoted, step.out)
    state = (value.sqrt_price_x96, value.tick, value.liquidity, fee_pips, known)
    walk = swap(*state, amount, falls=falls)
    return (NO_LIQUIDITY, 0) if walk.left else (quoted, walk.out)


def of_pair(pool: Pool, amount: int, falls: bool) -> tuple[int, int]:
    """The same of a pair of Solidly's type whose state and fee are known."""
    why = refusal(pool)
    if why is not None:
        return {"curve": UNKNOWN_STATE, "decimals": UNKNOWN_STATE, "reserves": EMPTY_POOL}[why], 0
    out = pool_hop(pool, falls=falls).out(amount)
    return (REVERTED, 0) if out is None else (QUOTED, out)


def compare(driver: NativeDriver, book: PoolBook, rng: random.Random, share: float, where: str) -> dict[int, int]:
    """Quote some of the pools in both, and their reserves; how many gave each status."""
    assert driver.book is not None
    view, outcomes, out, other = driver.book.view, dict[int, int](), np.zeros(4, np.uint64), np.zeros(4, np.uint64)
    for pool in book:
        if rng.random() > share:
            continue
        named = np.frombuffer(bytearray(pool.address.ljust(32, b"\0") + pool.token0 + pool.token1), np.uint8)
        row = find_pair(view.tables, named, 0)
        assert (pool_row(view, named[:32]) == row) == (book.get(pool.address) is pool)
        falls, amount = rng.random() < 0.5, rng.choice((0, 1, rng.getrandbits(40), rng.getrandbits(70), 1 << 255))
        status = quote(view, row, falls, limbs(amount), out)
        assert (status, number(out)) == in_python(pool, amount, falls), f"{where}, pool 0x{pool.address.hex()}"
        outcomes[status] = outcomes.get(status, 0) + 1
        if pool.current is not None and isinstance(pool.current.value, Reserves) and status != BAD_STATE:
            assert reserves(view, row, out, other) == QUOTED
            assert (number(out), number(other)) == pool.current.value
    return outcomes


@pytest.mark.parametrize("seed", range(4))
def test_native_book_of_a_random_history_quotes_what_pythons_does(seed: int) -> None:
    rng, market = random.Random(seed), RandomMarket(random.Random(seed), algebra=bool(seed % 2))
    market.run(120)
    payloads = market.ring.payloads
    keeper, native = BookStrategy(), NativeKeeper()
    driver, other = NativeDriver(native, UUID), Driver(keeper, UUID)
    outcomes: dict[int, int] = {}
    at = charged = 0
    while at < len(payloads):
        lost = rng.choice([0] * 60 + [1, 3])
        at += lost
        part = payloads[at : at + rng.choice([1, 1, 2, 9, 40])]
        if part and rng.random() < 0.02:
            part[0] = part[0][:-1]
        if lost:
            other.lose(at - lost + 1, at)
        for sequence, payload in enumerate(part, at + 1):
            other.deliver(sequence, sequence * 10**10, payload)
        assert list(driver.take_poll(poll_of(part, at + 1, lost))) == []
        at += len(part)
        charged += sum(pool.fees.followed and pool.fee_pips is not None for pool in keeper.book)
        for status, count in compare(driver, keeper.book, rng, 0.5, f"seed {seed}, behind frame {at}").items():
            outcomes[status] = outcomes.get(status, 0) + count
    assert driver.frames == other.frames and (driver.lost, driver.poisoned) == (other.lost, other.poisoned)
    assert outcomes[QUOTED] > 0 and outcomes[UNKNOWN_STATE] > 0 and (charged > 0) == market.algebra


def test_native_book_of_the_recording_with_its_reorgs_quotes_what_pythons_does() -> None:
    publisher = Publisher()
    publisher.snapshots()
    for block in sorted({origin.block_number for _, origin in orphaned_events()}):
        left = [event for event in orphaned_events() if event[1].block_number == block]
        publisher.blocks([event for event in canonical_events() if event[1].block_number < block])
        publisher.blocks(left)
        publisher.reorg(block - 1, b"f" * 32, left)
    publisher.blocks(canonical_events())
    rng, keeper, native = random.Random(1), BookStrategy(), NativeKeeper()
    driver, other = NativeDriver(native, UUID), Driver(keeper, UUID)
    quoted = 0
    for count, (sequence, published_ns, payload) in enumerate(publisher.frames):
        other.deliver(sequence, published_ns, payload)
        list(driver.take_poll(poll_of([payload], sequence)))
        if count % 7 == 0:
            quoted += compare(driver, keeper.book, rng, 0.1, f"behind frame {sequence}").get(QUOTED, 0)
    assert quoted > 50 and native.memory[0]["frames"] == len(publisher.frames) and native.memory[0]["priced"] > 0


@pytest.mark.parametrize("protocol", [Protocol.CURVE, Protocol.BALANCER_V2])
def test_native_book_of_a_pool_of_three_coins_has_each_pair_and_no_price(protocol: Protocol) -> None:
    keeper, native = BookStrategy(), NativeKeeper()
    driver, other = NativeDriver(native, UUID), Driver(keeper, UUID)
    for sequence, payload in enumerate(published(protocol).payloads, 1):
        other.deliver(sequence, sequence, payload)
        assert list(driver.take_poll(poll_of([payload], sequence))) == []
        outcomes = compare(driver, keeper.book, random.Random(1), 1.0, f"behind frame {sequence}")
        assert outcomes == {UNKNOWN_STATE: (sequence + 1) // 2}
    assert driver.book is not None
    names = driver.book.view.tables.names[:3].view(POOL_PREFIX)[:, 0]
    for pool, name, (head, _) in zip(keeper.book, names, pairs_of_three_coins(protocol), strict=True):
        assert (pool.token0, pool.token1, pool.decimals0, pool.decimals1) == (*head[1:3], *head[4:6])
        assert tuple(map(int, (name["decimals0"], name["decimals1"]))) == head[4:6]
        assert refusal(pool) is not None and keeper.book.of_pair(*head[1:3]) == [pool]
    assert driver.poisoned == other.poisoned == 0


def test_native_book_of_a_pool_nobody_named_says_so() -> None:
    driver = NativeDriver(NativeKeeper(), UUID)
    assert driver.book is not None
    view, out = driver.book.view, limbs(5)
    assert pool_row(view, np.zeros(32, np.uint8)) == -1
    assert quote(view, -1, True, limbs(1), out) == UNKNOWN_POOL and number(out) == 0
    assert reserves(view, -1, out, out) == UNKNOWN_POOL and price(view, -1) == 0.0
