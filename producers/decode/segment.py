"""Finished messages that stand in one buffer, as the batch decoder leaves them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tlv.buffers import Bytes, Longs
from tlv.codes import EXTENDED
from tlv.layout import HEADER_SIZE
from tlv.record import Record


class Segment(NamedTuple):
    """Messages in one buffer: message k is `buffer[offsets[k]:][:lengths[k]]`.  Never changed once it is made."""

    buffer: Bytes
    offsets: Longs
    lengths: Longs

    def count(self, record: type[Record]) -> int:
        """How many messages begin with such a record."""
        at = self.offsets + HEADER_SIZE
        types = self.buffer[at]
        types = np.where(types == EXTENDED, self.buffer[at + 2], types)
        return int(np.count_nonzero(types == record.layout.type))

    def messages(self) -> Iterator[bytes]:
        """Each message, in order."""
        content = self.buffer.tobytes()
        for offset, length in zip(self.offsets.tolist(), self.lengths.tolist(), strict=True):
            yield content[offset : offset + length]
