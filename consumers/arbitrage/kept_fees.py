"""What decides one Algebra pool's fee: taken whole from FeeState messages, then moved by the pool's own events.

Owns the rule which events apply to a FeeState, and when the fee is known.  Knows no price and no other pool.

    the FeeState is as of the end of block N; swaps, mints and burns of blocks above N apply on top
    one that is taken back is undone; a reorg below N voids the FeeState, since its block is gone
    an invalidation of states voids it too; the changes stay, since none of them was missed
    lost frames may have held changes: those kept are dropped as well

A FeeState may be as of an older block than that of the last swap: what came since is applied to it.  The fee is exact
for the timestamp that it is asked for, until the moment a day before that lies behind the timepoints that the FeeState
brought; then it is not known, until the next FeeState.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from consumers.arbitrage.algebra_fee import FeeClock
from consumers.arbitrage.kept_ticks import KEPT_BLOCKS
from tlv.layout import EventOrigin, FeeState, PoolBurn, PoolMint, PoolSwap, Timepoint

END = 1 << 62
"""A log index behind all events of a block, or a block behind all."""


class FeeChange(NamedTuple):
    """An event of the pool, as far as it moves the fee."""

    block_number: int
    log_index: int
    block_hash: bytes
    timestamp: int
    record: PoolSwap | PoolMint | PoolBurn


class KeptFees:
    """The next fee of one Algebra pool."""

    def __init__(self) -> None:
        self._state: FeeState | None = None
        self._points: tuple[Timepoint, ...] = ()
        self._changes: list[FeeChange] = []
        """By block and log."""
        self._clock: FeeClock | None = None
        """The state with all changes above its block; None: to be made."""
        self.followed = False
        """Whether a FeeState ever came: from then on the fee is what follows from one, or unknown."""

    def fee_at(self, timestamp: int) -> int | None:
        """Pips that the next swap pays if its block has this timestamp; None: not known."""
        clock = self._current()
        return None if clock is None else clock.fee_at(timestamp)

    def fee_in(self, at: tuple[int, int], timestamp: int) -> int | None:
        """Pips that a swap pays in a block of this timestamp, right behind a place (block, log index); None: not known.

        If the pool's last swap in front of it is of the same block, that is the fee which the block's first swap set.
        """
        state = self._state
        if state is None or state.block_number > at[0] or (state.block_number == at[0] and at[1] < END):
            return None
        if not self._changes or self._changes[-1][:2] <= at:
            return self.fee_at(timestamp)
        clock = self._clock_behind(state, at)
        return None if clock is None else clock.fee_at(timestamp)

    def apply(self, record: PoolSwap | PoolMint | PoolBurn, origin: EventOrigin) -> None:
        """Take in an event."""
        change = FeeChange(origin.block_number, origin.log_index, origin.block_hash, origin.block_timestamp, record)
        in_order = not self._changes or self._changes[-1][:2] < change[:2]
        self._changes.append(change)
        if not in_order:
            self._changes.sort(key=lambda one: one[:2])
            self._clock = None
        elif self._clock is not None and self._is_above(change) and not _move(self._clock, change):
            self.void()
        if self._changes[0].block_number < change.block_number - 2 * KEPT_BLOCKS:
            needed = self._state.block_number if self._state is not None else change.block_number
            oldest = min(change.block_number - KEPT_BLOCKS, needed)
            self._changes = [kept for kept in self._changes if kept.block_number >= oldest]

    def take_back(self, origin: EventOrigin) -> None:
        """Undo one that left the chain."""
        place = (origin.log_index, origin.block_hash)
        kept = [change for change in self._changes if change[1:3] != place]
        if len(kept) < len(self._changes):
            self._changes, self._clock = kept, None

    def roll_back(self, fork_number: int) -> None:
        """Undo what happened above the fork."""
        if self._state is not None and self._state.block_number > fork_number:
            self.void()
        if self._changes and self._changes[-1].block_number > fork_number:
            self._changes = [change for change in self._changes if change.block_number <= fork_number]
            self._clock = None

    def void(self) -> None:
        """The fee is unknown until the next FeeState comes."""
        self._state = self._clock = None
        self._points = ()

    def lose(self) -> None:
        """Frames were lost: the changes are not complete either."""
        self.void()
        self._changes.clear()

    def take(self, state: FeeState, points: Sequence[Timepoint], since_block: int) -> bool:
        """Take in a FeeState; whether it is used.

        Not if it is as of a block before `since_block`, or before that of the one that is known; nor if it cannot be.
        """
        known_as_of = self._state.block_number if self._state is not None else 0
        oldest = self._changes[-1].block_number - KEPT_BLOCKS if self._changes else 0
        if state.block_number < max(since_block, known_as_of, oldest) or not _is_whole(state, points):
            return False
        self._state, self._points, self._clock, self.followed = state, tuple(points), None, True
        self._changes = [kept for kept in self._changes if kept.block_number > state.block_number - KEPT_BLOCKS]
        return True

    def _current(self) -> FeeClock | None:
        state = self._state
        if self._clock is None and state is not None:
            self._clock = self._clock_behind(state, (END, END))
            if self._clock is None:
                self.void()
        return self._clock

    def _clock_behind(self, state: FeeState, at: tuple[int, int]) -> FeeClock | None:
        """The state with the changes above its block, up to a place; None if a fee in between is not known."""
        clock = FeeClock(config_of(state), self._points, state.tick, state.fee_pips, state.volume)
        changes = (change for change in self._changes if self._is_above(change) and change[:2] <= at)
        return clock if all(_move(clock, change) for change in changes) else None

    def _is_above(self, change: FeeChange) -> bool:
        """Whether the FeeState was read before it."""
        return self._state is not None and change.block_number > self._state.block_number


def config_of(state: FeeState) -> tuple[int, ...]:
    """The fee configuration, in the contract's order."""
    return (
        *(state.alpha1, state.alpha2, state.beta1, state.beta2, state.gamma1, state.gamma2),
        *(state.volume_beta, state.volume_gamma, state.base_fee),
    )


def _is_whole(state: FeeState, points: Sequence[Timepoint]) -> bool:
    """Whether a fee can follow from it: every point there, in order of sequence and time, the last two its last."""
    if not points or state.count != len(points) or 0 in (state.gamma1, state.gamma2, state.volume_gamma):
        return False
    rising = all(one.sequence < after.sequence and one.timestamp < after.timestamp for one, after in pairwise(points))
    last = points[-1].sequence
    return rising and (last == 0 or (len(points) > 1 and points[-2].sequence == last - 1))


def _move(clock: FeeClock, change: FeeChange) -> bool:
    """Apply a change (AlgebraPool: _calculateSwapAndLock, _updatePositionTicksAndFees); whether that is known."""
    record = change.record
    if isinstance(record, PoolSwap):
        if not clock.write(change.timestamp):
            return False
        amounts = (record.amount0_in - record.amount0_out, record.amount1_in - record.amount1_out)
        clock.trade(record.tick, record.liquidity, *amounts)
        return True
    around = record.amount > 0 and record.tick_lower <= clock.tick < record.tick_upper
    return not around or clock.write(change.timestamp)
