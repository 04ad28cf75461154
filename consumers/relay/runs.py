"""The runs of messages that a ring's feed packed last, for clients that come to the same place later.

Owns the buffers into which runs are packed: one while one client is served, else up to RUNS in turns.  What stands in
a ring at a position never changes, so a run stays right as long as it is here; it is found by the position, the first
sequence that it covers, and the filter.

Clients on few cores are served in bursts of several chunks each, so they are seldom at one place at one time: four that
read one ring had each run polled and packed anew.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tlv.buffers import Bytes, Longs
from tlv.filter import MessageFilter

RUNS = 16
"""2 MiB of chunks: as much as a client takes in a time slice."""


class PackedRun(NamedTuple):
    """What a client at one place gets, and where it stands behind it."""

    wanted: MessageFilter
    position: int
    sequence: int
    chunk: memoryview
    """Empty if the filter left nothing."""
    times: Longs
    """When the frames were published that were polled."""


class RecentRuns:
    """Runs of at most `room` bytes."""

    def __init__(self, room: int) -> None:
        self.several = False
        """Whether more than one client is served, and so runs are kept."""
        self._room = room
        self._buffers: list[Bytes] = [np.zeros(room, np.uint8)]
        self._views = [self._buffers[0].data]
        self._places: list[tuple[int, int]] = [(0, 0)]
        """What stands in each buffer, as `_runs` names it."""
        self._at = 0
        self._runs: dict[tuple[int, int], PackedRun] = {}

    def next_buffer(self) -> Bytes:
        """Where the next run is packed; the one that stood there is gone."""
        if self.several:
            self._at = (self._at + 1) % RUNS
            if self._at == len(self._buffers):
                self._buffers.append(np.zeros(self._room, np.uint8))
                self._views.append(self._buffers[-1].data)
                self._places.append((0, 0))
        self._runs.pop(self._places[self._at], None)
        return self._buffers[self._at]

    def keep(
        self, begin: tuple[int, int], size: int, wanted: MessageFilter, end: tuple[int, int], times: Longs
    ) -> PackedRun:
        """`size` bytes were packed in the buffer, of `begin` (position, first sequence to cover) to `end` (position,
        sequence)."""
        if self.several:
            times = times.copy()
        run = PackedRun(wanted, *end, self._views[self._at][:size], times)
        if self.several:
            self._places[self._at] = begin
            self._runs[begin] = run
        return run

    def find(self, position: int, since: int, wanted: MessageFilter) -> PackedRun | None:
        """The run for a client there; None if it is not kept."""
        run = self._runs.get((position, since))
        return run if run is not None and (run.wanted is wanted or run.wanted == wanted) else None

    def clear(self) -> None:
        """Forget all runs."""
        self._runs.clear()
