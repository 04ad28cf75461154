"""A second parser of the wire format, slow and plain: what the kernels are compared with.

Written from the format's description, without the package's framing, tables or status numbers; only the sizes of the
records are taken from their declarations.  Integers come from `int.from_bytes`, the checksum from zlib.
"""

from __future__ import annotations

import zlib

import tlv.layout  # noqa: F401 - declares the records
from tlv.record import RECORDS

DOMAIN_TYPES = {1: range(1, 20), 2: range(20, 40), 3: range(40, 80), 4: range(80, 120)}
RECORD_SIZES = {number: cls.layout.size for number, cls in RECORDS.items() if number < 200}
Tlv = tuple[int, int, int]
"""Type, position of the value, length."""


class Refused(Exception):
    """The first rule that the bytes break, by its name."""


def parse_tlvs(data: bytes, domain: int) -> list[Tlv]:
    """The TLVs that make up the payload of a message of `domain`."""
    found: list[Tlv] = []
    rest = data[32:]
    while rest:
        at = len(data) - len(rest)
        if len(rest) == 1:
            raise Refused("truncated_tlv")
        if rest[0] == 255:
            if rest[1] != 0:
                raise Refused("broken_escape")
            if len(rest) < 5:
                raise Refused("truncated_tlv")
            number, head, length = rest[2], 5, int.from_bytes(rest[3:5], "little")
        else:
            number, head, length = rest[0], 2, rest[1]
        value = rest[head : head + length]
        if len(value) != length:
            raise Refused("truncated_tlv")
        if number == 0 or 120 <= number <= 199 or number == 255:
            raise Refused("invalid_type")
        if number < 200:
            if number not in DOMAIN_TYPES[domain]:
                raise Refused("foreign_type")
            if RECORD_SIZES.get(number, length) != length:
                raise Refused("wrong_tlv_size")
        found.append((number, at + head, length))
        rest = rest[head + length :]
    return found


def parse_reference(data: bytes) -> list[Tlv]:
    """The TLVs of a message.

    Raises:
        Refused: `data` is no message.
    """
    if len(data) < 32:
        raise Refused("too_short")
    if len(data) > 65536:
        raise Refused("too_long")
    if data[:4] != b"\xef\xbe\xad\xde":
        raise Refused("wrong_magic")
    if data[5] != 1:
        raise Refused("wrong_version")
    if data[4] not in DOMAIN_TYPES:
        raise Refused("wrong_domain")
    if data[7] >= 128:
        raise Refused("unknown_flags")
    if int.from_bytes(data[8:16], "little", signed=True) < 0:
        raise Refused("negative_sequence")
    if int.from_bytes(data[24:28], "little") != len(data) - 32:
        raise Refused("wrong_payload_size")
    if zlib.crc32(data[:28] + data[32:]) != int.from_bytes(data[28:32], "little"):
        raise Refused("wrong_checksum")
    return parse_tlvs(data, data[4])
