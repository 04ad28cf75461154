"""The immutable facts of a ring: geometry, uuid, digests; written at creation, checked at every attach.

Owns the immutable lines of the header page.  It must never touch a word that changes while the ring lives.
"""

from __future__ import annotations

import secrets
import time
import uuid as uuids
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ringbuf.declare import offset_of
from ringbuf.errors import BadGeometry, BadSegment, RingNotReady
from ringbuf.layout import (
    ALIGNMENT,
    ANCHORS,
    CONTROL,
    CONTROL_MAGIC,
    DEFAULT_MAX_FRAME,
    DEFAULT_RESERVE_BYTES,
    DESCRIPTOR_BYTES,
    FORMAT,
    HEADER,
    HEADER_BYTES,
    MAGIC,
    MAX_CAPACITY,
    MAX_FRAME_SHARE,
    MIN_CAPACITY,
    RESERVE_SHARE,
    SCHEMA_BYTES,
)
from tlv.buffers import Bytes

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
IDENTITY_START = offset_of(HEADER, "version")
IDENTITY_END = offset_of(HEADER, "crc")
TEXT_START = offset_of(HEADER, "name")
TEXT_END = offset_of(HEADER, "schema") + SCHEMA_BYTES


@dataclass(frozen=True)
class Identity:
    """The immutable part of a ring's header page."""

    uuid: bytes
    capacity: int
    max_frame: int  # bytes of the largest frame, its descriptor included
    reserve: int
    salt: int
    layout_digest: int
    created_ns: int
    name: str
    schema: str

    @property
    def total_bytes(self) -> int:
        """Size of the ring object."""
        return HEADER_BYTES + self.capacity

    @property
    def max_payload(self) -> int:
        """Bytes of the largest payload."""
        return self.max_frame - DESCRIPTOR_BYTES

    @property
    def region_bytes(self) -> int:
        """Bytes per anchor."""
        return self.capacity // ANCHORS


def boot_id() -> bytes:
    """Identifies this run of the kernel; 16 bytes."""
    return uuids.UUID(BOOT_ID_FILE.read_text().strip()).bytes


