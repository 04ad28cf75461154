"""What a poll brings: frames, and what was lost before them.

Owns how delivered frames look to Python.  It must never touch shared memory: a poll holds private copies.

A poll is lazy.  One kernel call fills a buffer and an index; `Frame` objects are made only by who iterates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from ringbuf.layout import KIND_ROW, LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW, TIME_ROW
from ringbuf.status import Status


class Frame(NamedTuple):
    """One frame.  `payload` is valid until the next poll of the same reader; copy it to keep it."""

    sequence: int
    publish_time_ns: int  # CLOCK_MONOTONIC
    kind: int
    payload: memoryview


class Gap(NamedTuple):
    """Frames overwritten before they were read: `first` to `last`, both lost.  Not the record `tlv.layout.Gap`."""

    first: int
    last: int

    @property
    def lost(self) -> int:
        """How many frames that is."""
        return self.last - self.first + 1


class Poll(Sequence[Frame]):
    """The outcome of one poll; a sequence of its frames.  Valid until the next poll of the same reader."""

    __slots__ = ("_index", "_view", "buffer", "gap", "need", "status")

    def __init__(
        self,
        status: Status,
        gap: Gap | None,
        need: int,
        buffer: NDArray[np.uint8],
        view: memoryview,
        index: NDArray[np.int64],
    ) -> None:
        self.status = status
        self.gap = gap  # lost before the first frame of this poll
        self.need = need  # with status NEED: bytes of the next payload
        self.buffer = buffer  # all payloads, each 8-byte aligned at offsets[i]
        self._view = view
        self._index = index

    def _row(self, row: int) -> NDArray[np.int64]:
        values: NDArray[np.int64] = self._index[row]
        return values

    @property
    def sequences(self) -> NDArray[np.int64]:
        """Sequence of each frame."""
        return self._row(SEQUENCE_ROW)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each payload starts in `buffer`."""
        return self._row(OFFSET_ROW)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Bytes of each payload."""
        return self._row(LENGTH_ROW)

    @property
    def timestamps(self) -> NDArray[np.int64]:
        """When each frame was published, ns of CLOCK_MONOTONIC."""
        return self._row(TIME_ROW)

    @property
    def kinds(self) -> NDArray[np.int64]:
        """The publisher's `kind` of each frame."""
        return self._row(KIND_ROW)

    def __len__(self) -> int:
        return int(self._index.shape[1])

    def part(self, first: int, last: int) -> Poll:
        """Frames `first` to `last` - 1 of this poll, as a poll without a gap."""
        return Poll(self.status, None, 0, self.buffer, self._view, self._index[:, first:last])

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
        view = self._view
        sequences, offsets, lengths, times, kinds = self._index.tolist()
        for sequence, time_ns, kind, offset, length in zip(sequences, times, kinds, offsets, lengths, strict=True):
            yield Frame(sequence, time_ns, kind, view[offset : offset + length])
