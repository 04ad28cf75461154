"""Cycles through several ranges: the walk finds the optimum, and a signal's few ticks stand for the whole map."""

from __future__ import annotations

import random

from consumers.arbitrage.concentrated import TickMap, current_range, swap
from consumers.arbitrage.constant_product import Hop
from consumers.arbitrage.cycle import Leg, MapLeg, RangeLeg, ReserveLeg, best_cycle, quote
from consumers.arbitrage.segments import FINE_BITS, Pointer
from consumers.arbitrage.signal import way_of
from consumers.arbitrage.tick_math import Q96, sqrt_price_at


def random_map_leg(rng: random.Random, tick: int, falls: bool) -> MapLeg:
    """A V3 pool near `tick` with a handful of positions around its price, from a spacing wide to the full range."""
    fee, spacing = rng.choice([(100, 1), (500, 10), (3000, 60), (10_000, 200)])
    price = rng.randint(sqrt_price_at(tick), sqrt_price_at(tick + 1) - 1)
    net: dict[int, int] = {}
    here = tick // spacing
    for width in [800_000 // spacing, *rng.choices([1, 3, 20, 400], k=rng.randint(1, 7))]:
        middle = here + rng.randint(-width, width) // 2 if width < 1000 else 0
        low, high = (middle - width) * spacing, (middle + width + 1) * spacing
        added = 10 ** rng.randint(16, 20) * rng.randint(1, 99)
        net[low], net[high] = net.get(low, 0) + added, net.get(high, 0) - added
    net = {at: value for at, value in net.items() if value}
    ticks = TickMap(sorted(net), net, spacing)
    return MapLeg(price, tick, ticks.active(tick), fee, ticks, falls)


def random_leg(rng: random.Random, tick: int, falls: bool) -> Leg:
    """A V2 pool, or a V3 pool with its map, or one without."""
    kind = rng.random()
    if kind < 0.7:
        return random_map_leg(rng, tick, falls)
    depth = 10 ** rng.randint(17, 22)
    if kind < 0.9:
        price = sqrt_price_at(tick)
        reserve0, reserve1 = depth * Q96 // price, depth * price // Q96
        return ReserveLeg(Hop(reserve0, reserve1, 3000) if falls else Hop(reserve1, reserve0, 3000))
    return RangeLeg(current_range(sqrt_price_at(tick) + 1, tick, depth, 3000, 60), falls)


def golden_section(first: Leg, second: Leg, top: int) -> int:
    """The best profit of any input up to `top`.  Each cycle's profit has one peak: prices only get worse."""

    def profit(amount: int) -> int:
        found = quote([first, second], amount)
        return found.gross if found else -(1 << 300)

    low, high = 1, top
    while high - low > 4:
        third = (high - low) // 3
        if profit(low + third) < profit(high - third):
            low += third
        else:
            high -= third
    return max(profit(amount) for amount in range(low, high + 1))


def test_best_cycle_over_many_ranges_beats_a_search_over_all_inputs() -> None:
    rng, found_cycles, crossing = random.Random(12), 0, 0
    for _ in range(400):
        base = rng.randint(-20_000, 20_000)
        first = random_leg(rng, base + rng.randint(40, 1500), True)
        second = random_leg(rng, base, False)
        cycle = best_cycle([first, second])
        best = golden_section(first, second, 4 * cycle.amount_in if cycle else 10**24)
        if cycle is None:
            assert best <= 0
            continue
        found_cycles += 1
        assert quote([first, second], cycle.amount_in) == cycle
        assert best - cycle.gross <= max(2, cycle.gross // 10**9)
        for leg, amount in zip((first, second), cycle.amounts, strict=False):
            crossing += isinstance(leg, MapLeg) and len(leg.way(amount)) > 1
    assert found_cycles > 250 and crossing > 250


def test_best_cycle_over_small_ranges_is_that_of_brute_force_but_for_their_roundings() -> None:
    """Pools of a few thousand units, every input tried: each stop of the contract's loop rounds a unit in and one out,
    and the search does not know which."""
    rng, found_cycles = random.Random(13), 0
    for _ in range(25):
        net: dict[int, int] = {}
        for width in rng.choices(range(1, 12), k=4):
            added = rng.randint(2_000, 90_000)
            net[-10 * width], net[10 * width] = net.get(-10 * width, 0) + added, net.get(10 * width, 0) - added
        ticks = TickMap(sorted(net), net, 10)
        first = MapLeg(sqrt_price_at(3) + 5, 3, ticks.active(3), 500, ticks, True)
        reserves = rng.randint(5_000, 90_000)
        second = ReserveLeg(Hop(reserves, reserves * rng.randint(101, 108) // 100, 500))
        cycle = best_cycle([first, second])
        quoted = [found for amount in range(1, 2_000) if (found := quote([first, second], amount))]
        best = max(quoted, key=lambda found: found.gross)
        stops = len(first.way(best.amount_in))
        assert max(best.gross, 0) - (cycle.gross if cycle else 0) <= 2 * stops
        found_cycles += cycle is not None
    assert found_cycles > 15


def test_segments_of_a_map_add_up_to_the_walk_through_it() -> None:
    """At the end of each stretch, what was taken and paid is what the contract's loop says, but for its roundings."""
    rng = random.Random(14)
    for _ in range(100):
        leg = random_map_leg(rng, rng.randint(-20_000, 20_000), rng.random() < 0.5)
        pointer = Pointer(leg.segments())
        ends = 0
        while pointer.segment is not None and pointer.following is not None:
            pointer.advance()
            ends += 1
            paid = leg.out(pointer.before_in >> FINE_BITS)
            assert paid is not None
            assert abs(paid - (pointer.before_out >> FINE_BITS)) <= max(100 * ends, paid // 10**12)
        assert ends > 0


def test_way_of_a_swap_is_enough_to_walk_it() -> None:
    rng, crossed = random.Random(15), 0
    for _ in range(600):
        leg = random_map_leg(rng, rng.randint(-20_000, 20_000), rng.random() < 0.5)
        amount = rng.randint(1, 10 ** rng.randint(9, 23))
        whole = swap(*leg[:5], amount, falls=leg.falls)
        if whole.left:
            continue
        way = way_of(2, leg, amount)
        assert {record.leg for record in way} == {2}
        assert len(way) == whole.crossed + 1
        net = {record.tick: record.liquidity_net for record in way}
        few = TickMap(sorted(net), net, way[0].tick_spacing)
        assert swap(*leg[:4], few, amount, falls=leg.falls) == whole
        crossed += whole.crossed > 0
    assert crossed > 150


def test_way_of_a_pool_without_a_map_is_empty() -> None:
    assert way_of(1, ReserveLeg(Hop(10, 10, 3000)), 1) == []


def test_best_cycle_that_takes_all_liquidity_stops_before_its_end() -> None:
    """One narrow position and a far better price elsewhere: at most what the position holds."""
    net = {0: 10**20, 60: -(10**20)}
    narrow = MapLeg(sqrt_price_at(30), 30, 10**20, 3000, TickMap([0, 60], net, 60), True)
    deep = ReserveLeg(Hop(10**24, 2 * 10**24, 3000))
    cycle = best_cycle([narrow, deep])
    (segment,) = narrow.segments()
    assert cycle is not None and segment.room is not None
    room = segment.room >> FINE_BITS
    assert 0.999 * room < cycle.amount_in <= room
    assert narrow.out(2 * room) is None


def test_map_leg_stretch_with_the_least_liquidity_is_a_segment_and_one_without_is_none() -> None:
    net = {-20: 2, -10: -1, 10: -1, 20: 1, 30: -1}
    rising = MapLeg(sqrt_price_at(-15), -15, 2, 3000, TickMap(sorted(net), net, 10), falls=False)
    liquidities = [rising.ticks.active(tick) for tick in (-15, 0, 15, 25)]
    assert liquidities == [2, 1, 0, 1]
    assert len(list(rising.segments())) == 3
