"""One record to its bytes and back, with every value that a field can hold and a refusal for every one it cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.tlv.samples import built_in_types
from tlv.errors import TlvError, UsageError
from tlv.fields import FieldKind
from tlv.layout import Gap, Heartbeat, InstrumentKey, PoolCreated, PoolState, PoolSwap, SignalIdentity
from tlv.record import RECORDS, Record


def with_zeros(cls: type[Record]) -> Any:
    """A record of nothing but zeros."""
    return cls.unpack(bytes(cls.layout.size))


def values_of(kind: FieldKind) -> st.SearchStrategy[Any]:
    """Everything that a field of `kind` can hold, the ends of its range above all."""
    if kind.name == "pool_id":
        ids = st.binary(min_size=32, max_size=32).filter(lambda raw: any(raw[20:]))
        return st.binary(min_size=20, max_size=20) | ids
    if kind.name.startswith("text"):
        letters = st.text(st.characters(min_codepoint=1, exclude_categories=("Cs",)), max_size=kind.length)
        return letters.filter(lambda text: len(text.encode()) <= kind.length)
    if kind.base == "u1" and kind.length:
        return st.binary(min_size=kind.length, max_size=kind.length)
    bits = 8 * kind.size
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if kind.name.startswith("i") else (0, (1 << bits) - 1)
    return st.integers(low, high) | st.sampled_from((low, low + 1, high - 1, high))


records = st.sampled_from([RECORDS[number] for number in built_in_types()]).flatmap(
    lambda cls: st.builds(cls, *(values_of(kind) for kind in cls.layout.kinds.values()))
)


@given(records, st.binary(max_size=9))
def test_unpack_of_pack_is_the_record_at_any_offset(record: Record, before: bytes) -> None:
    raw = record.pack()
    assert len(raw) == record.layout.size
    assert type(record).unpack(raw) == record
    assert type(record).unpack(memoryview(before + raw + b"\xff"), len(before)) == record


@given(records)
def test_pack_puts_integers_where_the_dtype_reads_them(record: Record) -> None:
    row = np.frombuffer(record.pack(), dtype=record.layout.dtype)[0]
    for name, kind in record.layout.kinds.items():
        if not kind.length:
            assert row[name] == getattr(record, name)
        elif kind.base == "u1" and kind.decode is None:
            assert bytes(row[name]) == getattr(record, name)


WRONG = [
    (PoolCreated, "token0", bytes(19), "address: .*expected 20 bytes, found 19"),
    (PoolCreated, "pool", bytes(19), "pool_id: .*the 20 bytes of an address or the 32 of an id, found 19"),
    (PoolCreated, "pool", "x" * 20, "pool_id: 'xxxx"),
    (PoolCreated, "pool", 7, "pool_id: 7 "),
    (PoolCreated, "venue", 1 << 16, "u16: 65536"),
    (PoolCreated, "decimals0", -1, "u8: -1"),
    (PoolCreated, "tick_spacing", 1 << 31, "i32: 2147483648"),
    (PoolCreated, "fee_pips", 0.5, "u32: 0.5"),
    (Gap, "first", 1 << 63, "i64: 9223372036854775808"),
    (Heartbeat, "feed_state", None, "u8: None"),
]


@pytest.mark.parametrize(("cls", "name", "value", "text"), WRONG)
def test_pack_value_that_does_not_fit_is_refused(cls: type[Record], name: str, value: object, text: str) -> None:
    with pytest.raises(UsageError, match=rf"{cls.__name__}\.{name} is no {text}"):
        replace(with_zeros(cls), **{name: value}).pack()


@pytest.mark.parametrize("value", [-1, 1 << 256, 1.0, "1", None])
def test_pack_wide_integer_that_does_not_fit_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match=r"PoolSwap\.amount0_in is no u256"):
        replace(with_zeros(PoolSwap), amount0_in=value).pack()


def test_pack_takes_numpy_integers_as_integers() -> None:
    swap = replace(with_zeros(PoolSwap), amount0_in=np.int64(7), tick=np.int32(-3))
    assert PoolSwap.unpack(swap.pack()) == replace(with_zeros(PoolSwap), amount0_in=7, tick=-3)


@pytest.mark.parametrize(("text", "fits"), [("é" * 10, True), ("é" * 10 + "a", False), ("a\0b", False), ("", True)])
def test_pack_text_beyond_its_bytes_or_with_nul_is_refused(text: str, fits: bool) -> None:
    identity = replace(with_zeros(SignalIdentity), strategy=text)
    if fits:
        assert SignalIdentity.unpack(identity.pack()).strategy == text
    else:
        with pytest.raises(UsageError, match=r"SignalIdentity\.strategy is no text20"):
            identity.pack()


def test_unpack_text_that_is_no_utf8_is_shown_with_replacements() -> None:
    raw = bytearray(with_zeros(PoolState).pack())
    at = PoolState.layout.offsets["symbol0"]
    raw[at : at + 3] = b"\xffOK"
    assert PoolState.unpack(raw).symbol0 == "\N{REPLACEMENT CHARACTER}OK"


@pytest.mark.parametrize("offset", [-1, 1, 40, 1 << 70])
def test_unpack_outside_the_data_is_refused(offset: int) -> None:
    with pytest.raises(TlvError, match=rf"InstrumentKey takes 40 bytes, found {40 - offset} at {offset}"):
        InstrumentKey.unpack(bytes(40), offset)


def test_records_are_immutable_and_hashable() -> None:
    gap = Gap(1, 2, 1, 1)
    with pytest.raises(AttributeError):
        gap.first = 2  # type: ignore[misc]
    assert {gap: "once"}[Gap(1, 2, 1, 1)] == "once"


@pytest.mark.parametrize("number", built_in_types())
def test_record_of_any_type_cannot_be_changed_and_can_be_a_key(number: int) -> None:
    record = with_zeros(RECORDS[number])
    name = next(iter(record.layout.kinds))
    with pytest.raises(AttributeError, match="immutable"):
        setattr(record, name, getattr(record, name))
    assert {record: 1}[with_zeros(RECORDS[number])] == 1
