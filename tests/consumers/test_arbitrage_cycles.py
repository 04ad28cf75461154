"""Cycles of two and three pools: the search against every input, and the table against every cycle."""

from __future__ import annotations

import random
from itertools import combinations, permutations
from math import inf, nan

import numpy as np
import pytest

from consumers.arbitrage.concentrated import TickMap, current_range
from consumers.arbitrage.constant_product import MAX_RESERVE, Hop, compose
from consumers.arbitrage.cycle import Leg, MapLeg, RangeLeg, ReserveLeg, best_cycle, quote
from consumers.arbitrage.cycle_table import CycleTable, Slope
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
    tick = rng.randint(-900, 900)
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
        if cycle is None or cycle.amount_in > 500:
            continue
        found += 1
        quoted = [one.gross for amount in range(1, 1_000) if (one := quote(legs, amount)) is not None]
        best = max(quoted, default=0)
        mixed += len({type(leg) for leg in legs}) > 1
        missed += (cycle.gross if cycle else 0) < best
    return missed, mixed


@pytest.mark.parametrize("pools", [2, 3])
def test_best_cycle_of_small_pools_of_all_kinds_is_that_of_every_input(pools: int) -> None:
    missed, mixed = misses_of_kinds(100, pools, seed=pools)
    assert missed == 0 and mixed > 50


@pytest.mark.soak
@pytest.mark.parametrize("pools", [2, 3])
def test_best_cycle_of_many_pools_of_all_kinds_is_that_of_every_input(pools: int) -> None:
    assert misses_of_kinds(1_500, pools, seed=10 + pools)[0] == 0


def test_best_cycle_asks_a_concentrated_pool_for_no_input_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    swapped = RangeLeg.out

    def out(leg: RangeLeg, amount_in: int) -> int | None:
        asked.append(amount_in)
        return swapped(leg, amount_in)

    monkeypatch.setattr(RangeLeg, "out", out)
    pool = current_range(sqrt_price_at(30), 30, 10**24, 500, 60)
    found = best_cycle([ReserveLeg(Hop(10**24, 102 * 10**22, 3000)), RangeLeg(pool, falls=True)])
    assert found is not None and found.gross > 0
    assert len(asked) == len(set(asked)) > 1


def crowded_table(rng: random.Random, pools: int, tokens: int) -> tuple[CycleTable, dict[int, tuple[int, int, float]]]:
    """A table of random pools; of each its tokens and the rate from the first to the second, without a fee."""
    table, known = CycleTable(1 << 16), {}
    for number in range(pools):
        first, second = sorted(rng.sample(range(tokens), 2))
        table.add(bytes([first]) * 20, bytes([second]) * 20)
        rate = 1.02 ** rng.uniform(-1, 1)
        table.set(number, Slope(rate, 1e-20), Slope(1 / rate, 1e-20), 60_000)
        known[number] = first, second, rate
    return table, known


def earning_cycles(known: dict[int, tuple[int, int, float]], moved: int) -> set[frozenset[tuple[int, bool]]]:
    """Every cycle of two or three pools through one, by trying all: its pools, each with whether token0 goes in."""
    found = set()
    for size in (2, 3):
        for chosen in combinations(known, size):
            if moved not in chosen:
                continue
            for order in permutations(chosen):
                for start in known[order[0]][:2]:
                    token, product, legs = start, 1.0, []
                    for number in order:
                        first, second, rate = known[number]
                        if token not in (first, second):
                            break
                        legs.append((number, token == first))
                        product *= rate if token == first else 1 / rate
                        token = second if token == first else first
                    visited = {known[number][0 if falls else 1] for number, falls in legs}
                    if len(legs) == size == len(visited) and token == start and product > 1 + 1e-12:
                        found.add(frozenset(legs))
    return found


def test_cycle_table_finds_every_cycle_that_earns_and_no_other() -> None:
    rng, seen = random.Random(6), 0
    for _ in range(8):
        table, known = crowded_table(rng, 14, 5)
        for moved in known:
            table.begin_look()
            count, candidates = table.candidates(moved, 0, 0, nan)
            found = [frozenset(table.legs(candidate.key, candidate.start)) for candidate in candidates]
            assert set(found) == earning_cycles(known, moved)
            assert len(found) == len(set(found)) == count
            seen += len(found)
            assert table.candidates(moved, 0, 0, nan)[0] == 0, "this look has seen them"
    assert seen > 500


def test_cycle_table_bound_is_what_the_best_input_earns_and_orders_candidates() -> None:
    hops = [Hop(10**21, 11 * 10**20, 3000), Hop(10**21, 10**21, 3000), Hop(10**21, 12 * 10**20, 500)]
    table = CycleTable(100)
    for number, (hop, tokens) in enumerate(zip(hops, ((0, 1), (1, 2), (0, 2)), strict=True)):
        table.add(*(bytes([token]) * 20 for token in tokens))
        kept = 1 - hop.fee_pips / 1e6
        forward = Slope(kept * hop.reserve_out / hop.reserve_in, kept / hop.reserve_in)
        back = Slope(kept * hop.reserve_in / hop.reserve_out, kept / hop.reserve_out)
        table.set(number, *((forward, back) if number < 2 else (back, forward)), 60_000)
    table.price(bytes(20), 1.0, inf)
    table.begin_look()
    _, (candidate,) = table.candidates(0, 10**9, 80_000, 0.0)
    cycle = best_cycle([ReserveLeg(hop) for hop in hops])
    assert cycle is not None and table.legs(candidate.key, candidate.start) == [(0, True), (1, True), (2, False)]
    gas = 10**9 * (80_000 + 3 * 60_000)
    assert 0 <= candidate.bound - (cycle.gross - gas) < cycle.gross * 1e-6
    table.begin_look()
    assert table.candidates(0, 10**9, 80_000, candidate.bound * 1.01)[0] == 0
    assert table.counts.tolist() == [1, 1, 0]


def test_cycle_table_leaves_out_what_it_has_no_room_for_and_counts_it() -> None:
    whole, small = CycleTable(1 << 16), CycleTable(10)
    for table in (whole, small):
        for number in range(40):
            table.add(bytes([number % 3]) * 20, bytes([3 + number % 2]) * 20)
    assert small.size == 10 and whole.left_out == 0
    assert small.size + small.left_out == whole.size


@pytest.mark.parametrize(("other", "alone"), [(0, False), (1, True)])
def test_cycle_table_pool_of_one_token_or_without_quotes_is_in_no_cycle(other: int, alone: bool) -> None:
    table = CycleTable(100)
    table.add(bytes(20), bytes([other]) * 20, alone=alone)
    table.add(bytes(20), bytes([other]) * 20)
    table.set(0, Slope(2.0, 0.1), Slope(2.0, 0.1), 1)
    table.begin_look()
    assert table.size == 0 and table.candidates(0, 0, 0, nan)[0] == 0


@pytest.mark.parametrize("reserve", [MAX_RESERVE - 1_000, MAX_RESERVE])
def test_best_cycle_never_brings_more_into_a_pair_than_it_can_hold(reserve: int) -> None:
    legs = [ReserveLeg(Hop(reserve, MAX_RESERVE, 3000)), ReserveLeg(Hop(MAX_RESERVE // 4, MAX_RESERVE // 2, 3000))]
    cycle = best_cycle(legs)
    assert cycle is None or cycle.amount_in <= MAX_RESERVE - reserve
    assert legs[0].out(MAX_RESERVE - reserve + 1) is None
