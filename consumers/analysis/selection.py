"""What is wanted of a ring: which messages, and which part.

Owns the meaning of the filters that `Store.select` and `Live` take.  It is that of the relay's Filter records: values
of one kind add up, kinds restrict each other; venues, pools and tokens restrict pool records alone; and no filter hides
what `tlv.layout.NEVER_HIDDEN` lists, because what follows cannot be understood without it.  A range of sequences,
times or blocks is no filter: it cuts off everything outside, and with blocks also what speaks of no block.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from consumers.analysis.kernels import BOUNDS
from consumers.relay.filters import sorted_addresses, sorted_pools
from tlv.errors import UsageError
from tlv.instrument import pool_of
from tlv.layout import NEVER_HIDDEN
from tlv.record import RECORDS, Record
from tlv.venues import VENUES

LOWEST, HIGHEST = -(1 << 63), (1 << 63) - 1
ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Bound = int | datetime | None


class Range(NamedTuple):
    """`first` to `last`, both included."""

    first: int = LOWEST
    last: int = HIGHEST

    def touches(self, first: int, last: int) -> bool:
        """Whether `first` to `last` has anything in common with this range."""
        return first <= self.last and last >= self.first


EVERYTHING = Range()


@dataclass(frozen=True)
class Selection:
    """A choice of messages; what was not named is not restricted."""

    types: frozenset[type[Record]] = frozenset()
    venues: frozenset[int] = frozenset()
    pools: frozenset[bytes] = frozenset()
    tokens: frozenset[bytes] = frozenset()
    sequences: Range = EVERYTHING
    blocks: Range = EVERYTHING
    times: Range = EVERYTHING

    @property
    def has_range(self) -> bool:
        """Whether it is restricted to a part."""
        return not self.sequences == self.blocks == self.times == EVERYTHING

    @cached_property
    def classes(self) -> dict[int, type[Record]]:
        """The record classes that get a table, by TLV type."""
        return {number: cls for number, cls in sorted(RECORDS.items()) if not self.types or cls in self.types}

    @cached_property
    def bounds(self) -> NDArray[np.int64]:
        """The ranges as the kernel takes them."""
        bounds = np.zeros(BOUNDS, np.int64)
        bounds[:] = *self.sequences, *self.times, *self.blocks, self.blocks == EVERYTHING
        return bounds

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """The size of each type with a layout, as now registered; -1 for the others."""
        sizes = np.full(256, -1, np.int64)
        for number, cls in RECORDS.items():
            sizes[number] = cls.layout.size
        return sizes

    @cached_property
    def tables(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """Types, venues, pools and tokens as the kernel takes them; empty for what is not restricted."""
        types = np.zeros(256 if self.types else 0, np.uint8)
        if self.types:
            types[[cls.layout.type for cls in self.types]] = 1
            types[list(NEVER_HIDDEN)] = 1
        venues = np.zeros(1 << 16 if self.venues else 0, np.uint8)
        venues[list(self.venues)] = 1
        # Copies, because numba resolves a read-only array on its slow path.
        return types, venues, sorted_pools(self.pools).copy(), sorted_addresses(self.tokens).copy()

    @cached_property
    def wanted(self) -> NDArray[np.uint8]:
        """uint8[256]: 1 for each type that gets a table."""
        wanted = np.zeros(256, np.uint8)
        wanted[list(self.classes)] = 1
        return wanted


def record_type(value: type[Record] | str) -> type[Record]:
    """A record class, given itself or its name.

    Raises:
        UsageError: no record bears the name.
    """
    for cls in RECORDS.values():
        if value is cls or value == cls.__name__:
            return cls
    raise UsageError(f"type {value!r}: expected one of {', '.join(cls.__name__ for cls in RECORDS.values())}")


def venue_number(value: int | str) -> int:
    """A venue's number, given itself or its name in `tlv.venues` or `tlv.codes.Venue`.

    Raises:
        UsageError: no venue bears the name, or no u16 is that large.
    """
    code = VENUES.code_of(value) if isinstance(value, str) else None
    if code is not None:
        return code
    if isinstance(value, int) and 0 <= value < 1 << 16:
        return value
    raise UsageError(f"venue {value!r}: expected a u16 or one of {', '.join(VENUES.names())}")


def address(value: bytes | str) -> bytes:
    """The 20 bytes of an address, given themselves or as 0x and 40 hex digits.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(value, bytes) and len(value) == 20:
        return value
    if isinstance(value, str) and ADDRESS.fullmatch(value):
        return bytes.fromhex(value[2:])
    raise UsageError(f"address {value!r}: expected 20 bytes, or 0x and 40 hex digits")


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


def range_of(what: str, ends: tuple[Bound, Bound]) -> Range:
    """A range from its two ends, None for an open one.

    Raises:
        UsageError: the first end is behind the last, or no i64.
    """
    first, last = (nanoseconds(end) for end in ends)
    found = Range(LOWEST if first is None else first, HIGHEST if last is None else last)
    if not LOWEST <= found.first <= found.last <= HIGHEST:
        raise UsageError(f"{what}: expected a first and a last, found {ends[0]} and {ends[1]}")
    return found


def addresses(values: Iterable[bytes | str]) -> frozenset[bytes]:
    """Several addresses."""
    return frozenset(map(address, values))


def pools_of(values: Iterable[bytes | str]) -> frozenset[bytes]:
    """Several pools, each as `tlv.instrument.pool_of` takes it."""
    return frozenset(map(pool_of, values))
