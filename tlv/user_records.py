"""Records of a user's own: a TOML text becomes `Record` classes, registered as `@record` does.

    [[record]]
    name = "PriceMove"
    type = 200                      # 200 to 254, in messages of any domain
    [record.fields]                 # in the order of their bytes
    move_pips = "i64"
    pool = "pool_id"

A kind is one of `tlv.fields`, by its name there.  The layout digest does not cover these records: publisher and readers
load the same text.
"""

from __future__ import annotations

import keyword
import tomllib
from typing import Annotated, Any, cast, get_origin

import msgspec

from tlv import fields
from tlv.codes import VENDOR_TYPES
from tlv.errors import UsageError
from tlv.fields import FieldKind
from tlv.layout import LAYOUTS
from tlv.record import RECORDS, Record, record

KINDS: dict[str, Any] = {
    annotated.__metadata__[0].name: annotated
    for annotated in vars(fields).values()
    if get_origin(annotated) is Annotated
}
"""The annotation of each kind, by the kind's name."""
RESERVED = frozenset({"type", *(name for name in dir(Record) if not name.startswith("_"))})
"""Names no field may have: `type` is the record's name in JSON, the others are attributes of `Record`."""
KEYS = ("name", "type", "fields")
MAX_RECORD = (1 << 16) - 8
"""Largest size that the u16 length of a TLV can hold, padding included."""


def register_records(text: str, where: str = "records") -> tuple[type[Record], ...]:
    """The record classes that `text` declares, registered; one that is registered already, and the same, is kept.

    Raises:
        UsageError: no TOML, a type or name that is taken, an unknown kind, a field off its alignment.  The message
            begins with `where` and names record, field, what was expected and what was found.
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where}: no TOML: {error}") from None
    declared = tree.get("record")
    if list(tree) != ["record"] or not isinstance(declared, list) or not all(isinstance(one, dict) for one in declared):
        raise UsageError(f"{where}: expected [[record]] tables and nothing else, found {', '.join(tree) or 'nothing'}")
    return tuple(_register(where, one) for one in declared)


def _register(where: str, declared: dict[str, Any]) -> type[Record]:
    if sorted(declared) != sorted(KEYS):
        raise UsageError(
            f"{where}: [[record]] {declared.get('name', '')!r}: expected {', '.join(KEYS)}, found {', '.join(declared)}"
        )
    name, number = declared["name"], declared["type"]
    here = f"{where}: record {name!r}"
    if not _is_name(name):
        raise UsageError(f"{here}: expected a name of letters, digits and underscores")
    if type(number) is not int or number not in VENDOR_TYPES:
        raise UsageError(f"{here}: expected a type from {VENDOR_TYPES[0]} to {VENDOR_TYPES[-1]}, found {number!r}")
    kinds = _kinds(here, declared["fields"])
    present = RECORDS.get(number)
    if present is not None and present.__name__ == name and _annotations(present) == kinds:
        return present
    if present is not None:
        raise UsageError(f"{here}: type {number} is taken by another {present.__name__}; expected a free one")
    if name in {layout.name for layout in LAYOUTS} | {cls.__name__ for cls in RECORDS.values()}:
        raise UsageError(f"{here}: the name is taken; expected one that no other record has")
    _check_alignment(here, kinds)
    members = [(field, KINDS[kind]) for field, kind in kinds]
    cls = cast(type[Record], msgspec.defstruct(name, members, bases=(Record,), frozen=True))
    return record(type=number)(cls)


def _kinds(here: str, declared: Any) -> list[tuple[str, str]]:
    """Every field and its kind's name, in their order."""
    if not isinstance(declared, dict) or not declared:
        raise UsageError(f'{here}: fields: expected a table such as price = "u64", found {declared!r}')
    for field, kind in declared.items():
        if not _is_name(field) or field in RESERVED:
            raise UsageError(f"{here}, field {field!r}: expected a name that is free, without a leading underscore")
        if not isinstance(kind, str) or kind not in KINDS:
            raise UsageError(f"{here}, field {field!r}: expected a kind ({', '.join(KINDS)}), found {kind!r}")
    return list(declared.items())


def _check_alignment(here: str, kinds: list[tuple[str, str]]) -> None:
    at = 0
    for field, name in kinds:
        kind: FieldKind = KINDS[name].__metadata__[0]
        if at % kind.alignment:
            raise UsageError(
                f"{here}, field {field!r}: expected a multiple of {kind.alignment} as its offset, found {at}; "
                "put wider integers first"
            )
        at += kind.size
    if at > MAX_RECORD:
        raise UsageError(f"{here}: expected at most {MAX_RECORD} bytes, found {at}")


def _annotations(cls: type[Record]) -> list[tuple[str, str]]:
    return [(field, kind.name) for field, kind in cls.layout.kinds.items()]


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and name.isidentifier() and name[0] != "_" and not keyword.iskeyword(name)
