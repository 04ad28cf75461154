"""What the chain's coin is worth in another token, by the pools that are followed anyway.

Owns the choice of the pool that sets the rate, and the conversion.  The rate is the mid price of the deepest pool
between the token and the wrapped coin; both numbers are in the signal, so that a reader converts exactly the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from consumers.arbitrage.legs import reserves_of
from consumers.arbitrage.pool_book import PoolBook
from consumers.arbitrage.pool_state import Pool

NO_POOL = bytes(20)


class Rate(NamedTuple):
    """`tokens` base units of a token are worth `wei` of the chain's coin; 0 and 0: unknown."""

    wei: int
    tokens: int
    pool: bytes

    def cost(self, wei: int) -> int:
        """What `wei` cost in the token, rounded up; 0 if the rate is unknown."""
        return -(-wei * self.tokens // self.wei) if self.wei else 0

    def worth(self, tokens: int) -> int:
        """What an amount of the token is worth in wei, rounded down; the rate must be known."""
        return tokens * self.wei // self.tokens


UNKNOWN_RATE = Rate(0, 0, NO_POOL)


def rate_of(book: PoolBook, token: bytes, native: bytes, trusted: Callable[[Pool], bool]) -> Rate:
    """The rate of `token`; `trusted` says whether a pool's state may be relied on."""
    if token == native:
        return Rate(1, 1, NO_POOL)
    best = UNKNOWN_RATE
    for pool in book.of_pair(token, native):
        if not trusted(pool):
            continue
        reserve0, reserve1 = reserves_of(pool)
        wei, tokens = (reserve0, reserve1) if pool.token0 == native else (reserve1, reserve0)
        if tokens > 0 and wei > best.wei:
            best = Rate(wei, tokens, pool.address)
    return best
