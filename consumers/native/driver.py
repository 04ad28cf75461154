"""Feeds one native strategy: what `consumers.strategy.Driver` is to a Python one.

Owns its memory, its book and its counts, and what the loops leave to Python: poison frames, losses, the rare frames of
the book.  `run_over` runs it over frames that are all there, as those of a journal; `NativeRunner` on a live ring.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from consumers.native.book import NativeBook
from consumers.native.build import OPAQUE, build
from consumers.native.drafts import FAULTS, ROOM, make_drafts
from consumers.native.loop import BOOK, DELIVERED, DRAIN, POISONED, TALLY
from consumers.native.strategy import NativeStrategy, filter_of_native
from consumers.strategy import KEPT_POISON, MESSAGES_PER_FRAME, POISON_LIMIT, POISON_WINDOW_NS, Poison, StrategyStopped
from ringbuf import Poll
from ringbuf.layout import LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW, TIME_ROW
from tlv.buffers import Bytes, Longs, Structs
from tlv.codes import MAX_MESSAGE
from tlv.errors import FrameError
from tlv.message import parse
from tlv.units import NS

COLLECTED_BYTES = 4 * (ROOM + MAX_MESSAGE)
COLLECTED = 4 * MESSAGES_PER_FRAME
"""Room for the messages of one pass of `run_over`; it goes on after they were taken."""


class NativeMessage(NamedTuple):
    """A message that a native strategy wrote, and the column of the frame that it answers."""

    column: int
    payload: memoryview
    """Valid until the next is asked for; copy it to keep it."""


class NativeDriver:
    """One native strategy, its memory and its counts.  `ring`: uuid of the ring whose frames come.

    Raises:
        UsageError: the compiler refuses the handler; one line with its place.
    """

    def __init__(self, strategy: NativeStrategy, ring: bytes, *, inline: bool | None = None) -> None:
        cls = type(strategy)
        self.strategy = strategy
        self.tally: Structs = np.zeros(1, TALLY)
        self.tally[0]["message"], self.tally[0]["replayed"] = -1, 1
        self.drafts = make_drafts(cls.name, cls.version, int(cls.source))
        self.book = NativeBook() if cls.keeps_book else None
        self.built = build(cls, self.view_of_book, inline=cls.inline if inline is None else inline)
        memory = strategy.memory
        self.memory: Structs = memory.view(np.uint8).view(OPAQUE) if self.built.opaque else memory
        self.wanted = filter_of_native(strategy).tables.types
        self.poisoned = 0
        self.poison: deque[Poison] = deque(maxlen=KEPT_POISON)
        self._raised_at: deque[int] = deque(maxlen=POISON_LIMIT)
        self._out: Bytes = np.zeros(COLLECTED_BYTES, np.uint8)
        self._rows: Longs = np.zeros((3, COLLECTED), np.int64)
        self.ring = self._recorded = ring

    @property
    def ring(self) -> bytes:
        """uuid of the ring whose frames come next; setting it begins another ring's."""
        return bytes(self.tally[0]["ring"])

    @ring.setter
    def ring(self, uuid: bytes) -> None:
        self.tally[0]["ring"][:] = np.frombuffer(uuid, np.uint8)
        self.tally[0]["replayed"] = 1  # whatever it was: have the drafts name the ring anew
        if not self.tally[0]["recorded_ring"].any():
            self.tally[0]["recorded_ring"][:] = np.frombuffer(uuid, np.uint8)

    @property
    def frames(self) -> int:
        """Frames that came, handled or skipped."""
        return int(self.tally[0]["frames"])

    @property
    def lost(self) -> int:
        """Frames that nobody could read any more."""
        return int(self.tally[0]["lost"])

    @property
    def view_of_book(self) -> Any:
        """What the loops take: the book's arrays, or None."""
        return None if self.book is None else self.book.view

    def lose(self, first: int, last: int) -> None:
        """Frames `first` to `last` are lost: the handler is told with the next one, and the book knows nothing."""
        self.tally[0]["lost"] += last - first + 1
        self.tally[0]["lost_unreported"] += last - first + 1
        if self.book is not None:
            self.book.lose()

    def take_poll(self, poll: Poll, clock_offset_ns: int = 0) -> Iterator[NativeMessage]:
        """The messages on the frames of a poll, after the loss in front of it.

        Raises:
            StrategyStopped: as `run_over`.
        """
        if poll.loss is not None:
            self.lose(poll.loss.first, poll.loss.last)
        yield from self.run_over(poll.buffer, poll.table, 0, len(poll), clock_offset_ns)

    def run_over(
        self, buffer: Bytes, table: Longs, first: int, last: int, clock_offset_ns: int = 0
    ) -> Iterator[NativeMessage]:
        """Run over the frames in columns `first` to `last` - 1 of a table, and give the messages on them, in order.

        Args:
            buffer: uint8[:] in which the payloads stand.
            table: int64[INDEX_ROWS, n] as polls and journals have it: sequence, offset, length, publish time, kind.
            clock_offset_ns: what makes a publish time a wall time; messages bear that of their frame.

        Nothing of Python runs between two frames that have no message, but where a frame is poison or is one of the few
        that the book leaves to it (reorgs, tick maps, Mint and Burn).

        Raises:
            StrategyStopped: this was the last of `POISON_LIMIT` poison frames within a minute of publish times.
        """
        table, column = np.ascontiguousarray(table), first
        view = self._out.data
        while True:
            column, why = self.built.run(
                *(self.built.handler, self.memory, self.view_of_book, self.drafts, buffer, table, column, last),
                *(self.wanted, clock_offset_ns, self.tally, self._out, self._rows),
            )
            count = int(self.tally[0]["collected"])
            for at, offset, length in self._rows[:, :count].T.tolist():
                yield NativeMessage(at, view[offset : offset + length])
            if why == DELIVERED:
                return
            if why != DRAIN:
                column += self.attend(why, buffer, table, column)

    def attend(self, why: int, buffer: Bytes, table: Longs, column: int) -> int:
        """Do what a loop leaves to Python with the frame at `column`; how many frames are done with it, 0 or 1.

        Raises:
            StrategyStopped: as `run_over`.
        """
        start, length = int(table[OFFSET_ROW, column]), int(table[LENGTH_ROW, column])
        payload = bytes(buffer[start : start + length])
        if why == BOOK and self.book is not None:
            self.book.attend(int(self.tally[0]["why"]), payload)
            return 0
        assert why == POISONED
        self._set_aside(int(table[SEQUENCE_ROW, column]), int(table[TIME_ROW, column]), payload)
        return 1

    def _set_aside(self, sequence: int, publish_time_ns: int, payload: bytes) -> None:
        """As `Driver`: count the frame, keep it with the reason, and let the handler know that it lacks it."""
        fault = int(self.tally[0]["why"])
        reason = f"the handler wrote {FAULTS[fault]}" if fault else _fault_of(payload)
        self.poisoned += 1
        self.poison.append(Poison(sequence, payload, reason))
        self.tally[0]["lost_unreported"] += 1
        if self.book is not None and not fault:
            self.book.lose()
        self._raised_at.append(publish_time_ns)
        first = self._raised_at[0]
        if len(self._raised_at) == POISON_LIMIT and publish_time_ns - first <= POISON_WINDOW_NS:
            raise StrategyStopped(
                f"strategy {self.strategy.name}: {POISON_LIMIT} poison frames within "
                f"{(publish_time_ns - first) / NS:.1f} s, the last is sequence {sequence}: {reason}"
            )


def _fault_of(payload: bytes) -> str:
    try:
        parse(payload, verify=False)
    except FrameError as error:
        return str(error)
    return "expected an EventOrigin behind a pool's record, found none"
