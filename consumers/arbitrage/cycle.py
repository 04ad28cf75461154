"""The best cycle through two or three pools, exact: out of a token, and back into it.

Owns what constant-product and concentrated pools have in common for a cycle, a `Leg`, and the search over legs.  Knows
neither messages nor costs.

Between two ticks a concentrated pool *is* a constant-product pool with virtual reserves L*2^96/sqrtP and
L*sqrtP/2^96.  So every leg is a row of segments, over which `segments.walk` finds where the optimum lies; the amounts
themselves come from each leg's own exact arithmetic.  A row may end: what lies beyond is unknown or empty, not guessed.

Every hop floors, so profit over the input is a sawtooth, and its peaks are the least inputs for which a given amount
stands at some place of the cycle.  The search tries the amounts at the place where a unit more takes most input, for
there the fewest lie near the optimum:

    the real profit is concave, and the integers' profit is never above it
    adding to each amount what its floors may have taken gives a bound that is never below it
    so beyond an amount whose bound is less than the best profit found, no amount earns more
    few lie within:   all are tried, and the result is the optimum
    many lie within:  only the nearest are; what the others could add is a few base units
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from consumers.arbitrage.concentrated import PriceRange, TickMap, Walk, swap, swap_step
from consumers.arbitrage.constant_product import FEE_UNIT, MAX_RESERVE, Hop
from consumers.arbitrage.segments import FINE_BITS, LiquiditySegment, Pointer, walk
from consumers.arbitrage.solidly import SolidlyHop
from consumers.arbitrage.stable_curve import stable_segments
from consumers.arbitrage.tick_math import amount0_between, amount1_between, ceil_div, sqrt_price_at
from tlv.fields import MAX_UINT256


class Leg(Protocol):
    """One pool in one direction."""

    def segments(self) -> Iterator[LiquiditySegment]:
        """The constant-product pools it is one after the other, each exactly or as near as integers come."""

    def out(self, amount_in: int) -> int | None:
        """What the pool pays, to the wei; None for an input beyond what is known, or beyond all liquidity."""

    def least_input(self, amount_out: int) -> int | None:
        """The smallest input for which it pays at least so much; None if there is none."""

    def out_at_most(self, amount_in: int) -> int | None:
        """A bound of what it would pay if nothing were rounded; None as of `out`."""


class ReserveLeg(NamedTuple):
    """A Uniswap V2 pool."""

    hop: Hop

    def segments(self) -> Iterator[LiquiditySegment]:
        """One, up to what the contract can hold."""
        reserve_in, reserve_out, fee_pips = self.hop
        hop = Hop(reserve_in << FINE_BITS, reserve_out << FINE_BITS, fee_pips)
        yield LiquiditySegment(hop, max(MAX_RESERVE - reserve_in, 0) << FINE_BITS)

    def out(self, amount_in: int) -> int | None:
        """What the pair contract pays; None if it cannot hold so much."""
        return self.hop.out(amount_in) if amount_in <= MAX_RESERVE - self.hop.reserve_in else None

    def least_input(self, amount_out: int) -> int | None:
        """By the formula turned round."""
        return self.hop.least_input(amount_out)

    def out_at_most(self, amount_in: int) -> int | None:
        """It floors once."""
        found = self.out(amount_in)
        return None if found is None else found + 1


class VolatileLeg(NamedTuple):
    """A volatile pair of Solidly's type."""

    hop: SolidlyHop

    def segments(self) -> Iterator[LiquiditySegment]:
        """One, up to where the contract's product is no word any more."""
        reserve_in, reserve_out, fee_pips = self.hop[:3]
        room = max(MAX_UINT256 // reserve_out - reserve_in, 0)
        yield LiquiditySegment(Hop(reserve_in << FINE_BITS, reserve_out << FINE_BITS, fee_pips), room << FINE_BITS)

    def out(self, amount_in: int) -> int | None:
        """What the pair pays; None if it reverts."""
        return self.hop.out(amount_in)

    def least_input(self, amount_out: int) -> int | None:
        """By the formula turned round."""
        return self.hop.least_input(amount_out)

    def out_at_most(self, amount_in: int) -> int | None:
        """It floors the output; the floor of the fee is the trader's."""
        found = self.out(amount_in)
        return None if found is None else found + 1


class StableLeg(NamedTuple):
    """A stable pair of Solidly's type."""

    hop: SolidlyHop

    def segments(self) -> Iterator[LiquiditySegment]:
        """Some dozens, near the curve."""
        return stable_segments(self.hop)

    def out(self, amount_in: int) -> int | None:
        """What the pair pays, by the contract's own iteration; None if it reverts."""
        return self.hop.out(amount_in)

    def least_input(self, amount_out: int) -> int | None:
        """By the segments, then by trying."""
        return search_least_input(self, amount_out)

    def out_at_most(self, amount_in: int) -> int | None:
        """The iteration stops within a few units of 10^-18 of a coin, and the output is floored."""
        return rounded_less(self, amount_in, 2)


class RangeLeg(NamedTuple):
    """A Uniswap V3 pool inside its current range; `falls` if token0 goes in."""

    range: PriceRange
    falls: bool

    @property
    def edge(self) -> int:
        """The price at which the range ends in this direction."""
        return self.range.floor_price if self.falls else self.range.ceiling_price

    @property
    def reach(self) -> int:
        """The largest input that cannot arrive at the edge, but for rounding."""
        return max(input_to(self.edge, self.range, falls=self.falls) - 1, 0)

    def segments(self) -> Iterator[LiquiditySegment]:
        """One, up to the edge; none if the price stands on it, or no liquidity is there."""
        if self.range.liquidity > 0 and self.edge != self.range.sqrt_price_x96:
            yield LiquiditySegment(virtual_hop(self.range, falls=self.falls), self.reach << FINE_BITS)

    def out(self, amount_in: int) -> int | None:
        """What the pool pays, by the contract's own step; None if the price arrives at the edge of the range."""
        step = swap_step(self.range.sqrt_price_x96, self.edge, self.range.liquidity, amount_in, self.range.fee_pips)
        return None if step.sqrt_price_x96 == self.edge else step.out

    def least_input(self, amount_out: int) -> int | None:
        """By the virtual reserves, then by trying."""
        return search_least_input(self, amount_out)

    def out_at_most(self, amount_in: int) -> int | None:
        """It rounds a unit of the input away, and one of the output."""
        return rounded_less(self, amount_in, 1)


class MapLeg(NamedTuple):
    """A Uniswap V3 pool whose tick map is known; `falls` if token0 goes in."""

    sqrt_price_x96: int
    tick: int
    liquidity: int
    fee_pips: int
    ticks: TickMap
    falls: bool

    def segments(self) -> Iterator[LiquiditySegment]:
        """One for each stretch between initialised ticks that has liquidity, made when it is asked for."""
        price, liquidity = self.sqrt_price_x96, self.liquidity
        for tick in self.ticks.ahead(self.tick, falls=self.falls):
            edge = sqrt_price_at(tick)
            if liquidity > 0 and price != edge:
                floor, ceiling = (edge, price) if self.falls else (price, edge)
                stretch = PriceRange(price, liquidity, self.fee_pips, floor, ceiling)
                yield LiquiditySegment(
                    virtual_hop(stretch, falls=self.falls),
                    input_to(edge, stretch, falls=self.falls) << FINE_BITS,
                )
            liquidity += -self.ticks.net[tick] if self.falls else self.ticks.net[tick]
            price = edge

    def out(self, amount_in: int) -> int | None:
        """What the pool pays, by the contract's own loop over ticks; None if not all of the input finds liquidity."""
        walked = self._swap(amount_in)
        return None if walked.left else walked.out

    def least_input(self, amount_out: int) -> int | None:
        """By the virtual reserves of its stretches, then by trying."""
        return search_least_input(self, amount_out)

    def out_at_most(self, amount_in: int) -> int | None:
        """Each stop rounds two units of the input away, and one of the output."""
        return rounded_less(self, amount_in, 2 * self._swap(amount_in).stops)

    def way(self, amount_in: int) -> list[int]:
        """The initialised ticks that a swap crosses, in that order, and the one ahead of where it ends."""
        end = self._swap(amount_in).tick
        crossed = []
        for tick in self.ticks.ahead(self.tick, falls=self.falls):
            crossed.append(tick)
            if tick <= end if self.falls else tick > end:
                break
        return crossed

    def _swap(self, amount_in: int) -> Walk:
        state = (self.sqrt_price_x96, self.tick, self.liquidity, self.fee_pips, self.ticks)
        return swap(*state, amount_in, falls=self.falls)


class RememberedLeg:
    """A V3 pool or a stable pair during one search, which asks for the same inputs again: 43 % of them.

    Swaps are what a search costs: without this it took 85 us where one of three pools has a tick map, with it 59 (AMD
    EPYC, the lively market of bench `strategy`).
    """

    __slots__ = ("_leg", "_paid")

    def __init__(self, leg: RangeLeg | MapLeg | StableLeg) -> None:
        self._leg = leg
        self._paid: dict[int, int | None] = {}

    def segments(self) -> Iterator[LiquiditySegment]:
        """The leg's."""
        return self._leg.segments()

    def out(self, amount_in: int) -> int | None:
        """What the leg pays."""
        if amount_in not in self._paid:
            self._paid[amount_in] = self._leg.out(amount_in)
        return self._paid[amount_in]

    def least_input(self, amount_out: int) -> int | None:
        """As the leg finds it."""
        return search_least_input(self, amount_out)

    def out_at_most(self, amount_in: int) -> int | None:
        """The leg's."""
        return self._leg.out_at_most(amount_in)


def virtual_hop(stretch: PriceRange, *, falls: bool) -> Hop:
    """The virtual reserves, in the units of a walk: they locate an optimum, exact amounts come from `out`."""
    price, liquidity = stretch.sqrt_price_x96, stretch.liquidity
    amount0, amount1 = (liquidity << 96 + FINE_BITS) // price, liquidity * price >> 96 - FINE_BITS
    entering, leaving = (amount0, amount1) if falls else (amount1, amount0)
    return Hop(entering, leaving, stretch.fee_pips)


def input_to(edge: int, stretch: PriceRange, *, falls: bool) -> int:
    """The input that moves the price to `edge`, but for rounding."""
    between = amount0_between if falls else amount1_between
    to_edge = between(edge, stretch.sqrt_price_x96, stretch.liquidity, round_up=True)
    return ceil_div(to_edge * FEE_UNIT, FEE_UNIT - stretch.fee_pips)


class Cycle(NamedTuple):
    """Amounts of a round trip: what goes into each pool, and at last what comes back."""

    amounts: tuple[int, ...]

    @property
    def amount_in(self) -> int:
        """What goes into the first pool."""
        return self.amounts[0]

    @property
    def amount_out(self) -> int:
        """What comes out of the last one."""
        return self.amounts[-1]

    @property
    def gross(self) -> int:
        """Profit before costs, in the token that goes in."""
        return self.amounts[-1] - self.amounts[0]


def quote(legs: Sequence[Leg], amount_in: int) -> Cycle | None:
    """The round trip of one input; None if a leg does not reach that far."""
    amounts, amount = [amount_in], amount_in
    for leg in legs:
        found = leg.out(amount)
        if found is None:
            return None
        amount = found
        amounts.append(amount)
    return Cycle(tuple(amounts))


def rounded_less(leg: Leg, amount_in: int, units: int) -> int | None:
    """A bound of what a leg would pay if it had not rounded `units` away; None if it pays nothing for the input.

    What is known of the leg may end within these units.  Then what it pays for the last ones bounds what more of them
    would be paid, for rates only get worse.
    """
    found = leg.out(amount_in)
    if found is None:
        return None
    more = leg.out(amount_in + units)
    if more is not None:
        return more + units
    if amount_in <= units:
        return (found + units) * (units + 1)
    less = leg.out(amount_in - units)
    return None if less is None else 2 * found - less + 3 * units


def search_least_input(leg: Leg, amount_out: int) -> int | None:
    """The smallest input for which a leg pays at least `amount_out`, found beside where its segments say."""
    pointer = Pointer(leg.segments())
    wanted = amount_out << FINE_BITS
    while pointer.following is not None and pointer.segment is not None and pointer.segment.room is not None:
        if pointer.before_out + pointer.segment.hop.out(pointer.segment.room) >= wanted:
            break
        pointer.advance()
    near = pointer.input_for(wanted)
    if near is None:
        return None

    def pays(amount_in: int) -> bool:
        paid = leg.out(amount_in)
        return paid is None or paid >= amount_out

    found = least(pays, -(-near >> FINE_BITS))
    return None if leg.out(found) is None else found


def least(holds: Callable[[int], bool], near: int) -> int:
    """The smallest number from 0 on for which `holds`, which holds for all larger ones too, does; about `near`."""
    low, high, step = near - 1, max(near, 0), 1
    while not holds(high):
        low, high, step = high, high + step, 2 * step
    step = 1
    while low >= 0 and holds(low):
        low, high, step = low - step, low, 2 * step
    low = max(low, -1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


FEW = 512
"""Amounts on each side of the optimum that are all tried, if the bound excludes those beyond."""
FEW_OF = 1 << 16
"""Above it more than `FEW` of an amount's neighbours earn the same but for a unit: a profit that floors take two units
from is flat over some sqrt(8 x) amounts about x."""
NEAR, RADIUS = 32, 1
"""Amounts on each side that are tried otherwise: of an amount up to `FEW_OF`, and of one above."""


def best_cycle(legs: Sequence[Leg]) -> Cycle | None:
    """The round trip that earns most; None if no input earns anything within what is known of all legs.

    Exact for small amounts, within a few base units of the optimum for large ones (see the file's head).

    Args:
        legs: two or more; what comes out of one goes into the next.
    """
    place = walk([leg.segments() for leg in legs])
    if place is None:
        return None
    rough = any(isinstance(leg, StableLeg) for leg in legs)
    legs = [RememberedLeg(leg) if isinstance(leg, RangeLeg | MapLeg | StableLeg) else leg for leg in legs]
    optimum = max(place.optimum >> FINE_BITS, 1)
    middle = None if place.bounded else quote(legs, optimum)
    if rough and middle is not None:
        middle = _steered(legs, middle)
    if middle is None:
        middle = quote(legs, max(least(lambda amount: quote(legs, amount) is None, optimum + 1) - 1, 0))
    if middle is None:
        return None
    at = _coarsest(legs, middle)
    if middle.amounts[at] <= FEW_OF:
        return _best_of_few(legs, at, middle)
    return _best_nearby(legs, at, middle)


STEERED_PARTS = (16, 256, 8_192, 262_144)
"""Parts of the input that are its neighbours' distance, from one parabola to the next."""
NOISE = 2
"""Of what a unit at the coarsest place of the cycle is worth, by which three profits must bend: below it floors decide,
and the search among that place's amounts goes on."""


def _steered(legs: Sequence[Leg], middle: Cycle) -> Cycle:
    """The round trip at the top of the parabola through three about the best, again and again, ever closer.

    Segments that are only near the curve leave the optimum that far away.
    """
    best, noise = middle, NOISE * (1 + middle.amount_in // max(min(middle.amounts), 1))
    for parts in STEERED_PARTS:
        distance = best.amount_in // parts
        less, more = quote(legs, best.amount_in - distance), quote(legs, best.amount_in + distance)
        if less is None or more is None:
            continue
        bend = 2 * best.gross - less.gross - more.gross
        if distance == 0 or bend < noise:
            break
        top = best.amount_in + (more.gross - less.gross) * distance // (2 * bend)
        for found in (less, more, quote(legs, min(max(top, 1), 2 * best.amount_in))):
            if found is not None and found.gross > best.gross:
                best = found
    return best


def _coarsest(legs: Sequence[Leg], middle: Cycle) -> int:
    """The place of a cycle at which the amount changes least with the input."""
    less = quote(legs, middle.amount_in - (middle.amount_in + 31) // 32)
    if less is None:
        return 0
    changes = [amount - other for amount, other in zip(middle.amounts, less.amounts, strict=True)]
    return changes.index(min(changes))


def _better(found: Cycle | None, best: Cycle | None) -> Cycle | None:
    """The one that earns more, and at all; of equals that which was found first, nearest the real optimum."""
    return found if found is not None and found.gross > (best.gross if best else 0) else best


def _at_place(legs: Sequence[Leg], at: int, amount: int) -> Cycle | None:
    """The round trip with the least input for which at least `amount` stands at place `at`."""
    needed: int | None = amount
    for leg in reversed(legs[:at]):
        needed = None if needed is None else leg.least_input(needed)
    return quote(legs, needed) if needed else None


def _best_nearby(legs: Sequence[Leg], at: int, middle: Cycle) -> Cycle | None:
    """The best of the inputs for which the amount at place `at` is one about the optimum's."""
    best, here = _better(middle, None), middle.amounts[at]
    for amount in range(max(here - RADIUS, 1), here + RADIUS + 1):
        best = _better(_at_place(legs, at, amount), best)
    return best


def _best_of_few(legs: Sequence[Leg], at: int, middle: Cycle) -> Cycle | None:
    """The best of the inputs for which the amount at place `at` is one that the bound does not exclude."""

    def excluded(amount: int, best: int) -> bool:
        """Whether the bound of an amount is less than what was found; if there is no bound, whether it can be."""
        behind: int | None = amount
        for leg in legs[at:]:
            behind = None if behind is None else leg.out_at_most(behind)
        before = amount
        for leg in reversed(legs[:at]):
            needed = leg.least_input(before)
            if needed is None:
                return True
            before = max(needed - 1, 0)
        return _at_place(legs, at, amount) is None if behind is None else behind - before < best

    best, here = _better(middle, None), middle.amounts[at]
    for amount in range(max(here - NEAR, 1), here + NEAR + 1):
        best = _better(_at_place(legs, at, amount), best)
    enough, peak = (best.gross, best.amounts[at]) if best else (0, here)
    if not excluded(peak + FEW, enough) or (peak > FEW and not excluded(peak - FEW, enough)):
        return best
    above = least(lambda away: away >= FEW or excluded(peak + away, enough), 1)
    below = least(lambda away: away >= min(FEW, peak) or excluded(peak - away, enough), 1)
    for amount in range(max(peak - below, 1), peak + above + 1):
        best = _better(_at_place(legs, at, amount), best)
    return best
