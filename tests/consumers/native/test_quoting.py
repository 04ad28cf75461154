"""Arithmetic and quotes in compiled code, held against Python's over seeded numbers with the edges among them."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from consumers.arbitrage.concentrated import TickMap, current_range, swap, swap_step
from consumers.arbitrage.constant_product import Hop
from consumers.arbitrage.cycle import ReserveLeg
from consumers.arbitrage.tick_math import MAX_TICK, MIN_TICK, sqrt_price_at
from consumers.native import quoting, wide_math
from consumers.native.quoting import BEYOND_RANGE, DIGITS, EMPTY_POOL, NO_LIQUIDITY, QUOTED, REVERTED, make_work
from consumers.native.wide_math import Digits
from tlv.buffers import Limbs

EDGES = (0, 1, 2, (1 << 32) - 1, 1 << 32, (1 << 64) - 1, 1 << 64, 1 << 255, (1 << 255) - 1, (1 << 256) - 1)
FEES = (0, 1, 100, 500, 3000, 10_000, 999_999)


def digits(value: int, size: int = DIGITS) -> Digits:
    """A number as kernels take it."""
    return np.frombuffer(bytearray(value.to_bytes(4 * size, "little")), np.uint32)


def number(of: Digits) -> int:
    """A number as Python has it."""
    return int.from_bytes(of.tobytes(), "little")


def some(rng: random.Random, bits: int) -> int:
    """A number below 2^bits: an edge, one of few set bits, or any."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice(EDGES) % (1 << bits)
    if kind == 1:
        return (1 << rng.randrange(bits)) - rng.randrange(2)
    return rng.getrandbits(rng.randint(1, bits))


def test_wide_math_equals_pythons_integers() -> None:
    rng = random.Random(13)
    out, rest, scaled, scaled_divisor = (np.zeros(DIGITS, np.uint32) for _ in range(4))
    for _ in range(3_000):
        left, right = some(rng, 620), some(rng, 520)
        a, b = digits(left), digits(right)
        divided = wide_math.divide_digits(out, rest, a, b, scaled, scaled_divisor)
        assert divided == (right != 0)
        if right:
            assert (number(out), number(rest)) == divmod(left, right)
        wide_math.multiply_digits(out, a, b)
        assert number(out) == left * right
        wide_math.add_digits(out, a, b)
        assert number(out) == left + right
        wide_math.subtract_digits(out, *(digits(value) for value in (max(left, right), min(left, right))))
        assert number(out) == abs(left - right)
        assert wide_math.compare_digits(a, b) == (left > right) - (left < right)
        bits = rng.randrange(130)
        wide_math.shift_digits_left(out, a, bits)
        assert number(out) == left << bits


@pytest.mark.parametrize("value", EDGES)
def test_wide_math_limbs_come_back(value: int) -> None:
    limbs: Limbs = np.frombuffer(bytearray(value.to_bytes(32, "little")), np.uint64)
    held, back = np.zeros(DIGITS, np.uint32), np.zeros(4, np.uint64)
    wide_math.set_limbs(held, limbs)
    assert number(held) == value
    assert wide_math.put_limbs(back, held) and (back == limbs).all()
    assert not wide_math.put_limbs(back[:3], digits(1 << 192)) and wide_math.put_limbs(back[:3], digits((1 << 192) - 1))


def test_quote_reserves_equals_the_hop() -> None:
    rng, work = random.Random(2), make_work()
    quoted = 0
    for _ in range(3_000):
        amount, fee = some(rng, rng.choice((112, 256))), rng.choice(FEES)
        reserve_in, reserve_out = some(rng, rng.choice((100, 112, 112, 256))), some(rng, 256)
        work[quoting.AMOUNT], work[quoting.RESERVE_IN] = digits(amount), digits(reserve_in)
        work[quoting.RESERVE_OUT] = digits(reserve_out)
        status = quoting.quote_reserves(work, fee)
        if not reserve_in or not reserve_out:
            assert status == EMPTY_POOL
            continue
        paid = ReserveLeg(Hop(reserve_in, reserve_out, fee)).out(amount)
        assert status == (REVERTED if paid is None else QUOTED)
        assert paid is None or number(work[quoting.OUT]) == paid
        quoted += paid is not None
    assert 500 < quoted < 2_500


def test_sqrt_price_at_a_tick_equals_pythons() -> None:
    rng, work = random.Random(3), make_work()
    ticks = [MIN_TICK, MAX_TICK, -1, 0, 1, *(rng.randint(MIN_TICK, MAX_TICK) for _ in range(2_000))]
    for tick in ticks + [1 << bit for bit in range(20) if 1 << bit <= MAX_TICK]:
        quoting.put_sqrt_price_at(work[quoting.TARGET], tick, work)
        assert number(work[quoting.TARGET]) == sqrt_price_at(tick), tick


