"""The best cycle through two pools of the same pair, exact: in through one, back through the other.

Owns what constant-product and concentrated pools have in common for a cycle, a `Leg`, and the search over two legs.
Knows neither messages nor costs.

Between two ticks a concentrated pool *is* a constant-product pool with virtual reserves L*2^96/sqrtP and
L*sqrtP/2^96.  So both kinds give a `Hop`, whose closed form finds where the optimum lies; the amounts themselves come
from each leg's own exact arithmetic.  A leg may end (`reach`): what lies beyond its range is unknown, not guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from consumers.arbitrage.concentrated import Range, swap_step
from consumers.arbitrage.constant_product import FEE_UNIT, Hop, best_of, candidates, compose
from consumers.arbitrage.tick_math import amount0_between, amount1_between, ceil_div


class Leg(Protocol):
    """One pool in one direction."""

    @property
    def hop(self) -> Hop:
        """The constant-product pool it is, exactly or as near as integers come."""

    @property
    def reach(self) -> int | None:
        """The largest input whose result is known; None if every one is."""

    def out(self, amount_in: int) -> int | None:
        """What the pool pays, to the wei; None beyond its reach."""


class ReserveLeg(NamedTuple):
    """A Uniswap V2 pool."""

    hop: Hop
    reach: int | None = None

    def out(self, amount_in: int) -> int | None:
        """What the pair contract pays."""
        return self.hop.out(amount_in)


class RangeLeg(NamedTuple):
    """A Uniswap V3 pool inside its current range; `falls` if token0 goes in."""

    range: Range
    falls: bool

    @property
    def edge(self) -> int:
        """The price at which the range ends in this direction."""
        return self.range.floor_price if self.falls else self.range.ceiling_price

    @property
    def hop(self) -> Hop:
        """The virtual reserves, rounded: good for finding, not for deciding."""
        price, liquidity = self.range.sqrt_price_x96, self.range.liquidity
        amount0, amount1 = (liquidity << 96) // price, liquidity * price >> 96
        entering, leaving = (amount0, amount1) if self.falls else (amount1, amount0)
        return Hop(entering, leaving, self.range.fee_pips)

    @property
    def reach(self) -> int | None:
        """The largest input that cannot arrive at the edge, but for rounding."""
        between = amount0_between if self.falls else amount1_between
        to_edge = between(self.edge, self.range.sqrt_price_x96, self.range.liquidity, round_up=True)
        return max(ceil_div(to_edge * FEE_UNIT, FEE_UNIT - self.range.fee_pips) - 1, 0)

    def out(self, amount_in: int) -> int | None:
        """What the pool pays, by the contract's own step; None if the price arrives at the edge of the range."""
        step = swap_step(self.range.sqrt_price_x96, self.edge, self.range.liquidity, amount_in, self.range.fee_pips)
        return None if step.sqrt_price_x96 == self.edge else step.out


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


def _inputs(first: Leg, second: Leg, optimum: int) -> Iterator[int]:
    hops = (first.hop, second.hop)
    if first.reach is not None and optimum > first.reach:
        yield first.reach
        yield from _approach(first.reach)
        optimum = first.reach
    if second.reach is not None and hops[0].out(optimum) > second.reach:
        for middle in (second.reach, *_approach(second.reach)):
            amount = hops[0].least_input(middle)
            if amount is not None:
                yield amount
    yield from candidates(hops, optimum)


def best_cycle(first: Leg, second: Leg) -> Cycle | None:
    """The round trip that earns most; None if no input earns anything within the reach of both legs."""
    hops = (first.hop, second.hop)
    if any(hop.reserve_in <= 0 or hop.reserve_out <= 0 for hop in hops):
        return None
    cycle = compose(hops)
    if not cycle.profitable:
        return None

    def profit(amount_in: int) -> int:
        found = quote(first, second, amount_in)
        return found.gross if found else 0

    amount = best_of(_inputs(first, second, cycle.best_input), profit)
    return quote(first, second, amount) if amount else None
