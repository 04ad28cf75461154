"""Concentrated liquidity: the contract's documented values, a slow second implementation, and cycles within a range."""

from __future__ import annotations

import random
from math import isqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.arbitrage.concentrated import PriceRange, TickMap, current_range, price_after_token0, swap, swap_step
from consumers.arbitrage.constant_product import Hop
from consumers.arbitrage.cycle import Leg, RangeLeg, ReserveLeg, best_cycle, quote
from consumers.arbitrage.tick_math import MAX_SQRT_PRICE, MAX_TICK, MIN_SQRT_PRICE, MIN_TICK, Q96, sqrt_price_at
from tlv.errors import UsageError

E18 = 10**18


def price_1_to(numerator: int, denominator: int) -> int:
    """encodePriceSqrt of the contract's tests: the floor of sqrt(n/d) * 2^96."""
    return isqrt((numerator << 192) // denominator)


@pytest.mark.parametrize(
    ("tick", "price"),
    [
        (MIN_TICK, MIN_SQRT_PRICE),
        (MIN_TICK + 1, 4295343490),
        (MAX_TICK - 1, 1461373636630004318706518188784493106690254656249),
        (MAX_TICK, MAX_SQRT_PRICE),
        (0, Q96),
        (50, 79426470787362580746886972461),
        (-50, 79030349367926598376800521322),
        (150_000, 143194173941309278083010301478497),
        (-150_000, 43836292794701720435367485),
        (500_000, 5697689776495288729098254600827762987878),
        (738_203, 847134979253254120489401328389043031315994541),
    ],
)
def test_sqrt_price_at_values_of_the_contracts_tests_match(tick: int, price: int) -> None:
    """v3-core test/TickMath.spec.ts and its snapshot."""
    assert sqrt_price_at(tick) == price


@given(st.integers(MIN_TICK, MAX_TICK - 1))
def test_sqrt_price_at_next_tick_is_higher(tick: int) -> None:
    assert sqrt_price_at(tick) < sqrt_price_at(tick + 1)


def test_swap_step_one_for_zero_capped_at_the_target_matches_the_contract() -> None:
    """v3-core test/SwapMath.spec.ts: "exact amount in that gets capped at price target in one for zero"."""
    step = swap_step(price_1_to(1, 1), price_1_to(101, 100), 2 * E18, E18, 600)

    assert step.taken == 9975124224178055 + 5988667735148
    assert step.out == 9925619580021728
    assert step.sqrt_price_x96 == price_1_to(101, 100)


def test_swap_step_one_for_zero_fully_spent_matches_the_contract() -> None:
    """v3-core test/SwapMath.spec.ts: "exact amount in that is fully spent in one for zero"."""
    step = swap_step(price_1_to(1, 1), price_1_to(1000, 100), 2 * E18, E18, 600)

    assert (step.taken, step.out) == (E18, 666399946655997866)
    assert step.sqrt_price_x96 < price_1_to(1000, 100)


def test_swap_step_whole_fee_of_one_unit_matches_the_contract() -> None:
    """v3-core test/SwapMath.spec.ts: "entire input amount taken as fee"."""
    step = swap_step(2413, 79887613182836312, 1985041575832132834610021537970, 10, 1872)

    assert step == (2413, 10, 0)


def test_price_after_token0_beyond_256_bits_matches_the_contract() -> None:
    """v3-core test/SqrtPriceMath.spec.ts: "returns the minimum price for max inputs", and "any input amount cannot
    underflow the price"."""
    price, liquidity = (1 << 160) - 1, (1 << 128) - 1

    assert price_after_token0(price, liquidity, (1 << 256) - 1 - (liquidity << 96) // price) == 1
    assert price_after_token0(1, 1, 1 << 255) == 1
    assert price_after_token0(price_1_to(1, 1), 1, (1 << 255) - 1) == 1


def slow_swap(
    price: int, tick: int, liquidity: int, fee: int, net: dict[int, int], spacing: int, amount: int, falls: bool
) -> tuple[int, int]:
    """UniswapV3Pool.swap once more, tick by tick: it stops at every multiple of the spacing that is initialised or the
    edge of a bitmap word, found by looking at each one in turn."""
    out = 0
    while amount:
        at = tick // spacing
        if falls:
            while at * spacing not in net and at % 256 != 0:
                at -= 1
        else:
            at += 1
            while at * spacing not in net and at % 256 != 255:
                at += 1
        stop = max(MIN_TICK, min(MAX_TICK, at * spacing))
        stop_price = min(max(sqrt_price_at(stop), MIN_SQRT_PRICE + 1), MAX_SQRT_PRICE - 1)
        price, taken, got = swap_step(price, stop_price, liquidity, amount, fee)
        amount -= taken
        out += got
        if price != stop_price or stop in (MIN_TICK, MAX_TICK):
            break
        if stop in net:
            liquidity += -net[stop] if falls else net[stop]
        tick = stop - 1 if falls else stop
    return out, price


def random_pool(rng: random.Random) -> tuple[int, int, int, int, dict[int, int], int]:
    """price, tick, liquidity, fee, net liquidity by tick, spacing."""
    fee, spacing = rng.choice([(500, 10), (3000, 60), (10_000, 200)])
    tick = rng.randint(-20_000, 20_000)
    price = rng.randint(sqrt_price_at(tick), sqrt_price_at(tick + 1) - 1)
    net: dict[int, int] = {}
    liquidity = 0
    for _ in range(rng.randint(1, 5)):
        width = rng.choice([1, 3, 20, 400])
        low = (tick // spacing - rng.randint(0, width)) * spacing
        high = (tick // spacing + 1 + rng.randint(0, width)) * spacing
        added = rng.choice([10**9, 10**15, 10**21]) * rng.randint(1, 999)
        net[low], net[high] = net.get(low, 0) + added, net.get(high, 0) - added
        liquidity += added
    return price, tick, liquidity, fee, {at: value for at, value in net.items() if value}, spacing


def test_swap_many_ranges_equals_the_tick_by_tick_walk() -> None:
    rng = random.Random(4)
    for _ in range(800):
        price, tick, liquidity, fee, net, spacing = random_pool(rng)
        amount, falls = rng.randint(1, 10 ** rng.randint(3, 24)), rng.random() < 0.5
        walked = swap(price, tick, liquidity, fee, TickMap(sorted(net), net, spacing), amount, falls=falls)
        assert (walked.out, walked.sqrt_price_x96) == slow_swap(
            price, tick, liquidity, fee, net, spacing, amount, falls
        )


def test_range_leg_inside_its_range_equals_the_whole_walk() -> None:
    rng, inside = random.Random(5), 0
    for _ in range(800):
        price, tick, liquidity, fee, net, spacing = random_pool(rng)
        amount, falls = rng.randint(1, 10 ** rng.randint(3, 24)), rng.random() < 0.5
        found = RangeLeg(current_range(price, tick, liquidity, fee, spacing), falls).out(amount)
        if found is None:
            continue
        inside += 1
        assert found == swap(price, tick, liquidity, fee, TickMap(sorted(net), net, spacing), amount, falls=falls).out
    assert inside > 200


@given(st.integers(1, 1 << 100), st.integers(1, 1 << 112), st.booleans())
@settings(max_examples=300)
def test_range_leg_reach_is_the_last_amount_but_for_rounding(liquidity: int, more: int, falls: bool) -> None:
    leg = RangeLeg(PriceRange(Q96, liquidity, 3000, sqrt_price_at(-60), sqrt_price_at(60)), falls)
    assert leg.reach is not None
    assert leg.out(leg.reach + more) is None


def random_leg(rng: random.Random, tick: int, falls: bool) -> Leg:
    """A V2 or V3 pool priced near `tick`."""
    depth = 10 ** rng.randint(15, 23)
    if rng.random() < 0.4:
        price = sqrt_price_at(tick)
        reserve0, reserve1 = depth * Q96 // price, depth * price // Q96
        return ReserveLeg(Hop(reserve0, reserve1, 3000) if falls else Hop(reserve1, reserve0, 3000))
    fee, spacing = rng.choice([(500, 10), (3000, 60), (10_000, 200)])
    price = rng.randint(sqrt_price_at(tick), sqrt_price_at(tick + 1) - 1)
    return RangeLeg(current_range(price, tick, depth, fee, spacing), falls)


def test_best_cycle_mixed_pools_beats_a_search_over_all_inputs() -> None:
    """Golden-section over the exact profit finds nothing better than a few parts in a billion."""
    rng, found_cycles = random.Random(6), 0
    for _ in range(600):
        base = rng.randint(-20_000, 20_000)
        first = random_leg(rng, base + rng.randint(40, 400), True)
        second = random_leg(rng, base, False)
        cycle = best_cycle([first, second])

        def profit(amount: int, first: Leg = first, second: Leg = second) -> int:
            found = quote([first, second], amount)
            return found.gross if found else -1

        top = cycle.amount_in * 4 if cycle else 10**24
        low, high = 1, top
        while high - low > 4:
            third = (high - low) // 3
            if profit(low + third) < profit(high - third) and profit(high - third) >= 0:
                low += third
            else:
                high -= third
        best = max(profit(amount) for amount in range(low, high + 1))
        if cycle is None:
            assert best <= 0
            continue
        found_cycles += 1
        assert cycle.gross == profit(cycle.amount_in) > 0
        assert best - cycle.gross <= max(2, cycle.gross // 10**9)
    assert found_cycles > 200


def test_best_cycle_optimum_beyond_the_range_stops_at_its_edge() -> None:
    narrow = RangeLeg(current_range(sqrt_price_at(38), 38, 10**20, 500, 10), falls=True)
    deep = ReserveLeg(Hop(10**24, 11 * 10**23, 3000))

    cycle = best_cycle([narrow, deep])

    assert cycle is not None and narrow.reach is not None
    assert 0.999 * narrow.reach < cycle.amount_in <= narrow.reach


def test_best_cycle_second_range_too_short_stops_at_its_edge() -> None:
    deep = ReserveLeg(Hop(10**24, 11 * 10**23, 3000))
    narrow = RangeLeg(current_range(sqrt_price_at(5), 5, 10**20, 500, 10), falls=False)

    cycle = best_cycle([deep, narrow])

    assert cycle is not None and narrow.reach is not None
    assert 0.999 * narrow.reach < cycle.amounts[1] <= narrow.reach


def test_best_cycle_empty_pool_is_none() -> None:
    assert best_cycle([ReserveLeg(Hop(0, 1, 3000)), ReserveLeg(Hop(1, 1, 3000))]) is None


@pytest.mark.parametrize("falls", [True, False])
def test_swap_to_a_limit_that_no_contract_takes_is_refused(falls: bool) -> None:
    ticks = TickMap([-60, 60], {-60: 10**18, 60: -(10**18)}, 60)
    assert swap(Q96, 0, 10**18, 3000, ticks, 5, falls=falls, limit=Q96).left == 5
    last = MIN_SQRT_PRICE + 1 if falls else MAX_SQRT_PRICE - 1
    assert swap(Q96, 0, 10**18, 3000, ticks, 5, falls=falls, limit=last).left == 0
    for limit in (Q96 + 1 if falls else Q96 - 1, last - 1 if falls else last + 1, 0, -1, 1 << 160):
        with pytest.raises(UsageError, match=f"limit of a (falling|rising) price: expected .*, found {limit}"):
            swap(Q96, 0, 10**18, 3000, ticks, 5, falls=falls, limit=limit)
