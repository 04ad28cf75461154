"""Swaps through a concentrated-liquidity pool, exact (Uniswap v3-core: SwapMath.computeSwapStep, UniswapV3Pool.swap;
v4-core: SwapMath.computeSwapStep, Pool.swap).

Owns the step inside one range of constant liquidity, and the walk over ranges for a pool whose tick map is known.
Knows neither messages nor strategies.

A walk stops where the contract stops: at initialised ticks and at the edge of every 256-tick word of the bitmap, even
if nothing is initialised there.  Each stop rounds, so leaving the word edges out changes results (97 of 800 in a
comparison against the contract's own bytecode).

Uniswap V4 computes the same; but its fee may be all of the input.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

from consumers.arbitrage.constant_product import FEE_UNIT
from consumers.arbitrage.tick_math import (
    MAX_SQRT_PRICE,
    MAX_TICK,
    MIN_SQRT_PRICE,
    MIN_TICK,
    amount0_between,
    amount1_between,
    ceil_div,
    sqrt_price_at,
    tick_at,
)
from tlv.errors import UsageError
from tlv.fields import MAX_UINT256

WORD_TICKS = 256
"""Ticks (in units of the spacing) per word of the contract's bitmap."""


class Step(NamedTuple):
    """What one computeSwapStep does; `taken` includes the fee."""

    sqrt_price_x96: int
    taken: int
    out: int


