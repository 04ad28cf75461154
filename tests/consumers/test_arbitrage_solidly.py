"""Cycles through pairs of Solidly's type: the search against every input, and against a finer search of large ones."""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from consumers.arbitrage.book_kernels import DONE, FULL, fold
from consumers.arbitrage.constant_product import Hop
from consumers.arbitrage.cycle import Leg, ReserveLeg, StableLeg, VolatileLeg, best_cycle
from consumers.arbitrage.cycle import quote as quote_cycle
from consumers.arbitrage.legs import refusal
from consumers.arbitrage.segments import FINE_BITS
from consumers.arbitrage.shown_fees import UNKNOWN, shown_pips
from consumers.arbitrage.signal import leg_from, verify_signal
from consumers.arbitrage.solidly import SolidlyHop, fee_fraction, shown_fee
from consumers.arbitrage.stable_curve import stable_segments
from consumers.native.book import NativeBook, pool_row, price, quote
from consumers.native.quoting import QUOTED, REVERTED
from tests.consumers.native.market import table_of
from tests.consumers.test_arbitrage_strategy import E18, NATIVE, TOKEN, A, B, Market, legs_of, message_of, signal_of
from tests.consumers.test_solidly import limbs
from tlv.codes import Curve, Domain, Flag, Protocol, QuoteVerdict, Venue
from tlv.layout import CycleLeg, EventOrigin, PoolState, PoolSwap, PoolSync
from tlv.message import build
from tools.dashboard.price import price_on_stable_curve

STABLE = (Curve.SOLIDLY, Curve.VELODROME, Curve.SUPERCHAIN)


def small_leg(random: Random) -> Leg:
    """A pool of some thousand units."""
    reserves = random.randint(2_000, 20_000), random.randint(2_000, 20_000)
    fee, kind = random.choice((0, 500, 3000)), random.randrange(3)
    if kind == 0:
        return ReserveLeg(Hop(*reserves, fee))
    decimals = random.choice(((2, 2), (3, 2), (2, 3)))
    curve = Curve.VOLATILE if kind == 1 else random.choice((Curve.SOLIDLY, Curve.SUPERCHAIN))
    hop = SolidlyHop(*reserves, fee, curve, *decimals, random.random() < 0.5)
    return VolatileLeg(hop) if kind == 1 else StableLeg(hop)


@pytest.mark.parametrize("pools", [2, 3])
def test_best_cycle_of_small_solidly_pairs_is_that_of_every_input(pools: int) -> None:
    random, found, missed, stable = Random(pools), 0, 0, 0
    while found < 8:
        legs = [small_leg(random) for _ in range(pools)]
        cycle = best_cycle(legs)
        if cycle is None or cycle.amount_in > 200:
            continue
        found += 1
        stable += any(isinstance(leg, StableLeg) for leg in legs)
        best = max(one.gross for amount in range(1, 400) if (one := quote_cycle(legs, amount)) is not None)
        missed += cycle.gross < best
    assert missed == 0 and stable >= 3


def large_pair(random: Random, decimals: tuple[int, int], coins: float, curve: Curve) -> SolidlyHop:
    """A pair of so many coins, up to three times as many of the one as of the other."""
    first = int(coins * random.uniform(0.5, 2) * 10 ** decimals[0])
    other = int(first * 10.0 ** (decimals[1] - decimals[0]) * random.uniform(0.3, 3))
    return SolidlyHop(first, other, random.choice((100, 500, 3000)), curve, *decimals, random.random() < 0.5)


def finest(legs: list[Leg], near: int) -> int:
    """The best profit that halving the way between ever nearer inputs finds."""
    low, high, best = near * 2 // 3, near * 3 // 2, 0
    while high - low > 2:
        third = (high - low) // 3
        gross = [one.gross if (one := quote_cycle(legs, at)) else -1 for at in (low + third, high - third)]
        best = max(best, *gross)
        low, high = (low + third, high) if gross[0] < gross[1] else (low, high - third)
    return best


def test_best_cycle_of_large_solidly_pairs_misses_two_units_of_its_coarsest_amount_at_most() -> None:
    random, found = Random(3), 0
    while found < 25:
        decimals, coins = (random.choice((6, 8, 18)), random.choice((6, 18))), 10 ** random.uniform(2, 8)
        first = StableLeg(large_pair(random, decimals, coins, random.choice(STABLE)))
        back = large_pair(random, decimals[::-1], coins, random.choice(list(Curve)))
        legs: list[Leg] = [first, VolatileLeg(back) if back.curve == Curve.VOLATILE else StableLeg(back)]
        cycle = best_cycle(legs)
        if cycle is None:
            continue
        found += 1
        unit = 1 + cycle.amount_in // min(cycle.amounts)
        assert finest(legs, cycle.amount_in) - cycle.gross <= 2 * unit + cycle.gross // 10**18


