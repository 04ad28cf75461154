"""Pairs of Solidly's type: both curves against a second writing of the contract's arithmetic and against brute force.

npm has no bytecode of them, so the reference is written here once more, over words that overflow as Solidity 0.8's do.
"""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest

from consumers.arbitrage.solidly import ONE, Reverted, SolidlyHop, product_form
from consumers.native.quoting import AMOUNT, EMPTY_POOL, OUT, QUOTED, RESERVE_IN, RESERVE_OUT, REVERTED, make_work
from consumers.native.solidly import quote_solidly
from consumers.native.wide_math import set_limbs
from tlv.codes import Curve

STABLE = (Curve.SOLIDLY, Curve.VELODROME, Curve.SUPERCHAIN)
POOLS = 2_000
HUGE = 1 << 256
E18 = 10**18


class Panic(Exception):
    """The machine stopped."""


class Cell:
    """An unsigned 256-bit word with checked operators."""

    def __init__(self, value: int) -> None:
        if value < 0 or value >= HUGE:
            raise Panic
        self.value = value

    def __add__(self, other: Cell) -> Cell:
        return Cell(self.value + other.value)

    def __sub__(self, other: Cell) -> Cell:
        return Cell(self.value - other.value)

    def __mul__(self, other: Cell) -> Cell:
        return Cell(self.value * other.value)

    def __floordiv__(self, other: Cell) -> Cell:
        if other.value == 0:
            raise Panic
        return Cell(self.value // other.value)

    def __lt__(self, other: Cell) -> bool:
        return self.value < other.value


W, THREE, UNIT = Cell(E18), Cell(3), Cell(1)


class Machine:
    """A pair as a list of operations on words: what is told of it in the sources that `solidly` names."""

    def __init__(self, reserves: tuple[int, int], decimals: tuple[int, int], fee_bips: int, curve: Curve) -> None:
        self.held = tuple(map(Cell, reserves))
        self.coins = tuple(Cell(10**one) for one in decimals)
        self.fee, self.curve = Cell(fee_bips), curve

    def keeps(self, amounts: tuple[Cell, Cell]) -> Cell:
        """The invariant of amounts of token0 and token1."""
        if self.curve == Curve.VOLATILE:
            return amounts[0] * amounts[1]
        a, b = (amount * W // coin for amount, coin in zip(amounts, self.coins, strict=True))
        return self.four(a, b)

    @staticmethod
    def four(a: Cell, b: Cell) -> Cell:
        return (a * b // W) * (a * a // W + b * b // W) // W

    def curve_at(self, a: Cell, b: Cell) -> Cell:
        if self.curve != Curve.SOLIDLY:
            return self.four(a, b)
        return a * (b * b // W * b // W) // W + (a * a // W * a // W) * b // W

    def solve(self, a: Cell, goal: Cell, b: Cell) -> Cell:
        for _ in range(255):
            at = self.curve_at(a, b)
            steep = THREE * a * (b * b // W) // W + (a * a // W * a // W)
            short = at < goal
            move = (goal - at if short else at - goal) * W // steep
            if self.curve == Curve.SOLIDLY:
                b = b + move if short else b - move
                if move.value < 2:
                    return b
                continue
            if move.value == 0:
                if short:
                    ahead = b + UNIT
                    seen = self.four(a, ahead) if self.curve == Curve.SUPERCHAIN else self.keeps((a, ahead))
                    if goal < seen:
                        return ahead
                elif at.value == goal.value or self.curve_at(a, b - UNIT) < goal:
                    return b
                move = UNIT
            b = b + move if short else b - move
        if self.curve == Curve.SOLIDLY:
            return b
        raise Panic

    def answer(self, amount: Cell, side: int) -> Cell:
        """What it says it pays for an amount of token `side`."""
        amount = amount - amount * self.fee // Cell(10_000)
        other = 1 - side
        if self.curve == Curve.VOLATILE:
            return amount * self.held[other] // (self.held[side] + amount)
        goal = self.keeps(self.held)  # type: ignore[arg-type]
        a, b = (held * W // coin for held, coin in zip(self.held, self.coins, strict=True))
        near, far = (a, b) if side == 0 else (b, a)
        paid = far - self.solve(amount * W // self.coins[side] + near, goal, far)
        return paid * self.coins[other] // W

    def swap(self, amount: int, side: int) -> int | None:
        """What it pays; None if it stops on the way."""
        try:
            given = Cell(amount)
            paid = self.answer(given, side)
            left = list(self.held)
            left[side] = left[side] + given - given * self.fee // Cell(10_000)
            left[1 - side] = left[1 - side] - paid
            if self.keeps((left[0], left[1])) < self.keeps(self.held):  # type: ignore[arg-type]
                return None
        except Panic:
            return None
        return paid.value if paid < self.held[1 - side] else None


def random_pair(random: Random) -> tuple[tuple[int, int], tuple[int, int], int, Curve]:
    """Reserves, decimals, fee in bips and curve: balanced, lopsided, of a few units, and beyond what words hold."""
    decimals = (random.choice((2, 6, 8, 18, random.randint(2, 18))), random.choice((6, 18, random.randint(2, 18))))
    kind = random.random()
    coins = 10 ** random.uniform(-3, 12)
    skew = 10 ** (random.uniform(-0.3, 0.3) if kind < 0.6 else random.uniform(-6, 6))
    reserves = [max(int(coins * 10 ** decimals[0]), 1), max(int(coins * skew * 10 ** decimals[1]), 1)]
    if kind > 0.9:
        reserves = [random.getrandbits(random.randint(1, 180)) + 1 for _ in range(2)]
    return (reserves[0], reserves[1]), decimals, random.choice((1, 5, 30, 100, 0)), random.choice(list(Curve))


def random_amount(random: Random, reserve: int) -> int:
    return random.choice(
        (
            random.randint(0, reserve // 100 + 1),
            random.randint(0, 3 * reserve),
            random.randint(0, 1_000),
            reserve * random.randint(10, 10**6),
            random.getrandbits(random.randint(1, 256)),
        )
    )


def hop_of(reserves: tuple[int, int], decimals: tuple[int, int], bips: int, curve: Curve, side: int) -> SolidlyHop:
    other = 1 - side
    return SolidlyHop(
        reserves[side], reserves[other], 100 * bips, curve, decimals[side], decimals[other], token0_in=side == 0
    )


def limbs(number: int) -> Any:
    return np.array([number >> 64 * i & 0xFFFFFFFFFFFFFFFF for i in range(4)], np.uint64)


WORK = make_work()


def native(hop: SolidlyHop, amount: int) -> int | None:
    """What the compiled quote says."""
    for row, number in ((RESERVE_IN, hop.reserve_in), (RESERVE_OUT, hop.reserve_out), (AMOUNT, amount)):
        set_limbs(WORK[row], limbs(number))
    status = quote_solidly(WORK, hop.fee_pips, int(hop.curve), hop.decimals_in, hop.decimals_out, bool(hop.token0_in))
    assert status in (QUOTED, REVERTED)
    return int.from_bytes(WORK[OUT].tobytes(), "little") if status == QUOTED else None


def test_solidly_quotes_equal_the_contracts_operations_and_the_compiled_ones() -> None:
    random, outcomes = Random(14), {curve: [0, 0] for curve in Curve}
    for _ in range(POOLS):
        reserves, decimals, bips, curve = random_pair(random)
        machine = Machine(reserves, decimals, bips, curve)
        for side in (0, 1):
            hop = hop_of(reserves, decimals, bips, curve, side)
            amount = random_amount(random, reserves[side])
            expected = machine.swap(amount, side)
            assert hop.out(amount) == expected, (hop, amount)
            assert native(hop, amount) == expected, (hop, amount)
            outcomes[curve][expected is None] += 1
    assert all(min(both) > 50 for both in outcomes.values()), outcomes


def test_solidly_volatile_pair_of_small_reserves_pays_the_most_that_its_product_allows() -> None:
    for x in range(1, 9):
        for y in range(1, 14):
            for amount in range(0, 30, 3):
                for bips in (0, 30, 5_000):
                    kept = amount - amount * bips // 10_000
                    most = max(paid for paid in range(y + 1) if (x + kept) * (y - paid) >= x * y)
                    hop = hop_of((x, y), (18, 18), bips, Curve.VOLATILE, 0)
                    assert hop.out(amount) == most, (x, y, amount, bips)
                    assert native(hop, amount) == most


@pytest.mark.parametrize("curve", STABLE)
def test_solidly_stable_pair_of_few_coins_pays_the_most_that_the_exact_curve_allows(curve: Curve) -> None:
    """Of coins without decimals, where 10^18 steps lie between two amounts: what rounding takes is one at most, and
    only where the curve passes through whole coins.  VELODROME's last look overflows for coins without decimals."""
    for x in range(1, 12):
        for y in range(1, 12):
            whole = x**3 * y + y**3 * x
            for amount in range(0, 12):
                at = x + amount
                left = min(left for left in range(y + 1) if at**3 * left + left**3 * at >= whole)
                exact = at**3 * left + left**3 * at == whole
                paid = hop_of((x, y), (0, 0), 0, curve, 0).out(amount)
                if curve == Curve.VELODROME and paid is None:
                    continue
                assert paid == y - left or (exact and paid == y - left - 1), (x, y, amount, paid)


def test_solidly_later_curves_find_the_least_reserve_on_the_curve() -> None:
    random = Random(5)
    for _ in range(300):
        x = int(10 ** random.uniform(19, 27))
        y = int(x * random.uniform(0.1, 10))
        hop = SolidlyHop(x, y, 0, Curve.SUPERCHAIN, 18, 18, True)
        goal, at = product_form(x, y), x + int(x * random.random())
        found = hop._other_reserve(at, goal, y)
        assert product_form(at, found) >= goal
        assert product_form(at, found) == goal or product_form(at, found - 1) < goal


def test_solidly_volatile_least_input_is_the_smallest_that_pays_so_much() -> None:
    random = Random(6)
    for _ in range(1_000):
        hop = SolidlyHop(
            *(random.randint(1, 10**6) for _ in range(2)),
            random.choice((0, 1, 3000, 500_000)),
            Curve.VOLATILE,
            18,
            18,
            True,
        )
        wanted = random.randint(0, hop.reserve_out)
        least = hop.least_input(wanted)
        if least is None:
            assert wanted == hop.reserve_out
            continue
        assert (hop.out(least) or 0) >= wanted
        assert least == 0 or (hop.out(least - 1) or 0) < wanted


def test_solidly_quote_that_the_pair_would_refuse_is_none() -> None:
    """SOLIDLY's iteration stops below the curve here; the pair compares and reverts."""
    refused = 0
    random = Random(8)
    for _ in range(300):
        reserves = (random.randint(5 * 10**17, 15 * 10**17) for _ in range(2))
        hop = SolidlyHop(*reserves, 0, Curve.SOLIDLY, 18, 18, True)
        amount = random.randint(1, 10**18)
        try:
            before = hop.invariant(hop.reserve_in, hop.reserve_out)
            paid = hop._paid(amount, before)
            kept = hop.invariant(hop.reserve_in + amount, hop.reserve_out - paid) >= before
        except Reverted:
            continue
        refused += not kept
        assert (hop.out(amount) is None) == (not kept or paid >= hop.reserve_out)
    assert refused > 0


def test_solidly_empty_pair_is_told_apart_from_one_that_reverts() -> None:
    for row in (RESERVE_IN, RESERVE_OUT, AMOUNT):
        set_limbs(WORK[row], limbs(0))
    assert quote_solidly(WORK, 3000, int(Curve.VOLATILE), 18, 18, True) == EMPTY_POOL
    assert SolidlyHop(ONE, ONE, 3000, Curve.SOLIDLY, 18, 18, True).out(1 << 255) is None
