"""Swaps through a pool of Solidly's type, exact: volatile (xy = k) and stable (x^3 y + y^3 x = k).

Owns the integer arithmetic of such a pair: its fee, its invariant, its Newton iteration, and whether it takes the swap
that it quotes.  Knows neither messages nor cycles.  `consumers.native.solidly` is the same in compiled code.

The fee is taken and floored first, and leaves the pool.  A stable pool counts in units of 10^-18 of a coin, whatever
the coins' decimals, and every product of its formula is floored there, so its outputs are those of its own sequence of
operations and of no closed form.  Three such sequences trade:

    SOLIDLY      (Solidly, Dystopia, Velodrome V1) stops when a step is at most 1, on whichever side of the curve it is
    VELODROME    (Velodrome V2, Aerodrome) looks for the least y on the curve; its last look takes y + 1 for an amount
                 of coins and scales it once more, which differs below 18 decimals, and may overflow
    SUPERCHAIN   (Velodrome since October 2024) the same with that look repaired

Solidity 0.8 reverts where a word overflows or a difference is negative: no quote here either.  What the pair quotes it
may still refuse, for `swap` compares the invariants of the coins themselves; that is no quote either.

Sources: Solidly BaseV1Pair, Dystopia DystPair, Velodrome V1 Pair, Velodrome V2 and Aerodrome Pool (`getAmountOut`,
`_getAmountOut`, `_k`, `_f`, `_d`, `_get_y`, `swap`); velodrome-finance/contracts d738179 for the repair.
"""

from __future__ import annotations

from typing import NamedTuple

from consumers.arbitrage.constant_product import FEE_UNIT
from tlv.codes import Curve
from tlv.fields import MAX_UINT256

ONE = 10**18
"""What a stable pool counts a whole coin as."""
PIPS = 100
"""Of a basis point."""
MOST_STEPS = 255
"""Of the iteration.  SOLIDLY then takes what it has, the others revert."""
MOST_DECIMALS = 77
"""10^78 is no uint256: such a token has no pair."""


class Reverted(ArithmeticError):
    """The contract would revert."""


def word(value: int) -> int:
    """`value`, which the contract holds in a word.

    Raises:
        Reverted: it is negative, or above 2^256 - 1.
    """
    if not 0 <= value <= MAX_UINT256:
        raise Reverted
    return value


def scaled(left: int, right: int, divisor: int = ONE) -> int:
    """left * right / divisor, floored; the product is a word."""
    if divisor == 0:
        raise Reverted
    return word(left * right) // divisor