def test_stable_segments_follow_the_curve_and_their_own_ends() -> None:
    random = Random(4)
    for _ in range(20):
        pair = large_pair(random, (18, 6), 10 ** random.uniform(1, 6), Curve.SUPERCHAIN)
        taken = paid = 0
        for segment in stable_segments(pair):
            assert segment.room is not None
            taken, paid = taken + segment.room, paid + segment.hop.out(segment.room)
            exact = pair.out(taken >> FINE_BITS)
            assert exact is not None and abs((paid >> FINE_BITS) - exact) <= 2 + exact // 10**9


def test_a_pair_that_reverts_ends_no_search() -> None:
    huge = SolidlyHop(10**40, 10**40, 100, Curve.SOLIDLY, 18, 18, True)
    assert huge.out(10**30) is None
    assert best_cycle([StableLeg(huge), ReserveLeg(Hop(10**24, 2 * 10**24, 3000))]) is None


def know_pair(
    market: Market, pool: bytes, protocol: Protocol, curve: int, decimals: tuple[int, int]
) -> tuple[Any, ...]:
    """Tell identity, fee and curve of a pair; what its records begin with."""
    head = (pool, NATIVE, TOKEN, Venue.POLYGON, *decimals, protocol)
    market.tell(PoolState(*head, 0, 0, 0, 0, 0, 500, 0, 0, bytes(20), "", "", curve=curve), flags=Flag.SNAPSHOT)
    return head


@pytest.mark.parametrize("curve", list(Curve))
def test_solidly_pair_in_a_cycle_is_signalled_exact_and_recomputes(curve: Curve) -> None:
    market = Market()
    market.know(A)
    market.sync(A, 1_000 * E18, 1_100 * E18)
    head = know_pair(market, B, Protocol.VELODROME, curve, (18, 18))
    market.tell(PoolSync(*head, 1_000 * E18, 1_000 * E18), market.origin(1))
    (settled,) = market.end_block()
    signal, _ = signal_of(settled)
    assert signal.verdict == QuoteVerdict.EXACT and verify_signal(message_of(settled)) == []
    pair = next(leg for leg in legs_of(settled) if leg.pool == B)
    assert (pair.curve, pair.protocol) == (curve, Protocol.VELODROME)
    hop = SolidlyHop(pair.reserve_in, pair.reserve_out, 500, curve, 18, 18, pair.token_in < pair.token_out)
    assert hop.out(pair.amount_in) == pair.amount_out


@pytest.mark.parametrize(
    ("curve", "decimals", "reason"), [(0, (18, 18), "curve"), (9, (18, 18), "curve"), (2, (18, 255), "decimals")]
)
def test_solidly_pair_of_which_too_little_is_known_is_not_quoted(
    curve: int, decimals: tuple[int, int], reason: str
) -> None:
    market = Market()
    head = know_pair(market, B, Protocol.SOLIDLY, curve, decimals)
    market.tell(PoolSync(*head, 1_000 * E18, 1_000 * E18), market.origin(1))
    pool = market.strategy.book.get(B)
    assert pool is not None and refusal(pool) == reason


def test_solidly_leg_of_a_signal_that_states_no_pair_is_named() -> None:
    leg = CycleLeg(1, 1, 5, 5, 0, 0, 0, 500, A, NATIVE, TOKEN, 202, Protocol.SOLIDLY, 18, 18, 1, Curve.SOLIDLY)
    assert isinstance(leg_from(leg, []), StableLeg)
    for wrong, name in (({"curve": 0}, "curve"), ({"reserve_in": 0}, "reserve_in"), ({"decimals_in": 255}, "decimals")):
        complaint = leg_from(structs.replace(leg, **wrong), [])
        assert isinstance(complaint, str) and complaint.startswith(name)


