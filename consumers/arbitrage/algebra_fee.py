"""The fee of an Algebra V1 pool for any timestamp (v1-core: DataStorage, DataStorageOperator, AdaptiveFee), exact.

Owns the pool's record of trades (its timepoints) and what the contract makes of it: the fee that the first swap of a
block sets and pays.  Knows neither messages nor prices.  `FeeClock` is one pool; the kernels under it take arrays.

The first swap, or change of liquidity around the price, in a block writes a timepoint: what passed since the last one
at the tick that held meanwhile.  Its fee follows from the averages over the day before:

    volatility   mean square of (tick - average tick), a second, in 1/15      --> two sigmoids
    volume       sum of sqrt(amount0 * amount1) / liquidity, as Q7            --> one sigmoid, up to the sum of the two

Every rounding is the contract's.  Sequence numbers count timepoints from 0, on through the contract's ring of 65,536.
Not kept: seconds per liquidity, which no fee follows from.  Timestamps end where the contract's wrap, in 2106.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isqrt
from typing import Any

import numpy as np

from consumers.arbitrage.adaptive_fee import adaptive_fee
from consumers.arbitrage.word_pairs import (
    NOTHING,
    add_pair,
    divide_pair,
    multiply_pair,
    subtract_pair,
    to_long,
)
from tlv.buffers import Longs, Structs
from tlv.jit import kernel
from tlv.layout import Timepoint

WINDOW_S = 86_400
RING = 65_536
"""Timepoints that the contract keeps."""
MOST_VOLUME = 100_000 << 64
"""Volume per liquidity of a swap is at most this (DataStorageOperator.MAX_VOLUME_PER_LIQUIDITY)."""
LAST_TIMESTAMP = (1 << 32) - 1
"""The contract's are uint32."""
UNKNOWN = -1
"""The fee follows from a timepoint that is not at hand."""

KNOWN_POINT = np.dtype(
    [
        ("sequence", "<i8"),
        ("timestamp", "<i8"),
        ("tick_cumulative", "<i8"),
        ("average_tick", "<i8"),
        ("volatility", "<u8"),  # cumulative, 128 bits
        ("volatility_high", "<u8"),
        ("volume", "<u8"),  # cumulative, 128 bits
        ("volume_high", "<u8"),
    ]
)
# ---- kernels; `points` are KNOWN_POINTs by rising sequence, of which the first `used` are there.


@kernel
def find_point(points: Structs, used: int, target: int) -> int:
    """The last point at or before `target`; -1 if none is."""
    low, high = 0, used
    while low < high:
        middle = (low + high) >> 1
        if points[middle]["timestamp"] <= target:
            low = middle + 1
        else:
            high = middle
    return low - 1


@kernel
def oldest_sequence(last: int) -> int:
    """The sequence number of the oldest timepoint that the contract's ring still has."""
    return max(0, last - (RING - 1))


@kernel
def find_sequence(points: Structs, used: int, sequence: int) -> int:
    """The point with this sequence number; -1 if it is not there."""
    low, high = 0, used
    while low < high:
        middle = (low + high) >> 1
        if points[middle]["sequence"] < sequence:
            low = middle + 1
        else:
            high = middle
    return low if low < used and points[low]["sequence"] == sequence else -1


@kernel
def reaches(points: Structs, used: int, at: int) -> int:
    """Whether the contract's oldest timepoint is at or before a moment: 1, 0, or UNKNOWN; `at` as found for it."""
    oldest = oldest_sequence(points[used - 1]["sequence"])
    if at >= 0 and points[at]["sequence"] >= oldest:
        return 1
    if points[at + 1]["sequence"] <= oldest:
        return 0
    return 0 if at >= 0 and points[at + 1]["sequence"] == points[at]["sequence"] + 1 else UNKNOWN


@kernel
def follows(points: Structs, at: int, target: int) -> bool:
    """Whether what held at `target` is known: it is the time of point `at`, or the next one is the next there is."""
    is_its = points[at]["timestamp"] == target
    return bool(is_its or points[at + 1]["sequence"] == points[at]["sequence"] + 1)


@kernel
def truncated(numerator: int, divisor: int) -> int:
    """The quotient, rounded towards 0 as Solidity's is; the divisor is positive."""
    return numerator // divisor if numerator >= 0 else -(-numerator // divisor)


