"""Every pool this process knows, by address and by token pair, kept up to date from records.  A pool of more than two
coins has an entry for each pair that a record named.

Owns the meaning of each record for pool state: what sets it, what takes it back, what makes it unknown.  Knows neither
which prices are worth a trade nor where records come from.

    Sync, V3 Swap, Initialize            set the state
    V3 Mint, Burn, V4 PoolLiquidity      move the liquidity if the price lies in their range
    the same, REMOVED                    restore the state before them
    Reorg                                restores every pool to its state at the fork; unknown fork: all unknown
    StateInvalidation, Gap, lost frames  state unknown until the next event or snapshot that sets it
    PoolState with SNAPSHOT              identity and fee; state too, unless an event of a later block ever came
    PoolTicks                            the tick map, which Mint and Burn then move (`kept_ticks`)
    a Swap of price 0                    nothing: those of Balancer, Curve, DODO, WOOFi say no state
    V4 Swap, Initialize                  say the fee of their direction, and of both
    V4 PoolFee                           both fees are others now; the next PoolState says which
    FeeState                             what Algebra's fee follows from, which its events then move (`kept_fees`)
    Block                                the fee of Algebra pools in the block after it
    PoolFee                              the fee, but of Algebra and V4
    Solidly's Swap                       shows the fee, with the Sync in front of it

A StateInvalidation because of a reorg is ignored: the Reorg that follows restores the states instead.

The next block is taken to come as long after the newest as that came after the one before.

A tick map as of block N needs every change of the blocks above N.  At the beginning, and after lost frames, changes are
known to be complete from the first Block that comes: a block's events never stand before its Block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from consumers.arbitrage.constant_product import FEE_UNIT
from consumers.arbitrage.kept_ticks import Change
from consumers.arbitrage.pool_state import (
    HOLDS_RESERVES,
    SAYS_NO_PRICE,
    SNAPSHOT_LOG_INDEX,
    Entry,
    Pool,
    Price,
    Reserves,
)
from consumers.arbitrage.solidly import fee_fraction, shown_fee
from consumers.arbitrage.taxed_tokens import TaxedTokens, fall_of
from tlv.codes import InvalidationScope, Protocol, Reason
from tlv.layout import (
    Block,
    EventOrigin,
    FeeState,
    PoolBurn,
    PoolCreated,
    PoolFee,
    PoolLiquidity,
    PoolMint,
    PoolRecord,
    PoolState,
    PoolSwap,
    PoolSync,
    PoolTicks,
    Reorg,
    StateInvalidation,
    TickLiquidity,
    Timepoint,
)

UNKNOWN_FORK = bytes(32)


class PoolBook:
    """The pools of one ring."""

    def __init__(self) -> None:
        self.pools: list[Pool] = []
        self.taxed = TaxedTokens()
        self._by_address: dict[bytes, list[Pool]] = {}
        """One for each pair of its coins, that of its first record first."""
        self._by_pair: dict[tuple[bytes, bytes], list[Pool]] = {}
        self._trusted_since = 0
        self._complete_from: int | None = None
        """The lowest block of which no frame was lost; None until a Block comes."""
        self._newest: Block | None = None
        self._pace_s = 0
        self.next_timestamp: int | None = None
        """Of the block that comes next; None until two came one after the other."""

    def __iter__(self) -> Iterator[Pool]:
        return iter(self.pools)

    def get(self, address: bytes) -> Pool | None:
        """The pool at `address`, if any record named it; of one of several pairs the first that was named."""
        return next(iter(self._by_address.get(address, ())), None)

    def of_pair(self, token: bytes, other: bytes) -> list[Pool]:
        """The pools that trade two tokens, in whatever order they are named."""
        return self._by_pair.get((token, other) if token < other else (other, token), [])

    def find(self, record: PoolRecord) -> Pool | None:
        """The pool and pair of a record, if any before named them."""
        for pool in self._by_address.get(record.pool, ()):
            if pool.token0 == record.token0 and pool.token1 == record.token1:
                return pool
        return None

    def _pool(self, record: PoolRecord) -> Pool:
        pool = self.find(record)
        if pool is None:
            pool = Pool(len(self.pools), record.pool, record.token0, record.token1, record.venue)
            self.pools.append(pool)
            self._by_address.setdefault(record.pool, []).append(pool)
            self._by_pair.setdefault((pool.token0, pool.token1), []).append(pool)
        pool.learn(record)
        return pool

    def apply(self, record: PoolRecord, origin: EventOrigin) -> Pool | None:
        """Take in one event; the pool if its state is now another."""
        pool = self._pool(record)
        if isinstance(record, PoolCreated):
            _identify(pool, record)
            return None
        if isinstance(record, PoolFee) and record.protocol != Protocol.UNISWAP_V4:
            return pool if _charge(pool, record) else None
        pool.last_event_block = max(pool.last_event_block, origin.block_number)
        if isinstance(record, PoolMint | PoolBurn | PoolLiquidity) and added_by(record):
            pool.ticks.apply(change_of(record, origin))
        if record.protocol == Protocol.UNISWAP_V4 and _fee_after(pool, record, origin):
            return pool
        if isinstance(record, PoolSwap | PoolMint | PoolBurn) and record.protocol == Protocol.ALGEBRA:
            pool.fees.apply(record, origin)
            self._renew_fee(pool)
        if isinstance(record, PoolSwap):
            self.taxed.take(record, origin, pool.history)
            if pool.is_solidly and _show_fee(pool, record, origin):
                return pool
        value = _state_after(pool, record)
        if value is None:
            return None
        entry = Entry(origin.block_number, origin.block_hash, origin.log_index, value)
        return pool if pool.put(entry) else None

    def take_back(self, record: PoolRecord, origin: EventOrigin) -> Pool | None:
        """Undo one event that left the chain; the pool if that changed its state."""
        pool = self.find(record)
        if pool is None:
            return None
        if isinstance(record, PoolFee) and record.protocol == Protocol.UNISWAP_V4:
            return pool if pool.learn_fees(None, None) else None
        changed = pool.remove(origin)
        return pool if self._renew_fee(pool) or changed else None

    def take_snapshot(self, record: PoolState) -> Pool | None:
        """Take in a snapshot; the pool if its identity or its state is now another."""
        pool = self._pool(record)
        changed = _identify(pool, record)
        if _says_fees(record) and record.block_number >= max(pool.fee_changed, self._trusted_since):
            changed |= pool.learn_fees(record.fee_pips, record.fee_pips_back)
        self._renew_fee(pool)
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

    def take_fees(self, state: FeeState, points: Sequence[Timepoint]) -> Pool | None:
        """Take in a FeeState; the pool if its fee is now another."""
        pool = self._pool(state)
        if self._complete_from is None:
            return None
        since_block = max(self._trusted_since, self._complete_from - 1)
        taken = pool.fees.take(state, points, since_block)
        return pool if taken and self._renew_fee(pool) else None

    def see_block(self, block: Block) -> list[Pool]:
        """A Block came: its events are behind it.  The pools whose fee in the block after it is another."""
        if self._complete_from is None:
            self._complete_from = block.number
        before, self._newest = self._newest, block
        if before is not None and before.timestamp and block.number == before.number + 1:
            self._pace_s = max(block.timestamp - before.timestamp, 1)
        if self._pace_s:
            self.next_timestamp = block.timestamp + self._pace_s
        return [pool for pool in self.pools if self._renew_fee(pool)]

    def _renew_fee(self, pool: Pool) -> bool:
        return pool.fees.followed and pool.renew_fee(self.next_timestamp)

    def reorganise(self, reorg: Reorg) -> list[Pool]:
        """Go back to the fork; the pools whose state changed by it."""
        if reorg.fork_hash == UNKNOWN_FORK:
            return self.invalidate()
        return [pool for pool in self.pools if pool.roll_back(reorg.fork_number) | self._renew_fee(pool)]

    def apply_invalidation(self, invalidation: StateInvalidation) -> list[Pool]:
        """Make unknown what a StateInvalidation takes back; the pools whose state changed by it."""
        if invalidation.reason == Reason.REORG:
            return []
        if invalidation.scope == InvalidationScope.ONE_POOL:
            return _forget(self._by_address.get(invalidation.pool, []))
        return self.invalidate(invalidation.since_block)

    def lose(self) -> list[Pool]:
        """Frames were lost: every state is unknown, and the changes of the tick maps are incomplete."""
        self._complete_from = None
        for pool in self.pools:
            pool.ticks.lose()
            pool.fees.lose()
        return self.invalidate()

    def invalidate(self, since_block: int = 0) -> list[Pool]:
        """Every state is unknown from now on; snapshots older than `since_block` do not help."""
        self._trusted_since = max(self._trusted_since, since_block)
        return _forget(self.pools)


def _identify(pool: Pool, record: PoolState | PoolCreated) -> bool:
    """Take over what is fixed about a pool; whether that changed.  A fee of 0 on the wire means that it is unknown, but
    for V4, whose fees are told with its price."""
    known = (pool.protocol, pool.tick_spacing, pool.hooks, pool.curve)
    pool.protocol, pool.tick_spacing = record.protocol, record.tick_spacing
    if isinstance(record, PoolState):
        pool.hooks, pool.curve = record.hooks, record.curve
    changed = known != (pool.protocol, pool.tick_spacing, pool.hooks, pool.curve)
    if record.protocol == Protocol.UNISWAP_V4 or pool.fees.followed:
        return changed
    return pool.learn_fees(record.fee_pips or None, record.fee_pips or None) or changed


def _show_fee(pool: Pool, swap: PoolSwap, origin: EventOrigin) -> bool:
    """Take over the fee that a swap of a pair of Solidly's type shows, for its factory may change it without an event;
    whether it is another.  What came in of the coin of which none went out is in the reserve, but for the fee."""
    fell = fall_of(origin, pool.history)
    if fell is None or pool.fee_pips is None:
        return False
    flows = (swap.amount0_in, swap.amount0_out, fell[0]), (swap.amount1_in, swap.amount1_out, fell[1])
    for came, went, fallen in flows:
        if came > 0 and went == 0:
            parts = fee_fraction(pool.fee_pips)
            shown = shown_fee(came, came + fallen)
            if came * parts[0] // parts[1] != came + fallen and shown is not None and shown > 0:
                return pool.learn_fees(shown, shown)
    return False


def _says_fees(record: PoolState) -> bool:
    return record.protocol == Protocol.UNISWAP_V4 and record.sqrt_price_x96 != 0


def _fee_after(pool: Pool, record: PoolRecord, origin: EventOrigin) -> bool:
    """Take over what an event says of a V4 pool's fees; whether it is only that they changed."""
    pool.protocol = record.protocol
    match record:
        case PoolFee():
            pool.fee_changed = origin.block_number
            return pool.learn_fees(None, None)
        case PoolSwap() if record.amount0_in:
            pool.fee_pips = record.swap_fee_pips
        case PoolSwap() if record.amount1_in:
            pool.fee_pips_back = record.swap_fee_pips
        case PoolState():  # of a new pool: the protocol charges nothing yet
            _identify(pool, record)
            fee = record.fee_pips if record.fee_pips <= FEE_UNIT else None
            pool.learn_fees(fee, fee)
    return False


