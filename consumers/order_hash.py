"""One number for all that a strategy or executor published: equal streams, equal hash, wherever the frames came from.

Of a message counts what stands behind its header.  The header's sequence and time say when a process ran, not what it
decided; source and domain follow from the records.
"""

from __future__ import annotations

import struct
from hashlib import blake2b

from tlv.layout import HEADER_SIZE

_LENGTH = struct.Struct("<I")


class OrderHash:
    """Takes messages in the order in which they were published."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)
        self.messages = 0

    def add(self, message: bytes | memoryview) -> None:
        """Take in one message: u32 length of its payload, then the payload."""
        payload = message[HEADER_SIZE:]
        self._hash.update(_LENGTH.pack(len(payload)))
        self._hash.update(payload)
        self.messages += 1

    def hexdigest(self) -> str:
        """The 16 bytes so far, as 32 hexadecimal digits."""
        return self._hash.hexdigest()
