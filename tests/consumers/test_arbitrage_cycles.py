"""Cycles of two and three pools: the search against every input, and the table against every cycle."""

from __future__ import annotations

import random

import numpy as np
import pytest

from consumers.arbitrage.concentrated import TickMap, current_range
from consumers.arbitrage.constant_product import Hop, compose
from consumers.arbitrage.cycle import Leg, MapLeg, RangeLeg, ReserveLeg, best_cycle, quote
from consumers.arbitrage.tick_math import sqrt_price_at

FEES = (0, 500, 3000, 10_000)


def every_input(hops: list[Hop], limit: int) -> int:
    """The best profit of any input below `limit`."""
    inputs = np.arange(limit)
    amounts = inputs
    for hop in hops:
        kept = amounts * (1_000_000 - hop.fee_pips)
        amounts = kept * hop.reserve_out // (hop.reserve_in * 1_000_000 + kept)
    return int((amounts - inputs).max())


def misses(count: int, pools: int, largest: int, seed: int) -> int:
    """Of so many profitable cycles of small pools, how many whose best input the search does not find."""
    rng, found, missed = random.Random(seed), 0, 0
    while found < count:
        sizes = [rng.choice((30, 300, largest)) for _ in range(pools)]
        hops = [
            Hop(rng.randint(5, sizes[at]), rng.randint(5, sizes[(at + 1) % pools]), rng.choice(FEES))
            for at in range(pools)
        ]
        if not compose(hops).profitable:
            continue
        found += 1
        cycle = best_cycle([ReserveLeg(hop) for hop in hops])
        missed += (cycle.gross if cycle else 0) < every_input(hops, 3 * compose(hops).best_input + 200)
    return missed


@pytest.mark.parametrize("pools", [2, 3])
def test_best_cycle_of_small_pools_is_that_of_every_input(pools: int) -> None:
    assert misses(400, pools, 3_000, seed=pools) == 0


@pytest.mark.soak
@pytest.mark.parametrize("pools", [2, 3, 4])
def test_best_cycle_of_many_small_pools_is_that_of_every_input(pools: int) -> None:
    assert misses(20_000, pools, 3_000, seed=pools) == 0
    assert misses(300, pools, 12_000, seed=pools) == 0


def small_leg(rng: random.Random, falls: bool) -> Leg:
    """A pool of a few thousand units near the price 1, of any kind."""
    kind, fee = rng.randrange(3), rng.choice((100, 500, 3000))
    tick = rng.randint(-90, 90)
    price = rng.randint(sqrt_price_at(tick), sqrt_price_at(tick + 1) - 1)
    if kind == 0:
        reserve = rng.randint(2_000, 60_000)
        other = int(reserve * 1.0001**tick)
        return ReserveLeg(Hop(reserve, other, fee) if falls else Hop(other, reserve, fee))
    if kind == 1:
        return RangeLeg(current_range(price, tick, rng.randint(5_000, 200_000), fee, 60), falls)
    net: dict[int, int] = {}
    for width in rng.choices(range(1, 12), k=4):
        low, high, added = (tick // 10 - width) * 10, (tick // 10 + width) * 10 + 10, rng.randint(2_000, 60_000)
        net[low], net[high] = net.get(low, 0) + added, net.get(high, 0) - added
    ticks = TickMap(sorted(net), net, 10)
    return MapLeg(price, tick, ticks.active(tick), fee, ticks, falls)


def misses_of_kinds(count: int, pools: int, seed: int) -> tuple[int, int]:
    """The same for pools of all kinds; also how many were of different kinds."""
    rng, found, missed, mixed = random.Random(seed), 0, 0, 0
    while found < count:
        legs = [small_leg(rng, rng.random() < 0.5) for _ in range(pools)]
        cycle = best_cycle(legs)
        if cycle is None or cycle.amount_in > 300:
            continue
        found += 1
        quoted = [one.gross for amount in range(1, 600) if (one := quote(legs, amount)) is not None]
        best = max(quoted, default=0)
        mixed += len({type(leg) for leg in legs}) > 1
        missed += (cycle.gross if cycle else 0) < best
    return missed, mixed


@pytest.mark.parametrize("pools", [2, 3])
def test_best_cycle_of_small_pools_of_all_kinds_is_that_of_every_input(pools: int) -> None:
    missed, mixed = misses_of_kinds(8, pools, seed=pools)
    assert missed == 0 and mixed > 3


@pytest.mark.soak
@pytest.mark.parametrize("pools", [2, 3])
def test_best_cycle_of_many_pools_of_all_kinds_is_that_of_every_input(pools: int) -> None:
    assert misses_of_kinds(1_500, pools, seed=10 + pools)[0] == 0
