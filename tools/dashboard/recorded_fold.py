"""A journal's frames folded into what the page shows, block end by block end.

Owns where a fold of recorded frames is cut: behind each BlockEnd the view is brought up to date as of its publishing,
so that the same frames give the same page however they are read.  Knows neither files nor an index.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from consumers.journal.reader import join_losses
from ringbuf import Loss, Poll
from tlv.codes import Reason
from tlv.errors import FrameError
from tlv.layout import BlockEnd
from tlv.message import parse
from tools.dashboard.pools import PoolStates
from tools.dashboard.shapes import Update
from tools.dashboard.view import DashboardView, first_types, heads_of

BLOCK_END = BlockEnd.layout.type


class EndedBlock(NamedTuple):
    """A BlockEnd, and when it was published by the wall clock."""

    number: int
    sequence: int
    wall_ns: int


class RecordedFold:
    """What the page shows; the frame that comes next has `sequence`, in ring `uuid`, unless that was replaced."""

    def __init__(self) -> None:
        self.pools = PoolStates()
        self.view = DashboardView(self.pools)
        self.uuid = b""
        self.sequence = 0
        self.wall_ns = 0
        """When the last frame was published."""
        self._loss: Loss | None = None
        """At the journal's end: in front of the frame that comes next."""

    def take(self, ring: str, uuid: bytes, poll: Poll, clock_offset_ns: int) -> Iterator[EndedBlock]:
        """The next frames of the journal; each block that ends, when everything up to its end is taken in."""
        ends = np.flatnonzero(first_types(poll, heads_of(poll)) == BLOCK_END) if len(poll) else poll.sequences
        begin = 0
        for behind in [*(ends + 1).tolist(), len(poll)]:
            part = poll.part(begin, behind)
            part.loss = poll.loss if begin == 0 else None
            self.follow(ring, uuid, part, clock_offset_ns)
            end = end_in(poll[behind - 1].payload) if behind > begin else None
            begin = behind
            if end is not None:
                self.view.sample(self.wall_ns, [])
                self.view.update(self.wall_ns, brief=True)
                yield EndedBlock(end.number, self.sequence - 1, self.wall_ns)

    def follow(self, ring: str, uuid: bytes, poll: Poll, clock_offset_ns: int) -> None:
        """The next frames of the journal, as a live page takes them: whoever shows them says when."""
        if poll.loss is not None:
            same = self._loss is not None and self._loss.ring == poll.loss.ring
            self._loss = join_losses(self._loss if same else None, poll.loss)
        if not len(poll):
            return
        first = int(poll.sequences[0])
        if uuid == self.uuid and first > self.sequence and self._loss is None:
            # It stood in a segment that was dropped since.
            self._loss = Loss(uuid, self.sequence, first - 1, Reason.NOT_RETAINED)
        poll.loss, self._loss = self._loss, None
        self.view.take_poll(ring, uuid, poll, clock_offset_ns)
        self.uuid, self.sequence = uuid, int(poll.sequences[-1]) + 1
        self.wall_ns = int(poll.timestamps[-1]) + clock_offset_ns

    def page(self, end: EndedBlock) -> Update:
        """Everything, as it was when this block, the last one that was taken in, had ended."""
        self.view.update(end.wall_ns)
        page = self.view.whole(end.wall_ns)
        assert page.summary is not None
        return replace(page, summary=replace(page.summary, block=end.number))


def end_in(payload: memoryview) -> BlockEnd | None:
    """The BlockEnd that a message begins with; None if it begins with none, or is none."""
    try:
        records = parse(payload, verify=False).records
    except FrameError:
        return None
    return records[0] if records and isinstance(records[0], BlockEnd) else None
