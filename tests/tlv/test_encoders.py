"""A function that is written for some records builds what building step by step gives, and leaves every fault to it."""

from __future__ import annotations

import ctypes
import random
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import tlv.message
from tests.tlv.samples import built_in_types, random_record
from tlv import making
from tlv.codes import Domain, Flag, Source
from tlv.encoders import (
    MOST_RECORDS,
    MOST_WRITTEN,
    WRITTEN_AFTER,
    EncoderCache,
    head_of,
    seal_by_zlib,
    seal_bytes,
    sealed_bytes,
    write_encoder,
)
from tlv.errors import UsageError
from tlv.fields import U64
from tlv.kernels import put_tlv
from tlv.layout import CycleLeg, EventOrigin, Gap, PoolSwap, PoolSync, PoolTicks, SignalIdentity
from tlv.making import BUILTINS
from tlv.message import build, build_carefully, parse
from tlv.record import RECORDS, Record, record
from tlv.user_records import KINDS, register_records

FREE = 229
"""A type of no other test."""


@pytest.fixture(autouse=True)
def own_encoders(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Encoders and records belong to the whole process."""
    monkeypatch.setattr(tlv.message, "ENCODERS", EncoderCache())
    before = dict(RECORDS)
    yield
    RECORDS.clear()
    RECORDS.update(before)


def domain_of(cls: type[Record]) -> Domain:
    return cls.layout.domain or Domain.SIGNAL


def assert_same(records: list[Record]) -> None:
    encode = write_encoder(tuple(map(type, records)))
    assert encode is not None
    domain = domain_of(type(records[0]))
    assert encode(records, domain, Source.RELAY, 5, 9, -7) == build_carefully(domain, Source.RELAY, records, 9, -7, 5)


@pytest.mark.parametrize("number", built_in_types())
def test_encoder_of_every_record_type_builds_what_the_careful_way_does(number: int) -> None:
    rng = random.Random(number)
    cls = RECORDS[number]
    alike = [other for other in built_in_types() if RECORDS[other].layout.domain is cls.layout.domain]
    assert_same([random_record(rng, cls)])
    assert_same([random_record(rng, cls), *(random_record(rng, RECORDS[rng.choice(alike)]) for _ in range(3))])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_encoder_of_every_kind_in_a_users_record(kind: str) -> None:
    rng = random.Random(kind)
    text = f'[[record]]\nname = "Kinds"\ntype = {FREE}\n[record.fields]\npack_from = "{kind}"\n"ﬁeld" = "{kind}"\n'
    (cls,) = register_records(text)
    for _ in range(5):
        assert_same([random_record(rng, cls)])


def test_build_takes_a_function_once_it_was_asked_often_enough() -> None:
    sync, origin = random_record(random.Random(1), PoolSync), random_record(random.Random(2), EventOrigin)
    encoders = tlv.message.ENCODERS
    for _ in range(WRITTEN_AFTER):
        assert not encoders
        first = build(Domain.MARKET_DATA, 4, [sync, origin], sequence=3)
    assert list(encoders) == [(PoolSync, EventOrigin)]
    assert build(Domain.MARKET_DATA, 4, (sync, origin), sequence=3) == first
    for _ in range(WRITTEN_AFTER + 1):
        assert parse(build(Domain.SYSTEM, Source.RELAY, [])).records == ()
    assert list(encoders) == [(PoolSync, EventOrigin), ()]


def test_encoders_are_bounded_and_none_is_written_for_many_records() -> None:
    encoders = EncoderCache()
    for count in range(MOST_WRITTEN + 5):
        for _ in range(WRITTEN_AFTER):
            encoders.count((Gap,) * count)
    assert len(encoders) == MOST_RECORDS + 1
    for _ in range(WRITTEN_AFTER):
        encoders.count(Gap)
    assert Gap not in encoders
    assert write_encoder((PoolTicks,) * (MOST_RECORDS + 1)) is None


def test_encoder_of_more_than_a_message_holds_is_none() -> None:
    fields = "".join(f'f{at} = "text1024"\n' for at in range(40))
    (cls,) = register_records(f'[[record]]\nname = "Large"\ntype = {FREE}\n[record.fields]\n{fields}')
    assert write_encoder((cls,)) is not None
    assert write_encoder((cls, cls)) is None


WRONG: list[tuple[type[Record], str, list[Any]]] = [
    (Gap, "first", [1 << 63, -(1 << 63) - 1, 1.0, "1", None]),
    (Gap, "scope", [-1, 256, b"1"]),
    (PoolSync, "reserve0", [-1, 1 << 256, 1.5, "1", None]),
    (PoolSync, "token0", [b"", bytes(19), bytes(21), "x" * 20, list(range(20)), 20, None]),
    (PoolSync, "pool", [b"", bytes(19), bytes(21), bytes(31), bytes(33), "x" * 20, "x" * 32, 32, None]),
    (SignalIdentity, "strategy", ["x" * 21, "a\0b", b"x", None]),
]


@pytest.mark.parametrize(("cls", "name", "values"), WRONG)
def test_build_by_a_function_refuses_in_the_same_words(cls: type[Record], name: str, values: list[Any]) -> None:
    sound = random_record(random.Random(3), cls)
    encode = write_encoder((cls,))
    assert encode is not None
    tlv.message.ENCODERS[cls] = encode
    for value in values:
        wrong = replace(sound, **{name: value})
        with pytest.raises(UsageError) as careful:
            build_carefully(domain_of(cls), 4, [wrong], 0, 0, 0)
        with pytest.raises(UsageError) as found:
            build(domain_of(cls), 4, [wrong])
        assert str(found.value) == str(careful.value)
        assert str(found.value).startswith(f"{cls.__name__}.{name} is no ")


def test_build_by_a_function_takes_whatever_the_careful_way_takes() -> None:
    encode = write_encoder((PoolSync,))
    assert encode is not None
    tlv.message.ENCODERS[PoolSync] = encode
    sync = random_record(random.Random(4), PoolSync)
    for name, value in (
        ("venue", np.uint16(7)),
        ("reserve1", np.int64(9)),
        ("token0", bytearray(20)),
        ("pool", b"p" * 20),
    ):
        other = replace(sync, **{name: value})
        assert build(Domain.MARKET_DATA, 4, [other]) == build_carefully(Domain.MARKET_DATA, 4, [other], 0, 0, 0)
    flagged = build(Domain.MARKET_DATA, np.uint8(4), [sync], flags=Flag.REPLAY, sequence=np.int64(5))  # type: ignore[arg-type]
    assert parse(flagged).header.flags == Flag.REPLAY
    assert build(1, 4, iter([sync])) == build(Domain.MARKET_DATA, 4, [sync])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"domain": Domain.SYSTEM}, r"PoolSync \(type 16\) does not belong to domain SYSTEM"),
        ({"domain": 0}, "domain: expected one of"),
        ({"domain": True}, "domain: expected one of"),
        ({"source": 256}, "source: expected an integer from 0 to 255, found 256"),
        ({"source": -1}, "source: expected"),
        ({"source": True}, "source: expected"),
        ({"flags": 128}, "flags: expected some of 0x7f, found 0x80"),
        ({"flags": -1}, "flags: expected"),
        ({"flags": False}, "flags: expected"),
        ({"sequence": -1}, "sequence: expected"),
        ({"sequence": 1 << 63}, "sequence: expected"),
        ({"sequence": True}, "sequence: expected"),
        ({"timestamp_ns": 1 << 63}, "timestamp_ns: expected"),
        ({"timestamp_ns": 0.0}, "timestamp_ns: expected"),
    ],
)
def test_build_by_a_function_refuses_what_is_no_header(changes: dict[str, Any], text: str) -> None:
    encode = write_encoder((PoolSync,))
    assert encode is not None
    tlv.message.ENCODERS[PoolSync] = encode
    arguments: dict[str, Any] = {"domain": Domain.MARKET_DATA, "source": 4}
    with pytest.raises(UsageError, match=text):
        build(**(arguments | {"records": [random_record(random.Random(5), PoolSync)]} | changes))


def test_vendor_records_alone_are_built_for_any_domain() -> None:
    class Any1(Record, frozen=True):
        value: U64

    record(type=FREE)(Any1)
    encode = write_encoder((Any1,))
    assert encode is not None
    for domain in Domain:
        assert parse(encode([Any1(7)], domain, 4, 0, 0, 0)).records == (Any1(7),)


@pytest.mark.parametrize("length", [0, 1, 255, 256, 40_000])
def test_head_of_is_what_the_kernel_puts(length: int) -> None:
    buf = np.zeros(5 + length, np.uint8)
    assert head_of(16, length) == buf[: put_tlv(buf, 0, 16, length)].tobytes()


def test_sealed_bytes_are_what_zlib_seals() -> None:
    legs = [random_record(random.Random(6), CycleLeg) for _ in range(9)]
    for count in range(10):
        message = build_carefully(Domain.SIGNAL, 20, legs[:count], 1, 2, 0)
        blank = message[:28] + bytes(4) + message[32:]
        assert sealed_bytes()(bytes(bytearray(blank))) == seal_by_zlib(blank) == message


@pytest.mark.skipif(BUILTINS, reason="compiled, it lets go of the GIL unless it is a builtin")
def test_seal_bytes_as_plain_python_is_the_same() -> None:
    message = build_carefully(Domain.SIGNAL, 20, [], 1, 2, 0)
    blank = message[:28] + bytes(4)
    row = (ctypes.c_int64 * 1)(id(blank))
    before = sys.getrefcount(blank)
    assert seal_bytes(0, ctypes.addressof(row), 1) == id(blank)
    assert sys.getrefcount(blank) == before + 1
    making.drop_object(id(blank))
    assert blank == message


def test_a_written_function_shows_its_text_where_it_fails() -> None:
    encode = write_encoder((PoolSwap,))
    assert encode is not None
    wrong = replace(random_record(random.Random(7), PoolSwap), tick=None)
    try:
        encode([wrong], Domain.MARKET_DATA, 4, 0, 0, 0)
    except Exception:  # noqa: BLE001 - whatever it is
        shown = traceback.format_exc()
    assert 'File "<encode of PoolSwap>"' in shown
    assert "return sealed(pack(" in shown
