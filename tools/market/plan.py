"""Which tokens and pools a market has: by their number alone, so that a seed gives the same market everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product

DOLLAR = 10**6
"""Values are whole millionths of a dollar for one whole token."""


@dataclass(frozen=True)
class PlannedToken:
    """A token of the market, its decimals, and what one of it is worth at the beginning in millionths of a dollar."""

    symbol: str
    name: str
    decimals: int
    value: int


@dataclass(frozen=True)
class PlannedPool:
    """A pool to be made: where, of which tokens, for which fee, and the dollars on each of its sides."""

    venue: str
    pair: tuple[str, str]
    fee_pips: int
    depth: int


COIN = "WETH"
"""The token that wraps the chain's coin."""
TOKENS = (
    PlannedToken(COIN, "Wrapped Ether", 18, 3_000 * DOLLAR),
    PlannedToken("USDC", "USD Coin", 6, DOLLAR),
    PlannedToken("USDT", "Tether USD", 6, DOLLAR),
    PlannedToken("WBTC", "Wrapped BTC", 8, 60_000 * DOLLAR),
    PlannedToken("DAI", "Dai Stablecoin", 18, DOLLAR),
    PlannedToken("LINK", "ChainLink Token", 18, 15 * DOLLAR),
)
NORTH, SOUTH, V3 = "local.north_v2", "local.south_v2", "local.uniswap_v3"
V2_FEE = 3000
DEPTH = 400_000
FIRST = (
    PlannedPool(NORTH, (COIN, "USDC"), V2_FEE, 2 * DEPTH),
    PlannedPool(SOUTH, (COIN, "USDC"), V2_FEE, DEPTH),
    PlannedPool(V3, (COIN, "USDC"), 500, 2 * DEPTH),
    PlannedPool(NORTH, ("WBTC", COIN), V2_FEE, DEPTH),
    PlannedPool(V3, ("WBTC", COIN), 3000, DEPTH),
    PlannedPool(SOUTH, ("WBTC", "USDC"), V2_FEE, DEPTH),
    PlannedPool(NORTH, (COIN, "USDT"), V2_FEE, DEPTH),
    PlannedPool(V3, ("USDC", "USDT"), 500, DEPTH),
    PlannedPool(NORTH, ("DAI", COIN), V2_FEE, DEPTH),
    PlannedPool(SOUTH, ("DAI", "USDC"), V2_FEE, DEPTH),
    PlannedPool(NORTH, ("LINK", COIN), V2_FEE, DEPTH),
    PlannedPool(SOUTH, ("LINK", "USDC"), V2_FEE, DEPTH),
)
"""Two pools of one pair on two exchanges, and triangles, from the second pool and the sixth on."""


def planned_pools(number: int) -> list[PlannedPool]:
    """The first `number` pools: those of `FIRST`, then every other pair on every venue.

    `MOST_POOLS` is what there is.
    """
    taken = {(pool.venue, frozenset(pool.pair), pool.fee_pips) for pool in FIRST}
    rest = [
        PlannedPool(venue, pair, fee, DEPTH // 2)
        for (venue, fee), pair in product(
            ((NORTH, V2_FEE), (SOUTH, V2_FEE), (V3, 500), (V3, 3000), (V3, 10_000)),
            combinations([token.symbol for token in TOKENS], 2),
        )
        if (venue, frozenset(pair), fee) not in taken
    ]
    return [*FIRST, *rest][:number]


MOST_POOLS = len(planned_pools(1 << 10))