def price_after_token0(price: int, liquidity: int, kept: int) -> int:
    """The price after `kept` token0 came in, rounded up (SqrtPriceMath.getNextSqrtPriceFromAmount0RoundingUp)."""
    scaled = liquidity << 96
    if scaled + kept * price <= MAX_UINT256:
        return ceil_div(scaled * price, scaled + kept * price)
    # The contract's 256-bit words would overflow here, so it takes a less precise formula; so must we.
    return ceil_div(scaled, scaled // price + kept)


def price_before_token0(price: int, liquidity: int, paid: int) -> int:
    """The price after `paid` token0 went out, rounded up (SqrtPriceMath.getNextSqrtPriceFromAmount0RoundingUp)."""
    scaled = liquidity << 96
    return ceil_div(scaled * price, scaled - paid * price)


def swap_step(price: int, target: int, liquidity: int, amount: int, fee_pips: int) -> Step:
    """Swap `amount` (exact input) from `price` towards `target`, no further (SwapMath.computeSwapStep)."""
    falls = price >= target
    amount_in, amount_out = (amount0_between, amount1_between) if falls else (amount1_between, amount0_between)
    kept = amount * (FEE_UNIT - fee_pips) // FEE_UNIT
    to_target = amount_in(target, price, liquidity, round_up=True)
    if kept >= to_target:
        reached = target
    elif falls:
        reached = price_after_token0(price, liquidity, kept)
    else:
        reached = price + (kept << 96) // liquidity
    # Rounding alone can reach the target too; the contract then charges the step like one that arrived.
    taken = with_fee(to_target, fee_pips) if reached == target else amount
    return Step(reached, taken, amount_out(reached, price, liquidity, round_up=False))


def swap_step_out(price: int, target: int, liquidity: int, wanted: int, fee_pips: int) -> Step:
    """Swap for `wanted` (exact output) from `price` towards `target`, no further (SwapMath.computeSwapStep)."""
    falls = price >= target
    amount_in, amount_out = (amount0_between, amount1_between) if falls else (amount1_between, amount0_between)
    to_target = amount_out(target, price, liquidity, round_up=False)
    if wanted >= to_target:
        reached = target
    elif falls:
        reached = price - ceil_div(wanted << 96, liquidity)
    else:
        reached = price_before_token0(price, liquidity, wanted)
    entering = with_fee(amount_in(reached, price, liquidity, round_up=True), fee_pips)
    return Step(reached, entering, min(wanted, to_target))


def with_fee(kept: int, fee_pips: int) -> int:
    """The input of which so much is kept, the fee rounded up.  Of a fee of 100 % only nothing is kept."""
    return kept + ceil_div(kept * fee_pips, FEE_UNIT - fee_pips) if kept else 0


class PriceRange(NamedTuple):
    """A pool at its price, and how far that price can fall and rise before liquidity may change."""

    sqrt_price_x96: int
    liquidity: int
    fee_pips: int
    floor_price: int
    ceiling_price: int


def current_range(price: int, tick: int, liquidity: int, fee_pips: int, tick_spacing: int) -> PriceRange:
    """The range that needs no tick map: ticks can be initialised at multiples of the spacing only."""
    lower = tick // tick_spacing * tick_spacing
    return PriceRange(
        price,
        liquidity,
        fee_pips,
        sqrt_price_at(max(lower, MIN_TICK)),
        sqrt_price_at(min(lower + tick_spacing, MAX_TICK)),
    )


@dataclass(frozen=True)
class TickMap:
    """Initialised ticks in rising order, and the liquidity each adds when it is crossed upwards."""

    ticks: Sequence[int]
    net: Mapping[int, int]
    spacing: int

    @cached_property
    def sums(self) -> list[int]:
        """The liquidity below the first tick, which is 0, and from each tick on."""
        return list(accumulate((self.net[tick] for tick in self.ticks), initial=0))

    @cached_property
    def peak(self) -> int:
        """The most liquidity that it has at any price."""
        return max(self.sums)

    def forget_sums(self) -> None:
        """Its owner has changed `ticks` or `net`."""
        for sum_of_them in ("sums", "peak"):
            vars(self).pop(sum_of_them, None)

    def active(self, tick: int) -> int:
        """The liquidity at a price whose tick this is: what all ticks up to it add."""
        return self.sums[bisect_right(self.ticks, tick)]

    def ahead(self, tick: int, *, falls: bool) -> Iterator[int]:
        """The initialised ticks that a falling or rising price meets from here, in that order."""
        found = bisect_right(self.ticks, tick)
        return iter(self.ticks[found - 1 :: -1] if found else ()) if falls else iter(self.ticks[found:])

    def next_stop(self, tick: int, *, falls: bool) -> int:
        """The tick at which the contract's loop stops next: initialised, or the edge of the bitmap word."""
        compressed = tick // self.spacing
        if falls:
            edge = compressed // WORD_TICKS * WORD_TICKS * self.spacing
            return max(edge, self.next_initialised(tick, falls=falls))
        edge = ((compressed + 1) // WORD_TICKS * WORD_TICKS + WORD_TICKS - 1) * self.spacing
        return min(edge, self.next_initialised(tick, falls=falls))

    def next_initialised(self, tick: int, *, falls: bool) -> int:
        """The initialised tick that the price meets next, or the last tick of all."""
        found = bisect_right(self.ticks, tick)
        if falls:
            return self.ticks[found - 1] if found else MIN_TICK
        return self.ticks[found] if found < len(self.ticks) else MAX_TICK


class Walk(NamedTuple):
    """What a whole swap does."""

    taken: int
    """What went in, with the fee."""
    out: int
    left: int
    """The part of the input, or of a wanted output, that found no liquidity before the limit."""
    sqrt_price_x96: int
    tick: int
    """Of the stop where the last step began, or at which it ended."""
    at_stop: bool
    """Whether the price is still that which had this tick: it ended there, or the last step did not move it."""
    liquidity: int
    crossed: int
    stops: int
    """Steps of the contract's loop."""

    @property
    def end_tick(self) -> int:
        """The tick that the contract keeps.  A fall that ends at a stop leaves the tick below it."""
        return self.tick if self.at_stop else tick_at(self.sqrt_price_x96)


def swap(
    price: int,
    tick: int,
    liquidity: int,
    fee_pips: int,
    ticks: TickMap,
    amount: int,
    *,
    falls: bool,
    exact_out: bool = False,
    limit: int | None = None,
) -> Walk:
    """Swap an exact input, or for an exact output, through as many ranges as it takes (UniswapV3Pool.swap, Pool.swap).

    Args:
        falls: token0 goes in and the price falls (the contract's zeroForOne).
        exact_out: `amount` is what is to come out; the fee is below 100 % then.
        limit: the price at which it ends, ahead of `price`; None: the last that a contract takes.

    Raises:
        UsageError: the limit is behind `price`, or no price that a contract takes.
    """
    left, taken, out, crossed, stops, at_stop = amount, 0, 0, 0, 0, True
    take_step = swap_step_out if exact_out else swap_step
    if limit is None:
        limit = MIN_SQRT_PRICE + 1 if falls else MAX_SQRT_PRICE - 1
    elif not (MIN_SQRT_PRICE < limit <= price if falls else price <= limit < MAX_SQRT_PRICE):
        least, most = (MIN_SQRT_PRICE + 1, price) if falls else (price, MAX_SQRT_PRICE - 1)
        way = "falling" if falls else "rising"
        raise UsageError(f"limit of a {way} price: expected {least} to {most}, found {limit}")
    while left and price != limit:
        # Without liquidity a step moves the price and nothing else, so its stops need not be made one by one.
        stop = ticks.next_stop(tick, falls=falls) if liquidity else ticks.next_initialised(tick, falls=falls)
        stop_price, before = sqrt_price_at(stop), price
        target = max(stop_price, limit) if falls else min(stop_price, limit)
        price, entered, got = take_step(price, target, liquidity, left, fee_pips)
        left -= got if exact_out else entered
        stops += 1
        taken += entered
        out += got
        if price != stop_price:
            at_stop = price == before
            break
        if stop in ticks.net:
            liquidity += -ticks.net[stop] if falls else ticks.net[stop]
            crossed += 1
        tick = stop - 1 if falls else stop
    return Walk(taken, out, left, price, tick, at_stop, liquidity, crossed, stops)
