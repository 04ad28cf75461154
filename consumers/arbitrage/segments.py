"""Where the optimum of a cycle lies when its pools' liquidity changes along the trade: a walk with two pointers.

Owns segments and the walk over them.  A pool in one direction is a row of segments, each a constant-product pool with
an end; the walk goes through both rows at once.  It works on rounded numbers, so its result is only the neighbourhood
that `two_pool` searches with the contracts' own arithmetic.

    the closed form on the two current segments gives the best further input
    it lies within both segments                 -> it is the optimum
    it does not: trade up to the nearer end      -> that pool's next segment, and again
    nothing further earns                        -> the optimum is here, at the end of a segment
    there is no next segment                     -> what lies beyond is unknown or empty: the optimum is at most here
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from consumers.arbitrage.constant_product import FEE_UNIT, Hop, compose


class LiquiditySegment(NamedTuple):
    """A stretch of constant liquidity in the direction of a trade."""

    hop: Hop
    """The constant-product pool it is, as near as integers come."""
    room: int | None = None
    """The input that reaches its end; None if it has none."""


class Pointer:
    """A place in a pool's row of segments."""

    def __init__(self, segments: Iterator[LiquiditySegment]) -> None:
        self._segments = segments
        self.segment = next(segments, None)
        self.following = next(segments, None)
        self.before_in = 0
        """What the finished segments took."""
        self.before_out = 0
        """What they paid."""
        self.taken = 0
        """What this one took so far."""

    @property
    def here(self) -> Hop:
        """The constant-product pool that is left of the segment.

        After an input x a hop pays like one with x, less its fee, more on one side and out(x) less on the other.
        """
        assert self.segment is not None
        hop = self.segment.hop
        if self.taken == 0:
            return hop
        kept = self.taken * (FEE_UNIT - hop.fee_pips) // FEE_UNIT
        return Hop(hop.reserve_in + kept, hop.reserve_out - hop.out(self.taken), hop.fee_pips)

    def ends_before(self, amount: int) -> bool:
        """Whether so much more input goes beyond the segment's end."""
        assert self.segment is not None
        return self.segment.room is not None and amount > self.segment.room - self.taken

    @property
    def room(self) -> int:
        """The input that is left to the end of a segment that has one."""
        assert self.segment is not None and self.segment.room is not None
        return max(self.segment.room - self.taken, 0)

    def advance(self) -> None:
        """Go on to the following segment."""
        assert self.segment is not None and self.segment.room is not None
        self.before_in += self.segment.room
        self.before_out += self.segment.hop.out(self.segment.room)
        self.segment, self.following, self.taken = self.following, next(self._segments, None), 0


class WalkEnd(NamedTuple):
    """Where a walk ended."""

    first: Pointer
    second: Pointer
    optimum: int
    """The best input, counted from the beginning of the first pool's segment; beyond its end if that is the last."""


def walk(first: Iterator[LiquiditySegment], second: Iterator[LiquiditySegment]) -> WalkEnd | None:
    """Where the best cycle through two pools lies; None if no input comes back larger."""
    entry, back = Pointer(first), Pointer(second)
    earned = False
    while entry.segment is not None and back.segment is not None:
        hops = (entry.here, back.here)
        if any(hop.reserve_in <= 0 or hop.reserve_out <= 0 for hop in hops):
            return None
        cycle = compose(hops)
        if not cycle.profitable:
            break
        earned = True
        further = cycle.best_input
        optimum = entry.taken + further
        entry_ends = entry.ends_before(further)
        reachable = entry.room if entry_ends else further
        if back.ends_before(hops[0].out(reachable)):
            needed = hops[0].least_input(back.room)
            if back.following is None or needed is None:
                return WalkEnd(entry, back, optimum)
            entry.taken += needed
            back.advance()
        elif entry_ends:
            if entry.following is None:
                return WalkEnd(entry, back, optimum)
            back.taken += hops[0].out(entry.room)
            entry.advance()
        else:
            return WalkEnd(entry, back, optimum)
    return WalkEnd(entry, back, entry.taken) if earned else None
