"""Every pool this process knows, by address and by token pair, kept up to date from records.

Owns the meaning of each record for pool state: what sets it, what takes it back, what makes it unknown.  Knows neither
which prices are worth a trade nor where records come from.

    Sync, V3 Swap, Initialize            set the state
    V3 Mint, Burn                        move the liquidity if the price lies in their range
    the same, REMOVED                    restore the state before them
    Reorg                                restores every pool to its state at the fork; unknown fork: all unknown
    StateInvalidation, Gap, lost frames  state unknown until the next event or snapshot that sets it
    PoolState with SNAPSHOT              identity and fee; state too, unless an event of a later block ever came
    PoolTicks                            the tick map, which Mint and Burn then move (`kept_ticks`)

A StateInvalidation because of a reorg is ignored: the Reorg that follows restores the states instead.

A tick map as of block N needs every change of the blocks above N.  At the beginning, and after lost frames, changes are
known to be complete from the first Block that comes: a block's events never stand before its Block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from consumers.arbitrage.kept_ticks import Change
from consumers.arbitrage.pool_state import SNAPSHOT_LOG_INDEX, Entry, Pool, Price, Reserves
from tlv.codes import InvalidationScope, Protocol, Reason
from tlv.layout import (
    EventOrigin,
    PoolBurn,
    PoolCreated,
    PoolMint,
    PoolRecord,
    PoolState,
    PoolSwap,
    PoolSync,
    PoolTicks,
    Reorg,
    StateInvalidation,
    TickLiquidity,
)

UNKNOWN_FORK = bytes(32)


class PoolBook:
    """The pools of one ring."""

    def __init__(self) -> None:
        self.pools: list[Pool] = []
        self._by_address: dict[bytes, Pool] = {}
        self._by_pair: dict[tuple[bytes, bytes], list[Pool]] = {}
        self._trusted_since = 0
        self._complete_from: int | None = None
        """The lowest block of which no frame was lost; None until a Block comes."""

    def __iter__(self) -> Iterator[Pool]:
        return iter(self.pools)

    def get(self, address: bytes) -> Pool | None:
        """The pool at `address`, if any record named it."""
        return self._by_address.get(address)

    def of_pair(self, token: bytes, other: bytes) -> list[Pool]:
        """The pools that trade two tokens, in whatever order they are named."""
        return self._by_pair.get((token, other) if token < other else (other, token), [])

    def _pool(self, record: PoolRecord) -> Pool:
        pool = self._by_address.get(record.pool)
        if pool is None:
            pool = Pool(len(self.pools), record.pool, record.token0, record.token1, record.venue)
            self.pools.append(pool)
            self._by_address[record.pool] = pool
            self._by_pair.setdefault((pool.token0, pool.token1), []).append(pool)
        pool.learn(record)
        return pool

    def apply(self, record: PoolRecord, origin: EventOrigin) -> Pool | None:
        """Take in one event; the pool if its state is now another."""
        pool = self._pool(record)
        if isinstance(record, PoolCreated):
            _identify(pool, record)
            return None
        pool.last_event_block = max(pool.last_event_block, origin.block_number)
        if isinstance(record, PoolMint | PoolBurn) and record.amount:
            pool.ticks.apply(change_of(record, origin))
        value = _state_after(pool, record)
        if value is None:
            return None
        entry = Entry(origin.block_number, origin.block_hash, origin.log_index, value)
        return pool if pool.put(entry) else None

    def take_back(self, record: PoolRecord, origin: EventOrigin) -> Pool | None:
        """Undo one event that left the chain; the pool if that changed its state."""
        pool = self._by_address.get(record.pool)
        return pool if pool is not None and pool.remove(origin) else None

    def take_snapshot(self, record: PoolState) -> Pool | None:
        """Take in a snapshot; the pool if its identity or its state is now another."""
        pool = self._pool(record)
        changed = _identify(pool, record)
        value = _state_in(record)
        known = pool.current.block_number if pool.current else self._trusted_since - 1
        if value is not None and record.block_number > known and record.block_number >= pool.last_event_block:
            pool.put(Entry(record.block_number, b"", SNAPSHOT_LOG_INDEX, value))
            changed = True
        return pool if changed else None

    def take_ticks(self, part: PoolTicks, ticks: Sequence[TickLiquidity]) -> Pool | None:
        """Take in a part of a tick map; the pool if its map is now known."""
        pool = self._pool(part)
        if self._complete_from is None:
            return None
        since_block = max(self._trusted_since, self._complete_from - 1)
        return pool if pool.ticks.take(part, ticks, since_block) else None

    def see_block(self, number: int) -> None:
        """A Block came: its events are behind it."""
        if self._complete_from is None:
            self._complete_from = number

    def reorganise(self, reorg: Reorg) -> list[Pool]:
        """Go back to the fork; the pools whose state changed by it."""
        if reorg.fork_hash == UNKNOWN_FORK:
            return self.invalidate()
        return [pool for pool in self.pools if pool.roll_back(reorg.fork_number)]

    def apply_invalidation(self, invalidation: StateInvalidation) -> list[Pool]:
        """Make unknown what a StateInvalidation takes back; the pools whose state changed by it."""
        if invalidation.reason == Reason.REORG:
            return []
        if invalidation.scope == InvalidationScope.ONE_POOL:
            pool = self._by_address.get(invalidation.pool)
            return [] if pool is None else _forget([pool])
        return self.invalidate(invalidation.since_block)

    def lose(self) -> list[Pool]:
        """Frames were lost: every state is unknown, and the changes of the tick maps are incomplete."""
        self._complete_from = None
        for pool in self.pools:
            pool.ticks.lose()
        return self.invalidate()

    def invalidate(self, since_block: int = 0) -> list[Pool]:
        """Every state is unknown from now on; snapshots older than `since_block` do not help."""
        self._trusted_since = max(self._trusted_since, since_block)
        return _forget(self.pools)


def _identify(pool: Pool, record: PoolState | PoolCreated) -> bool:
    """Take over what is fixed about a pool; whether that changed.  A fee of 0 on the wire means that it is unknown."""
    known = (pool.protocol, pool.fee_pips, pool.tick_spacing)
    pool.protocol, pool.fee_pips, pool.tick_spacing = record.protocol, record.fee_pips or None, record.tick_spacing
    return known != (pool.protocol, pool.fee_pips, pool.tick_spacing)


def change_of(record: PoolMint | PoolBurn, origin: EventOrigin) -> Change:
    """What a Mint or Burn does to its pool's tick map."""
    amount = record.amount if isinstance(record, PoolMint) else -record.amount
    place = (origin.block_number, origin.block_hash, origin.log_index)
    return Change(*place, record.tick_lower, record.tick_upper, amount)