def new_identity(
    name: str,
    *,
    capacity: int,
    max_frame: int | None,
    reserve: int | None,
    layout_digest: int,
    schema: str,
) -> Identity:
    """Check a requested geometry, fill in the defaults and draw uuid and salt.

    Raises:
        BadGeometry: naming the value and the limit it breaks.
    """
    check_types(capacity, max_frame, reserve, layout_digest, schema)
    if capacity & (capacity - 1) or not MIN_CAPACITY <= capacity <= MAX_CAPACITY:
        raise BadGeometry(f"capacity {capacity}: expected a power of two from {MIN_CAPACITY} to {MAX_CAPACITY}")
    largest = capacity // MAX_FRAME_SHARE
    frame = min(largest, DEFAULT_MAX_FRAME) if max_frame is None else max_frame
    if not DESCRIPTOR_BYTES <= frame <= largest:
        raise BadGeometry(f"max_frame {frame}: expected {DESCRIPTOR_BYTES} to {largest} (capacity/{MAX_FRAME_SHARE})")
    step = min(capacity // RESERVE_SHARE, DEFAULT_RESERVE_BYTES) if reserve is None else reserve
    if step % ALIGNMENT or not ALIGNMENT <= step <= largest:
        raise BadGeometry(f"reserve {step}: expected a multiple of {ALIGNMENT} up to {largest}")
    if len(schema.encode()) >= SCHEMA_BYTES:
        raise BadGeometry(f"schema of {len(schema.encode())} bytes: expected less than {SCHEMA_BYTES}")
    if not 0 <= layout_digest < 1 << 63:
        raise BadGeometry(f"layout_digest {layout_digest}: expected 0 to 2**63 - 1")
    return Identity(
        uuid=secrets.token_bytes(16),
        capacity=capacity,
        max_frame=frame,
        reserve=step,
        salt=secrets.randbits(62) | 1,
        layout_digest=layout_digest,
        created_ns=time.monotonic_ns(),
        name=name,
        schema=schema,
    )


def check_types(capacity: object, max_frame: object, reserve: object, layout_digest: object, schema: object) -> None:
    """Raise BadGeometry for what is no integer, or no text, whatever its value."""
    numbers = {"capacity": capacity, "max_frame": max_frame, "reserve": reserve, "layout_digest": layout_digest}
    for name, value in numbers.items():
        if type(value) is not int and not (value is None and name in {"max_frame", "reserve"}):
            raise BadGeometry(f"{name}: expected an int, found {value!r}")
    if not isinstance(schema, str) or "\0" in schema:
        raise BadGeometry(f"schema: expected a text without NUL, found {schema!r}")


def checksum(page: Bytes) -> int:
    """CRC-32 over everything immutable but the magic and itself."""
    return zlib.crc32(page[TEXT_START:TEXT_END].tobytes(), zlib.crc32(page[IDENTITY_START:IDENTITY_END].tobytes()))


def put_bytes(field: Bytes, raw: bytes) -> None:
    """Write `raw` to a field of a new page; the rest of the field stays 0."""
    field[: len(raw)] = np.frombuffer(raw, dtype=np.uint8)


def text_of(field: Bytes) -> str:
    """The text of a field that is padded with NUL."""
    return field.tobytes().rstrip(b"\0").decode()


def write_identity(page: Bytes, identity: Identity) -> None:
    """Fill the immutable fields of a header page that nobody else maps yet; all but the magic."""
    header = page.view(HEADER)[0]
    header["version"] = FORMAT
    header["header_bytes"] = HEADER_BYTES
    header["total_bytes"] = identity.total_bytes
    header["capacity"] = identity.capacity
    header["alignment"] = ALIGNMENT
    header["max_frame"] = identity.max_frame
    put_bytes(header["uuid"], identity.uuid)
    header["created_ns"] = identity.created_ns
    put_bytes(header["boot_id"], boot_id())
    header["layout_digest"] = identity.layout_digest
    header["reserve"] = identity.reserve
    header["salt"] = identity.salt
    put_bytes(header["name"], identity.name.encode())
    put_bytes(header["schema"], identity.schema.encode())
    header["commit"]["tail"] = (0, -1)  # the first commit record belongs to tail 0
    header["commit"]["next_sequence"] = (1, 0)
    header["key_position"] = -1
    header["crc"] = checksum(page)


def read_identity(page: Bytes, size: int, where: str, layout_digest: int) -> Identity:
    """Check the copy of a header page against this build, the object's size and the expected layout digest (0 = any).

    Raises:
        RingNotReady: the creation has not finished, or it is of before the last reboot: the next creator starts over.
        BadSegment: naming the field, what was expected and what was found.
    """

    def expect(field: str, found: int, wanted: int) -> None:
        if found != wanted:
            hint = "if another build made it and nothing needs it, unlink it"
            raise BadSegment(f"{where}: {field}: expected {wanted:#x}, found {found:#x}; {hint}")

    header = page.view(HEADER)[0]
    if int(header["magic"]) == 0:
        raise RingNotReady(f"{where}: its creator has not finished")
    expect("magic", int(header["magic"]), MAGIC)
    expect("format version", int(header["version"]), FORMAT)
    expect("checksum of the identity", int(header["crc"]), checksum(page))
    expect("total_bytes (header)", int(header["total_bytes"]), HEADER_BYTES + int(header["capacity"]))
    expect("size of the object", size, int(header["total_bytes"]))
    if header["boot_id"].tobytes() != boot_id():
        raise RingNotReady(f"{where}: left over from before the last reboot; its next writer makes it anew")
    found_digest = int(header["layout_digest"])
    if layout_digest and found_digest:
        _expect_layout(where, text_of(header["name"]), found_digest, layout_digest)
    return Identity(
        uuid=header["uuid"].tobytes(),
        capacity=int(header["capacity"]),
        max_frame=int(header["max_frame"]),
        reserve=int(header["reserve"]),
        salt=int(header["salt"]),
        layout_digest=found_digest,
        created_ns=int(header["created_ns"]),
        name=text_of(header["name"]),
        schema=text_of(header["schema"]),
    )


def _expect_layout(where: str, name: str, found: int, wanted: int) -> None:
    """Refuse a ring whose messages have another layout, and name the remedy: a writer of this layout is refused too."""
    if found != wanted:
        raise BadSegment(
            f"{where}: layout digest of the messages: expected {wanted:#x}, found {found:#x}; "
            "read it with the version that writes it, or stop its writer, remove it with "
            f"`ringstat gc --closed --prefix {name}` and start the writer of this version"
        )


def write_control_identity(page: Bytes, identity: Identity) -> None:
    """Fill a new control page; all but the magic."""
    control = page.view(CONTROL)[0]
    control["version"] = FORMAT
    put_bytes(control["uuid"], identity.uuid)


def check_control(page: Bytes, identity: Identity, where: str) -> None:
    """Raise BadSegment unless a copied control page belongs to the ring."""
    control = page.view(CONTROL)[0]
    if int(control["magic"]) != CONTROL_MAGIC or int(control["version"]) != FORMAT:
        raise BadSegment(f"{where}: no control page of this build")
    if control["uuid"].tobytes() != identity.uuid:
        raise BadSegment(f"{where}: belongs to another ring than {identity.name}")
