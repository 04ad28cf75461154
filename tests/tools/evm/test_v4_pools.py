"""Uniswap V4's real contracts against our arithmetic: a thousand swaps and the changes of liquidity between them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
import pytest

from consumers.arbitrage.concentrated import TickMap, Walk, swap
from consumers.arbitrage.constant_product import FEE_UNIT
from consumers.arbitrage.tick_math import (
    MAX_SQRT_PRICE,
    MAX_TICK,
    MIN_SQRT_PRICE,
    MIN_TICK,
    amount0_between,
    amount1_between,
    sqrt_price_at,
)
from consumers.native import quoting
from consumers.native.quoting import QUOTED, make_work
from producers.kinds.uniswap_v4 import charged
from producers.output.tick_program import all_words, read_ticks, slots_call_data
from tools.evm.errors import SwapReverted
from tools.evm.v4_pools import MOST_AMOUNT, MOST_SPACING, Key, SwapWords, V4Pools, pool_slot

HISTORIES = 80
STEPS = 16
SWAPS = 1000
SPACINGS = (1, 2, 7, 10, 60, 200, 1000, 4000, MOST_SPACING)
LP_FEES = (0, 1, 100, 500, 3000, 10_000, 123_457, 999_999, FEE_UNIT)
MOST_PROTOCOL_FEE = 1000
WORDS_AWAY = 40
"""Empty words of the bitmap that a swap may be asked to pass: each is a step of the contract's loop."""


@pytest.fixture(scope="module")
def contracts() -> V4Pools:
    """The contracts, once for all tests."""
    return V4Pools()


