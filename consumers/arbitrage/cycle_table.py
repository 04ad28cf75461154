"""All cycles through two and three known pools, and a float screen that says which of them may earn.

Owns the table of cycles, which grows as pools appear, and the kernel that reads it.  The screen lets through every
cycle that earns more than its gas, and some that do not: these the exact solution rejects.

One swap is x -> rate*x / (1 + slope*x), and swaps one after the other are a map of the same form, so a cycle

    earns at all            if the product of its rates is above 1
    earns at most           (sqrt(rate) - 1)^2 / slope, at the input (sqrt(rate) - 1) / slope
    or, if a pool ends before that,  rate*x / (1 + slope*x) - x  at the input x that reaches its end

This holds for a V3 pool as a bound, if its slope is that of the most liquidity that the swap can meet: at each price
the real pool has less.

    side     a pool in one direction: 2*row if token0 goes in, 2*row + 1 if token1 does; the first row is no pool but
             the third leg of a cycle of two: it changes nothing
    cycle    three sides, each entered with what the one before pays; turned round it is the same three with their last
             bits changed, in reverse order
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, sqrt
from typing import Any, NamedTuple

import numpy as np

from tlv.buffers import Floats, Longs
from tlv.jit import kernel

NONE_SIDE = 0
MARGIN = 1e-9
"""A product of three rates of five roundings each is off by less than 1e-14, so a billionth is safe.  What it lets
through too much is rare: a profit of a billionth of the amount never pays its gas."""

ROOM = 1 << 14
"""Candidates of a pool that are written down at most."""

SOLVE, BELOW, UNPRICED = range(3)
"""What becomes of a candidate: it is solved exactly; its bound does not pay its gas; no pool gives gas a price."""
COUNTS = 3
CYCLE_COLUMN, TURNED_COLUMN, START_COLUMN, COLUMNS = range(4)


class Sides(NamedTuple):
    """What the screen needs of each side; of the first row too, whose rate is 1."""

    rates: Floats
    """Base units out for one in, fee included, of an infinitesimal amount; 0 if the pool cannot be quoted."""
    slopes: Floats
    """Per base unit that goes in."""
    rooms: Floats
    """Base units that can go in as far as is known."""
    tokens: Longs
    """Number of the token that goes in."""
    gas: Floats
    """Units that a swap takes at least."""


class Denomination(NamedTuple):
    """What tokens are worth, and what a cycle must be worth."""

    worth: Floats
    """Wei of the chain's coin for one base unit; 0: unknown."""
    depth: Floats
    """Wei in the pool that says so; infinite for the coin itself."""


class ScreenedCycles(NamedTuple):
    """Candidates to be solved, in the order of the table."""

    places: Longs
    """int64[room, COLUMNS]: cycle, whether it is turned round, which of its legs comes first."""
    bounds: Floats
    """float64[room]: wei that it earns at most after its gas; -inf of one that was drawn."""


@kernel
def screen(
    legs: Longs,
    sides: Sides,
    money: Denomination,
    members: Longs,
    count: int,
    seen: Longs,
    look: int,
    gas_price: float,
    overhead: float,
    least_wei: float,
    found: ScreenedCycles,
    counts: Longs,
) -> int:
    """Screen `count` cycles both ways round; the number of those written to `found`, or that would be had it room.

    legs: int64[cycles, 3], sides; members: int64[>= count], cycles; seen: int64[cycles], of a cycle that this `look`
    has screened it is `look`.  A candidate is written if it is priced and may earn `least_wei` after gas (NaN: all).
    counts: int64[COUNTS], gets how many became what.
    """
    used = 0
    everything = np.isnan(least_wei)
    for i in range(count):
        cycle = members[i]
        if seen[cycle] == look:
            continue
        seen[cycle] = look
        for turned in range(2):
            a, b, c = legs[cycle, 0] ^ turned, legs[cycle, 1] ^ turned, legs[cycle, 2] ^ turned
            rate = sides.rates[a] * sides.rates[b] * sides.rates[c] * (1.0 + MARGIN)
            if not rate > 1.0:
                continue
            if turned:
                a, b, c = (b, a, c) if c <= 1 else (c, b, a)
            start = best_start(sides, money, a, b, c)
            worth = money.worth[sides.tokens[a if start == 0 else b if start == 1 else c]]
            if start == 1:
                a, b, c = (b, a, c) if c <= 1 else (b, c, a)
            elif start == 2:
                a, b, c = c, a, b
            slope = sides.slopes[a] + sides.rates[a] * (sides.slopes[b] + sides.rates[b] * sides.slopes[c])
            gain = sqrt(rate) - 1.0
            profit = gain * gain / slope
            reach = reach_of(sides, a, b, c) * (1.0 + MARGIN) + 1.0
            if reach * slope < gain:
                profit = rate * reach / (1.0 + slope * reach) - reach
            units = overhead + sides.gas[a] + sides.gas[b] + sides.gas[c]
            net = profit * worth - gas_price * units
            what = SOLVE
            if not everything:
                if worth == 0.0:
                    what = UNPRICED
                elif net < least_wei:
                    what = BELOW
            counts[what] += 1
            if what == SOLVE:
                if used < found.bounds.size:
                    found.places[used, CYCLE_COLUMN] = cycle
                    found.places[used, TURNED_COLUMN] = turned
                    found.places[used, START_COLUMN] = start
                    found.bounds[used] = net
                used += 1
    return used