def price_near(rng: random.Random, tick: int) -> int:
    """A price whose tick it is."""
    return rng.randrange(sqrt_price_at(tick), sqrt_price_at(tick + 1))


def load(work: Any, price: int, liquidity: int, amount: int) -> None:
    work[quoting.PRICE], work[quoting.LIQUIDITY], work[quoting.AMOUNT] = map(digits, (price, liquidity, amount))


def test_step_equals_the_contracts() -> None:
    rng, work = random.Random(4), make_work()
    arrived = 0
    for _ in range(3_000):
        price = price_near(rng, rng.randint(MIN_TICK, MAX_TICK - 1))
        target = sqrt_price_at(rng.randint(MIN_TICK, MAX_TICK))
        liquidity, amount, fee = max(some(rng, 128), 1), some(rng, 256), rng.choice(FEES)
        load(work, price, liquidity, amount)
        work[quoting.TARGET], work[quoting.LEFT] = digits(target), digits(amount)
        quoting.step_towards_target(work, fee)
        found = tuple(number(work[row]) for row in (quoting.REACHED, quoting.TAKEN, quoting.GOT))
        assert found == swap_step(price, target, liquidity, amount, fee)
        arrived += found[0] == target
    assert 100 < arrived < 2_900


def test_quote_within_the_range_equals_the_step_and_is_refused_at_its_edge() -> None:
    rng, work, outcomes = random.Random(5), make_work(), set()
    for _ in range(2_000):
        spacing, tick = rng.choice((1, 10, 60, 200)), rng.randint(MIN_TICK, MAX_TICK - 1)
        price, liquidity, fee = price_near(rng, tick), some(rng, 100) + 1, rng.choice(FEES)
        amount, falls = some(rng, rng.choice((20, 80, 256))), rng.random() < 0.5
        load(work, price, liquidity, amount)
        status = quoting.quote_within_range(work, tick, spacing, fee, falls)
        around = current_range(price, tick, liquidity, fee, spacing)
        edge = around.floor_price if falls else around.ceiling_price
        step = swap_step(price, edge, liquidity, amount, fee)
        outcomes.add(status)
        assert status == (BEYOND_RANGE if step.sqrt_price_x96 == edge else QUOTED)
        assert status == BEYOND_RANGE or number(work[quoting.OUT]) == step.out
    assert outcomes == {QUOTED, BEYOND_RANGE}


def some_map(rng: random.Random, spacing: int) -> TickMap:
    """A tick map of positions that overlap."""
    net: dict[int, int] = {}
    for _ in range(rng.randint(1, 12)):
        lower, upper = sorted(rng.sample(range(-3_000, 3_000), 2))
        amount = rng.getrandbits(rng.randint(10, 100)) + 1
        for tick, change in ((lower * spacing, amount), (upper * spacing, -amount)):
            net[tick] = net.get(tick, 0) + change
    net = {tick: change for tick, change in net.items() if MIN_TICK <= tick <= MAX_TICK}
    return TickMap(sorted(net), net, spacing)


def test_quote_through_ticks_equals_the_contracts_loop() -> None:
    rng, work, outcomes, crossed = random.Random(6), make_work(), set(), 0
    for _ in range(700):
        spacing, fee = rng.choice((1, 10, 60, 200)), rng.choice(FEES[:-1])
        ticks = some_map(rng, spacing)
        tick = rng.choice(ticks.ticks[:-1] or ticks.ticks) + rng.randrange(spacing)
        liquidity = ticks.active(tick)
        if liquidity <= 0:
            continue
        price, amount, falls = price_near(rng, tick), some(rng, rng.choice((40, 90, 256))), rng.random() < 0.5
        load(work, price, liquidity, amount)
        nets = b"".join(ticks.net[one].to_bytes(16, "little", signed=True) for one in ticks.ticks)
        before = [7] * 3  # other pools' ticks stand around them
        array = np.array([*before, *ticks.ticks, *before], np.int64)
        limbs = np.frombuffer(bytes(48) + nets + bytes(48), np.uint64).reshape(-1, 2).copy()
        status = quoting.quote_through_ticks(work, tick, spacing, fee, falls, array, limbs, 3, len(ticks.ticks))
        walk = swap(price, tick, liquidity, fee, ticks, amount, falls=falls)
        outcomes.add(status)
        crossed += walk.crossed
        assert status == (NO_LIQUIDITY if walk.left else QUOTED)
        assert (number(work[quoting.OUT]), number(work[quoting.LEFT])) == (walk.out, walk.left)
    assert outcomes == {QUOTED, NO_LIQUIDITY} and crossed > 500
