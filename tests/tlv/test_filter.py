"""One filter: what it lets through, compiled and as plain Python, and its way over the wire and back."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tlv.plain import both
from tlv.codes import Domain, FeedReason, FilterKind, Source, Venue
from tlv.errors import UsageError
from tlv.filter import (
    EVERYTHING,
    POOL_BYTES,
    TOKEN_BYTES,
    MessageFilter,
    Wanted,
    carries,
    compare,
    contains,
    listed,
    wants,
    wants_pool,
)
from tlv.layout import HEADER_SIZE, NEVER_HIDDEN, POOL_TYPES, Filter, Gap, Heartbeat, PoolCreated, PoolSync
from tlv.message import build
from tlv.record import Record


def pool_of(number: int) -> bytes:
    return bytes([number]) * POOL_BYTES


def token_of(number: int) -> bytes:
    return bytes([number]) * TOKEN_BYTES


def sync(pool: int, token0: int, token1: int, venue: int) -> PoolSync:
    return PoolSync(pool_of(pool), token_of(token0), token_of(token1), venue, 18, 6, 2, 1, 2)


SYNC = sync(5, 1, 2, Venue.QUICKSWAP_V2)
OTHER = sync(6, 2, 3, Venue.UNISWAP_V3)
GAP = Gap(1, 2, 1, 1)
RIGHT_CHECKSUM = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
"""The first example of EIP-55."""
WRONG_CHECKSUM = RIGHT_CHECKSUM.replace("5aA", "5aa")
BEAT = Heartbeat(0, 0, 0, 0, 0, 0, 0, 0, FeedReason.OK)


def system(*records: Record) -> bytes:
    return build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, records)


def market(*records: Record) -> bytes:
    return build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, records)


MESSAGES = {"sync": market(SYNC), "other": market(OTHER), "both": market(SYNC, OTHER), "gap": system(GAP)}
MESSAGES |= {"beat": system(BEAT), "beat, gap": system(BEAT, GAP), "empty": system()}
FILTERS: list[tuple[Wanted, set[str]]] = [
    ({}, set(MESSAGES)),
    ({"types": [PoolSync]}, {"sync", "other", "both", "gap", "beat, gap"}),
    ({"types": ["Heartbeat"]}, {"beat", "gap", "beat, gap"}),
    ({"venues": ["quickswap_v2"]}, set(MESSAGES) - {"other"}),
    ({"pools": [pool_of(6), pool_of(7)]}, set(MESSAGES) - {"sync", "both"}),
    ({"pools": [pool_of(4)]}, set(MESSAGES) - {"sync", "other", "both"}),
    ({"tokens": [token_of(1)]}, set(MESSAGES) - {"other"}),
    ({"tokens": ["0x" + token_of(3).hex()]}, set(MESSAGES) - {"sync", "both"}),
    ({"tokens": [token_of(2)], "venues": [Venue.UNISWAP_V3]}, set(MESSAGES) - {"sync", "both"}),
    ({"types": ["Heartbeat"], "tokens": [token_of(1)]}, {"beat", "gap", "beat, gap"}),
]


@pytest.mark.parametrize(("wanted", "passing"), FILTERS)
def test_filter_passes_what_it_names_and_what_is_never_hidden(wanted: Wanted, passing: set[str]) -> None:
    chosen = MessageFilter.of(**wanted)
    for decide in both(wants):
        found = set()
        for name, message in MESSAGES.items():
            buf = np.frombuffer(b"???" + message + b"?", np.uint8).copy()
            if decide(buf, 3, 3 + len(message), chosen.tables):
                found.add(name)
        assert found == passing
    assert {name for name, message in MESSAGES.items() if chosen.passes(message)} == passing


@pytest.mark.parametrize(("wanted", "passing"), FILTERS)
def test_filter_over_the_wire_is_the_same_value(wanted: Wanted, passing: set[str]) -> None:
    chosen = MessageFilter.of(**wanted)
    bits, filters = chosen.to_wire()
    assert MessageFilter.from_wire(bits, [Filter.unpack(item.pack()) for item in filters]) == chosen


def test_filter_from_wire_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="FilterKind"):
        MessageFilter.from_wire(0, [Filter(0, max(FilterKind) + 1, bytes(POOL_BYTES))])


def test_filter_from_wire_of_a_token_with_an_id_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a token of 20 bytes, found 0707"):
        MessageFilter.from_wire(0, [Filter(0, FilterKind.TOKEN, b"\7" * 32)])


@pytest.mark.parametrize("length", [0, 1, 2, 10])
def test_filter_cut_message_passes_only_without_types(length: int) -> None:
    buf = np.frombuffer(market(SYNC), np.uint8).copy()
    for decide in both(wants):
        assert decide(buf, 0, HEADER_SIZE + length, MessageFilter.of(pools=[pool_of(9)]).tables)
        assert not decide(buf, 0, HEADER_SIZE + length, MessageFilter.of(types=[PoolSync]).tables)


def test_filter_pool_record_too_short_for_a_pool_passes() -> None:
    message = market(SYNC)
    buf = np.frombuffer(message, np.uint8).copy()
    buf[HEADER_SIZE + 1] = 8
    for decide in both(wants):
        assert decide(buf, 0, HEADER_SIZE + 10, MessageFilter.of(pools=[pool_of(9)]).tables)


def test_filter_pool_alone_is_judged_without_its_types() -> None:
    assert MessageFilter.of(types=["Heartbeat"], tokens=[token_of(2)]).passes_pool(SYNC)
    chosen = MessageFilter.of(tokens=[token_of(3)])
    assert not chosen.passes_pool(SYNC) and chosen.passes_pool(OTHER)
    for decide in both(wants_pool):
        assert not decide(np.frombuffer(bytearray(SYNC.pack()), np.uint8), 0, chosen.tables)


def test_filter_updated_replaces_only_the_kinds_that_are_given() -> None:
    first = MessageFilter.of(types=[PoolSync], tokens=[token_of(1)])
    assert first.tables
    second = MessageFilter.of(tokens=[token_of(2)], venues=[7])
    assert second.tables
    assert first.updated(second) == MessageFilter.of(types=[PoolSync], tokens=[token_of(2)], venues=[7])
    assert EVERYTHING.updated(EVERYTHING) == EVERYTHING


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"types": ["Swop"]}, "type 'Swop': expected one of .*PoolSwap"),
        ({"venues": ["nowhere"]}, "venue 'nowhere'"),
        ({"venues": [1 << 16]}, "venue 65536"),
        ({"pools": ["0x12"]}, "pool '0x12'"),
        ({"tokens": ["12" * 20]}, "address"),
        ({"tokens": [b"short"]}, "address"),
        ({"tokens": [WRONG_CHECKSUM]}, f"expected {RIGHT_CHECKSUM} by its checksum .EIP-55., found {WRONG_CHECKSUM}"),
        ({"pools": [WRONG_CHECKSUM]}, f"expected {RIGHT_CHECKSUM} by its checksum .EIP-55., found {WRONG_CHECKSUM}"),
    ],
)
def test_filter_of_what_does_not_exist_is_refused(wanted: Wanted, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        MessageFilter.of(**wanted)


@pytest.mark.parametrize("spelled", [RIGHT_CHECKSUM, RIGHT_CHECKSUM.lower(), f"0x{RIGHT_CHECKSUM[2:].upper()}"])
def test_filter_takes_an_address_with_its_checksum_and_in_one_case(spelled: str) -> None:
    raw = bytes.fromhex(RIGHT_CHECKSUM[2:])
    assert MessageFilter.of(pools=[spelled], tokens=[spelled]) == MessageFilter.of(pools=[raw], tokens=[raw])


def test_contains_finds_exactly_the_members() -> None:
    members = [bytes([number, 0, 255 - number]) for number in (1, 4, 9, 16, 25)]
    table = np.frombuffer(bytearray(b"".join(members)), np.uint8)
    for find, order, carry in zip(both(contains), both(compare), both(carries), strict=True):
        for number in range(30):
            buf = np.array([7, number, 0, 255 - number], np.uint8)
            assert bool(find(table, 3, buf, 1)) is (buf[1:].tobytes() in members)
            assert (order(table, 3, buf, 1, 3) > 0) is (members[1] > buf[1:].tobytes())
        assert not carry(table, 0, 0, table)


def test_pool_types_and_never_hidden_are_what_their_records_say() -> None:
    assert PoolCreated.layout.type in POOL_TYPES and Gap.layout.type in NEVER_HIDDEN
    assert not POOL_TYPES & NEVER_HIDDEN


def test_filter_of_an_unknown_kind_or_of_no_list_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="'colour' is no filter: expected one of pools"):
        listed("colour", [])
    with pytest.raises(UsageError, match="types: expected a list, found 'PoolSwap'"):
        listed("types", "PoolSwap")
