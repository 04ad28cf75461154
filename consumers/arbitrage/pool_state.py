"""One pool: its identity, its state, and its recent states.

Owns the states before the current one too, so that a reorg restores exactly the state at the fork.  Knows no other pool
and no message.

A state is known from a pool's own events alone: a V2 pool from its last Sync; a V3 pool's price and liquidity from its
last Swap, plus later Mint and Burn around the price, of V4 PoolLiquidity.  `history` is contiguous: it begins where
the pool became known and lacks nothing since.  Whatever breaks that empties it, and an empty history means: unknown, do
not trade.
`ticks` has the liquidity beyond a V3 pool's current range, if the collector reads tick maps (`--watch-ticks`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from consumers.arbitrage.kept_fees import KeptFees
from consumers.arbitrage.kept_ticks import KEPT_BLOCKS, KeptTicks
from tlv.codes import UNKNOWN_DECIMALS, Protocol
from tlv.layout import EventOrigin, PoolRecord

HOLDS_RESERVES = frozenset((Protocol.UNISWAP_V2, Protocol.SOLIDLY, Protocol.VELODROME))
"""Protocols whose pools' state is two reserves; that of others is a price."""
SAYS_NO_PRICE = frozenset((Protocol.BALANCER_V2, Protocol.CURVE, Protocol.DODO, Protocol.WOOFI))
"""Protocols whose swaps say none: they set no state."""
SOLIDLY_TYPE = frozenset((Protocol.SOLIDLY, Protocol.VELODROME))
"""Of these, those whose pools each have a curve."""


class Reserves(NamedTuple):
    """State of a V2 pool, and of a pair of Solidly's type."""

    reserve0: int
    reserve1: int


class Price(NamedTuple):
    """State of a V3 or V4 pool inside its current range."""

    sqrt_price_x96: int
    liquidity: int
    tick: int


class Entry(NamedTuple):
    """A state, and the event that set it.  A snapshot has no event: empty hash, and a log index before every event's,
    so that any event of its block counts as newer."""

    block_number: int
    block_hash: bytes
    log_index: int
    value: Reserves | Price


SNAPSHOT_LOG_INDEX = -1


@dataclass(slots=True, eq=False)
class Pool:
    """A pool as this process knows it: one of more than two coins is a `Pool` for each pair."""

    index: int
    """Dense number, the row of the screening table."""
    address: bytes
    token0: bytes
    token1: bytes
    venue: int
    protocol: int = 0
    """0 until an event or a snapshot sets it."""
    decimals0: int = UNKNOWN_DECIMALS
    decimals1: int = UNKNOWN_DECIMALS
    fee_pips: int | None = None
    """Of token0 that goes in; None until it is told: without its fee a pool cannot be quoted.  An Algebra pool's is
    that of the next block, which follows from its FeeState and what came since."""
    fee_pips_back: int | None = None
    """Of token1 that goes in: another one in Uniswap V4, where the protocol may charge each way."""
    fee_changed: int = 0
    """The block whose PoolFee said that a V4 pool's fees are others now: snapshots of earlier ones do not know."""
    hooks: bytes = bytes(20)
    """The contract that a V4 pool calls at each swap, which may change what it pays; zero if none."""
    tick_spacing: int = 0
    curve: int = 0
    """Of `tlv.codes.Curve`: how a pair of Solidly's type swaps; 0 until a snapshot sets it.  Others have none."""
    history: list[Entry] = field(default_factory=list)
    ticks: KeptTicks = field(default_factory=KeptTicks)
    fees: KeptFees = field(default_factory=KeptFees)
    last_event_block: int = 0
    """The newest block of any event of the pool, also of one whose state was dropped since."""

    @property
    def current(self) -> Entry | None:
        """The last known state; None if the pool is invalidated or was never seen."""
        return self.history[-1] if self.history else None

    def learn(self, record: PoolRecord) -> None:
        """Take over the decimals of a record of this pool and pair; a value, once known, stays."""
        if record.decimals0 != UNKNOWN_DECIMALS:
            self.decimals0 = record.decimals0
        if record.decimals1 != UNKNOWN_DECIMALS:
            self.decimals1 = record.decimals1

    def put(self, entry: Entry) -> bool:
        """Insert a state and drop those too old for any reorg, but for the newest of these; whether it is the current.

        An event that comes after newer ones of its pool is inserted before them.  A V3 state follows from the one
        before it, so there a late event makes the pool unknown instead.
        """
        position = len(self.history)
        while position and self.history[position - 1][0:3:2] > (entry.block_number, entry.log_index):
            position -= 1
        late = position < len(self.history)
        if late and isinstance(entry.value, Price):
            self.history.clear()
            return True
        self.history.insert(position, entry)
        oldest = entry.block_number - KEPT_BLOCKS
        keep_from = 0
        while keep_from + 1 < len(self.history) and self.history[keep_from + 1].block_number < oldest:
            keep_from += 1
        del self.history[:keep_from]
        return not late

    def fee(self, *, falls: bool) -> int | None:
        """What it takes of token0 that goes in (`falls`), or of token1."""
        return self.fee_pips if falls else self.fee_pips_back

    def learn_fees(self, of_token0: int | None, of_token1: int | None) -> bool:
        """Take over the fees; whether these are others."""
        known = (self.fee_pips, self.fee_pips_back)
        self.fee_pips, self.fee_pips_back = of_token0, of_token1
        return known != (of_token0, of_token1)

    def remove(self, origin: EventOrigin) -> bool:
        """Take back the state of one event that left the chain; whether there was one."""
        self.ticks.take_back(origin)
        self.fees.take_back(origin)
        for position in range(len(self.history) - 1, -1, -1):
            entry = self.history[position]
            if entry.block_hash == origin.block_hash and entry.log_index == origin.log_index:
                del self.history[position]
                return True
        return False

    def roll_back(self, fork_number: int) -> bool:
        """Forget every state of a block above the fork; whether there was one."""
        self.ticks.roll_back(fork_number)
        self.fees.roll_back(fork_number)
        self.last_event_block = min(self.last_event_block, fork_number)
        if self.fee_changed > fork_number:
            self.fee_changed = fork_number
            self.learn_fees(None, None)
        kept = len(self.history)
        while kept and self.history[kept - 1].block_number > fork_number:
            kept -= 1
        changed = kept < len(self.history)
        del self.history[kept:]
        return changed

    @property
    def is_solidly(self) -> bool:
        """Whether it is a pair of Solidly's type, which swaps on its `curve`."""
        return self.protocol in SOLIDLY_TYPE

    @property
    def fee_moves(self) -> bool:
        """Whether the fee of the next block is another than is known: an Algebra pool's without FeeStates."""
        return self.protocol == Protocol.ALGEBRA and not self.fees.followed

    def renew_fee(self, timestamp: int | None) -> bool:
        """Set the fee to that of a block of this timestamp, if that is known; whether it is another."""
        fee = None if timestamp is None else self.fees.fee_at(timestamp)
        return self.learn_fees(fee, fee)

    @property
    def is_hooked(self) -> bool:
        """Whether a contract of somebody's may change what a swap pays."""
        return any(self.hooks)
