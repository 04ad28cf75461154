"""What is wanted of a ring: which messages, and which range of it.

Owns the ranges that `Store.select` takes beside a filter (`tlv.filter`).  A range of sequences, times or blocks hides
everything outside it, losses as well; a range of blocks also hides messages without a block number.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import NamedTuple

import numpy as np

from consumers.analysis.kernels import BOUNDS
from tlv.buffers import Bytes, Longs
from tlv.errors import UsageError
from tlv.filter import EVERYTHING as EVERY_MESSAGE
from tlv.filter import MessageFilter
from tlv.record import RECORDS, Record

LOWEST, HIGHEST = -(1 << 63), (1 << 63) - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Bound = int | datetime | None


class Interval(NamedTuple):
    """`first` to `last`, both included."""

    first: int = LOWEST
    last: int = HIGHEST

    def touches(self, first: int, last: int) -> bool:
        """Whether `first` to `last` has anything in common with this range."""
        return first <= self.last and last >= self.first


EVERYTHING = Interval()


@dataclass(frozen=True)
class Selection:
    """A choice of messages; what was not named is not restricted."""

    filter: MessageFilter = EVERY_MESSAGE
    sequences: Interval = EVERYTHING
    blocks: Interval = EVERYTHING
    times: Interval = EVERYTHING
    canonical: bool = True
    """Without what left the chain, and without second copies (`analysis.canonical`)."""
    as_of: int | None = None
    """The block as of which the journal is read; None: all that it knows."""

    @property
    def is_judged(self) -> bool:
        """Whether frames are left out beyond the filter and the ranges."""
        return self.canonical or self.as_of is not None

    @property
    def has_range(self) -> bool:
        """Whether it is restricted to a part."""
        return not self.sequences == self.blocks == self.times == EVERYTHING

    @cached_property
    def classes(self) -> dict[int, type[Record]]:
        """The record classes that get a table, by TLV type."""
        return {number: cls for number, cls in sorted(RECORDS.items()) if number in (self.filter.types or RECORDS)}

    @cached_property
    def bounds(self) -> Longs:
        """The ranges as the kernel takes them."""
        bounds = np.zeros(BOUNDS, np.int64)
        bounds[:] = *self.sequences, *self.times, *self.blocks, self.blocks == EVERYTHING
        return bounds

    @cached_property
    def sizes(self) -> Longs:
        """The size of each type with a layout, as now registered; -1 for the others."""
        sizes = np.full(256, -1, np.int64)
        for number, cls in RECORDS.items():
            sizes[number] = cls.layout.size
        return sizes

    @cached_property
    def tabled(self) -> Bytes:
        """uint8[256]: 1 for each type that gets a table."""
        tabled = np.zeros(256, np.uint8)
        tabled[list(self.classes)] = 1
        return tabled


def nanoseconds(value: Bound) -> int | None:
    """Nanoseconds since 1970, given themselves or a datetime with a time zone.

    Raises:
        UsageError: a datetime without a time zone.
    """
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise UsageError(f"time {value.isoformat()}: expected a time zone, found none")
    return (value - EPOCH) // timedelta(microseconds=1) * 1000


def range_of(what: str, ends: tuple[Bound, Bound]) -> Interval:
    """A range from its two ends, None for an open one.

    Raises:
        UsageError: the first end is behind the last, or no i64.
    """
    first, last = (nanoseconds(end) for end in ends)
    found = Interval(LOWEST if first is None else first, HIGHEST if last is None else last)
    if not LOWEST <= found.first <= found.last <= HIGHEST:
        raise UsageError(f"{what}: expected a first and a last, found {ends[0]} and {ends[1]}")
    return found
