"""What is known of each pool: its price and liquidity now and before its newest block, in integers.

Owns the reading of events and the bound on memory.  A V2 pool's liquidity is the root of its reserves' product, which
swaps leave alone; a V3 pool's is what is active at its tick, followed through Mint and Burn, while a Swap into another
range rescales what it is compared with.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt

from tlv.layout import EventOrigin, PoolBurn, PoolLiquidity, PoolMint, PoolRecord, PoolState, PoolSwap, PoolSync

MOST_POOLS = 20_000
"""Pools that are followed; the one without an event for the longest is forgotten.  Some 1 KiB each."""
PRICE_BITS = 192
"""Prices are token1 for token0 in base units, times 2^192: the square of a sqrtPriceX96 as it is."""
LIQUIDITY_BLOCKS = 64
"""Liquidity is compared with the most that the pool had within so many blocks."""

Pair = tuple[bytes, bytes]


@dataclass(slots=True)
class WatchedPool:
    """One pool; None is what is not known."""

    pool: bytes
    pair: Pair
    """That of its first record.  A pool of more than two coins has others, too, but its records say no price."""
    venue: int
    price: int | None = None
    price_before: int | None = None
    """At the end of the block before `block_number`."""
    liquidity: int | None = None
    most_liquidity: int | None = None
    most_at: int = -1
    """The block of it."""
    tick: int | None = None
    block_number: int = -1
    """Of its newest event."""
    block_hash: bytes = bytes(32)
    first: int = 0
    """Sequence of its first event in that block."""
    is_judged: bool = True
    """No event came since it was judged."""


class WatchedPools:
    """The pools, by id and by pair of tokens."""

    def __init__(self) -> None:
        self._pools: OrderedDict[bytes, WatchedPool] = OrderedDict()
        self._pairs: dict[Pair, dict[bytes, WatchedPool]] = {}
        self._unjudged: dict[bytes, WatchedPool] = {}

    def __len__(self) -> int:
        return len(self._pools)

    def find(self, pool: bytes) -> WatchedPool | None:
        """A pool that is followed."""
        return self._pools.get(pool)

    def others(self, pool: WatchedPool) -> Iterator[WatchedPool]:
        """The other pools of its pair."""
        return (other for other in self._pairs[pool.pair].values() if other is not pool)

    def of(self, record: PoolRecord) -> WatchedPool:
        """The pool of an event, followed from now on."""
        pool = self._pools.get(record.pool)
        if pool is None:
            pool = WatchedPool(record.pool, (record.token0, record.token1), record.venue)
            self._pools[record.pool] = pool
            self._pairs.setdefault(pool.pair, {})[pool.pool] = pool
            if len(self._pools) > MOST_POOLS:
                self.forget(next(iter(self._pools)))
        else:
            self._pools.move_to_end(record.pool)
        return pool

    def enter(self, pool: WatchedPool, origin: EventOrigin, sequence: int) -> None:
        """Its first event of a block: what holds now is what held before that block."""
        pool.price_before = pool.price
        pool.block_number, pool.block_hash, pool.first = origin.block_number, origin.block_hash, sequence
        if pool.most_at < 0:
            pool.most_at = origin.block_number
        pool.is_judged = False
        self._unjudged[pool.pool] = pool

    def take_unjudged(self, number: int) -> list[WatchedPool]:
        """The pools whose newest event is of this block or one before, each once."""
        due = [pool for pool in self._unjudged.values() if pool.block_number <= number]
        for pool in due:
            pool.is_judged = True
            del self._unjudged[pool.pool]
        return due

    def forget(self, pool: bytes) -> None:
        """Nothing holds of a pool any more."""
        gone = self._pools.pop(pool, None)
        if gone is not None:
            self._unjudged.pop(pool, None)
            same = self._pairs[gone.pair]
            del same[pool]
            if not same:
                del self._pairs[gone.pair]

    def forget_all(self) -> None:
        """Nothing holds of any pool any more."""
        self._pools.clear()
        self._pairs.clear()
        self._unjudged.clear()


def apply_event(pool: WatchedPool, record: PoolRecord) -> None:
    """What an event says of its pool."""
    match record:
        case PoolSync():
            set_reserves(pool, record.reserve0, record.reserve1)
        case PoolState():
            if record.sqrt_price_x96:
                set_range(pool, record.sqrt_price_x96, record.liquidity, record.tick)
            elif record.reserve0 or record.reserve1:
                set_reserves(pool, record.reserve0, record.reserve1)
        case PoolSwap():
            if record.sqrt_price_x96:
                set_range(pool, record.sqrt_price_x96, record.liquidity, record.tick)
        case PoolMint():
            move_liquidity(pool, record, record.amount)
        case PoolBurn():
            move_liquidity(pool, record, -record.amount)
        case PoolLiquidity():
            move_liquidity(pool, record, record.liquidity_delta)


def set_reserves(pool: WatchedPool, reserve0: int, reserve1: int) -> None:
    """A V2 pool's state."""
    pool.price = (reserve1 << PRICE_BITS) // reserve0 if reserve0 and reserve1 else None
    pool.liquidity = isqrt(reserve0 * reserve1)


def set_range(pool: WatchedPool, sqrt_price_x96: int, liquidity: int, tick: int) -> None:
    """A V3 pool's state behind a swap, perhaps in another range: the share that left stays what it was."""
    pool.price, pool.tick = sqrt_price_x96 * sqrt_price_x96, tick
    if pool.liquidity and pool.most_liquidity:
        pool.most_liquidity = pool.most_liquidity * liquidity // pool.liquidity
    else:
        pool.most_liquidity = liquidity
    pool.liquidity = liquidity


def move_liquidity(pool: WatchedPool, record: PoolMint | PoolBurn | PoolLiquidity, amount: int) -> None:
    """A V3 position that grows or shrinks counts where it is active; V2 says the same by Sync."""
    if pool.tick is None or pool.liquidity is None or not record.tick_lower <= pool.tick < record.tick_upper:
        return
    pool.liquidity = max(pool.liquidity + amount, 0)
