"""Hands the polls of a ring or a journal to a driver, many times faster than message by message.

Owns the short way from a frame to a method.  One kernel call checks all frames of a poll, keeps those that the strategy
wants and says where their records are, so that of each only the records are read that its method gets.  It takes the
forms that nearly all frames have, a record with its EventOrigin and a record alone; any other frame, and every frame of
a strategy that overrides `on_message`, goes through `Driver.deliver`, which gives the same.

`alphapulse bench --only strategy` has both ways beside each other (`strategy plain frame`).  A second call
makes the records of all these frames (`tlv.record_kernels.read_rows`): 1.4 us a frame, where a reader written for each
class, called from the loop, took 2.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from consumers.select_frames import COLUMNS, index_frames
from consumers.strategy import REMOVED, REPLAY, SNAPSHOT, UNPROVEN, Draft, Driver, Strategy, Trigger, filter_of
from consumers.symbols import SymbolFilter, states_in
from ringbuf import Poll
from tlv.buffers import Longs
from tlv.filter import MessageFilter
from tlv.layout import (
    POOL_TYPES,
    Block,
    BlockEnd,
    FeeState,
    Gap,
    PoolState,
    PoolTicks,
    Reorg,
    StateInvalidation,
)
from tlv.record import Record
from tlv.record_kernels import ALONE, BESIDE_ORIGIN, rows_reader
from tlv.record_table import words

FRAMES_PER_POLL = 256

METHODS: dict[type[Record], str] = {
    Block: "on_block",
    BlockEnd: "on_block_end",
    Reorg: "on_reorg",
    StateInvalidation: "on_invalidation",
    Gap: "on_gap",
    PoolState: "on_snapshot",
}
"""The method for a record that stands alone.  A Session, which may rename the ring, is left to `Driver.deliver`."""
SINGLE = [""] * 256
"""The same by type."""
WANTED = np.zeros(256, np.uint8)
"""By type, where a record of it has a method: alone, or beside its EventOrigin."""
for _number in POOL_TYPES - {PoolTicks.layout.type, FeeState.layout.type}:
    WANTED[_number] = BESIDE_ORIGIN
for _cls, _method in METHODS.items():
    SINGLE[_cls.layout.type] = _method
    WANTED[_cls.layout.type] |= ALONE
NOTHING: list[Any] = [None]
STATE = PoolState.layout.type


class PolledFrames:
    """Hands to a driver what its strategy wants of polls; `wanted` in place of the strategy's own filter."""

    def __init__(self, driver: Driver, wanted: MessageFilter | SymbolFilter | None = None) -> None:
        self._driver = driver
        self._symbols = wanted if isinstance(wanted, SymbolFilter) else None
        chosen = wanted.filter if isinstance(wanted, SymbolFilter) else wanted
        self._wanted = (filter_of(driver.strategy) if chosen is None else chosen).tables
        self._table: Longs = np.zeros((FRAMES_PER_POLL, COLUMNS), dtype=np.int64)

    def deliver(self, poll: Poll) -> Iterator[tuple[list[Draft], int]]:
        """The drafts on each frame that gave some, with its publish time; on a loss, which comes first, with 0.

        Raises:
            StrategyStopped.
        """
        driver = self._driver
        if poll.loss is not None and (drafts := driver.lose(poll.loss.first, poll.loss.last)):
            yield drafts, 0
        done = 0
        if self._symbols is not None:
            # A state that adds a pool is itself wanted, and what stands in front of it is not.
            for column, state in states_in(poll):
                if self._symbols.learn(state):
                    yield from self._deliver(poll.part(done, column))
                    done, self._wanted = column, self._symbols.filter.tables
        yield from self._deliver(poll.part(done, len(poll)) if done else poll)

    def _deliver(self, poll: Poll) -> Iterator[tuple[list[Draft], int]]:
        driver, strategy = self._driver, self._driver.strategy
        if len(poll) > len(self._table):
            self._table = np.zeros((len(poll), COLUMNS), dtype=np.int64)
        count = index_frames(poll.buffer, poll.offsets, poll.lengths, self._wanted, self._table)
        driver.skip(len(poll) - count)
        if count == 0:
            return
        data, ring, new = poll.buffer.data, driver.ring, tuple.__new__
        sequences, times, starts = poll.sequences.tolist(), poll.timestamps.tolist(), poll.offsets.tolist()
        rows = self._table[:count]
        records = self._records(poll, rows)
        driver.begin()
        for row, record, origin in zip(rows.tolist(), records[::2], records[1::2], strict=True):
            at, kind, _, _, flags, recorded, end = row
            sequence, time_ns = sequences[at], times[at]
            # A state with a snapshot's flag has no origin, and one without it has to have one.
            if record is None or (kind == STATE and (origin is None) is not (flags & SNAPSHOT != 0)):
                drafts = driver.deliver(sequence, time_ns, data[starts[at] : end])
            else:
                driver.frames += 1
                strategy.trigger = (
                    new(Trigger, (driver.recorded_ring, recorded, flags, time_ns))
                    if flags & REPLAY
                    else new(Trigger, (ring, sequence, flags, time_ns))
                )
                try:
                    if origin is not None:
                        if flags & UNPROVEN:
                            continue
                        if flags & REMOVED:
                            strategy.on_removed(record, origin)
                        else:
                            strategy.on_event(record, origin)
                    elif not (flags & UNPROVEN and kind == STATE):
                        getattr(strategy, SINGLE[kind])(record)
                except BaseException as error:  # noqa: BLE001 - foreign code, as in Driver.deliver
                    driver.contain(error, sequence, time_ns, data[starts[at] : end])
                drafts = strategy.drafts
            if drafts:
                yield drafts, time_ns
                strategy.drafts = []

    def _records(self, poll: Poll, rows: Longs) -> list[Any]:
        """Of each row its record and its EventOrigin; None for a row that is left to `Driver.deliver`, which is also
        who meets a class of records first."""
        read = rows_reader()
        if read is None or hears(self._driver.strategy):
            return NOTHING * (2 * len(rows))
        return read(words(poll.buffer.ctypes.data, rows.ctypes.data, rows.strides[0], len(rows), WANTED.ctypes.data))


def hears(strategy: Strategy) -> bool:
    """Whether the strategy overrides `on_message`, which gets whole messages."""
    return getattr(strategy.on_message, "__func__", None) is not Strategy.on_message
