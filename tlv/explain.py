"""From a kernel's status to the exception that names what was expected, what was found and where.

Runs only for a refused message, so it may walk the message a second time.
"""

from __future__ import annotations

import numpy as np

from tlv.buffers import Bytes
from tlv.codes import KNOWN_FLAGS, MAGIC, MAX_MESSAGE, VERSION
from tlv.errors import FrameError
from tlv.kernels import check_tlv, checksum, next_tlv
from tlv.layout import HEADER_SIZE, SIZE_OF_TYPE, Header
from tlv.status import CAUSES, OK, WRONG_CHECKSUM


def _first_bad_tlv(buf: Bytes, domain: int) -> dict[str, object]:
    pos = HEADER_SIZE
    while pos < buf.size:
        status, tlv_type, _, length, following = next_tlv(buf, pos, buf.size)
        if status != OK or check_tlv(domain, tlv_type, length) != OK:
            found = {"pos": pos, "type": tlv_type, "length": length, "expected": SIZE_OF_TYPE[tlv_type]}
            return found | {"left": buf.size - pos, "bytes": buf[pos : pos + 8].tobytes().hex(" ")}
        pos = following
    return {}


def explain(data: bytes | bytearray | memoryview, status: int, where: str = "message") -> FrameError:
    """The exception for `data`, one message's bytes, that a kernel refused with `status`; `where` opens its text."""
    cause = CAUSES[status]
    buf = np.frombuffer(bytearray(data), dtype=np.uint8)
    facts: dict[str, object] = {"size": buf.size, "payload_size": buf.size - HEADER_SIZE}
    if buf.size >= HEADER_SIZE:
        header = Header.unpack(data)
        facts |= {"header": header, "domain": header.domain} | _first_bad_tlv(buf, header.domain)
        if status == WRONG_CHECKSUM:
            facts["crc"] = checksum(buf, 0, buf.size)
    limits = {"header_size": HEADER_SIZE, "max_message": MAX_MESSAGE, "flags": KNOWN_FLAGS}
    text = cause.text.format(magic=MAGIC, version=VERSION, **limits, **facts)
    return cause.error(f"{where}: {text}")