def _charge(pool: Pool, record: PoolFee) -> bool:
    """Take over the fee; whether it is another.  What Algebra's last swap paid says nothing of the next."""
    return record.protocol != Protocol.ALGEBRA and pool.learn_fees(record.fee_pips, record.fee_pips)


def added_by(record: PoolMint | PoolBurn | PoolLiquidity) -> int:
    """The liquidity that it adds between its ticks; negative if it takes some out."""
    match record:
        case PoolLiquidity():
            return record.liquidity_delta
        case PoolMint():
            return record.amount
        case PoolBurn():
            return -record.amount


def change_of(record: PoolMint | PoolBurn | PoolLiquidity, origin: EventOrigin) -> Change:
    """What a Mint, Burn or PoolLiquidity does to its pool's tick map."""
    place = (origin.block_number, origin.block_hash, origin.log_index)
    return Change(*place, record.tick_lower, record.tick_upper, added_by(record))


def _forget(pools: list[Pool]) -> list[Pool]:
    for pool in pools:
        pool.ticks.void()
        if pool.protocol == Protocol.UNISWAP_V4:
            pool.learn_fees(None, None)
        if pool.fees.followed:
            pool.fees.void()
            pool.learn_fees(None, None)
    known = [pool for pool in pools if pool.history]
    for pool in known:
        pool.history.clear()
    return known


