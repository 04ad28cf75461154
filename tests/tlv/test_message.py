"""Typed records to bytes and back, and what is refused on the way, with the words it is refused in."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from tests.tlv.samples import built_in_types, random_message, random_record
from tlv.codes import MAX_MESSAGE, Domain, Flag, Source
from tlv.errors import ChecksumError, FrameError, HeaderError, TlvError, UsageError
from tlv.fields import U64
from tlv.layout import CycleLeg, EventOrigin, Gap, Header, PoolSwap, PoolSync
from tlv.message import Message, build, parse
from tlv.record import RECORDS, Record, record

EMPTY = bytes.fromhex("efbeadde0101040000000000000000000000000000000000000000006e2b1f00")
"""The test vector of the wire format: no TLV, domain 1, source 4, sequence 0, timestamp 0."""


class Quote(Record, frozen=True):
    """A vendor's own record, as a user would declare one."""

    price: U64


@pytest.fixture
def registered_quote() -> Iterator[None]:
    """`Quote` as type 254, for one test: the table of records belongs to the whole process."""
    record(type=254)(Quote)
    yield
    del RECORDS[254]


def with_payload(payload: bytes, domain: Domain = Domain.MARKET_DATA) -> bytes:
    """A message around any payload; its checksum is left wrong."""
    header = Header(0xDEADBEEF, domain, 1, Source.POLYGON_COLLECTOR, 0, 1, 0, len(payload), 0)
    return header.pack() + payload


def test_build_empty_message_equals_the_test_vector() -> None:
    assert build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, []) == EMPTY


def test_parse_test_vector_yields_its_header() -> None:
    assert parse(EMPTY) == Message(Header(0xDEADBEEF, 1, 1, 4, 0, 0, 0, 0, 0x1F2B6E), (), 0)


@pytest.mark.parametrize("number", built_in_types())
def test_parse_of_build_every_record_type_is_the_record(number: int) -> None:
    rng = random.Random(number)
    cls = RECORDS[number]
    records = tuple(random_record(rng, cls) for _ in range(3))
    message = parse(build(cls.layout.domain, 20, records, sequence=9, timestamp_ns=-5, flags=Flag.REPLAY))
    assert message.records == records
    assert (message.header.sequence, message.header.timestamp_ns, message.header.flags) == (9, -5, Flag.REPLAY)
    assert (message.header.source, message.unknown) == (20, 0)


def test_first_returns_the_record_of_the_class_or_none() -> None:
    rng = random.Random(1)
    swap, origin = random_record(rng, PoolSwap), random_record(rng, EventOrigin)
    message = parse(build(Domain.MARKET_DATA, 4, [swap, origin]))
    assert message.first(EventOrigin) is message.records[1]
    assert message.first(PoolSync) is None


def test_parse_accepts_bytes_bytearray_and_memoryview() -> None:
    data = random_message(random.Random(2))
    assert parse(data) == parse(bytearray(data)) == parse(memoryview(data))
    with pytest.raises(UsageError, match="data: expected bytes, found str"):
        parse("text")  # type: ignore[arg-type]


def test_parse_extended_form_of_a_short_value_is_accepted() -> None:
    gap = Gap(1, 2, 1, 1)
    payload = bytes([255, 0, 102, Gap.layout.size, 0]) + gap.pack()
    assert parse(with_payload(payload, Domain.SYSTEM), verify=False).records == (gap,)


def test_parse_type_without_layout_is_skipped_and_counted() -> None:
    payload = bytes([1, 0, 2, 3]) + b"abc" + bytes([249, 1, 7])
    message = parse(with_payload(payload), verify=False)
    assert (message.records, message.unknown) == ((), 3)


@pytest.mark.usefixtures("registered_quote")
def test_parse_vendor_record_travels_in_every_domain() -> None:
    for domain in Domain:
        assert parse(build(domain, 4, [Quote(7)])).records == (Quote(7),)


@pytest.mark.usefixtures("registered_quote")
def test_parse_vendor_record_of_another_size_is_refused() -> None:
    with pytest.raises(TlvError, match="relay: expected 8 bytes of Quote, found 3 at 34"):
        parse(with_payload(bytes([254, 3]) + b"abc"), verify=False, where="relay")


