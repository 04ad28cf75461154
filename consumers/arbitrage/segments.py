"""Where the optimum of a cycle lies when its pools' liquidity changes along the trade: a walk with a pointer a pool.

Owns segments and the walk over them.  A pool in one direction is a row of segments, each a constant-product pool with
an end; the walk goes through all rows at once.  It works on rounded numbers, so its result is only the neighbourhood
that `cycle` searches with the contracts' own arithmetic.  They are rounded to 2^-32 of a base unit: in whole ones the
virtual reserves of a pool of a few thousand units would say another price than the pool.

    the closed form on the current segments gives the best further input
    it lies within all of them                   -> it is the optimum
    it does not: trade up to the nearest end     -> that pool's next segment, and again
    nothing further earns                        -> the optimum is here, at the end of a segment
    there is no next segment                     -> what lies beyond is unknown or empty: the optimum is at most here
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from consumers.arbitrage.constant_product import FEE_UNIT, Hop, compose, least_input

FINE_BITS = 32
"""Amounts of a walk are in units of 2^-32 of a base unit."""


class LiquiditySegment(NamedTuple):
    """A stretch of constant liquidity in the direction of a trade."""

    hop: Hop
    """The constant-product pool it is, as near as integers come."""
    room: int | None = None
    """The input that reaches its end; None if it has none."""


class Pointer:
    """A place in a pool's row of segments."""

    __slots__ = ("_segments", "before_in", "before_out", "following", "segment", "taken")

    def __init__(self, segments: Iterator[LiquiditySegment]) -> None:
        self._segments = segments
        self.segment = next(segments, None)
        self.following = next(segments, None) if self.segment is not None and self.segment.room is not None else None
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

    def input_for(self, paid: int) -> int | None:
        """The input from the row's beginning for which it pays so much, by the segment that it is in; None: none is.

        At the end of its row it is behind the last segment, and no more input is of use.
        """
        if self.segment is None or paid <= self.before_out:
            return self.before_in
        within = self.segment.hop.least_input(paid - self.before_out)
        return None if within is None else self.before_in + within


class WalkEnd(NamedTuple):
    """Where a walk ended."""

    pointers: tuple[Pointer, ...]
    optimum: int
    """The best input, or the largest one that is known of if that is less, from the first row's beginning."""
    bounded: bool
    """Whether a row's last segment ends there, and what lies beyond it would earn more."""


def walk(rows: Sequence[Iterator[LiquiditySegment]]) -> WalkEnd | None:
    """Where the best cycle through pools lies; None if no input comes back larger.

    Args:
        rows: of each pool, in the order of trade, at least one.
    """
    pointers = tuple(Pointer(row) for row in rows)
    entry, earned = pointers[0], False
    while all(pointer.segment is not None for pointer in pointers):
        hops = [pointer.here for pointer in pointers]
        if any(hop.reserve_in <= 0 or hop.reserve_out <= 0 for hop in hops):
            break
        cycle = compose(hops)
        if not cycle.profitable:
            break
        earned = True
        further = cycle.best_input
        ending = _first_to_end(pointers, hops, further)
        needed = further if ending is None else least_input(hops[:ending], pointers[ending].room)
        if ending is None or needed is None or pointers[ending].following is None:
            reached = further if needed is None else needed
            return WalkEnd(pointers, entry.before_in + entry.taken + reached, ending is not None)
        _trade(pointers, hops, needed, ending)
    return WalkEnd(pointers, entry.before_in + entry.taken, False) if earned else None


def _first_to_end(pointers: Sequence[Pointer], hops: Sequence[Hop], amount: int) -> int | None:
    """Which of the segments ends first when `amount` is traded through all; None if each holds it."""
    ending = None
    for number, (pointer, hop) in enumerate(zip(pointers, hops, strict=True)):
        if pointer.ends_before(amount):
            ending, amount = number, pointer.room
        amount = hop.out(amount)
    return ending


def _trade(pointers: Sequence[Pointer], hops: Sequence[Hop], amount: int, ending: int) -> None:
    """Trade up to the end of one segment, which the amount reaches, and go on to its next."""
    for number, (pointer, hop) in enumerate(zip(pointers, hops, strict=True)):
        if number == ending:
            amount = hop.out(pointer.room)
            pointer.advance()
        else:
            pointer.taken += amount
            amount = hop.out(amount)
