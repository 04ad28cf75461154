"""The best cycle through two pools of the same pair, exact: in through one, back through the other.

Owns what constant-product and concentrated pools have in common for a cycle, a `Leg`, and the search over two legs.
Knows neither messages nor costs.

Between two ticks a concentrated pool *is* a constant-product pool with virtual reserves L*2^96/sqrtP and
L*sqrtP/2^96.  So every leg is a row of segments, over which `segments.walk` finds where the optimum lies; the amounts
themselves come from each leg's own exact arithmetic.  A row may end: what lies beyond is unknown or empty, not guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from consumers.arbitrage.concentrated import PriceRange, TickMap, Walk, swap, swap_step
from consumers.arbitrage.constant_product import FEE_UNIT, Hop, best_of, candidates
from consumers.arbitrage.segments import LiquiditySegment, WalkEnd, walk
from consumers.arbitrage.tick_math import amount0_between, amount1_between, ceil_div, sqrt_price_at


class Leg(Protocol):
    """One pool in one direction."""

    def segments(self) -> Iterator[LiquiditySegment]:
        """The constant-product pools it is one after the other, each exactly or as near as integers come."""

    def out(self, amount_in: int) -> int | None:
        """What the pool pays, to the wei; None for an input beyond what is known, or beyond all liquidity."""


class ReserveLeg(NamedTuple):
    """A Uniswap V2 pool."""

    hop: Hop

    def segments(self) -> Iterator[LiquiditySegment]:
        """One, without end."""
        yield LiquiditySegment(self.hop)

    def out(self, amount_in: int) -> int | None:
        """What the pair contract pays."""
        return self.hop.out(amount_in)


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
        """One, up to the edge."""
        yield LiquiditySegment(virtual_hop(self.range, falls=self.falls), self.reach)

    def out(self, amount_in: int) -> int | None:
        """What the pool pays, by the contract's own step; None if the price arrives at the edge of the range."""
        step = swap_step(self.range.sqrt_price_x96, self.edge, self.range.liquidity, amount_in, self.range.fee_pips)
        return None if step.sqrt_price_x96 == self.edge else step.out


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
                    virtual_hop(stretch, falls=self.falls), input_to(edge, stretch, falls=self.falls)
                )
            liquidity += -self.ticks.net[tick] if self.falls else self.ticks.net[tick]
            price = edge

    def out(self, amount_in: int) -> int | None:
        """What the pool pays, by the contract's own loop over ticks; None if not all of the input finds liquidity."""
        walked = self._swap(amount_in)
        return None if walked.left else walked.out

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


def virtual_hop(stretch: PriceRange, *, falls: bool) -> Hop:
    """The virtual reserves, rounded: they locate an optimum, exact amounts come from `out`."""
    price, liquidity = stretch.sqrt_price_x96, stretch.liquidity
    amount0, amount1 = (liquidity << 96) // price, liquidity * price >> 96
    entering, leaving = (amount0, amount1) if falls else (amount1, amount0)
    return Hop(entering, leaving, stretch.fee_pips)


def input_to(edge: int, stretch: PriceRange, *, falls: bool) -> int:
    """The input that moves the price to `edge`, but for rounding."""
    between = amount0_between if falls else amount1_between
    to_edge = between(edge, stretch.sqrt_price_x96, stretch.liquidity, round_up=True)
    return ceil_div(to_edge * FEE_UNIT, FEE_UNIT - stretch.fee_pips)


class Cycle(NamedTuple):
    """Amounts of a round trip."""

    amount_in: int
    amount_mid: int
    amount_out: int

    @property
    def gross(self) -> int:
        """Profit before costs, in the token that goes in."""
        return self.amount_out - self.amount_in


def quote(first: Leg, second: Leg, amount_in: int) -> Cycle | None:
    """The round trip of one input; None if a leg does not reach that far."""
    middle = first.out(amount_in)
    if middle is None:
        return None
    back = second.out(middle)
    return None if back is None else Cycle(amount_in, middle, back)


def _approach(limit: int) -> Iterator[int]:
    """Amounts that come ever closer to `limit` from below: rounding may put the last few of them over the edge."""
    step = 1
    while step < limit:
        yield limit - step
        step <<= 1


def _inputs(place: WalkEnd) -> Iterator[int]:
    """Inputs worth trying around the place where a walk ended."""
    first, second, optimum = place
    assert first.segment is not None and second.segment is not None
    (hop, room), (back, back_room) = first.segment, second.segment
    base = first.before_in
    if room is not None and optimum > room:
        yield base + room
        yield from (base + amount for amount in _approach(room))
        optimum = room
    owed = second.before_in - first.before_out
    if back_room is not None and hop.out(optimum) - owed > back_room:
        for middle in (back_room, *_approach(back_room)):
            amount = hop.least_input(owed + middle)
            if amount is not None and base + amount > 0:
                yield base + amount
    yield from (base + amount for amount in candidates((hop, back), optimum))


def best_cycle(first: Leg, second: Leg) -> Cycle | None:
    """The round trip that earns most; None if no input earns anything within what is known of both legs."""
    place = walk(first.segments(), second.segments())
    if place is None:
        return None

    def profit(amount_in: int) -> int:
        found = quote(first, second, amount_in)
        return found.gross if found else 0

    amount = best_of(_inputs(place), profit)
    return quote(first, second, amount) if amount else None
