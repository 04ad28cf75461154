"""The result of a poll: frames, and the loss before them.

Owns the Python view of delivered frames.  It must never touch shared memory: a poll holds private copies.

A poll is lazy.  One kernel call fills a buffer and an index; `Frame` objects are made only by iteration.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload

import msgspec
import numpy as np

from ringbuf.layout import KIND_ROW, LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW, TIME_ROW
from ringbuf.status import Status
from tlv.buffers import Bytes, Longs


class Frame(NamedTuple):
    """One frame.  `payload` is valid until the next poll of the same reader; copy it to keep it."""

    sequence: int
    publish_time_ns: int  # CLOCK_MONOTONIC
    kind: int
    payload: memoryview


class Loss(msgspec.Struct, frozen=True):
    """Frames of a ring that cannot be had: `first` to `last`, both included.  Comes where they would have come.

    The same type from the ring to a relay's client; on the wire a loss is the record `tlv.layout.Gap`.
    """

    ring: bytes
    """uuid of the ring that published them."""
    first: int
    last: int
    reason: int = 0
    """A `tlv.codes.Reason` if a relay or a journal gave one; 0 from a ring."""

    @property
    def count(self) -> int:
        """How many frames that is."""
        return self.last - self.first + 1


class Poll(Sequence[Frame]):
    """The outcome of one poll; a sequence of its frames.  Valid until the next poll of the same reader."""

    __slots__ = ("_index", "_view", "buffer", "loss", "need", "status")

    def __init__(
        self,
        status: Status,
        loss: Loss | None,
        need: int,
        buffer: Bytes,
        view: memoryview,
        index: Longs,
    ) -> None:
        self.status = status
        self.loss = loss  # before the first frame of this poll
        self.need = need  # with status NEED: bytes of the next payload
        self.buffer = buffer  # all payloads, each 8-byte aligned at offsets[i]
        self._view = view
        self._index = index

    def _row(self, row: int) -> Longs:
        values: Longs = self._index[row]
        return values

    @property
    def table(self) -> Longs:
        """For kernels: a column for each frame, its rows as in `ringbuf.layout`."""
        return np.ascontiguousarray(self._index)

    @property
    def sequences(self) -> Longs:
        """Sequence of each frame."""
        return self._row(SEQUENCE_ROW)

    @property
    def offsets(self) -> Longs:
        """Where each payload starts in `buffer`."""
        return self._row(OFFSET_ROW)

    @property
    def lengths(self) -> Longs:
        """Bytes of each payload."""
        return self._row(LENGTH_ROW)

    @property
    def timestamps(self) -> Longs:
        """When each frame was published, ns of CLOCK_MONOTONIC."""
        return self._row(TIME_ROW)

    @property
    def kinds(self) -> Longs:
        """The publisher's `kind` of each frame."""
        return self._row(KIND_ROW)

    def __len__(self) -> int:
        return int(self._index.shape[1])

    def part(self, first: int, last: int) -> Poll:
        """Frames `first` to `last` - 1 of this poll, as a poll without a loss."""
        return Poll(self.status, None, 0, self.buffer, self._view, self._index[:, first:last])

    def choice(self, columns: Longs) -> Poll:
        """The frames at `columns` of this poll, in order, as a poll with its loss."""
        index = np.take(self._index, columns, axis=1)
        return Poll(self.status, self.loss, self.need, self.buffer, self._view, index)

    @overload
    def __getitem__(self, at: int) -> Frame: ...
    @overload
    def __getitem__(self, at: slice) -> list[Frame]: ...
    def __getitem__(self, at: int | slice) -> Frame | list[Frame]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        sequence, offset, length, time_ns, kind = self._index[:, at].tolist()
        return Frame(sequence, time_ns, kind, self._view[offset : offset + length])

    def __iter__(self) -> Iterator[Frame]:
        # In one go, 550 ns a frame; a generator that makes one after the other took 1,100.
        view = self._view
        sequences, offsets, lengths, times, kinds = self._index.tolist()
        payloads = [view[offset : offset + length] for offset, length in zip(offsets, lengths, strict=True)]
        return map(Frame._make, zip(sequences, times, kinds, payloads, strict=True))
