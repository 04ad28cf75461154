"""The arithmetic of cycles: against brute force, against the recording's own swaps, and as properties."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import example, given, settings
from hypothesis import strategies as st

from consumers.arbitrage.constant_product import Hop, compose, least_input
from consumers.arbitrage.cycle import ReserveLeg, best_cycle, quote
from tests.consumers.recorded_market import canonical_events, pool_states
from tlv.layout import PoolSwap, PoolSync

FEES = st.sampled_from([0, 500, 2000, 3000, 10_000])
RESERVE = st.integers(1, 1 << 112)


def run_through(hops: Sequence[Hop], amount: int) -> int:
    """What comes out of the last hop."""
    for hop in hops:
        amount = hop.out(amount)
    return amount


def best_input(hops: Sequence[Hop]) -> int:
    """The input of the best cycle; 0 if none earns."""
    cycle = best_cycle([ReserveLeg(hop) for hop in hops])
    return cycle.amount_in if cycle else 0


def small_pair(rng: random.Random) -> tuple[Hop, Hop]:
    """Two pools of one pair, small enough that every input can be tried."""
    scale_in, scale_mid = rng.choice([30, 300, 3_000]), rng.choice([30, 300, 3_000])
    return (
        Hop(rng.randint(5, scale_in), rng.randint(5, scale_mid), rng.choice([0, 500, 3000, 10_000])),
        Hop(rng.randint(5, scale_mid), rng.randint(5, scale_in), rng.choice([2000, 3000])),
    )


def brute_force(hops: tuple[Hop, ...], limit: int) -> int:
    """The best profit of any input below `limit`."""
    return max(run_through(hops, amount) - amount for amount in range(limit))


def test_best_input_documented_pools_earns_what_the_reals_promise() -> None:
    hops = (Hop(10_000, 20_000, 3000), Hop(19_000, 10_500, 3000))

    assert compose(hops).best_input == 235  # the real optimum is 235.70
    assert run_through(hops, best_input(hops)) - best_input(hops) == 11  # 11.35 before the floors


def test_best_input_well_known_wrong_formula_loses_money() -> None:
    """(sqrt(...) - Ra_in*ga) / ga, which circulates, is not even an amount of the token; ours on the same pools is."""
    first, second = Hop(10_000, 20_000, 3000), Hop(19_000, 10_500, 3000)
    kept = 0.997
    product = first.reserve_in * first.reserve_out * second.reserve_in * second.reserve_out
    wrong = int((kept * product**0.5 - first.reserve_in * kept) / kept)
    ours = best_input((first, second))

    assert run_through((first, second), wrong) - wrong < 0 < run_through((first, second), ours) - ours


def test_best_input_all_small_pools_misses_no_optimum() -> None:
    rng, profitable, misses = random.Random(20210420), 0, 0
    while profitable < 1_240:
        hops = small_pair(rng)
        if not compose(hops).profitable:
            continue
        profitable += 1
        found = best_input(hops)
        limit = 3 * compose(hops).best_input + 200
        misses += brute_force(hops, limit) > run_through(hops, found) - found
    print(f"small pools: {profitable} profitable pairs, {misses} optima missed")
    assert misses == 0


def test_compose_three_hops_finds_the_optimum_too() -> None:
    rng, profitable = random.Random(3), 0
    while profitable < 100:
        hops = tuple(Hop(rng.randint(50, 900), rng.randint(50, 900), 3000) for _ in range(3))
        cycle = compose(hops)
        if not cycle.profitable:
            continue
        profitable += 1
        found = best_input(hops)
        best = brute_force(hops, 3 * cycle.best_input + 200)
        # Floors inside a longer row can cost the search a unit; they never make it lose.
        assert best - 1 <= run_through(hops, found) - found <= best


@given(st.tuples(RESERVE, RESERVE, FEES), st.tuples(RESERVE, RESERVE, FEES))
@settings(max_examples=500)
def test_profitable_unprofitable_cycle_never_earns(first: tuple[int, int, int], second: tuple[int, int, int]) -> None:
    hops = (Hop(*first), Hop(*second))
    found = best_input(hops)

    if not compose(hops).profitable:
        assert found == 0
        for shift in range(0, 120, 7):
            assert run_through(hops, 1 << shift) <= 1 << shift
    elif found:
        assert run_through(hops, found) > found


@given(st.tuples(RESERVE, RESERVE, FEES), st.tuples(RESERVE, RESERVE, FEES), st.integers(-3, 3), st.integers(1, 9))
@settings(max_examples=500)
@example((2004773, 2004828, 2000), (1, 4194100, 2000), -2, 1)
@example((54, 271_212, 0), (91_169, 3_100_103_521, 0), -3, 1)
@example(
    (1, 5_192_278_181_355_363_463_618_387_817_664_534, 0),
    (18_677_179_503_812_596_140_749_354_621, 5_192_278_181_355_363_663_354_647_388_031_715, 10_000),
    3,
    1,
)
def test_best_input_neighbours_and_multiples_earn_at_most_what_floors_take(
    first: tuple[int, int, int], second: tuple[int, int, int], offset: int, tenth: int
) -> None:
    hops = (Hop(*first), Hop(*second))
    found = best_input(hops)
    profit, unfloored = run_through(hops, found) - found, found
    for hop in hops:
        unfloored = hop.out(unfloored) + 1
    floored = unfloored - found - profit

    for other in (found + offset, found * tenth // 10, found * (10 + tenth) // 10):
        # None where a pool would hold more than a pair can.
        cycle = quote([ReserveLeg(hop) for hop in hops], other) if other > 0 else None
        assert cycle is None or cycle.gross <= profit + floored


@given(RESERVE, RESERVE, FEES, st.integers(0, 1 << 112))
@settings(max_examples=500)
def test_least_input_any_output_is_least(reserve_in: int, reserve_out: int, fee: int, wanted: int) -> None:
    hop = Hop(reserve_in, reserve_out, fee)
    found = hop.least_input(wanted)

    if found is None:
        assert wanted >= reserve_out
    else:
        assert hop.out(found) >= wanted
        assert found == 0 or hop.out(found - 1) < wanted


def test_least_input_row_with_an_impossible_hop_is_none() -> None:
    assert least_input((Hop(100, 100, 3000), Hop(100, 50, 3000)), 50) is None


def test_best_input_empty_pool_is_zero() -> None:
    assert best_input((Hop(0, 10, 3000), Hop(10, 10, 3000))) == 0


def test_hop_out_recorded_swaps_pay_what_the_formula_says() -> None:
    """Every one-way swap of the recording: the router asked for exactly what the formula gives, or for less."""
    fees = {state.pool: state.fee_pips for state in pool_states()}
    reserves: dict[bytes, tuple[int, int]] = {}
    exact = less = 0
    for record, _ in canonical_events():
        if isinstance(record, PoolSync):
            reserves[record.pool] = (record.reserve0, record.reserve1)
        if not isinstance(record, PoolSwap):
            continue
        after0, after1 = reserves[record.pool]
        before0 = after0 - record.amount0_in + record.amount0_out
        before1 = after1 - record.amount1_in + record.amount1_out
        if record.amount0_in and not record.amount1_in and not record.amount0_out:
            hop, paid, got = Hop(before0, before1, fees[record.pool]), record.amount0_in, record.amount1_out
        elif record.amount1_in and not record.amount0_in and not record.amount1_out:
            hop, paid, got = Hop(before1, before0, fees[record.pool]), record.amount1_in, record.amount0_out
        else:
            continue
        assert hop.out(paid) >= got
        exact += hop.out(paid) == got
        less += hop.out(paid) > got
    print(f"recorded swaps: {exact} exact, {less} asked for less")
    assert exact >= 129 and less <= 3


def test_best_input_real_arbitrage_chose_the_same_amount() -> None:
    """Block 13522209, transaction 0x6da8a007...: an arbitrageur did QuickSwap, then Dfyn, with 2,541,844 USDC units in
    and 2,571,597 out.  From the reserves before it, that is our optimum, to the unit."""
    quickswap = Hop(256_502_533, 145_329_866_374_079_812_609, 3000)
    dfyn = Hop(784_161_610_172_474_430_068, 1_425_148_877, 3000)
    swaps = [
        record
        for record, origin in canonical_events()
        if origin.block_number == 13522209 and origin.log_index in (4, 7) and isinstance(record, PoolSwap)
    ]

    assert [swaps[0].amount0_in, swaps[0].amount1_out, swaps[1].amount1_in, swaps[1].amount0_out] == [
        best_input((quickswap, dfyn)),
        quickswap.out(2_541_844),
        quickswap.out(2_541_844),
        dfyn.out(quickswap.out(2_541_844)),
    ]