REFUSED = {
    "empty": (b"", HeaderError, "expected at least 32 bytes, found 0"),
    "cut header": (EMPTY[:31], HeaderError, "expected at least 32 bytes, found 31"),
    "cut payload": (with_payload(b"\1\1x")[:-1], HeaderError, "expected payload_size 2, found 3"),
    "longer than it says": (EMPTY + b"\0", HeaderError, "expected payload_size 1, found 0"),
    "too long": (bytes(65_537), HeaderError, "expected at most 65536 bytes, found 65537"),
    "magic": (b"\0" + EMPTY[1:], HeaderError, "expected magic 0xdeadbeef, found 0xdeadbe00"),
    "domain 0": (EMPTY[:4] + b"\0" + EMPTY[5:], HeaderError, "expected a domain from 1 to 4, found 0"),
    "domain 5": (EMPTY[:4] + b"\5" + EMPTY[5:], HeaderError, "expected a domain from 1 to 4, found 5"),
    "version": (EMPTY[:5] + b"\2" + EMPTY[6:], HeaderError, "expected version 1, found 2"),
    "flags": (EMPTY[:7] + b"\x81" + EMPTY[8:], HeaderError, "expected flags within 0x7f, found 0x81"),
    "sequence": (EMPTY[:15] + b"\xff" + EMPTY[16:], HeaderError, "expected a sequence >= 0, found -72057594037927936"),
    "sequence -1": (EMPTY[:8] + b"\xff" * 8 + EMPTY[16:], HeaderError, "expected a sequence >= 0, found -1"),
    "checksum": (EMPTY[:31] + b"\1", ChecksumError, "expected checksum 0x001f2b6e, found 0x011f2b6e"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_parse_wrong_header_is_refused_with_expected_and_found(case: str) -> None:
    data, error, text = REFUSED[case]
    with pytest.raises(error) as caught:
        parse(data)
    assert str(caught.value) == f"message: {text}"


TLV_REFUSED = {
    "lone type": (b"\1", "expected a whole TLV at 32, found 1 bytes: 01"),
    "length past the end": (b"\1\3ab", "expected a whole TLV at 32, found 4 bytes: 01 03 61 62"),
    "second one cut": (b"\1\0\2", "expected a whole TLV at 34, found 1 bytes: 02"),
    "escape without 0": (b"\xff\1\1", "expected 0 after the escape byte at 32, found ff 01 01"),
    "cut extended head": (b"\xff\0\1\1", "expected a whole TLV at 32, found 4 bytes: ff 00 01 01"),
    "extended past the end": (b"\xff\0\1\2\0a", "expected a whole TLV at 32, found 6 bytes: ff 00 01 02 00 61"),
    "type 0": (b"\0\0", "expected a TLV type of some domain at 32, found 0"),
    "type 150": (b"\x96\0", "expected a TLV type of some domain at 32, found 150"),
    "escape inside the escape": (b"\xff\0\xff\0\0", "expected a TLV type of some domain at 32, found 255"),
    "signal in market data": (b"\x16\0", "expected types of domain 1 at 32, found 22"),
    "size of a known type": (b"\x10\1a", "expected 144 bytes of type 16 at 32, found 1"),
}


@pytest.mark.parametrize("case", TLV_REFUSED)
def test_parse_wrong_tlv_is_refused_with_its_position(case: str) -> None:
    payload, text = TLV_REFUSED[case]
    with pytest.raises(TlvError) as caught:
        parse(with_payload(payload), verify=False, where="ring market.polygon, sequence 1812")
    assert str(caught.value) == f"ring market.polygon, sequence 1812: {text}"


def test_build_record_of_another_domain_is_refused() -> None:
    with pytest.raises(UsageError, match=r"Gap \(type 102\) does not belong to domain MARKET_DATA"):
        build(Domain.MARKET_DATA, 4, [Gap(1, 2, 1, 1)])


def test_build_header_as_a_record_is_refused() -> None:
    with pytest.raises(UsageError, match=r"Header \(type 0\) does not belong"):
        build(Domain.MARKET_DATA, 4, [parse(EMPTY).header])


def test_build_value_too_wide_is_refused_with_the_field() -> None:
    wide = replace(random_record(random.Random(3), PoolSync), reserve1=1 << 256)
    with pytest.raises(UsageError, match=r"PoolSync\.reserve1 is no u256"):
        build(Domain.MARKET_DATA, 4, [wide])


@pytest.mark.parametrize(
    "header",
    [
        {"domain": 0},
        {"domain": 5},
        {"source": 256},
        {"source": -1},
        {"flags": 128},
        {"sequence": -1},
        {"sequence": 1 << 63},
        {"timestamp_ns": 1 << 63},
        {"timestamp_ns": -(1 << 63) - 1},
    ],
)
def test_build_header_value_out_of_range_is_refused(header: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        build(**({"domain": Domain.SIGNAL, "source": 20, "records": []} | header))


def test_build_up_to_64_kib_and_not_a_byte_more() -> None:
    signal = random_record(random.Random(4), CycleLeg)
    room = MAX_MESSAGE // (CycleLeg.layout.size + 5)
    data = build(Domain.SIGNAL, 20, [signal] * (room - 1))
    assert parse(data).records == (signal,) * (room - 1)
    with pytest.raises(UsageError, match=f"expected at most {MAX_MESSAGE} bytes, found {room + 1} records"):
        build(Domain.SIGNAL, 20, [signal] * (room + 1))


def test_frame_errors_share_one_family() -> None:
    assert {HeaderError, ChecksumError, TlvError} <= set(FrameError.__subclasses__())