def _forget(pools: list[Pool]) -> list[Pool]:
    for pool in pools:
        pool.ticks.void()
    known = [pool for pool in pools if pool.history]
    for pool in known:
        pool.history.clear()
    return known


def _state_after(pool: Pool, record: PoolRecord) -> Reserves | Price | None:
    """The state an event leaves behind; None if it leaves it as it was, or unknown."""
    match record:
        case PoolSync():
            pool.protocol = pool.protocol or Protocol.UNISWAP_V2
            return Reserves(record.reserve0, record.reserve1)
        case PoolSwap() if record.protocol != Protocol.UNISWAP_V2:
            return Price(record.sqrt_price_x96, record.liquidity, record.tick)
        case PoolMint() | PoolBurn() if record.protocol != Protocol.UNISWAP_V2 and pool.current is not None:
            held = pool.current.value
            if not isinstance(held, Price) or not record.tick_lower <= held.tick < record.tick_upper:
                return None
            change = record.amount if isinstance(record, PoolMint) else -record.amount
            return held._replace(liquidity=held.liquidity + change)
        case PoolState():
            return _state_in(record)
    return None


def _state_in(record: PoolState) -> Reserves | Price | None:
    if record.protocol == Protocol.UNISWAP_V2:
        return Reserves(record.reserve0, record.reserve1) if record.reserve0 and record.reserve1 else None
    return Price(record.sqrt_price_x96, record.liquidity, record.tick) if record.sqrt_price_x96 else None
