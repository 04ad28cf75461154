"""The declared structs: where each field stands, what the digest notices, and that nothing says it twice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, get_type_hints

import numpy as np
import pytest

import tlv.codes
from tests.tlv.samples import built_in_types
from tlv.codes import ANY_DOMAIN, EXTENDED, KNOWN_FLAGS, TYPE_RANGES, VENDOR_TYPES, Flag
from tlv.errors import UsageError
from tlv.fields import I32, I64, I256, U8, U32, U64, U256, FieldKind, Text20
from tlv.layout import (
    CHECKSUM_AT,
    DOMAIN_OF_TYPE,
    HEADER,
    HEADER_SIZE,
    LAYOUT_DIGEST,
    LAYOUTS,
    SIZE_OF_TYPE,
    Header,
    InstrumentKey,
    PoolRecord,
    PoolSwap,
    digest,
)
from tlv.record import RECORDS, Layout, Record, record

POOL_SWAP = PoolSwap.layout.dtype

DECLARED = (Header, InstrumentKey, *(RECORDS[number] for number in built_in_types()))
SAME_BYTES = {"u256": I256, "i256": U256, "u64": I64, "i64": U64, "u32": I32, "i32": U32, "address": Text20}
"""For a kind's name, another kind that numpy cannot tell from it or that has its size."""
EVERY_LAYOUT = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)


def test_header_is_the_32_bytes_of_the_design() -> None:
    assert (HEADER_SIZE, CHECKSUM_AT, HEADER.itemsize) == (32, 28, 32)
    offsets = [("magic", 0), ("domain", 4), ("version", 5), ("source", 6), ("flags", 7)]
    offsets += [("sequence", 8), ("timestamp_ns", 16), ("payload_size", 24), ("checksum", 28)]
    assert list(Header.layout.offsets.items()) == offsets


def test_pool_swap_is_where_the_document_says() -> None:
    assert (POOL_SWAP.itemsize, PoolSwap.layout.offsets["amount0_in"], PoolSwap.layout.offsets["recipient"]) == (
        304,
        80,
        280,
    )


@EVERY_LAYOUT
def test_layout_is_naturally_aligned_and_padded_to_8(layout: Layout) -> None:
    fields = layout.dtype.fields
    assert fields is not None
    end = 0
    for name, kind in layout.kinds.items():
        assert fields[name][1] == layout.offsets[name] == end
        assert end % kind.alignment == 0
        end += kind.size
    assert layout.size == layout.dtype.itemsize == layout.codec.size
    assert layout.size % 8 == 0
    assert 0 <= layout.size - end < 8


@EVERY_LAYOUT
def test_dtype_and_codec_put_every_field_in_the_same_bytes(layout: Layout) -> None:
    for name, kind in layout.kinds.items():
        table = np.zeros(1, dtype=layout.dtype)
        table[name].view("u1")[...] = 0xFF
        values = dict(zip(layout.kinds, layout.codec.unpack(table.tobytes()), strict=True))
        ones = b"\xff" * kind.size
        filled = values.pop(name)
        assert filled == ones if isinstance(filled, bytes) else filled in (-1, (1 << 8 * kind.size) - 1)
        assert all(not any(value) if isinstance(value, bytes) else value == 0 for value in values.values())


def test_no_field_of_any_layout_is_a_float() -> None:
    assert all(kind.base[-2] == "u" or kind.base[-2] == "i" for layout in LAYOUTS for kind in layout.kinds.values())


def test_every_pool_record_begins_with_the_same_80_bytes() -> None:
    common = list(PoolRecord.__struct_fields__)
    for cls in RECORDS.values():
        if issubclass(cls, PoolRecord):
            assert list(cls.layout.kinds)[: len(common)] == common
            assert cls.layout.offsets[cls.__struct_fields__[len(common)]] == 80


def test_size_of_type_is_the_size_of_each_record_and_minus_one_elsewhere() -> None:
    declared = {layout.type: layout.size for layout in LAYOUTS if layout.type}
    assert [declared.get(number, -1) for number in range(256)] == SIZE_OF_TYPE.tolist()