def _state_after(pool: Pool, record: PoolRecord) -> Reserves | Price | None:
    """The state an event leaves behind; None if it leaves it as it was, or unknown."""
    match record:
        case PoolSync():
            pool.protocol = pool.protocol or record.protocol
            return Reserves(record.reserve0, record.reserve1)
        case PoolSwap() if record.protocol in SAYS_NO_PRICE:
            pool.protocol = record.protocol
        case PoolSwap() if record.protocol not in HOLDS_RESERVES:
            return Price(record.sqrt_price_x96, record.liquidity, record.tick)
        case PoolMint() | PoolBurn() | PoolLiquidity() if (
            record.protocol not in HOLDS_RESERVES and pool.current is not None
        ):
            held = pool.current.value
            if not isinstance(held, Price) or not record.tick_lower <= held.tick < record.tick_upper:
                return None
            return held._replace(liquidity=held.liquidity + added_by(record))
        case PoolState():
            return _state_in(record)
    return None


def _state_in(record: PoolState) -> Reserves | Price | None:
    if record.protocol in HOLDS_RESERVES:
        return Reserves(record.reserve0, record.reserve1) if record.reserve0 and record.reserve1 else None
    return Price(record.sqrt_price_x96, record.liquidity, record.tick) if record.sqrt_price_x96 else None
