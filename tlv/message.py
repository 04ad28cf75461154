"""Messages as Python sees them: typed records in, bytes out, and back.

Owns `parse` and `build`, and the exceptions of both.  The framing itself is that of `tlv.kernels`.  It knows neither
where bytes come from nor what a record means.

Both have a short way and a careful one.  The short one is a call of machine code that checks and constructs, or packs
and seals (`tlv.record_kernels`, `tlv.record_writing`); what it does not take (a class that it has not met, no compiler,
bytes or values that are refused) is done here as plain Python, and only here an error gets its text.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, TypeVar
from zlib import crc32

import msgspec
import numpy as np

from tlv.arguments import check_integer
from tlv.codes import EXTENDED, KNOWN_FLAGS, MAGIC, MAX_MESSAGE, TYPE_RANGES, VERSION, Domain, Source
from tlv.errors import TlvError, UsageError
from tlv.explain import explain
from tlv.kernels import EXTENDED_FORM, LONGEST_SHORT, SHORT_FORM, check_message
from tlv.layout import CHECKSUM_AT, HEADER_SIZE, Header
from tlv.record import RECORDS, Record
from tlv.record_kernels import message_reader
from tlv.record_table import TABLE
from tlv.record_writing import message_writer
from tlv.status import OK

R = TypeVar("R", bound=Record)

BYTES_LIKE = (bytes, bytearray, memoryview, np.ndarray)
"""What `parse` reads; a union in its place is made anew for each message, which takes 0.2 us."""
UNKNOWN_FLAGS = ~KNOWN_FLAGS


class Message(msgspec.Struct, frozen=True, gc=False):
    """One parsed message; it unpacks as (header, records, unknown)."""

    header: Header
    records: tuple[Record, ...]
    unknown: int
    """TLVs that were skipped because no layout is known for their type."""

    def __iter__(self) -> Iterator[Any]:
        return iter((self.header, self.records, self.unknown))

    def first(self, cls: type[R]) -> R | None:
        """The first record of class `cls`, None if there is none."""
        return next((record for record in self.records if isinstance(record, cls)), None)


def build(
    domain: Domain,
    source: int,
    records: Iterable[Record],
    *,
    sequence: int = 0,
    timestamp_ns: int = 0,
    flags: int = 0,
) -> bytes:
    """The bytes of a message that carries `records` in their order.

    Raises:
        UsageError: a record is of another domain, a value does not fit its field, or the message exceeds 64 KiB.
    """
    if (
        (records.__class__ is tuple or records.__class__ is list)
        and domain.__class__ is Domain
        and (source.__class__ is int or source.__class__ is Source)
        and flags.__class__ is int
        and not flags & UNKNOWN_FLAGS
        and sequence.__class__ is int
        and sequence >= 0
        and timestamp_ns.__class__ is int
    ):
        data = write(records, domain, source, flags, sequence, timestamp_ns)
        if data is not None:
            return data
    return build_carefully(domain, source, records, sequence, timestamp_ns, flags)


def build_carefully(
    domain: Domain, source: int, records: Iterable[Record], sequence: int, timestamp_ns: int, flags: int
) -> bytes:
    """`build` step by step, with a word for everything that is wrong."""
    if isinstance(domain, bool) or not isinstance(domain, int) or domain not in TYPE_RANGES:
        raise UsageError(f"domain: expected one of {', '.join(map(str, TYPE_RANGES))}, found {domain!r}")
    source, flags = check_integer("source", source, 0, 255), check_integer("flags", flags, 0, 255)
    if flags & UNKNOWN_FLAGS:
        raise UsageError(f"flags: expected some of {KNOWN_FLAGS:#x}, found {flags:#x}")
    sequence = check_integer("sequence", sequence, 0, (1 << 63) - 1)
    timestamp_ns = check_integer("timestamp_ns", timestamp_ns, -(1 << 63), (1 << 63) - 1)
    parts: list[bytes] = []
    for record in records if isinstance(records, Iterable) else [records]:
        if not isinstance(record, Record):
            raise UsageError(f"records: expected records, found {record!r}")
        layout = record.layout
        if layout.type == 0 or layout.domain not in (None, domain):
            raise UsageError(f"{layout.name} (type {layout.type}) does not belong to domain {Domain(domain).name}")
        parts += head_of(layout.type, layout.size), record.pack()
        learn(type(record))
    size = HEADER_SIZE + sum(map(len, parts))
    if size > MAX_MESSAGE:
        raise UsageError(f"expected at most {MAX_MESSAGE} bytes, found {len(parts) // 2} records in {size}")
    header = Header(MAGIC, domain, VERSION, source, flags, sequence, timestamp_ns, size - HEADER_SIZE, 0)
    head, payload = header.pack()[:CHECKSUM_AT], b"".join(parts)
    return head + crc32(payload, crc32(head)).to_bytes(HEADER_SIZE - CHECKSUM_AT, "little") + payload


@cache
def head_of(tlv_type: int, length: int) -> bytes:
    """What stands in front of a TLV's value, as `tlv.kernels.put_tlv` writes it.

    Plain, because the first message of a command would load a kernel for it: 25 ms.
    """
    if length <= LONGEST_SHORT:
        return bytes((tlv_type, length))
    return bytes((EXTENDED, 0, tlv_type)) + length.to_bytes(2, "little")


def learn(cls: type[Record]) -> None:
    """Let machine code read and write records of this class from now on, if it is the one of its type."""
    if TABLE.taught.get(cls.layout.type) is not cls and RECORDS.get(cls.layout.type) is cls:
        TABLE.teach(cls)


def parse(data: bytes | bytearray | memoryview, *, verify: bool = True, where: str = "message") -> Message:
    """The message whose bytes are exactly `data`; `verify=False` skips the checksum, `where` opens an error's text.

    Raises:
        HeaderError, ChecksumError, TlvError: the bytes are no message; the text names expected, found and offset.
    """
    if data.__class__ is not bytes:
        if not isinstance(data, BYTES_LIKE):
            raise UsageError(f"data: expected bytes, found {type(data).__name__}")
        # A copy: records are read from the same bytes that were checked, whatever the strides of `data`.
        data = bytes(data)
    found = read(data, not verify)
    return parse_carefully(data, found, where) if isinstance(found, int) else found


def parse_carefully(data: bytes, status: int, where: str) -> Message:
    """The message that was checked with `status`, as plain Python, or the error that says why it is refused."""
    if status != OK:
        raise explain(data, status, where)
    records: list[Record] = []
    unknown = 0
    pos = HEADER_SIZE
    while pos < len(data):
        tlv_type, length, pos = data[pos], data[pos + 1], pos + SHORT_FORM
        if tlv_type == EXTENDED:
            tlv_type, length, pos = data[pos], data[pos + 1] | data[pos + 2] << 8, pos + EXTENDED_FORM - SHORT_FORM
        cls = RECORDS.get(tlv_type)
        if cls is None:
            unknown += 1
        elif cls.layout.size != length:
            raise TlvError(f"{where}: expected {cls.layout.size} bytes of {cls.layout.name}, found {length} at {pos}")
        else:
            learn(cls)
            records.append(cls.read(data, pos))
        pos += length
    return Message(Header.unpack(data), tuple(records), unknown)


BUILT_PLAINLY = 16
"""Messages that a process builds before machine code is made ready for it: most commands build fewer."""
built: list[None] = []


def first_write(*arguments: Any) -> bytes | None:
    """`write` for the first messages, which are left to Python, as all are while no descriptor is left to load it."""
    global write  # noqa: PLW0603 - as `read`
    built.append(None)
    if len(built) >= BUILT_PLAINLY:
        with contextlib.suppress(OSError):
            write = message_writer()
    return None


write: Callable[..., bytes | None] = first_write
"""The message of records that fit their fields; None where only `build_carefully` can build it."""


def check(data: bytes, unverified: bool) -> int:
    """The status of a message, where nothing reads it in machine code."""
    buf = np.frombuffer(data, dtype=np.uint8)
    return check_message(buf, 0, buf.size, not unverified)


def first_read(data: bytes, unverified: bool) -> Message | int:
    """`read` until it is made, which is when a message is first read."""
    global read  # noqa: PLW0603 - an object's attribute in its place takes 20 ns of each parse
    try:
        read = message_reader(Message) or check
    except OSError:  # no descriptor is left to load it
        return check(data, unverified)
    return read(data, unverified)


read: Callable[[bytes, bool], Message | int] = first_read
"""The message that bytes are; else the status of their refusal, OK where only `parse_carefully` can read it."""
