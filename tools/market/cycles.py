"""Round trips through two or three pools, and what the best amount would earn at the depths of a moment.

A chain of constant-product pools is itself one (virtual reserves Ea and Eb):

    Ea = x1 * x2 / (x2 + g2 * y1)        Eb = g2 * y1 * y2 / (x2 + g2 * y1)        g = 1 - fee

so that the best amount in is (sqrt(g1 * Ea * Eb) - Ea) / g1.  V3 pools count by the depth at their price, so what a
trader does with the answer may earn less: these are a competitor's decisions, no quotes.  The arithmetic is of
floats with nothing but + - * / and sqrt, which IEEE 754 rounds alike everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

from tools.market.place import Depth, MarketPool, fee_of

PIPS = 10**6


@dataclass(frozen=True)
class RoundTrip:
    """Pools by their number in the market, in order, and the token that goes in and comes out."""

    pools: tuple[int, ...]
    token: str


@dataclass(frozen=True)
class TripChance:
    """A round trip that would earn: the amounts before, between and behind its pools, in base units."""

    trip: RoundTrip
    amounts: tuple[int, ...]

    @property
    def earned(self) -> int:
        """What comes out beyond what went in."""
        return self.amounts[-1] - self.amounts[0]


def round_trips(pools: Sequence[MarketPool], token: str) -> list[RoundTrip]:
    """Every way from a token through two or three pools, each once, back to it."""
    found = []
    numbers = range(len(pools))
    for length in (2, 3):
        for way in permutations(numbers, length):
            held = token
            for number in way:
                held = other_token(pools[number], held)
                if not held:
                    break
            if held == token:
                found.append(RoundTrip(way, token))
    return found


def other_token(pool: MarketPool, token: str) -> str:
    """What a pool gives for a token; nothing if it does not have it."""
    if token == pool.token0.address:
        return pool.token1.address
    return pool.token0.address if token == pool.token1.address else ""


def best_chance(trip: RoundTrip, pools: Sequence[MarketPool], depths: Sequence[Depth]) -> TripChance | None:
    """The amount that earns most on a round trip; None if none earns."""
    legs = []
    held = trip.token
    for number in trip.pools:
        legs.append((*depths[number].facing(pools[number], held), 1 - fee_of(pools[number]) / PIPS))
        held = other_token(pools[number], held)
    into, out, first_share = map(float, legs[0])
    for x, y, share in legs[1:]:
        through = x + share * out
        if not through:
            return None
        into, out = into * x / through, share * out * y / through
    if first_share * out <= into:
        return None
    amounts = [int((math.sqrt(first_share * into * out) - into) / first_share)]
    for x, y, share in legs:
        amount = amounts[-1] * share
        amounts.append(int(y * amount / (x + amount)))
    found = TripChance(trip, tuple(amounts))
    return found if found.earned > 0 and min(amounts) > 0 else None
