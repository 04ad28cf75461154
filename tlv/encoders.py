"""Functions that build messages of certain records, each written for their classes.

Owns the text of such a function: one `struct.pack` of header and records, then the seal.  It checks nothing but what a
field's bytes cannot hold; whatever raises in it, `tlv.message` builds step by step, and says what is wrong.

A message of a Gap takes 4.8 us to build step by step, 0.6 so; a swap with its origin 7.2 and 1.7 (bench `tlv`).  With
its checksum by `zlib.crc32` in two calls, and header, checksum and records joined after, the Gap takes 0.8.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from operator import index
from struct import Struct
from typing import Any
from zlib import crc32

from tlv.codes import EXTENDED, MAGIC, MAX_MESSAGE, VERSION
from tlv.generated import write_function
from tlv.jit import kernel
from tlv.kernels import LONGEST_SHORT, seal
from tlv.layout import CHECKSUM_AT, HEADER_SIZE, Header
from tlv.making import BUILTINS, BYTES_AT, SIZE_AT, builtin, bytes_from, keep_object, load_word
from tlv.record import Record, encoding_of, refuse

Encode = Callable[..., bytes]
Key = type[Record] | tuple[type[Record], ...]

WRITTEN_AFTER = 16
"""Messages of the same classes that are built before a function is written for them, which takes as long as 50."""
MOST_WRITTEN = 256
"""Functions that are kept; messages of yet other classes are built step by step."""


MOST_RECORDS = 8
"""In a message that gets a function: one of hundreds of ticks has as many shapes, and a text of thousands of lines."""


class EncoderCache(dict[Key, Encode]):
    """The functions that were written, by class of the only record, or by the classes of all."""

    def __init__(self) -> None:
        self._built: dict[Key, int] = {}

    def count(self, key: Key) -> None:
        """A message of these classes was built step by step."""
        built = self._built.get(key, 0) + 1
        if built == WRITTEN_AFTER and (encode := write_encoder(key if isinstance(key, tuple) else (key,))):
            self[key] = encode
        if len(self._built) < MOST_WRITTEN or key in self._built:
            self._built[key] = built


def write_encoder(classes: tuple[type[Record], ...]) -> Encode | None:
    """`encode(records, domain, source, flags, sequence, timestamp_ns)` for records of these classes; None if there are
    too many.  A message of these classes was built before.  It raises whatever it likes where a value does not fit."""
    domains = {cls.layout.domain for cls in classes} - {None}
    size = HEADER_SIZE + sum(len(head_of(cls.layout.type, cls.layout.size)) + cls.layout.size for cls in classes)
    if size > MAX_MESSAGE or len(classes) > MOST_RECORDS:
        return None
    known: dict[str, Any] = {"index": index, "refuse": refuse, "sealed": sealed_bytes()}
    form = "<" + "".join(kind.code for kind in Header.layout.kinds.values())
    values = [
        f"{MAGIC}",
        "domain",
        f"{VERSION}",
        "source",
        "flags",
        "sequence",
        "timestamp_ns",
        f"{size - HEADER_SIZE}",
        "0",
    ]
    for at, cls in enumerate(classes):
        layout = cls.layout
        head = head_of(layout.type, layout.size)
        form += f"{len(head)}s{layout.codec.format[1:]}"
        values += [repr(head), *(encoding_of(f"record{at}", name, kind, known) for name, kind in layout.kinds.items())]
    known["pack"] = Struct(form).pack
    lines = ["def encode(records, domain, source, flags, sequence, timestamp_ns):"]
    lines += [f"    {''.join(f'record{at}, ' for at in range(len(classes)))}= records"] if classes else []
    if domains:
        known["owner"] = domains.pop()
        lines.append("    if domain is not owner: refuse()")
    lines += ["    return sealed(pack(", *(f"        {value}," for value in values), "    ))"]
    return write_function("encode", lines, known, ", ".join(cls.__name__ for cls in classes))


@cache
def head_of(tlv_type: int, length: int) -> bytes:
    """What stands in front of a TLV's value, as `tlv.kernels.put_tlv` writes it.

    Plain, because the first message of a command would load a kernel for it: 25 ms.
    """
    if length <= LONGEST_SHORT:
        return bytes((tlv_type, length))
    return bytes((EXTENDED, 0, tlv_type)) + length.to_bytes(2, "little")


@kernel
def seal_bytes(_bound: int, arguments: int, _count: int) -> int:
    """`(data: bytes)`: the same message, sealed in its place: whoever calls it has just made it, and nobody else yet
    has it, nor its hash."""
    data = load_word(arguments)
    size = load_word(data + SIZE_AT)
    seal(bytes_from(data + BYTES_AT, size), 0, size)
    keep_object(data)
    return data


def seal_by_zlib(data: bytes) -> bytes:
    """A sealed copy of a message whose checksum is 0."""
    checksum = crc32(data[HEADER_SIZE:], crc32(data[:CHECKSUM_AT]))
    return data[:CHECKSUM_AT] + checksum.to_bytes(HEADER_SIZE - CHECKSUM_AT, "little") + data[HEADER_SIZE:]


@cache
def sealed_bytes() -> Callable[[bytes], bytes]:
    """How a message that was just packed gets its checksum."""
    return builtin(seal_bytes, "seal_bytes", b"") if BUILTINS else seal_by_zlib
