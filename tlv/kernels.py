"""Messages as native code sees them: check one, walk its TLVs, build one in place.

Owns the framing of `tlv.layout`'s picture.  Never raises, never allocates; it must not know where a buffer lives or
what a record means.  Positions are offsets into `buf`, a contiguous uint8 array; `start` and `end` bound one whole
message, header included.  Numba checks no bounds, so every length is compared, by subtraction, before anything is
viewed.

    for a reader                             for a builder
        check_message  -> OK or why not          put_header -> where the first TLV goes
        find_tlv       -> where the value is      put_tlv    -> where the value goes, then the next TLV
        record_at(buf, p, POOL_SWAP)              seal       -> payload_size and checksum
"""

from __future__ import annotations

import numpy as np

from tlv.buffers import Bytes, byte_at
from tlv.codes import ANY_DOMAIN, EXTENDED, KNOWN_FLAGS, MAGIC, MAX_MESSAGE, VERSION
from tlv.crc import crc32
from tlv.jit import inline_kernel, kernel
from tlv.layout import CHECKSUM_AT, DOMAIN_OF_TYPE, HEADER, HEADER_SIZE, SIZE_OF_TYPE
from tlv.status import (
    BROKEN_ESCAPE,
    FOREIGN_TYPE,
    INVALID_TYPE,
    NEGATIVE_SEQUENCE,
    OK,
    TOO_LONG,
    TOO_SHORT,
    TRUNCATED_TLV,
    UNKNOWN_FLAGS,
    WRONG_CHECKSUM,
    WRONG_DOMAIN,
    WRONG_MAGIC,
    WRONG_PAYLOAD_SIZE,
    WRONG_TLV_SIZE,
    WRONG_VERSION,
)
from tlv.viewing import record_at

SHORT_FORM = 2
"""Bytes before the value of a TLV of up to 255 bytes: type, length."""
EXTENDED_FORM = 5
"""Bytes before the value of a longer one: escape, 0, type, length u16."""
LONGEST_SHORT = 255


@inline_kernel
def holds(buf: Bytes, start: int, end: int) -> bool:
    """Whether `buf[start:end]` is a range within the buffer; if so, differences of its positions cannot overflow."""
    return bool(0 <= start <= end <= buf.size)


@inline_kernel
def check_header(buf: Bytes, start: int, end: int) -> int:
    """OK if `buf[start:end]` begins with a header that describes exactly these bytes."""
    if not holds(buf, start, end) or end - start < HEADER_SIZE:
        return TOO_SHORT
    if end - start > MAX_MESSAGE:
        return TOO_LONG
    header = record_at(buf, start, HEADER)
    if header["magic"] != MAGIC:
        return WRONG_MAGIC
    if header["version"] != VERSION:
        return WRONG_VERSION
    if header["domain"] < 1 or header["domain"] > 4:
        return WRONG_DOMAIN
    if header["flags"] & ~np.uint8(KNOWN_FLAGS):
        return UNKNOWN_FLAGS
    if header["sequence"] < 0:
        return NEGATIVE_SEQUENCE
    if header["payload_size"] != end - start - HEADER_SIZE:
        return WRONG_PAYLOAD_SIZE
    return OK


@inline_kernel
def checksum(buf: Bytes, start: int, end: int) -> int:
    """CRC-32 of a message: the header up to its checksum field, then the payload."""
    return crc32(buf, start + HEADER_SIZE, end, crc32(buf, start, start + CHECKSUM_AT))


@inline_kernel
def next_tlv(buf: Bytes, pos: int, end: int) -> tuple[int, int, int, int, int]:
    """The TLV at `pos`: (status, type, position of the value, length of the value, position of the next TLV).

    On an error the next position is `end`; if the TLV's head is whole, its type, value position and length are right.
    """
    if end - pos < SHORT_FORM:
        return TRUNCATED_TLV, 0, pos, 0, end
    tlv_type, length = byte_at(buf, pos), byte_at(buf, pos + 1)
    value_pos = pos + SHORT_FORM
    if tlv_type == EXTENDED:
        if length != 0:
            return BROKEN_ESCAPE, tlv_type, pos, 0, end
        if end - pos < EXTENDED_FORM:
            return TRUNCATED_TLV, tlv_type, pos, 0, end
        tlv_type = byte_at(buf, pos + 2)
        length = byte_at(buf, pos + 3) | byte_at(buf, pos + 4) << 8
        value_pos = pos + EXTENDED_FORM
    if length > end - value_pos:
        return TRUNCATED_TLV, tlv_type, value_pos, length, end
    return OK, tlv_type, value_pos, length, value_pos + length