@kernel
def average_tick(points: Structs, used: int, timestamp: int, tick: int) -> tuple[bool, int]:
    """(whether it is known, the average tick) at a new timepoint (DataStorage._getAverageTick)."""
    last = points[used - 1]
    start = timestamp - WINDOW_S
    at = find_point(points, used, start)
    reached = reaches(points, used, at) if at < used - 1 else 1
    if reached == UNKNOWN:
        return False, 0
    if reached == 0:
        first = find_sequence(points, used, oldest_sequence(last["sequence"]))
        if first < 0:
            return False, 0
        span = last["timestamp"] - points[first]["timestamp"]
        moved = last["tick_cumulative"] - points[first]["tick_cumulative"]
        return True, tick if span == 0 else truncated(moved, span)
    if at == used - 1:  # a day or more of silence
        if last["sequence"] == 0:
            return True, tick
        if used < 2 or not follows(points, used - 2, UNKNOWN):
            return False, 0
        before = points[used - 2]
        moved = last["tick_cumulative"] - before["tick_cumulative"]
        return True, truncated(moved, last["timestamp"] - before["timestamp"])
    if not follows(points, at, start):
        return False, 0
    before, after = points[at], points[at + 1]
    cumulative = before["tick_cumulative"]
    if before["timestamp"] != start:
        span = after["timestamp"] - before["timestamp"]
        moved = after["tick_cumulative"] - cumulative
        cumulative += truncated(moved, span) * (start - before["timestamp"])
    return True, truncated(last["tick_cumulative"] - cumulative, last["timestamp"] - start)


@kernel
def write_point(points: Structs, used: int, tick: int, volume: Any, volume_high: Any, timestamp: int) -> bool:
    """Put the timepoint that the contract writes at `timestamp`, later than the last, into points[used]; whether all
    that it follows from is known (DataStorage.write, createNewTimepoint).

    `tick` and volume (uint64 halves) are the pool's in between, as the last swap left them.
    """
    last, made = points[used - 1], points[used]
    known, average = average_tick(points, used, timestamp, tick)
    if not known:
        return False
    before_tick = tick
    if last["sequence"] > 0:
        if used < 2 or points[used - 2]["sequence"] != last["sequence"] - 1:
            return False
        before = points[used - 2]
        moved = last["tick_cumulative"] - before["tick_cumulative"]
        before_tick = truncated(moved, last["timestamp"] - before["timestamp"])
    span = timestamp - last["timestamp"]
    made["sequence"], made["timestamp"], made["average_tick"] = last["sequence"] + 1, timestamp, average
    made["tick_cumulative"] = last["tick_cumulative"] + tick * span
    low, high = volatility_between(span, before_tick, tick, last["average_tick"], average)
    low, high = add_pair(low, high, last["volatility"], last["volatility_high"])
    made["volatility"], made["volatility_high"] = low, high
    low, high = add_pair(volume, volume_high, last["volume"], last["volume_high"])
    made["volume"], made["volume_high"] = low, high
    return True


@kernel
def volatility_between(span: int, tick: int, tick_after: int, average: int, average_after: int) -> tuple[Any, Any]:
    """The sum, over the seconds between two timepoints, of the square of (tick - average tick), both moving evenly
    (DataStorage._volatilityOnRange); the contract's fraction is reduced by `span`, and its whole part added apart."""
    away = tick - average
    moved = (tick_after - tick) - (average_after - average)
    seconds = np.uint64(span)
    low, high = multiply_pair(np.uint64(moved * moved), NOTHING, seconds)
    low, high = add_pair(low, high, np.uint64(moved * moved), NOTHING)
    twice, twice_high = multiply_pair(low, high, seconds)
    twice, twice_high = add_pair(twice, twice_high, twice, twice_high)
    low, high = add_pair(low, high, twice, twice_high)  # moved^2 * (span + 1) * (2 * span + 1)
    low, high = divide_pair(low, high, seconds)
    low, high = divide_pair(low, high, np.uint64(6))
    rest = moved * (span + 1) + away * span
    whole, whole_high = multiply_pair(np.uint64(abs(rest)), NOTHING, np.uint64(abs(away)))
    if (rest < 0) != (away < 0):
        return subtract_pair(low, high, whole, whole_high)
    return add_pair(low, high, whole, whole_high)


@kernel
def fee_at_last(config: Longs, points: Structs, used: int) -> int:
    """The fee that the contract sets when points[used - 1] is written, or UNKNOWN (DataStorage.getAverages, getFee)."""
    last = points[used - 1]
    start = last["timestamp"] - WINDOW_S
    at = find_point(points, used, start)
    reached = reaches(points, used, at)
    if reached == UNKNOWN:
        return UNKNOWN
    if reached == 1:
        if not follows(points, at, start):
            return UNKNOWN
        span = WINDOW_S
    else:
        at = find_sequence(points, used, oldest_sequence(last["sequence"]))
        if at < 0:
            return UNKNOWN
        start = points[at]["timestamp"]
        span = last["timestamp"] - start
    low, high, volume, volume_high = growth(points, used, at, start)
    low, high = divide_pair(low, high, np.uint64(span))
    low, high = divide_pair(low, high, np.uint64(15))
    shifted = to_long(volume >> np.uint64(57) | volume_high << np.uint64(7), volume_high >> np.uint64(57))
    return adaptive_fee(config, to_long(low, high), shifted)


