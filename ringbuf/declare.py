"""How shared words are declared: fields of the kinds of `tlv.fields`, one after the other, in groups of cache lines.

Owns offsets: each follows from the sizes before it, and only a line's start is stated.  It must never know a field.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple, get_args

import numpy as np

LINE_BYTES = 64

Type = np.dtype[np.void]


class Lines(NamedTuple):
    """Fields that stand one after the other from `start` on, and share no cache line with those of other `Lines`."""

    start: int
    fields: Type


def packed(**fields: Any) -> Type:
    """Fields one after the other without gaps: each a kind, or `(type, count)`."""
    return np.dtype([(name, _form(field)) for name, field in fields.items()])


def lines(start: int, **fields: Any) -> Lines:
    """`packed` fields from the cache line at `start` on."""
    return Lines(start, packed(**fields))


def page(size: int, *groups: Lines) -> Type:
    """An object of `size` bytes.

    Raises:
        AssertionError: a group begins within a cache line, in the group before it, or reaches beyond `size`.
    """
    names: list[str] = []
    formats: list[np.dtype[Any]] = []
    offsets: list[int] = []
    end = 0
    for start, fields in groups:
        if start % LINE_BYTES or start < end or start + fields.itemsize > size:
            raise AssertionError(f"{fields.names} at {start}: expected a cache line from {end} on, within {size} bytes")
        for name, entry in fields.fields.items():  # type: ignore[union-attr]
            names.append(name)
            formats.append(entry[0])
            offsets.append(start + int(entry[1]))
        end = start + fields.itemsize
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


def _form(field: Any) -> Any:
    if isinstance(field, tuple):
        kind, count = field
        return _form(kind), count
    if isinstance(field, np.dtype):
        return field
    kind = get_args(field)[1]
    return (kind.base, (kind.length,)) if kind.length else kind.base


def offset_of(dtype: Type, field: str) -> int:
    """The byte that `field` starts at."""
    return int(dtype.fields[field][1])  # type: ignore[index]


def word_of(dtype: Type, field: str) -> int:
    """The number of the 64-bit word that `field` starts at."""
    offset = offset_of(dtype, field)
    if offset % 8:
        raise AssertionError(f"{field} at offset {offset} is not on a word")
    return offset // 8


def shift_of(dtype: Type, field: str) -> int:
    """The bit at which `field` starts within its little-endian word."""
    return offset_of(dtype, field) % 8 * 8


def digest_of(*dtypes: Type) -> int:
    """31 bits that change with the name, offset or type of any field."""
    text = "\n\n".join(
        "\n".join(f"{name} {entry[1]} {entry[0].descr}" for name, entry in dtype.fields.items())  # type: ignore[union-attr]
        for dtype in dtypes
    )
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little") >> 1