@inline_kernel
def check_tlv(domain: int, tlv_type: int, length: int) -> int:
    """OK if a message of `domain` may carry `length` bytes of `tlv_type`; without a layout any length will do."""
    owner = DOMAIN_OF_TYPE[tlv_type]
    if owner == 0:
        return INVALID_TYPE
    if owner not in (domain, ANY_DOMAIN):
        return FOREIGN_TYPE
    if SIZE_OF_TYPE[tlv_type] not in (-1, length):
        return WRONG_TLV_SIZE
    return OK


@kernel
def check_message(buf: Bytes, start: int, end: int, verify: bool) -> int:
    """OK if `buf[start:end]` is one well-formed message; `verify` also recomputes its checksum."""
    status = check_header(buf, start, end)
    if status != OK:
        return status
    header = record_at(buf, start, HEADER)
    if verify and checksum(buf, start, end) != header["checksum"]:
        return WRONG_CHECKSUM
    domain = int(np.int64(header["domain"]))
    pos = start + HEADER_SIZE
    while pos < end:
        status, tlv_type, _, length, pos = next_tlv(buf, pos, end)
        if status == OK:
            status = check_tlv(domain, tlv_type, length)
        if status != OK:
            return status
    return OK


@kernel
def find_tlv(buf: Bytes, start: int, end: int, wanted: int) -> int:
    """Position of the first value of type `wanted` in the message, or -1.

    Safe on bytes that were never checked: what it returns can be viewed with the type's dtype.
    """
    if not holds(buf, start, end):
        return -1
    size = SIZE_OF_TYPE[wanted]
    pos = start + HEADER_SIZE
    while pos < end:
        status, tlv_type, value_pos, length, pos = next_tlv(buf, pos, end)
        if status != OK:
            return -1
        if tlv_type == wanted and size in (-1, length):
            return value_pos
    return -1


@inline_kernel
def put_header(buf: Bytes, start: int, domain: int, source: int, flags: int, sequence: int, timestamp_ns: int) -> int:
    """Begin a message at `start` and return where its first TLV goes, or -1 if the header does not fit."""
    if start < 0 or buf.size - start < HEADER_SIZE:
        return -1
    header = record_at(buf, start, HEADER)
    header["magic"] = MAGIC
    header["domain"] = domain
    header["version"] = VERSION
    header["source"] = source
    header["flags"] = flags
    header["sequence"] = sequence
    header["timestamp_ns"] = timestamp_ns
    header["payload_size"] = 0
    header["checksum"] = 0
    return start + HEADER_SIZE


@inline_kernel
def put_tlv(buf: Bytes, pos: int, tlv_type: int, length: int) -> int:
    """Begin a TLV at `pos`, in the short form where it fits, and return where its value goes, or -1 for no room.

    The next TLV goes to the returned position plus `length`.
    """
    if pos < 0 or length < 0 or length > MAX_MESSAGE:
        return -1
    if length <= LONGEST_SHORT:
        if length > buf.size - pos - SHORT_FORM:
            return -1
        buf[pos] = tlv_type
        buf[pos + 1] = length
        return pos + SHORT_FORM
    if length > buf.size - pos - EXTENDED_FORM:
        return -1
    buf[pos] = EXTENDED
    buf[pos + 1] = 0
    buf[pos + 2] = tlv_type
    buf[pos + 3] = length & 0xFF
    buf[pos + 4] = length >> 8
    return pos + EXTENDED_FORM


@inline_kernel
def seal(buf: Bytes, start: int, end: int) -> int:
    """Finish the message at `buf[start:end]`: payload_size, then the checksum over all of it."""
    if not holds(buf, start, end) or end - start < HEADER_SIZE:
        return TOO_SHORT
    if end - start > MAX_MESSAGE:
        return TOO_LONG
    header = record_at(buf, start, HEADER)
    header["payload_size"] = end - start - HEADER_SIZE
    header["checksum"] = checksum(buf, start, end)
    return OK