def test_native_book_quotes_pairs_as_python_does() -> None:
    random, native = Random(9), NativeBook()
    frames, pools = [], []
    for number in range(60):
        curve, decimals = random.choice(list(Curve)), (random.choice((6, 18)), random.choice((6, 18)))
        pair = large_pair(random, decimals, 10 ** random.uniform(-1, 9), curve)
        pool = number.to_bytes(20, "big")
        head = (pool, NATIVE, TOKEN, Venue.POLYGON, *decimals, random.choice((Protocol.SOLIDLY, Protocol.VELODROME)))
        state = PoolState(*head, 0, 0, 0, 0, 0, pair.fee_pips, 0, 0, bytes(20), "", "", curve=curve)
        frames.append(build(Domain.MARKET_DATA, 0, [state], flags=Flag.SNAPSHOT))
        origin = EventOrigin(7, 0, 0, 0, number, bytes(32), bytes(32))
        frames.append(build(Domain.MARKET_DATA, 0, [PoolSync(*head, pair.reserve_in, pair.reserve_out), origin]))
        pools.append((pool, pair, curve))
    buffer, table = table_of((at, 0, frame) for at, frame in enumerate(frames, 1))
    column, why = 0, FULL
    while column < len(frames):
        column, why = fold(native.view.tables, buffer, table, column, len(frames), 0)
        if why == FULL:
            native.attend(FULL, b"")
            continue
        column += why != DONE
    out, amount = np.zeros(4, np.uint64), np.zeros(4, np.uint64)
    for pool, pair, curve in pools:
        row = pool_row(native.view, np.frombuffer(pool.ljust(32, b"\0"), np.uint8).copy())
        taken = int(pair.reserve_in * 10 ** random.uniform(-6, 1)) + 1
        for falls in (True, False):
            hop = pair._replace(token0_in=True) if falls else turned(pair)
            amount[:] = np.frombuffer(taken.to_bytes(32, "little"), np.uint64)
            status, expected = quote(native.view, row, falls, amount, out), hop.out(taken)
            assert status == (REVERTED if expected is None else QUOTED)
            assert int.from_bytes(out.tobytes(), "little") == (expected or 0)
        decimal_rate = float(price_of(pair, curve))
        assert price(native.view, row) == pytest.approx(decimal_rate, rel=1e-9)


def turned(pair: SolidlyHop) -> SolidlyHop:
    """The same pair, when token1 goes in."""
    reserves, decimals = (pair.reserve_out, pair.reserve_in), (pair.decimals_out, pair.decimals_in)
    return SolidlyHop(*reserves, pair.fee_pips, pair.curve, *decimals, token0_in=False)


def price_of(pair: SolidlyHop, curve: Curve) -> Fraction:
    """Base units of token1 for one of token0, exactly."""
    x, y = Fraction(pair.reserve_in, 10**pair.decimals_in), Fraction(pair.reserve_out, 10**pair.decimals_out)
    rate = y / x if curve == Curve.VOLATILE else y * (3 * x * x + y * y) / (x * (x * x + 3 * y * y))
    return rate * Fraction(10**pair.decimals_out, 10**pair.decimals_in)


def test_price_on_the_stable_curve_is_that_of_its_derivatives() -> None:
    pair = SolidlyHop(5 * 10**12, 4 * 10**24, 500, Curve.SOLIDLY, 6, 18, True)
    shown = price_on_stable_curve(pair.reserve_in, pair.reserve_out, 6, 18)
    assert float(shown or 0) == pytest.approx(float(price_of(pair, Curve.SOLIDLY) / 10**12), rel=1e-14)
    assert price_on_stable_curve(1, 0, 6, 18) is None


def test_fee_that_a_swap_shows_replaces_the_one_that_was_told() -> None:
    market = Market()
    head = know_pair(market, B, Protocol.VELODROME, Curve.VOLATILE, (18, 18))
    pool = market.strategy.book.get(B)
    assert pool is not None and pool.fee_pips == 500
    held = 1_000 * E18
    market.tell(PoolSync(*head, held, held), market.origin(0))
    market.tell(PoolSync(*head, held + E18 - E18 * 7 // 10_000, held - 5), market.origin(4))
    market.tell(PoolSwap(*head, E18, 0, 0, 5, 0, 0, 0, bytes(20), bytes(20)), market.origin(5))
    assert pool.fee_pips == 700


@pytest.mark.parametrize(
    ("amount", "paid", "fee"),
    [(10**18, 5 * 10**14, 500), (10**18, 5 * 10**14 - 1, None), (199, 1, None), (100, 101, None), (10**6, 0, 0)],
)
def test_shown_fee_is_the_only_one_that_takes_so_much(amount: int, paid: int, fee: int | None) -> None:
    points = [point for point in range(10_000) if amount * point // 10_000 == paid]
    assert shown_fee(amount, paid) == fee == (100 * points[0] if len(points) == 1 else None)


def test_compiled_fee_that_a_swap_shows_is_pythons() -> None:
    random, shown = Random(8), 0
    for _ in range(3_000):
        amount = random.getrandbits(random.choice((4, 12, 20, 60, 113, 255, 256))) + 1
        amount = min(amount, (1 << 256) - 1)
        paid = min(max(amount * random.randint(0, 10_000) // 10_000 + random.choice((0, 0, 0, 1, -1)), 0), amount)
        fee = random.choice((0, 500, 3_000, 3_050, 999_999, 100 * random.randint(0, 9_999)))
        parts = fee_fraction(fee)
        python = None if amount * parts[0] // parts[1] == paid else shown_fee(amount, paid)
        assert shown_pips(limbs(amount), limbs(paid), fee) == (python or UNKNOWN), (amount, paid, fee)
        shown += bool(python)
    assert shown > 500
