"""Finished messages that stand in one buffer, as the batch decoder leaves them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tlv.buffers import Bytes, Longs


class Segment(NamedTuple):
    """Messages in one buffer: message k is `buffer[offsets[k]:][:lengths[k]]`.  Never changed once it is made."""

    buffer: Bytes
    offsets: Longs
    lengths: Longs

    def messages(self) -> Iterator[bytes]:
        """Each message, in order."""
        content = self.buffer.tobytes()
        for offset, length in zip(self.offsets.tolist(), self.lengths.tolist(), strict=True):
            yield content[offset : offset + length]