@dataclass
class Model:
    """A pool as it should be, and how it is drawn what happens to it."""

    rng: random.Random
    key: Key
    price: int
    tick: int
    liquidity: int = 0
    protocol_fee: int = 0
    positions: dict[tuple[int, int], int] = field(default_factory=dict)

    @property
    def spacing(self) -> int:
        return self.key[3]

    @property
    def net(self) -> dict[int, int]:
        """By initialised tick; two positions may cancel each other."""
        found: dict[int, int] = {}
        for (lower, upper), amount in self.positions.items():
            found[lower] = found.get(lower, 0) + amount
            found[upper] = found.get(upper, 0) - amount
        return found

    @property
    def ticks(self) -> TickMap:
        return TickMap(sorted(self.net), self.net, self.spacing)

    def some_range(self) -> tuple[int, int]:
        """Around the price mostly, or near it, or everywhere."""
        rng, spacing = self.rng, self.spacing
        lowest, highest = -(MAX_TICK // spacing), MAX_TICK // spacing
        width = rng.choice((1, 3, 20, 300, highest))
        middle = min(max(self.tick // spacing + rng.randint(-width, width) // 3, lowest), highest - 1)
        lower = max(middle - rng.randint(0, width), lowest)
        return lower * spacing, min(middle + 1 + rng.randint(0, width), highest) * spacing

    def some_limit(self, *, falls: bool) -> int:
        """A price ahead, as far as the contract's loop is still short."""
        reach = self.rng.randint(1, WORDS_AWAY * 256 * self.spacing)
        if falls:
            edge = max(self.tick - reach, MIN_TICK)
            return max(sqrt_price_at(edge) + self.rng.choice((0, 1, 1000)), MIN_SQRT_PRICE + 1)
        edge = min(self.tick + reach, MAX_TICK)
        return min(sqrt_price_at(edge) - self.rng.choice((0, 1, 1000)), MAX_SQRT_PRICE - 1)


def made(contracts: V4Pools, rng: random.Random, number: int) -> Model:
    """A pool of its own key, at some price."""
    spacing = rng.choice((*SPACINGS, rng.randint(1, MOST_SPACING)))
    fee = LP_FEES[number // 2] if number < 2 * len(LP_FEES) else rng.randint(2, FEE_UNIT // 10)
    key = contracts.key(fee, spacing, native=number % 2 > 0)
    tick = rng.choice((rng.randint(-2_000, 2_000), rng.randint(-400_000, 400_000)))
    price = rng.randint(sqrt_price_at(tick), sqrt_price_at(tick + 1) - 1)
    contracts.initialize(key, price)
    return Model(rng, key, price, tick)


def change_liquidity(contracts: V4Pools, pool: Model) -> None:
    """Open a position, add to one, or take out of one, some or all."""
    rng = pool.rng
    held = [ticks for ticks, amount in pool.positions.items() if amount]
    if held and rng.random() < 0.4:
        ticks = rng.choice(held)
        added = -rng.choice((pool.positions[ticks], rng.randint(1, pool.positions[ticks])))
    else:
        ticks = pool.some_range()
        added = rng.randint(10**6, 10 ** rng.choice((9, 15, 21)))
    is_new = ticks not in pool.positions
    try:
        moved = contracts.provide(pool.key, ticks, added)
    except SwapReverted:  # more than int128, or than a tick may hold; or nothing comes back
        return
    lower, upper = (sqrt_price_at(tick) for tick in ticks)
    price = min(max(pool.price, lower), upper)
    if is_new:  # what a position held before earned fees, which come with it
        up = amount0_between(price, upper, added, round_up=True), amount1_between(lower, price, added, round_up=True)
        assert moved == (-up[0], -up[1])
    pool.positions[ticks] = pool.positions.get(ticks, 0) + added
    if not pool.positions[ticks]:
        del pool.positions[ticks]
    if ticks[0] <= pool.tick < ticks[1]:
        pool.liquidity += added


def trade(contracts: V4Pools, pool: Model) -> Walk | None:
    """One swap on both sides; None if the contract refuses an amount that is none."""
    rng, falls = pool.rng, pool.rng.random() < 0.5
    fee = charged(pool.key[2], pool.protocol_fee)[0 if falls else 1]
    exact_out = fee < FEE_UNIT and rng.random() < 0.4
    amount = rng.randint(1, 10 ** rng.randint(1, 24))
    limit = pool.some_limit(falls=falls)
    if limit >= pool.price if falls else limit <= pool.price:
        return None
    walk = swap(
        *(pool.price, pool.tick, pool.liquidity, fee, pool.ticks, amount),
        falls=falls,
        exact_out=exact_out,
        limit=limit,
    )
    if max(walk.taken, walk.out) > MOST_AMOUNT:
        with pytest.raises(SwapReverted):
            contracts.swap(pool.key, -amount if exact_out else amount, falls=falls, limit=limit)
        return None
    found = contracts.swap(pool.key, -amount if exact_out else amount, falls=falls, limit=limit)
    amounts = (-walk.taken, walk.out)[:: 1 if falls else -1]
    assert found == SwapWords(*amounts, walk.sqrt_price_x96, walk.liquidity, walk.end_tick, fee)
    if not exact_out and fee < FEE_UNIT and not walk.left:
        check_compiled(pool, walk, fee, amount, falls=falls)
    pool.price, pool.tick, pool.liquidity = walk.sqrt_price_x96, walk.end_tick, walk.liquidity
    return walk


def check_compiled(pool: Model, walk: Walk, fee: int, amount: int, *, falls: bool) -> None:
    """The compiled walk has no limit, and needs none where all of the input was taken before it."""
    work, net = make_work(), pool.net
    for row, value in ((quoting.PRICE, pool.price), (quoting.LIQUIDITY, pool.liquidity), (quoting.AMOUNT, amount)):
        work[row].view(np.uint8)[:] = np.frombuffer(value.to_bytes(work[row].nbytes, "little"), np.uint8)
    ticks = np.array(sorted(net), np.int64)
    nets = np.frombuffer(b"".join(net[tick].to_bytes(16, "little", signed=True) for tick in sorted(net)), np.uint64)
    map_ = (ticks, nets.reshape(-1, 2), 0, len(net))
    status = quoting.quote_through_ticks(work, pool.tick, pool.spacing, fee, falls, *map_)
    assert status == QUOTED
    assert int.from_bytes(work[quoting.OUT].tobytes(), "little") == walk.out
    assert int.from_bytes(work[quoting.PRICE].tobytes(), "little") == walk.sqrt_price_x96


def tick_map(contracts: V4Pools, pool: Model) -> dict[int, int]:
    """What the program reads that a collector has a node run."""
    words = all_words(pool.spacing)
    data = slots_call_data(bytes.fromhex(contracts.manager[2:]), pool_slot(pool.key), words, pool.spacing)
    ticks = read_ticks(contracts.run(data), words, pool.spacing)
    assert ticks is not None and sum(tick.liquidity_gross for tick in ticks) == 2 * sum(pool.positions.values())
    return {tick.tick: tick.liquidity_net for tick in ticks}


def test_swaps_and_changes_of_liquidity_are_the_contracts_to_the_wei(contracts: V4Pools) -> None:
    rng = random.Random(4)
    walks: list[Walk] = []
    for number in range(HISTORIES):
        pool = made(contracts, rng, number)
        for _ in range(3):
            change_liquidity(contracts, pool)
        for _ in range(STEPS):
            if rng.random() < 0.2:
                change_liquidity(contracts, pool)
            if rng.random() < 0.1:
                pool.protocol_fee = rng.randint(0, MOST_PROTOCOL_FEE) | rng.randint(0, MOST_PROTOCOL_FEE) << 12
                contracts.set_protocol_fee(pool.key, pool.protocol_fee)
            walk = trade(contracts, pool)
            if walk is not None:
                walks.append(walk)
            assert contracts.read(pool.key) == (pool.price, pool.tick, pool.protocol_fee, pool.key[2], pool.liquidity)
        assert tick_map(contracts, pool) == pool.net
    assert len(walks) >= SWAPS
    for case in (
        [walk for walk in walks if walk.crossed],
        [walk for walk in walks if walk.left],
        [walk for walk in walks if walk.out],
        [walk for walk in walks if walk.at_stop],
    ):
        assert len(case) > SWAPS // 50, walks[:3]
