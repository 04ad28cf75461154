"""Which messages are wanted: one value, the tables it compiles to, one kernel, one wire form.

Relay, client, `Live`, `Store`, `dump` and the collector's event filter all ask `wants`.  The values of a kind add up,
the kinds restrict each other, and an empty kind restricts nothing:

    types                     hold if any record of the message is of one of them
    venues, pools, tokens     look at the first record, and only if it is a pool's; a token is either of the pool's two
    NEVER_HIDDEN              passes whatever the types are: the messages behind it cannot be understood without it

A new kind takes a field of `MessageFilter`, one of `FilterTables`, its line in each of `of`, `tables`, `to_wire` and
`from_wire`, a `FilterKind`, and a condition in `wants_pool`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, TypedDict, Unpack

import numpy as np

from tlv.addresses import ADDRESS, read_address
from tlv.buffers import Bytes, byte_at
from tlv.codes import FilterKind
from tlv.errors import UsageError
from tlv.instrument import pool_of
from tlv.jit import kernel
from tlv.kernels import next_tlv
from tlv.layout import HEADER_SIZE, NEVER_HIDDEN, POOL_CREATED, POOL_TYPES, Filter, PoolCreated, PoolRecord
from tlv.nearest import did_you_mean
from tlv.record import RECORDS, Record
from tlv.status import OK
from tlv.venues import VENUES

TYPES = 256
VENUE_CODES = 1 << 16
POOL_PREFIX = np.dtype(POOL_CREATED.descr[: len(PoolRecord.__struct_fields__)])
"""What every pool record begins with."""
PREFIX_SIZE = POOL_PREFIX.itemsize
POOL_BYTES = PoolCreated.layout.kinds["pool"].size
TOKEN_BYTES = PoolCreated.layout.kinds["token0"].size
TOKEN0_AT = PoolCreated.layout.offsets["token0"]
TOKEN1_AT = PoolCreated.layout.offsets["token1"]


def mask(numbers: Iterable[int], size: int) -> Bytes:
    """uint8[size] with a 1 at each of `numbers`; uint8[0] for none."""
    wanted = sorted(numbers)
    table = np.zeros(size if wanted else 0, np.uint8)
    table[wanted] = 1
    return table


def end_to_end(addresses: Iterable[bytes]) -> Bytes:
    """The sorted addresses, one after the other.  Writable: numba takes a read-only array on its slow path."""
    return np.frombuffer(bytearray().join(sorted(addresses)), np.uint8)


IS_POOL = mask(POOL_TYPES, TYPES)
IS_POOL.flags.writeable = False


class Wanted(TypedDict, total=False):
    """A filter as a user gives it: records by class or name, venues by number or name, addresses as bytes or 0x-hex."""

    types: Iterable[type[Record] | str]
    venues: Iterable[int | str]
    pools: Iterable[bytes | str]
    tokens: Iterable[bytes | str]


class FilterTables(NamedTuple):
    """A filter as kernels take it, in one argument; an empty table restricts nothing."""

    types: Bytes  # uint8[256], 1 for each wanted TLV type and for NEVER_HIDDEN
    venues: Bytes  # uint8[65536], 1 for each wanted venue
    pools: Bytes  # sorted, POOL_BYTES each
    tokens: Bytes  # sorted, TOKEN_BYTES each


@dataclass(frozen=True)
class MessageFilter:
    """The wanted messages.  Equal filters are equal values."""

    types: frozenset[int] = frozenset()
    venues: frozenset[int] = frozenset()
    pools: frozenset[bytes] = frozenset()
    tokens: frozenset[bytes] = frozenset()

    @staticmethod
    def of(**wanted: Unpack[Wanted]) -> MessageFilter:
        """The filter that a user describes.

        Raises:
            UsageError: a kind, type or venue that does not exist, an address that is none, values that are no list.
        """
        found = {kind: listed(kind, values) for kind, values in wanted.items()}
        return MessageFilter(
            frozenset(map(type_number, found.get("types", ()))),
            frozenset(map(venue_number, found.get("venues", ()))),
            frozenset(pool_of(value).ljust(POOL_BYTES, b"\0") for value in found.get("pools", ())),
            frozenset(map(address, found.get("tokens", ()))),
        )

    def updated(self, other: MessageFilter) -> MessageFilter:
        """This filter, with the kinds that `other` restricts in place of its own."""
        return replace(self, **{kind: values for kind, values in vars(other).items() if kind in KINDS and values})

    @staticmethod
    def from_wire(type_bits: int, filters: Iterable[Filter]) -> MessageFilter:
        """The filter of a Subscribe's `types` and the Filter records behind it.

        Raises:
            ValueError: a Filter of no known kind, or a token of more than 20 bytes.
        """
        found = [(FilterKind(item.kind), item) for item in filters]
        return MessageFilter(
            frozenset(number for number in range(TYPES) if type_bits >> number & 1),
            frozenset(item.venue for kind, item in found if kind is FilterKind.VENUE),
            frozenset(item.address.ljust(POOL_BYTES, b"\0") for kind, item in found if kind is FilterKind.POOL),
            frozenset(only_address(item) for kind, item in found if kind is FilterKind.TOKEN),
        )

    def to_wire(self) -> tuple[int, tuple[Filter, ...]]:
        """A Subscribe's `types`, and the Filter records behind it."""
        return sum(1 << number for number in self.types), (
            *(Filter(venue, FilterKind.VENUE, bytes(POOL_BYTES)) for venue in sorted(self.venues)),
            *(Filter(0, FilterKind.POOL, pool) for pool in sorted(self.pools)),
            *(Filter(0, FilterKind.TOKEN, token) for token in sorted(self.tokens)),
        )

    @cached_property
    def tables(self) -> FilterTables:
        """What `wants` takes."""
        types = self.types | NEVER_HIDDEN if self.types else self.types
        return FilterTables(
            mask(types, TYPES), mask(self.venues, VENUE_CODES), end_to_end(self.pools), end_to_end(self.tokens)
        )

    def passes(self, message: bytes) -> bool:
        """Whether a message is wanted."""
        return bool(wants(np.frombuffer(bytearray(message), np.uint8), 0, len(message), self.tables))

    def passes_pool(self, pool: PoolRecord) -> bool:
        """Whether the records of a pool are wanted, whatever their types."""
        return bool(wants_pool(np.frombuffer(bytearray(pool.pack()), np.uint8), 0, self.tables))


