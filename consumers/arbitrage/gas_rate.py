"""What the chain's coin is worth in another token, by the pools that are followed anyway.

Owns the choice of the pool that sets the rate, and the conversion.  The rate is the mid price of the deepest pool
between the token and the wrapped coin; both numbers are in the signal, so that a reader converts exactly the same.
"""

from __future__ import annotations

from typing import NamedTuple

from consumers.arbitrage.legs import reserves_of
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


class Rates:
    """The rate of every token that has a pool with the wrapped coin."""

    def __init__(self, native: bytes) -> None:
        self._native = native
        self._by_pool: dict[bytes, dict[int, Rate]] = {}
        self._best = {native: Rate(1, 1, NO_POOL)}

    def of(self, token: bytes) -> Rate:
        """The rate of a token."""
        return self._best.get(token, UNKNOWN_RATE)

    def renew(self, pool: Pool, *, usable: bool) -> bytes | None:
        """Take over a pool's state, or leave it out if it cannot be relied on; the token of which that is a rate."""
        if self._native not in {pool.token0, pool.token1}:
            return None
        token = pool.token1 if pool.token0 == self._native else pool.token0
        rates = self._by_pool.setdefault(token, {})
        rates.pop(pool.index, None)
        if usable:
            reserve0, reserve1 = reserves_of(pool)
            wei, tokens = (reserve0, reserve1) if pool.token0 == self._native else (reserve1, reserve0)
            if wei > 0 and tokens > 0:
                rates[pool.index] = Rate(wei, tokens, pool.address)
        self._best[token] = max(rates.values(), default=UNKNOWN_RATE)
        return token
