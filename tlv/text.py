"""Records and messages as JSON-able dicts, and a message's bytes beside the names of its fields.

A 256-bit amount becomes a decimal string, since JSON numbers lose digits beyond 2^53.  The dump of a damaged message
goes as far as its bytes parse, so it reads `tlv.layout`'s tables and never the typed records.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum, IntFlag
from typing import Any, NamedTuple

import numpy as np

from tlv.codes import Domain, Flag, Protocol, Source
from tlv.explain import explain
from tlv.fields import FieldKind
from tlv.kernels import check_message, next_tlv
from tlv.layout import HEADER_SIZE, Header
from tlv.message import Message
from tlv.record import RECORDS, Layout, Record
from tlv.status import OK, TRUNCATED_TLV
from tlv.venues import VENUES

LARGEST_JSON_INTEGER = 1 << 53
"""Every integer up to this is exact in a reader that keeps numbers as IEEE doubles."""
WIDE = frozenset({"u128", "i128", "u256", "i256"})
"""Kinds whose values are always strings, so that a field does not change its JSON type from message to message."""
BYTES_PER_LINE = 16
NAMES: dict[str, type[IntEnum | IntFlag]] = {
    "domain": Domain,
    "source": Source,
    "flags": Flag,
    "protocol": Protocol,
}
"""Fields whose number has a name worth showing in a dump."""


def _json_value(kind: FieldKind, value: Any) -> str | int:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, int) and (kind.name in WIDE or abs(value) > LARGEST_JSON_INTEGER):
        return str(value)
    return value  # type: ignore[no-any-return]


def record_to_dict(record: Record) -> dict[str, Any]:
    """`type` (the record's name) and every field: bytes as 0x-hex, wide or large integers as decimal strings."""
    fields = {name: _json_value(kind, getattr(record, name)) for name, kind in record.layout.kinds.items()}
    return {"type": record.layout.name} | fields


def message_to_dict(message: Message) -> dict[str, Any]:
    """`header`, `records` and `unknown` of a message, each value as `record_to_dict` writes it."""
    header = record_to_dict(message.header)
    del header["type"]
    records = [record_to_dict(record) for record in message.records]
    return {"header": header, "records": records, "unknown": message.unknown}


class _Part(NamedTuple):
    """A run of bytes that belongs together, with its name and, where one can be given, its meaning."""

    pos: int
    end: int
    name: str
    meaning: str = ""


def _number(name: str, value: int) -> str:
    if name in ("magic", "checksum"):
        return hex(value)
    if name == "venue":
        return f"{value} {VENUES.name_of(value) or ''}".rstrip()
    try:
        return f"{value} {NAMES[name](value).name or ''}".rstrip()
    except (KeyError, ValueError):
        return str(value)


def _meaning(name: str, kind: FieldKind, raw: bytes) -> str:
    if kind.decode is None and kind.length:
        return "0x" + raw.hex()
    if kind.decode is None:
        return _number(name, int.from_bytes(raw, "little", signed=kind.name.startswith("i")))
    value = kind.decode(raw)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    # A token's contract chooses its symbol: ascii() keeps control characters out of the terminal.
    return ascii(value) if isinstance(value, str) else str(value)


def _parts_of_struct(layout: Layout, data: bytes, start: int) -> Iterator[_Part]:
    for name, kind in layout.kinds.items():
        pos = start + layout.offsets[name]
        if kind.size > len(data) - pos:
            yield _Part(pos, len(data), f"{name}, cut")
            return
        yield _Part(pos, pos + kind.size, name, _meaning(name, kind, data[pos : pos + kind.size]))
    yield _Part(pos + kind.size, start + layout.size, "_padding")


def _parts_of_payload(data: bytes) -> Iterator[_Part]:
    buf = np.frombuffer(bytearray(data), dtype=np.uint8)
    pos = HEADER_SIZE
    while pos < len(data):
        status, tlv_type, value_pos, length, following = next_tlv(buf, pos, len(data))
        if status not in (OK, TRUNCATED_TLV) or value_pos == pos:
            yield _Part(pos, len(data), "no TLV")
            return
        cls = RECORDS.get(tlv_type)
        yield _Part(pos, value_pos, "TLV", f"type {tlv_type} {cls.__name__ if cls else 'unknown'}, {length} bytes")
        if cls is not None and cls.layout.size == length:
            yield from _parts_of_struct(cls.layout, data[:following], value_pos)
        else:
            yield _Part(value_pos, following, "value")
        pos = following


def hex_dump(data: bytes | bytearray | memoryview, where: str = "message") -> str:
    """Lines of offset, bytes, field name and value; a damaged message goes as far as it can and ends with its error."""
    data = bytes(data)
    lines = []
    for part in [*_parts_of_struct(Header.layout, data, 0), *_parts_of_payload(data)]:
        text = f"{part.name:<24} {part.meaning}".rstrip()
        for pos in range(part.pos, part.end, BYTES_PER_LINE):
            row = data[pos : min(pos + BYTES_PER_LINE, part.end)].hex(" ")
            lines.append(f"{pos:05x}  {row:<{3 * BYTES_PER_LINE}} {text}".rstrip())
            text = ""
    status = check_message(np.frombuffer(bytearray(data), dtype=np.uint8), 0, len(data), True)
    if status != OK:
        error = explain(data, status, where)
        lines.append(f"{type(error).__name__}: {error}")
    return "\n".join(lines)