def test_domain_of_type_follows_the_ranges() -> None:
    for number in range(256):
        owners = [domain for domain, types in TYPE_RANGES.items() if number in types]
        owners += [ANY_DOMAIN] if number in VENDOR_TYPES else []
        assert DOMAIN_OF_TYPE[number] == (owners[0] if owners else 0)
    assert DOMAIN_OF_TYPE[EXTENDED] == 0


def test_known_flags_are_all_flags() -> None:
    assert sum(Flag) == KNOWN_FLAGS


def test_no_two_names_of_an_enumeration_share_a_number() -> None:
    for enumeration in vars(tlv.codes).values():
        if isinstance(enumeration, type) and hasattr(enumeration, "__members__"):
            assert len(enumeration.__members__) == len(set(enumeration.__members__.values()))


def test_tables_cannot_be_changed_at_run_time() -> None:
    for table in (SIZE_OF_TYPE, DOMAIN_OF_TYPE):
        with pytest.raises(ValueError, match="read-only"):
            table[1] = 1


# ---- the digest


def redeclared(cls: type[Record], fields: dict[str, Any]) -> Layout:
    """The layout of `cls` as it would be with other fields."""
    plain = type(cls.__name__, (Record,), {"__annotations__": fields, "__module__": __name__}, frozen=True)
    return record(type=0)(plain).layout._replace(type=cls.layout.type)


def variants(cls: type[Record]) -> Iterator[Layout]:
    """The layout with each field renamed, each field of another kind in the same bytes, and one field more."""
    fields = get_type_hints(cls, include_extras=True)
    del fields["layout"]
    for name, kind in cls.layout.kinds.items():
        yield redeclared(cls, {("renamed" if other == name else other): hint for other, hint in fields.items()})
        if kind.name in SAME_BYTES:
            yield redeclared(cls, fields | {name: SAME_BYTES[kind.name]})
    yield redeclared(cls, fields | {"one_more": U8})


def test_digest_of_the_same_declarations_is_the_same() -> None:
    hints = [get_type_hints(cls, include_extras=True) for cls in DECLARED]
    again = [
        redeclared(cls, {name: hint[name] for name in cls.layout.kinds})
        for cls, hint in zip(DECLARED, hints, strict=True)
    ]
    assert digest(again) == LAYOUT_DIGEST
    assert 0 < LAYOUT_DIGEST < 1 << 63


@pytest.mark.parametrize("cls", DECLARED, ids=lambda cls: cls.__name__)
def test_digest_changes_with_any_field_name_or_number(cls: type[Record]) -> None:
    others = [layout for layout in LAYOUTS if layout is not cls.layout]
    changed = [*variants(cls), cls.layout._replace(type=250), cls.layout._replace(name="Renamed")]
    digests = {digest([layout, *others]) for layout in [cls.layout, *changed]}
    assert len(digests) == 1 + len(changed)


# ---- what a declaration must obey


def test_record_with_a_misaligned_field_is_refused() -> None:
    class Crooked(Record, frozen=True):
        flag: U8
        amount: U64

    with pytest.raises(UsageError, match=r"Crooked\.amount at 1 breaks its alignment of 8"):
        record(type=0)(Crooked)


@pytest.mark.parametrize("number", [11, 120, 199, 255, 256, -1])
def test_record_with_a_taken_or_invalid_type_is_refused(number: int) -> None:
    class Late(Record, frozen=True):
        amount: U64

    with pytest.raises(UsageError, match=rf"type {number}(: expected one of a domain| is tlv\.layout\.)"):
        record(type=number)(Late)


def test_record_whose_kind_disagrees_with_its_codec_is_refused() -> None:
    class Odd(Record, frozen=True):
        __annotations__: ClassVar[dict[str, object]] = {"amount": Annotated[int, FieldKind("odd", "<u8", 0, "I")]}

    with pytest.raises(UsageError, match="Odd: dtype has 8 bytes, codec 4"):
        record(type=0)(Odd)


def test_every_record_says_what_it_means() -> None:
    for cls in RECORDS.values():
        assert re.fullmatch(r"\S.*[.)]", cls.__doc__ or "", re.DOTALL), cls
