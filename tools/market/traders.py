"""Who wants what of the next block: decided by what is seen at the end of the last one, and by a seed.

    noise       sells any amount in any pool, either way: what makes pools differ
    trend       follows the values of the tokens, which walk and drift; moves one pool towards them
    arbitrage   sees the best round trip, and takes part of what it earns, half of the time
    liquidity   adds and removes liquidity, around the price where a pool has ranges

Values are whole numbers and so is every amount, but for the arbitrage's (`cycles`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from tools.market.cycles import RoundTrip, best_chance, other_token, round_trips
from tools.market.place import SPACINGS, TRADERS, Depth, MarketPlace, MarketPool, Transaction

DEFAULT_RATES = {"noise": 6, "trend": 2, "arbitrage": 2, "liquidity": 1}
"""Actions of a block at most, by kind of trader."""
LARGEST_NOISE = 160
NOISE_UNIT = 2_000_000
"""A noise trade is k^2 of so many parts of a pool's depth, k at most LARGEST_NOISE: 1.3 %, mostly far less."""
VALUE_UNIT = 100_000
WALK, DRIFT = 60, 90
"""Of VALUE_UNIT parts: what a value moves a block at most, by chance and by its drift."""
NEW_DRIFT = 30
"""One block in so many gives a token another drift."""
GAS_OF_HOP = 120_000
WIDEST = 40
"""Spacings from the price to an end of a new V3 position at most."""


@dataclass(frozen=True)
class Action:
    """What one trader does: transactions that follow each other."""

    kind: str
    transactions: list[Transaction]


class Traders:
    """Everybody who trades on a market.

    Args:
        place: where.
        random: what decides; nothing else is random.
        rates: actions of a block at most, by kind.
    """

    def __init__(self, place: MarketPlace, random: Random, rates: Mapping[str, int]) -> None:
        self._place, self._random, self._rates = place, random, rates
        self._values = {token.address: token.plan.value * VALUE_UNIT for token in place.tokens.values()}
        self._drifts = dict.fromkeys(self._values, 0)
        self._trips: list[RoundTrip] = round_trips(place.pools, place.coin)

    def want(self, depths: Sequence[Depth], base_fee: int) -> list[Action]:
        """What all of them do in the next block, in the order in which it is sent.

        The arbitrageur comes first, as who bids most does; the others' trades make what it finds in the block after.
        """
        self._walk()
        found = self._arbitrage(depths, base_fee)
        others = [kind for kind in TRADERS for _ in range(self._how_many(kind)) if kind != "arbitrage"]
        self._random.shuffle(others)
        makers = {"noise": self._noise, "trend": self._trend, "liquidity": self._liquidity}
        for kind in others:
            made = makers[kind](depths)
            if made:
                found.append(Action(kind, made))
        return found

    def _how_many(self, kind: str) -> int:
        return self._random.randint(0, self._rates[kind])

    def _walk(self) -> None:
        """The values of a block later.  The coin's is the measure of the others as much as any."""
        for address in self._values:
            if not self._random.randrange(NEW_DRIFT):
                self._drifts[address] = self._random.randint(-DRIFT, DRIFT)
            step = self._drifts[address] + self._random.randint(-WALK, WALK)
            self._values[address] += self._values[address] * step // VALUE_UNIT
        for token in self._place.tokens.values():
            # Pulled back by a hundredth of the way, so that a long market does not leave its pools' ranges.
            beginning = token.plan.value * VALUE_UNIT
            self._values[token.address] += (beginning - self._values[token.address]) // 100

    def _any_pool(self) -> tuple[int, MarketPool]:
        number = self._random.randrange(len(self._place.pools))
        return number, self._place.pools[number]

    def _noise(self, depths: Sequence[Depth]) -> list[Transaction]:
        number, pool = self._any_pool()
        token_in = self._random.choice((pool.token0, pool.token1)).address
        held, _ = depths[number].facing(pool, token_in)
        amount = held * self._random.randint(1, LARGEST_NOISE) ** 2 // NOISE_UNIT
        return [self._place.swap(self._place.traders["noise"], pool, token_in, amount)] if amount else []

    def _trend(self, depths: Sequence[Depth]) -> list[Transaction]:
        """Moves a pool part of the way to where its tokens' values are."""
        number, pool = self._any_pool()
        depth = depths[number]
        whole0, whole1 = (
            self._values[token.address] * 10 ** (30 - token.plan.decimals) for token in (pool.token0, pool.token1)
        )
        # Both sides are worth the same where reserve0 * whole0 == reserve1 * whole1, with the same product of reserves.
        aim0 = math.isqrt(depth.reserve0 * depth.reserve1 * whole1 // whole0)
        share = self._random.randint(10, 60)
        account = self._place.traders["trend"]
        if aim0 > depth.reserve0:
            amount = (aim0 - depth.reserve0) * share // 100
            return [self._place.swap(account, pool, pool.token0.address, amount)] if amount else []
        aim1 = math.isqrt(depth.reserve0 * depth.reserve1 * whole0 // whole1)
        amount = max(aim1 - depth.reserve1, 0) * share // 100
        return [self._place.swap(account, pool, pool.token1.address, amount)] if amount else []

    def _arbitrage(self, depths: Sequence[Depth], base_fee: int) -> list[Action]:
        """The best round trips that share no pool, if they pay their gas; each with part of the best amount."""
        account, pools = self._place.traders["arbitrage"], self._place.pools
        found = [chance for trip in self._trips if (chance := best_chance(trip, pools, depths)) is not None]
        found = [one for one in found if one.earned > len(one.trip.pools) * GAS_OF_HOP * base_fee]
        found.sort(key=lambda one: (-one.earned, one.trip.pools))
        taken: set[int] = set()
        actions: list[Action] = []
        for chance in found:
            if len(actions) == self._rates["arbitrage"]:
                break
            if taken & set(chance.trip.pools):
                continue
            taken |= set(chance.trip.pools)
            if self._random.randrange(2):
                continue  # somebody else may have it
            share = self._random.randint(30, 90)
            made, held = [], chance.trip.token
            for number, amount in zip(chance.trip.pools, chance.amounts, strict=False):
                made.append(self._place.swap(account, pools[number], held, max(amount * share // 100, 1)))
                held = other_token(pools[number], held)
            actions.append(Action("arbitrage", made))
        return actions

    def _liquidity(self, depths: Sequence[Depth]) -> list[Transaction]:
        number, pool = self._any_pool()
        place, depth, account = self._place, depths[number], self._place.traders["liquidity"]
        choice, share = self._random.randrange(1 << 30), self._random.randint(1, 100)
        amounts = (depth.reserve0 * share // 5_000, depth.reserve1 * share // 5_000)
        adds = self._random.randrange(5) > 1
        if not pool.is_v3:
            if adds:
                return [place.mint_v2(account, pool, *amounts)] if min(amounts) else []
            shares = place.holding(pool.address, account) * share // 100
            return place.burn_v2(account, pool, shares) if shares else []
        if adds:
            spacing = SPACINGS[pool.plan.fee_pips]
            middle = depth.tick // spacing
            low, high = middle - self._random.randint(1, WIDEST), middle + 1 + self._random.randint(1, WIDEST)
            return [place.mint_v3(account, pool, (low * spacing, high * spacing), *(one // 10 for one in amounts))]
        held = place.position(account, choice)
        if held is None or not held[1]:
            return []
        return place.burn_v3(account, held[0], max(held[1] * share // 100, 1))
