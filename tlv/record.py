"""Turns a class with annotated fields into a struct: dtype, codec and registration are derived from the annotations.

Owns the derivation; knows no particular record (those are declared in `tlv.layout`).
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from operator import index
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

import msgspec
import numpy as np

from tlv.codes import TYPE_RANGES, VENDOR_TYPES, Domain
from tlv.errors import TlvError, UsageError
from tlv.fields import NO_ID, FieldKind
from tlv.generated import write_function


class Layout(NamedTuple):
    """One struct: its name, type, numpy dtype, codec and fields."""

    name: str
    type: int
    """TLV type; 0 for the header and for structs inside other records."""
    dtype: np.dtype[np.void]
    codec: struct.Struct
    kinds: dict[str, FieldKind]
    offsets: dict[str, int]
    """Where each field begins, in bytes from the start of the struct."""
    domain: Domain | None
    """The domain that owns the type; None for a struct that is no TLV, and for a vendor's TLV."""

    @property
    def size(self) -> int:
        """Bytes, padding included."""
        return self.codec.size


def _fault(kind: FieldKind, value: Any) -> str:
    """Why a value cannot be written as `kind`; empty if it can."""
    try:
        raw = kind.encode(value) if kind.encode else value
    except (OverflowError, ValueError, TypeError, AttributeError) as error:
        return f"{kind.name}: {value!r} ({error})"
    try:
        struct.pack("<" + kind.code, raw)
    except struct.error:
        return f"{kind.name}: {raw!r}"
    return ""


class Record(msgspec.Struct, frozen=True, gc=False):
    """A struct of the wire format as a typed, immutable Python value."""

    layout: ClassVar[Layout]
    read: ClassVar[Callable[[bytes | bytearray | memoryview, int], Record]]
    """`unpack` for bytes that are known to be there: twice as fast.  Ask the class for it at each call: the first call
    puts another in its place."""
    _write: ClassVar[Callable[[Record], bytes]]
    """`pack` of values that are known to fit: an error does not say which one does not."""

    def pack(self) -> bytes:
        """The struct's bytes, `layout.size` of them.

        Raises:
            UsageError: a value does not fit its field; the message names the field.
        """
        try:
            return type(self)._write(self)
        except (OverflowError, ValueError, TypeError, AttributeError, struct.error):
            layout = self.layout
            pairs = zip(layout.kinds.items(), msgspec.structs.astuple(self), strict=True)
            faults = ((name, _fault(kind, value)) for (name, kind), value in pairs)
            name, fault = next((name, fault) for name, fault in faults if fault)
            raise UsageError(f"{layout.name}.{name} is no {fault}") from None

    @classmethod
    def unpack(cls, data: bytes | bytearray | memoryview, offset: int = 0) -> Self:
        """The record whose `layout.size` bytes begin at `offset`.

        Raises:
            TlvError: fewer bytes are there.
        """
        layout = cls.layout
        if offset < 0 or len(data) - offset < layout.size:
            raise TlvError(f"{layout.name} takes {layout.size} bytes, found {len(data) - offset} at {offset}")
        return cls.read(data, offset)  # type: ignore[return-value]


def kinds_of(cls: type[Record]) -> dict[str, FieldKind]:
    """The kind of each field, in their order.

    `typing.get_type_hints` looks at all that the base classes say besides, anew for each record: 13 ms of every start
    instead of 1.
    """
    hints: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        known = vars(sys.modules[base.__module__])
        for name, hint in vars(base).get("__annotations__", {}).items():
            if name in cls.__struct_fields__:
                hints[name] = eval(hint, known) if isinstance(hint, str) else hint
    return {name: hints[name].__metadata__[0] for name in cls.__struct_fields__}


def make_reader(cls: type[Record]) -> Callable[[bytes | bytearray | memoryview, int], Record]:
    """A function that reads a record, written for its class.

    A loop over the decoders takes twice as long: 1.1 us for a PoolSync of two reserves, 0.5 us so.
    """
    names = [f"value{at}" for at in range(len(cls.layout.kinds))]
    known: dict[str, Any] = {"cls": cls, "unpack_from": cls.layout.codec.unpack_from, "NO_ID": NO_ID}
    values = []
    for name, kind in zip(names, cls.layout.kinds.values(), strict=True):
        if kind.decode is not None and not kind.decoding:
            known[f"read_{name}"] = kind.decode
        values.append((kind.decoding or f"read_{name}({{0}})").format(name) if kind.decode is not None else name)
    lines = ["def read(data, offset):", f"    {', '.join(names)}, = unpack_from(data, offset)"]
    return write_function("read", [*lines, f"    return cls({', '.join(values)})"], known, cls.__name__)


