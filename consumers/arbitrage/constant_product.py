"""Cycles through constant-product pools, exact.

Owns the integer arithmetic of Uniswap V2's swap and the closed form for the best input of a cycle of such swaps.
Knows neither pools nor messages: a hop is two reserves and a fee.

One hop pays  out(x) = x*gn*Rout // (Rin*gd + x*gn)  with gn/gd = 1 - fee.  Without the floor it is a Moebius map
x -> K*x / (M + N*x), and such maps compose into one of the same form.  So a cycle earns at all exactly if K > M, and
its real-valued optimum is x* = (sqrt(K*M) - M) / N, whatever the number of hops.

The floors turn profit into a sawtooth, whose peaks `cycle` searches.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import NamedTuple

FEE_UNIT = 1_000_000
"""Fees are in hundredths of a basis point: 3000 pips = 0.3 %.  997/1000 and 997000/1000000 floor alike."""


MAX_RESERVE = (1 << 112) - 1
"""A pair's reserves are uint112: a swap after which it holds more is reverted (UniswapV2Pair._update)."""


class Hop(NamedTuple):
    """One swap, seen in its direction."""

    reserve_in: int
    reserve_out: int
    fee_pips: int

    def out(self, amount_in: int) -> int:
        """What the pair contract pays out (UniswapV2Library.getAmountOut)."""
        kept = amount_in * (FEE_UNIT - self.fee_pips)
        return kept * self.reserve_out // (self.reserve_in * FEE_UNIT + kept)

    def least_input(self, amount_out: int) -> int | None:
        """The smallest input that yields at least `amount_out`; None if no input does."""
        room = (self.reserve_out - amount_out) * (FEE_UNIT - self.fee_pips)
        if room <= 0:
            return None
        return -(-self.reserve_in * amount_out * FEE_UNIT // room)


class Moebius(NamedTuple):
    """x -> k*x / (m + n*x): what one hop, or several in a row, do to a real-valued amount."""

    k: int
    m: int
    n: int

    @property
    def profitable(self) -> bool:
        """Whether some input, however small, comes back larger.  Exact."""
        return self.k > self.m

    @property
    def best_input(self) -> int:
        """The floor of the real-valued optimum; only meaningful if the cycle is profitable."""
        return (isqrt(self.k * self.m) - self.m) // self.n


def compose(hops: Sequence[Hop]) -> Moebius:
    """The map of a row of hops (at least one)."""
    first, *further = hops
    kept = FEE_UNIT - first.fee_pips
    k, m, n = kept * first.reserve_out, FEE_UNIT * first.reserve_in, kept
    for hop in further:
        kept = FEE_UNIT - hop.fee_pips
        k, m, n = k * kept * hop.reserve_out, m * FEE_UNIT * hop.reserve_in, n * FEE_UNIT * hop.reserve_in + k * kept
    return Moebius(k, m, n)


def least_input(hops: Sequence[Hop], amount_out: int) -> int | None:
    """The smallest input of a row of hops that yields at least `amount_out`; None if none does."""
    needed: int | None = amount_out
    for hop in reversed(hops):
        if needed is None:
            return None
        needed = hop.least_input(needed)
    return needed