@kernel
def best_of(found: ScreenedCycles, count: int) -> int:
    """The row of the candidate with the highest bound, the last of equals."""
    best = 0
    for i in range(count):
        if found.bounds[i] >= found.bounds[best]:
            best = i
    return best


@kernel
def best_start(sides: Sides, money: Denomination, a: int, b: int, c: int) -> int:
    """Which of the legs enters with the token whose worth is known best, the first of equals."""
    first, second = money.depth[sides.tokens[a]], money.depth[sides.tokens[b]]
    third = money.depth[sides.tokens[c]] if c > 1 else -1.0
    if first >= second and first >= third:
        return 0
    return 1 if second >= third else 2


@kernel
def reach_of(sides: Sides, a: int, b: int, c: int) -> float:
    """The largest input that no leg's end stops."""
    reach = sides.rooms[a]
    rate, slope = sides.rates[a], sides.slopes[a]
    room = sides.rooms[b]
    if rate > slope * room:
        reach = min(reach, room / (rate - slope * room))
    if c > 1:
        slope += rate * sides.slopes[b]
        rate *= sides.rates[b]
        room = sides.rooms[c]
        if rate > slope * room:
            reach = min(reach, room / (rate - slope * room))
    return float(reach)


class Slope(NamedTuple):
    """A swap as the real-valued map x -> rate*x / (1 + slope*x) up to the input `room`."""

    rate: float
    slope: float
    room: float = inf


class CycleCandidate(NamedTuple):
    """A cycle to be solved."""

    bound: float
    """Wei that it earns at most after its gas."""
    key: int
    """Of the cycle this way round."""
    start: int
    """Which of its legs, as they stand in the table, comes first."""


def _twice(array: Any) -> Any:
    return np.concatenate([array, np.zeros_like(array)])