class SolidlyHop(NamedTuple):
    """One swap through a pair, seen in its direction."""

    reserve_in: int
    reserve_out: int
    fee_pips: int
    curve: Curve
    decimals_in: int
    """Only a stable pair reads decimals."""
    decimals_out: int
    token0_in: bool

    def kept(self, amount_in: int) -> int:
        """What is left of an input after the fee, which is rounded down."""
        return amount_in - scaled(amount_in, *fee_fraction(self.fee_pips))

    def out(self, amount_in: int) -> int | None:
        """What the pair pays (`getAmountOut`); None if it reverts, in the quote or in the swap itself."""
        try:
            kept = self.kept(amount_in)
            if self.curve == Curve.VOLATILE:
                paid = scaled(kept, self.reserve_out, word(self.reserve_in + kept))
                before = word(self.reserve_in * self.reserve_out)
                after = word(word(self.reserve_in + kept) * (self.reserve_out - paid))
            else:
                before = self.invariant(self.reserve_in, self.reserve_out)
                paid = self._paid(kept, before)
                after = self.invariant(word(self.reserve_in + kept), word(self.reserve_out - paid))
        except Reverted:
            return None
        return paid if paid < self.reserve_out and after >= before else None

    def invariant(self, amount_in: int, amount_out: int) -> int:
        """x^3 y + y^3 x of so much of the two coins (`_k`)."""
        return product_form(
            scaled(amount_in, ONE, 10**self.decimals_in), scaled(amount_out, ONE, 10**self.decimals_out)
        )

    def _paid(self, kept: int, invariant: int) -> int:
        """`_getAmountOut` of a stable pair."""
        unit_in, unit_out = 10**self.decimals_in, 10**self.decimals_out
        x, y = scaled(self.reserve_in, ONE, unit_in), scaled(self.reserve_out, ONE, unit_out)
        target = word(scaled(kept, ONE, unit_in) + x)
        return scaled(word(y - self._other_reserve(target, invariant, y)), unit_out)

    def _other_reserve(self, x: int, invariant: int, y: int) -> int:
        """The reserve on the other side of x, from y on (`_get_y`)."""
        if self.curve == Curve.SOLIDLY:
            return nearby_reserve(x, invariant, y)
        for _ in range(MOST_STEPS):
            held, slope = product_form(x, y), slope_at(x, y)
            if held < invariant:
                step = scaled(invariant - held, ONE, slope)
                if step == 0:
                    if self._is_above(x, word(y + 1), invariant):
                        return y + 1
                    step = 1
                y = word(y + step)
            else:
                step = scaled(held - invariant, ONE, slope)
                if step == 0:
                    if held == invariant or product_form(x, word(y - 1)) < invariant:
                        return y
                    step = 1
                y = word(y - step)
        raise Reverted

    def _is_above(self, x: int, y: int, invariant: int) -> bool:
        """Whether a unit more lies above the curve, as the contract asks it.

        VELODROME takes x for an amount of token0 and y for one of token1, whichever of them goes in.
        """
        if self.curve == Curve.SUPERCHAIN:
            return product_form(x, y) > invariant
        if self.token0_in:
            return self.invariant(x, y) > invariant
        return product_form(scaled(x, ONE, 10**self.decimals_out), scaled(y, ONE, 10**self.decimals_in)) > invariant

    def least_input(self, amount_out: int) -> int | None:
        """The smallest input for which a volatile pair pays at least so much; None if none does."""
        room = self.reserve_out - amount_out
        if room <= 0:
            return None
        kept = -(-self.reserve_in * amount_out // room)
        return (kept - 1) * FEE_UNIT // (FEE_UNIT - self.fee_pips) + 1 if kept else 0


def fee_fraction(fee_pips: int) -> tuple[int, int]:
    """A fee as the contract multiplies and divides by it: in basis points if it is a number of them."""
    return (fee_pips // PIPS, FEE_UNIT // PIPS) if fee_pips % PIPS == 0 else (fee_pips, FEE_UNIT)


def shown_fee(amount_in: int, paid: int) -> int | None:
    """The fee, a number of basis points in pips, of which `paid` of an input is what left a pair; None if several are
    possible, or none."""
    if amount_in <= 0:
        return None
    parts = FEE_UNIT // PIPS
    least = -(-paid * parts // amount_in)
    fits = [point for point in (least, least + 1) if 0 <= point < parts and amount_in * point // parts == paid]
    return PIPS * fits[0] if len(fits) == 1 else None


def product_form(x: int, y: int) -> int:
    """x^3 y + y^3 x as xy * (x^2 + y^2), three times floored (`_k`; `_f` of the later curves)."""
    return scaled(scaled(x, y), word(scaled(x, x) + scaled(y, y)))


def power_form(x: int, y: int) -> int:
    """x^3 y + y^3 x as the sum of the two (`_f` of SOLIDLY)."""
    return word(scaled(x, scaled(scaled(y, y), y)) + scaled(scaled(scaled(x, x), x), y))


def slope_at(x: int, y: int) -> int:
    """How fast the invariant grows with y: 3 x y^2 + x^3 (`_d`)."""
    return word(scaled(word(3 * x), scaled(y, y)) + scaled(scaled(x, x), x))


def nearby_reserve(x: int, invariant: int, y: int) -> int:
    """`_get_y` of SOLIDLY: Newton's steps from y until one is at most 1."""
    for _ in range(MOST_STEPS):
        held = power_form(x, y)
        step = scaled(abs(invariant - held), ONE, slope_at(x, y))
        y = word(y + step if held < invariant else y - step)
        if step <= 1:
            break
    return y
