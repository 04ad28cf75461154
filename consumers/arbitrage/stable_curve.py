"""The curve x^3 y + y^3 x = k in real numbers: where along it a cycle's optimum lies.

Owns a stable pair's row of segments (`segments.walk`): each a constant-product pool that leaves the curve's point with
its slope and meets it again at the segment's end.  They are near, not exact; amounts come from `solidly`.
"""

from __future__ import annotations

from collections.abc import Iterator

from consumers.arbitrage.constant_product import FEE_UNIT, Hop
from consumers.arbitrage.segments import FINE_BITS, LiquiditySegment
from consumers.arbitrage.solidly import SolidlyHop
from tlv.jit import kernel

PARTS = 64
"""Of what both reserves come to: the length of the first segments.  Within one the curve's third derivative moves an
amount by 10^-5 of it at most; the search goes on with exact quotes from there."""
GROWTH = 4
"""A segment is as long as this part of the way to it, once that is longer."""
DRAINED = 1e-6
"""The part of the reserve that is left where the row ends."""
FLATTEST = 1e-9
"""Of an amount: a bend below it is rounding.  Such a segment is made straight, by reserves as much larger than it."""
NEWTON_STEPS = 60
FINE = float(1 << FINE_BITS)


@kernel
def rate_at(x: float, y: float) -> float:
    """What the pair pays for an infinitesimal amount: the ratio of the invariant's derivatives."""
    return y * (3.0 * x * x + y * y) / (x * (x * x + 3.0 * y * y))


def marginal_rate(hop: SolidlyHop) -> float:
    """The same in base units, without the fee."""
    unit_in, unit_out = 10.0**hop.decimals_in, 10.0**hop.decimals_out
    return rate_at(hop.reserve_in / unit_in, hop.reserve_out / unit_out) * (unit_out / unit_in)


def other_reserve(x: float, invariant: float, y: float) -> float:
    """The reserve beside x, by Newton's steps from y, which is above it."""
    for _ in range(NEWTON_STEPS):
        step = (x * y * (x * x + y * y) - invariant) / (x * (x * x + 3.0 * y * y))
        y -= step
        if abs(step) <= 1e-15 * y:
            break
    return y


def stable_segments(hop: SolidlyHop) -> Iterator[LiquiditySegment]:
    """A stable pair's row, made when it is asked for."""
    unit_in, unit_out = 10.0**hop.decimals_in, 10.0**hop.decimals_out
    x, y = hop.reserve_in / unit_in, hop.reserve_out / unit_out
    invariant = x * y * (x * x + y * y)
    first, last, kept = x, y * DRAINED, 1.0 - hop.fee_pips / FEE_UNIT
    while y > last:
        step = max((first + hop.reserve_out / unit_out) / PARTS, (x - first) / GROWTH)
        rate, after = rate_at(x, y), other_reserve(x + step, invariant, y)
        paid = y - after
        depth = paid * step / max(rate * step - paid, paid * FLATTEST)
        if not paid > 0.0:
            return
        virtual = Hop(int(depth * unit_in * FINE), int(depth * rate * unit_out * FINE), hop.fee_pips)
        yield LiquiditySegment(virtual, int(step / kept * unit_in * FINE))
        x, y = x + step, after
