"""Records of a user's own, from a TOML text: they are records like the others, and nonsense is refused by its name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tlv.codes import Domain, Source
from tlv.errors import UsageError
from tlv.fields import I64, U8, PoolId
from tlv.filter import MessageFilter
from tlv.layout import LAYOUT_DIGEST, LAYOUTS, digest
from tlv.message import build, parse
from tlv.record import RECORDS, Record, record
from tlv.text import hex_dump, message_to_dict
from tlv.user_records import KINDS, register_records

NEW = 241
"""A type that no other test registers."""


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """The table of records belongs to the whole process."""
    before = dict(RECORDS)
    yield
    RECORDS.clear()
    RECORDS.update(before)


def declared(fields: str, name: str = "Move", number: object = NEW) -> str:
    return f'[[record]]\nname = "{name}"\ntype = {number}\n[record.fields]\n{fields}\n'


MOVE = declared('pips = "i64"\npool = "pool_id"\nside = "u8"')


def test_record_from_text_has_the_layout_of_the_same_class() -> None:
    class Move(Record, frozen=True):
        pips: I64
        pool: PoolId
        side: U8

    (found,) = register_records(MOVE)
    wanted = record(type=NEW + 1)(Move).layout
    assert (found.layout.name, found.layout.type, RECORDS[NEW]) == ("Move", NEW, found)
    assert (found.layout.dtype, found.layout.kinds, found.layout.size) == (wanted.dtype, wanted.kinds, 48)


def test_record_from_text_is_read_shown_and_selected_like_any_other() -> None:
    (cls,) = register_records(MOVE)
    data = build(Domain.SIGNAL, Source.POLYGON_COLLECTOR, [cls(-3, b"p" * 20, 7)], sequence=1)
    assert parse(data).records == (cls(-3, b"p" * 20, 7),)
    assert message_to_dict(parse(data))["records"] == [
        {"type": "Move", "pips": -3, "pool": "0x" + (b"p" * 20).hex(), "side": 7}
    ]
    assert "type 241 Move, 48 bytes" in hex_dump(data) and "pips" in hex_dump(data)
    assert MessageFilter.of(types=["Move"]).passes(data)
    assert not MessageFilter.of(types=["PoolSwap"]).passes(data)


def test_register_records_leaves_the_layout_digest_alone() -> None:
    register_records(MOVE)
    assert digest(LAYOUTS) == LAYOUT_DIGEST


def test_register_records_the_same_again_is_the_same_class() -> None:
    assert register_records(MOVE + declared('a = "u8"', "Other", NEW + 1)) == (RECORDS[NEW], RECORDS[NEW + 1])
    assert register_records(MOVE) == (RECORDS[NEW],)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_has_its_name(kind: str) -> None:
    (cls,) = register_records(declared(f'field = "{kind}"'))
    assert cls.layout.kinds["field"].name == kind


WRONG = {
    "no TOML": ("[[record", "no TOML"),
    "nothing": ("", "expected \\[\\[record\\]\\] tables and nothing else, found nothing"),
    "a key beside": ("version = 1\n" + MOVE, "found version, record"),
    "no list": ('[record]\nname = "Move"\n', "expected \\[\\[record\\]\\] tables"),
    "no list of tables": ("record = [1]\n", "expected \\[\\[record\\]\\] tables"),
    "no fields": (
        f'[[record]]\nname = "Move"\ntype = {NEW}\n',
        ".*'Move': expected name, .* found name, type",
    ),
    "name with a space": (declared('a = "u8"', "Price Move"), "record 'Price Move': expected a name"),
    "name that is a keyword": (declared('a = "u8"', "class"), "record 'class': expected a name"),
    "type below": (declared('a = "u8"', number=199), "'Move': expected a type from 200 to 254, found 199"),
    "type above": (declared('a = "u8"', number=255), "'Move': expected a type from 200 to 254, found 255"),
    "type of another type": (declared('a = "u8"', number='"200"'), "expected a type from 200 to 254, found '200'"),
    "type true": (declared('a = "u8"', number="true"), "expected a type from 200 to 254, found True"),
    "type taken": (MOVE + declared('a = "u8"', "Other"), "record 'Other': type 241 is taken by another Move"),
    "type taken by its namesake": (MOVE + declared('a = "u8"'), "record 'Move': type 241 is taken by another Move"),
    "name taken": (declared('a = "u8"', "PoolSwap"), "record 'PoolSwap': the name is taken"),
    "name taken by a struct": (declared('a = "u8"', "Header"), "record 'Header': the name is taken"),
    "no field": (declared(""), "record 'Move': fields: expected a table"),
    "fields no table": ('[[record]]\nname = "Move"\ntype = 241\nfields = 5\n', "fields: expected a table .* found 5"),
    "field underscore": (declared('_a = "u8"'), "'Move', field '_a': expected a name that is free"),
    "field of the class": (declared('pack = "u8"'), "'Move', field 'pack': expected a name that is free"),
    "field type": (declared('type = "u8"'), "'Move', field 'type': expected a name that is free"),
    "unknown kind": (declared('a = "f64"'), "'Move', field 'a': expected a kind \\(u8, .*\\), found 'f64'"),
    "kind no text": (declared("a = 8"), "'Move', field 'a': expected a kind .*, found 8"),
    "misaligned": (declared('a = "u8"\nb = "u32"'), "field 'b': expected a multiple of 4 as its offset, found 1"),
    "too long": (
        declared("\n".join(f'f{i} = "text1024"' for i in range(64))),
        "record 'Move': expected at most 65528 bytes, found 65536",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_register_records_nonsense_is_refused_by_name(case: str) -> None:
    text, expected = WRONG[case]
    with pytest.raises(UsageError, match=f"^mine.toml: .*{expected}"):
        register_records(text, "mine.toml")