KINDS = frozenset(MessageFilter.__dataclass_fields__)
EVERYTHING = MessageFilter()


def listed(kind: str, values: object) -> list[Any]:
    """The values of a kind of filter.

    Raises:
        UsageError: there is no such kind, or they are no list.
    """
    if kind not in KINDS:
        raise UsageError(f"{kind!r} is no filter: expected one of {', '.join(sorted(KINDS))}")
    if isinstance(values, str | bytes | type) or not isinstance(values, Iterable):
        raise UsageError(f"{kind}: expected a list, found {values!r}")
    return list(values)


def type_number(value: type[Record] | str) -> int:
    """A record's TLV type, given its class or its name.

    Raises:
        UsageError: no record bears the name.
    """
    for number, cls in RECORDS.items():
        if value is cls or value == cls.__name__:
            return number
    names = [cls.__name__ for cls in RECORDS.values()]
    raise UsageError(f"type {value!r}: expected one of {', '.join(names)}{did_you_mean(str(value), names)}")


def venue_number(value: int | str) -> int:
    """A venue's number, given itself or its name in `tlv.venues`.

    Raises:
        UsageError: no venue bears the name, or no u16 is that large.
    """
    code = VENUES.code_of(value) if isinstance(value, str) else None
    if code is not None:
        return code
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < VENUE_CODES:
        return value
    names = VENUES.names()
    meant = did_you_mean(str(value), names)
    raise UsageError(f"venue {value!r}: expected a u16 or one of {', '.join(names)}{meant}")


def address(value: bytes | str) -> bytes:
    """The 20 bytes of an address, given themselves or as 0x and 40 hex digits.

    Raises:
        UsageError: it is neither, or its checksum is wrong.
    """
    if isinstance(value, bytes) and len(value) == TOKEN_BYTES:
        return value
    if isinstance(value, str) and ADDRESS.fullmatch(value):
        return bytes.fromhex(read_address(value)[2:])
    raise UsageError(f"address {value!r}: expected {TOKEN_BYTES} bytes, or 0x and {2 * TOKEN_BYTES} hex digits")


def only_address(item: Filter) -> bytes:
    """The address of a token's Filter.

    Raises:
        ValueError: it is an id.
    """
    if len(item.address) != TOKEN_BYTES:
        raise ValueError(f"expected a token of {TOKEN_BYTES} bytes, found {item.address.hex()}")
    return item.address


@kernel
def compare(left: Bytes, at: int, right: Bytes, start: int, size: int) -> int:
    """Which of two byte strings of `size` comes first: < 0, 0 or > 0."""
    for i in range(size):
        difference = byte_at(left, at + i) - byte_at(right, start + i)
        if difference != 0:
            return difference
    return 0


@kernel
def contains(addresses: Bytes, size: int, buf: Bytes, start: int) -> bool:
    """Whether the `size` bytes at `start` are one of the sorted `addresses`."""
    low, high = 0, addresses.size // size
    while low < high:
        middle = (low + high) // 2
        order = compare(addresses, middle * size, buf, start, size)
        if order == 0:
            return True
        if order < 0:
            low = middle + 1
        else:
            high = middle
    return False


@kernel
def carries(buf: Bytes, start: int, end: int, types: Bytes) -> bool:
    """Whether any record of the message is of a wanted type."""
    pos = start + HEADER_SIZE
    while pos < end:
        status, tlv_type, _, _, pos = next_tlv(buf, pos, end)
        if status == OK and types[tlv_type] != 0:
            return True
    return False


@kernel
def wants_pool(buf: Bytes, pos: int, wanted: FilterTables) -> bool:
    """Whether venue, pool and tokens of the pool record at `pos` are wanted."""
    venue = int(buf[pos : pos + PREFIX_SIZE].view(POOL_PREFIX)[0]["venue"])
    if wanted.venues.size and wanted.venues[venue] == 0:
        return False
    if wanted.pools.size and not contains(wanted.pools, POOL_BYTES, buf, pos):
        return False
    if wanted.tokens.size == 0 or contains(wanted.tokens, TOKEN_BYTES, buf, pos + TOKEN0_AT):
        return True
    return contains(wanted.tokens, TOKEN_BYTES, buf, pos + TOKEN1_AT)


@kernel
def wants(buf: Bytes, start: int, end: int, wanted: FilterTables) -> bool:
    """Whether a filter lets the message pass.  The header was checked; the records need not have been."""
    if wanted.types.size and not carries(buf, start, end, wanted.types):
        return False
    if wanted.venues.size == 0 and wanted.pools.size == 0 and wanted.tokens.size == 0:
        return True
    status, tlv_type, value, length, _ = next_tlv(buf, start + HEADER_SIZE, end)
    if status != OK or IS_POOL[tlv_type] == 0 or length < PREFIX_SIZE:
        return True
    return wants_pool(buf, value, wanted)
