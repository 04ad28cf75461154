"""One pool's tick map: taken whole from PoolTicks messages, then changed by the pool's own Mint and Burn.

Owns the map, the changes of the last blocks, and the rule which changes apply to a map.  Knows no price and no other
pool.

    the map is as of the end of block N; changes of blocks above N apply on top, those of N and below are in it
    a change that is taken back is undone; a reorg below N voids the map, since its block is gone
    an invalidation of states voids the map too; the changes stay, since none of them was missed
    lost frames may have held changes: those kept are dropped as well, and only a map that is newer than every lost
    frame is taken (`PoolBook` says which)

Net and gross are sums, so the order in which changes apply does not matter, only which.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from consumers.arbitrage.concentrated import TickMap
from consumers.arbitrage.tick_math import MAX_TICK, MIN_TICK
from tlv.layout import EventOrigin, PoolTicks, TickLiquidity

KEPT_BLOCKS = 256
"""For how many blocks changes are kept.  A map that is older when it comes is refused; reorgs are less deep."""


class Change(NamedTuple):
    """What a Mint (or, negative, a Burn) does to the liquidity between two ticks, and where it stands."""

    block_number: int
    block_hash: bytes
    log_index: int
    tick_lower: int
    tick_upper: int
    amount: int


class KeptTicks:
    """The tick map of one V3 pool, and the recent changes behind it."""

    def __init__(self) -> None:
        self.map: TickMap | None = None
        """The map now; None if it is not known as a whole."""
        self.gross: dict[int, int] = {}
        self._ticks: list[int] = []
        self._net: dict[int, int] = {}
        self.as_of = 0
        """The block at whose end it was read."""
        self._changes: list[Change] = []
        self._parts: list[PoolTicks] = []
        self._coming: list[TickLiquidity] = []

    def apply(self, change: Change) -> None:
        """Take in a Mint or Burn."""
        self._changes.append(change)
        if self._changes[0].block_number < change.block_number - 2 * KEPT_BLOCKS:
            oldest = change.block_number - KEPT_BLOCKS
            self._changes = [kept for kept in self._changes if kept.block_number >= oldest]
        self._move(change, 1)

    def take_back(self, origin: EventOrigin) -> None:
        """Undo one that left the chain."""
        for at, change in enumerate(self._changes):
            if (change.block_hash, change.log_index) == (origin.block_hash, origin.log_index):
                self._move(self._changes.pop(at), -1)
                return

    def roll_back(self, fork_number: int) -> None:
        """Undo what happened above the fork."""
        if self.map is not None and self.as_of > fork_number:
            self.void()
        undone = [change for change in self._changes if change.block_number > fork_number]
        if undone:
            self._changes = [change for change in self._changes if change.block_number <= fork_number]
        for change in undone:
            self._move(change, -1)

    def void(self) -> None:
        """The map is unknown until the next one comes."""
        self.map = None
        self._parts.clear()
        self._coming.clear()

    def lose(self) -> None:
        """Frames were lost: what is known of the map and of its changes is no longer complete."""
        self.void()
        self._changes.clear()

    def take(self, part: PoolTicks, ticks: Sequence[TickLiquidity], since_block: int) -> bool:
        """Take in one part of a map; whether it was the last one, and the map is now known.

        Maps as of a block before `since_block`, or before that of the map that is known, are not taken.
        """
        if part.first_tick == MIN_TICK:
            self._parts.clear()
            self._coming.clear()
        follows = part.first_tick == (self._parts[-1].last_tick + 1 if self._parts else MIN_TICK)
        same = not self._parts or self._parts[-1].block_hash == part.block_hash
        if not (follows and same and part.count == len(ticks)) or part.tick_spacing <= 0:
            self._parts.clear()
            self._coming.clear()
            return False
        self._parts.append(part)
        self._coming += ticks
        return part.last_tick == MAX_TICK and self._accept(part, since_block)

    def at(self, block_number: int, log_index: int) -> TickMap | None:
        """The map behind one event: without the kept changes of later events; None if it is not known.

        Right as long as every change since that event came, which holds where the pool's state at it is known.
        """
        later = [
            change for change in self._changes if (change.block_number, change.log_index) > (block_number, log_index)
        ]
        if self.map is None or not later:
            return self.map
        net = dict(self.map.net)
        gross = dict(self.gross)
        for change in later:
            for tick, amount in ((change.tick_lower, -change.amount), (change.tick_upper, change.amount)):
                net[tick] = net.get(tick, 0) + amount
                gross[tick] = gross.get(tick, 0) - change.amount
        ticks = sorted(tick for tick, amount in gross.items() if amount)
        return TickMap(ticks, {tick: net[tick] for tick in ticks}, self.map.spacing)

    def _accept(self, last: PoolTicks, since_block: int) -> bool:
        coming = self._coming
        self._parts, self._coming = [], []
        oldest = self._changes[-1].block_number - KEPT_BLOCKS if self._changes else 0
        known_as_of = self.as_of if self.map is not None else 0
        if last.block_number < max(since_block, known_as_of, oldest):
            return False
        ordered = all(one.tick < after.tick for one, after in pairwise(coming))
        if not (ordered and all(one.liquidity_gross for one in coming)):
            return False  # no map of a pool: each initialised tick stands in it once, in order
        self._ticks = [tick.tick for tick in coming]
        self._net = {tick.tick: tick.liquidity_net for tick in coming}
        self.gross = {tick.tick: tick.liquidity_gross for tick in coming}
        self.as_of = last.block_number
        self.map = TickMap(self._ticks, self._net, last.tick_spacing)
        for change in self._changes:
            self._move(change, 1)
        return True

    def _move(self, change: Change, sign: int) -> None:
        """Apply a change, or with -1 undo it, unless the map was read after it and includes it."""
        if self.map is None or change.block_number <= self.as_of:
            return
        amount = sign * change.amount
        self._add(change.tick_lower, amount, amount)
        self._add(change.tick_upper, amount, -amount)
        if self.map is not None:
            self.map.forget_sums()

    def _add(self, tick: int, gross: int, net: int) -> None:
        """Change the liquidity at a tick (Tick.update); without any it is not initialised."""
        if gross == 0:
            return
        before = self.gross.get(tick, 0)
        if before == 0:
            insort(self._ticks, tick)
        self.gross[tick] = before + gross
        self._net[tick] = self._net.get(tick, 0) + net
        if self.gross[tick] == 0:
            del self.gross[tick], self._net[tick], self._ticks[bisect_left(self._ticks, tick)]
        elif self.gross[tick] < 0:
            self.void()  # more was burnt than is there: a change was missed
