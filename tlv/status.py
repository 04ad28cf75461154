"""The statuses by which kernels refuse bytes, and the exception that Python raises for each: one table.

Kernels return these numbers and never raise.  `tlv.explain` formats a cause's text with values of the bytes.
"""

from __future__ import annotations

from typing import NamedTuple

from tlv.errors import ChecksumError, FrameError, HeaderError, TlvError

OK = 0
TOO_SHORT = 1
TOO_LONG = 2
WRONG_MAGIC = 3
WRONG_VERSION = 4
WRONG_DOMAIN = 5
UNKNOWN_FLAGS = 6
NEGATIVE_SEQUENCE = 7
WRONG_PAYLOAD_SIZE = 8
WRONG_CHECKSUM = 9
TRUNCATED_TLV = 10
BROKEN_ESCAPE = 11
INVALID_TYPE = 12
FOREIGN_TYPE = 13
WRONG_TLV_SIZE = 14


class Cause(NamedTuple):
    """Why bytes are refused: its name, the exception, and the exception's text."""

    name: str
    error: type[FrameError]
    text: str


CAUSES = {
    TOO_SHORT: Cause("too_short", HeaderError, "expected at least {header_size} bytes, found {size}"),
    TOO_LONG: Cause("too_long", HeaderError, "expected at most {max_message} bytes, found {size}"),
    WRONG_MAGIC: Cause("wrong_magic", HeaderError, "expected magic {magic:#010x}, found {header.magic:#010x}"),
    WRONG_VERSION: Cause("wrong_version", HeaderError, "expected version {version}, found {header.version}"),
    WRONG_DOMAIN: Cause("wrong_domain", HeaderError, "expected a domain from 1 to 4, found {header.domain}"),
    UNKNOWN_FLAGS: Cause("unknown_flags", HeaderError, "expected flags within {flags:#x}, found {header.flags:#x}"),
    NEGATIVE_SEQUENCE: Cause("negative_sequence", HeaderError, "expected a sequence >= 0, found {header.sequence}"),
    WRONG_PAYLOAD_SIZE: Cause(
        "wrong_payload_size", HeaderError, "expected payload_size {payload_size}, found {header.payload_size}"
    ),
    WRONG_CHECKSUM: Cause(
        "wrong_checksum", ChecksumError, "expected checksum {crc:#010x}, found {header.checksum:#010x}"
    ),
    TRUNCATED_TLV: Cause("truncated_tlv", TlvError, "expected a whole TLV at {pos}, found {left} bytes: {bytes}"),
    BROKEN_ESCAPE: Cause("broken_escape", TlvError, "expected 0 after the escape byte at {pos}, found {bytes}"),
    INVALID_TYPE: Cause("invalid_type", TlvError, "expected a TLV type of some domain at {pos}, found {type}"),
    FOREIGN_TYPE: Cause("foreign_type", TlvError, "expected types of domain {domain} at {pos}, found {type}"),
    WRONG_TLV_SIZE: Cause(
        "wrong_tlv_size", TlvError, "expected {expected} bytes of type {type} at {pos}, found {length}"
    ),
}
"""The cause of each status but OK, in the order of the checks: the first that fails is returned."""