class CycleTable:
    """Pools and the cycles through them.

    Args:
        max_cycles: cycles that it keeps at most; of those it leaves out the number is in `left_out`.
    """

    def __init__(self, max_cycles: int) -> None:
        self._max_cycles = max_cycles
        self.left_out = 0
        self.size = 0
        """Cycles in it; each is screened both ways round."""
        self._sides = Sides(np.zeros(128), np.zeros(128), np.zeros(128), np.zeros(128, np.int64), np.zeros(128))
        self._sides.rates[:2] = 1.0
        self._money = Denomination(np.zeros(64), np.zeros(64))
        self._legs = np.zeros((256, 3), np.int64)
        self._seen = np.zeros(256, np.int64)
        self._look = 0
        self._found = ScreenedCycles(np.zeros((ROOM, COLUMNS), np.int64), np.zeros(ROOM))
        self.counts = np.zeros(COUNTS, np.int64)
        """What became of candidates, by SOLVE, BELOW and UNPRICED, since the beginning."""
        self._numbers: dict[bytes, int] = {}
        self._of_tokens: dict[tuple[int, int], list[int]] = {}
        self._neighbours: list[set[int]] = []
        self._members: list[Longs] = [np.zeros(0, np.int64)]
        self._used: list[int] = [0]

    def token(self, address: bytes) -> int:
        """The number of a token, a new one if it is not known."""
        number = self._numbers.setdefault(address, len(self._numbers))
        if number == len(self._neighbours):
            self._neighbours.append(set())
            if number == len(self._money.worth):
                self._money = Denomination(*map(_twice, self._money))
        return number

    def add(self, token0: bytes, token1: bytes, *, alone: bool = False) -> None:
        """Take in the next pool, and all cycles through it and pools that are known already; none if it is `alone`,
        which can never be quoted."""
        row = len(self._members)
        if 2 * row + 2 > len(self._sides.rates):
            self._sides = Sides(*map(_twice, self._sides))
        self._members.append(np.zeros(8, np.int64))
        self._used.append(0)
        first, second = self.token(token0), self.token(token1)
        self._sides.tokens[2 * row], self._sides.tokens[2 * row + 1] = first, second
        if alone or first == second:
            return
        for other in self._pools_of(first, second):
            self._enter(2 * row, self._side(other, second), NONE_SIDE)
        for third in sorted(self._neighbours[first] & self._neighbours[second]):
            for back in self._pools_of(second, third):
                for home in self._pools_of(third, first):
                    self._enter(2 * row, self._side(back, second), self._side(home, third))
        self._pools_of(first, second).append(row)
        self._neighbours[first].add(second)
        self._neighbours[second].add(first)

    def _pools_of(self, token: int, other: int) -> list[int]:
        return self._of_tokens.setdefault((min(token, other), max(token, other)), [])

    def _side(self, row: int, token: int) -> int:
        return 2 * row if self._sides.tokens[2 * row] == token else 2 * row + 1

    def _enter(self, *sides: int) -> None:
        if self.size == self._max_cycles:
            self.left_out += 1
            return
        if self.size == len(self._legs):
            self._legs, self._seen = _twice(self._legs), _twice(self._seen)
        self._legs[self.size] = sides
        for row in {side >> 1 for side in sides} - {0}:
            used = self._used[row]
            if used == len(self._members[row]):
                self._members[row] = _twice(self._members[row])
            self._members[row][used] = self.size
            self._used[row] = used + 1
        self.size += 1

    def set(self, pool: int, falling: Slope, rising: Slope, gas_units: int) -> None:
        """The pool, by its number in the order of `add`, can be quoted: with token0 going in, and with token1."""
        at, (rates, slopes, rooms, _, gas) = 2 * pool + 2, self._sides
        rates[at], slopes[at], rooms[at] = falling
        rates[at + 1], slopes[at + 1], rooms[at + 1] = rising
        gas[at] = gas[at + 1] = gas_units

    def clear(self, pool: int) -> None:
        """The pool cannot be quoted."""
        self._sides.rates[2 * pool + 2 : 2 * pool + 4] = 0.0

    def price(self, token: bytes, worth: float, depth: float) -> None:
        """Set what a token is worth (`Denomination`)."""
        number = self.token(token)
        self._money.worth[number], self._money.depth[number] = worth, depth

    def begin_look(self) -> None:
        """From now on every cycle may be found again."""
        self._look += 1

    def candidates(
        self, pool: int, gas_price: int, overhead_units: int, least_wei: float
    ) -> tuple[int, Iterator[CycleCandidate]]:
        """How many cycles through the pool that this look has not screened yet may earn, and these, the best first, as
        far as `ROOM` goes.  They are to be drawn before the next call.

        Args:
            least_wei: what is to be left after the least gas; NaN for every cycle that earns before gas.
        """
        count = screen(
            self._legs,
            self._sides,
            self._money,
            self._members[pool + 1],
            self._used[pool + 1],
            self._seen,
            self._look,
            float(gas_price),
            float(overhead_units),
            least_wei,
            self._found,
            self.counts,
        )
        return count, self._best_first(min(count, ROOM))

    def _best_first(self, count: int) -> Iterator[CycleCandidate]:
        """Draw one by one: to make and sort all took up to 0.5 ms, and an event solves one of some forty."""
        for _ in range(count):
            row = best_of(self._found, count)
            cycle, turned, start = self._found.places[row].tolist()
            yield CycleCandidate(float(self._found.bounds[row]), 2 * cycle + turned, start)
            self._found.bounds[row] = -inf

    def legs(self, key: int, start: int) -> list[tuple[int, bool]]:
        """The legs of a cycle in the order of trade: a pool's number, and whether token0 goes in."""
        turned = key & 1
        sides = [side ^ turned for side in self._legs[key >> 1].tolist() if side > 1]
        if turned:
            sides.reverse()
        if start:
            sides = sides[start:] + sides[:start]
        return [(side // 2 - 1, side % 2 == 0) for side in sides]