@kernel
def growth(points: Structs, used: int, at: int, start: int) -> tuple[Any, Any, Any, Any]:
    """What the two sums grew by from `start`, a time from point `at` to the next, to the last point.

    Up to `start` an interval counts by its average, rounded down (DataStorage.getSingleTimepoint).
    """
    last, before = points[used - 1], points[at]
    low, high = before["volatility"], before["volatility_high"]
    volume, volume_high = before["volume"], before["volume_high"]
    since = np.uint64(start - before["timestamp"])
    if since > NOTHING:
        after = points[at + 1]
        whole = np.uint64(after["timestamp"] - before["timestamp"])
        part, part_high = subtract_pair(after["volatility"], after["volatility_high"], low, high)
        part, part_high = divide_pair(part, part_high, whole)
        part, part_high = multiply_pair(part, part_high, since)
        low, high = add_pair(low, high, part, part_high)
        part, part_high = subtract_pair(after["volume"], after["volume_high"], volume, volume_high)
        part, part_high = divide_pair(part, part_high, whole)
        part, part_high = multiply_pair(part, part_high, since)
        volume, volume_high = add_pair(volume, volume_high, part, part_high)
    low, high = subtract_pair(last["volatility"], last["volatility_high"], low, high)
    volume, volume_high = subtract_pair(last["volume"], last["volume_high"], volume, volume_high)
    return low, high, volume, volume_high


@kernel
def next_fee(
    config: Longs, points: Structs, used: int, tick: int, volume: Any, volume_high: Any, timestamp: int
) -> int:
    """The fee that a swap pays as the first of a block of this timestamp, later than the last point; or UNKNOWN.

    Writes points[used].
    """
    if not write_point(points, used, tick, volume, volume_high, timestamp):
        return UNKNOWN
    return fee_at_last(config, points, used + 1)


class FeeClock:
    """What decides the fee of one Algebra pool from now on.

    Args:
        config: alpha1, alpha2, beta1, beta2, gamma1, gamma2, volumeBeta, volumeGamma, baseFee.
        points: timepoints by rising sequence; the last, and the one before it, are the pool's last.  A fee is known
            for each timestamp a day before which lies between two that follow each other.
        tick, fee: of the pool's state.
        volume: what trades since the last timepoint add (AlgebraPool.volumePerLiquidityInBlock).
    """

    def __init__(self, config: Iterable[int], points: Iterable[Timepoint], tick: int, fee: int, volume: int) -> None:
        self.config = np.array(list(config), np.int64)
        self.tick, self.fee, self.volume = tick, fee, volume
        rows = [_row(point) for point in points]
        self.used = len(rows)
        self.points = np.zeros(max(8, 2 * len(rows)), KNOWN_POINT)
        self.points[: len(rows)] = rows

    @property
    def last_timestamp(self) -> int:
        """Of the last timepoint: the newest block in which the fee was set."""
        return int(self.points[self.used - 1]["timestamp"])

    def fee_at(self, timestamp: int) -> int | None:
        """Pips that a swap in the next block pays if that has this timestamp; None: not known.

        In the block of the last timepoint the fee is that which its first swap found.  Beyond `LAST_TIMESTAMP` none is
        known, since the contract's clock begins anew there.
        """
        if timestamp > LAST_TIMESTAMP:
            return None
        if timestamp <= self.last_timestamp:
            return self.fee
        fee = next_fee(self.config, self.points, self.used, self.tick, *self._volume_halves(), timestamp)
        return None if fee == UNKNOWN else fee

    def write(self, timestamp: int) -> bool:
        """What a swap does before it trades, and a Mint or Burn around the price: a new timepoint, and its fee.

        Whether that is known; if not, nothing is from now on.
        """
        fee = self.fee_at(timestamp)
        if fee is None:
            return False
        if timestamp > self.last_timestamp:
            self.used += 1
            self.fee, self.volume = fee, 0
            if self.used == self.points.size:
                self.points = np.concatenate([self.points, np.zeros(self.used, KNOWN_POINT)])
        return True

    def trade(self, tick: int, liquidity: int, amount0: int, amount1: int) -> None:
        """What a swap leaves: the pool's tick and liquidity behind it, and what it moved."""
        self.tick = tick
        self.volume += volume_per_liquidity(liquidity, amount0, amount1)

    def _volume_halves(self) -> tuple[np.uint64, np.uint64]:
        return np.uint64(self.volume & LOW_HALF), np.uint64(self.volume >> 64)


LOW_HALF = (1 << 64) - 1


def _row(point: Timepoint) -> tuple[int, ...]:
    return (
        *(point.sequence, point.timestamp, point.tick_cumulative, point.average_tick),
        *(point.volatility & LOW_HALF, point.volatility >> 64),
        *(point.volume & LOW_HALF, point.volume >> 64),
    )


def volume_per_liquidity(liquidity: int, amount0: int, amount1: int) -> int:
    """What a swap adds to the volume of its block, Q64 (DataStorageOperator.calculateVolumePerLiquidity)."""
    volume = isqrt(abs(amount0)) * isqrt(abs(amount1))
    scaled = (1 << 256) - 1 if volume >= 1 << 192 else volume << 64
    return min(scaled // max(liquidity, 1), MOST_VOLUME)