def encoding_of(record: str, name: str, kind: FieldKind, known: dict[str, Any]) -> str:
    """The text for a field of the variable `record` as `struct` packs it; `known` gets what it calls."""
    field = f"{record}.{name}" if name.isascii() else f"getattr({record}, {name!r})"  # Python's parser respells others
    if kind.encode is None:
        return field
    if not kind.encoding:
        known[f"encode_{kind.name}"] = kind.encode
    return (kind.encoding or f"encode_{kind.name}({{0}})").format(field)


def refuse() -> None:
    """Say no more than that a value does not fit."""
    raise ValueError


def make_writer(cls: type[Record]) -> Callable[[Record], bytes]:
    """A function that writes a record, made in the same way.

    A loop over the encoders takes 1.5 us for a CycleLeg of six wide integers, this 0.65 us.
    """
    known: dict[str, Any] = {"pack": cls.layout.codec.pack, "index": index, "refuse": refuse}
    values = (encoding_of("record", name, kind, known) for name, kind in cls.layout.kinds.items())
    return write_function("write", ["def write(record):", f"    return pack({', '.join(values)})"], known, cls.__name__)


def written_later(cls: type[Record], name: str, make: Callable[[type[Record]], Callable[..., Any]]) -> None:
    """Give `cls` a function `name` that writes the one that takes its place, when it is first called.

    Few records of the sixty are read or written by a command; all of them took a third of the import of `tlv.layout`.
    """

    def first(*arguments: Any) -> Any:
        written = make(cls)
        setattr(cls, name, staticmethod(written))
        return written(*arguments)

    setattr(cls, name, staticmethod(first))


R = TypeVar("R", bound=Record)

RECORDS: dict[int, type[Record]] = {}
"""The record class of each TLV type.  A user's `@record(type=200)` joins it; kernels and the digest do not know it."""


class record:  # noqa: N801 - reads as a decorator: @record(type=11)
    """Class decorator that derives the layout of a record and registers it under its TLV type."""

    def __init__(self, *, type: int) -> None:
        self.type = type

    def __call__(self, cls: type[R]) -> type[R]:
        kinds = kinds_of(cls)
        offset = 0
        offsets: dict[str, int] = {}
        fields: list[Any] = []
        for name, kind in kinds.items():
            if offset % kind.alignment:
                raise UsageError(f"{cls.__name__}.{name} at {offset} breaks its alignment of {kind.alignment}")
            fields.append((name, kind.base, (kind.length,)) if kind.length else (name, kind.base))
            offsets[name] = offset
            offset += kind.size
        padding = -offset % 8
        if padding:
            fields.append(("_padding", "u1", (padding,)))
        codec = struct.Struct("<" + "".join(kind.code for kind in kinds.values()) + "x" * padding)
        domain = next((domain for domain, types in TYPE_RANGES.items() if self.type in types), None)
        cls.layout = Layout(cls.__name__, self.type, np.dtype(fields), codec, kinds, offsets, domain)
        if cls.layout.dtype.itemsize != codec.size:
            raise UsageError(f"{cls.__name__}: dtype has {cls.layout.dtype.itemsize} bytes, codec {codec.size}")
        written_later(cls, "read", make_reader)
        written_later(cls, "_write", make_writer)
        if self.type:
            taken = RECORDS.get(self.type)
            if taken is not None:
                raise UsageError(f"{cls.__name__}: type {self.type} is {taken.__module__}.{taken.__name__}'s already")
            if domain is None and self.type not in VENDOR_TYPES:
                raise UsageError(
                    f"{cls.__name__}: type {self.type}: expected one of a domain, or {VENDOR_TYPES[0]} to "
                    f"{VENDOR_TYPES[-1]}"
                )
            RECORDS[self.type] = cls
        return cls
