"""Hands the polls of a ring or a journal to a driver, many times faster than message by message.

Owns the short way from a frame to a method.  One kernel call checks all frames of a poll, keeps those that the strategy
wants and says where their records are, so that of each only the records are read that its method gets.  It takes the
forms that nearly all frames have, a record with its EventOrigin and a record alone; any other frame, and every frame of
a strategy that overrides `on_message`, goes through `Driver.deliver`, which gives the same.

`alphapulse bench --only strategy` has both ways beside each other (`strategy plain frame`): the short one takes about
an eighth.  Half of what is left makes the values of the two records; a reader of a record written for its class
(`tlv.record.make_reader`) halved that, where a loop over the fields' decoders did not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    EventOrigin,
    FeeState,
    Gap,
    PoolState,
    PoolTicks,
    Reorg,
    StateInvalidation,
)
from tlv.record import RECORDS, Record

FRAMES_PER_POLL = 256

Read = Callable[[Any, int], Any]

ALONE: dict[type[Record], str] = {
    Block: "on_block",
    BlockEnd: "on_block_end",
    Reorg: "on_reorg",
    StateInvalidation: "on_invalidation",
    Gap: "on_gap",
}
"""The method for a record that stands alone.  A Session, which may rename the ring, is left to `Driver.deliver`."""
EVENTS: list[Read | None] = [None] * 256
"""By type, how the record of a pool's event is read."""
SINGLE: list[tuple[Read, str] | None] = [None] * 256
"""By type, how a record that stands alone is read, and the method that it is for."""
for _number in POOL_TYPES - {PoolTicks.layout.type, FeeState.layout.type}:
    EVENTS[_number] = RECORDS[_number].read
for _cls, _method in ALONE.items():
    SINGLE[_cls.layout.type] = (_cls.read, _method)
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
        hears_all = hears(strategy)
        data, ring, new = poll.buffer.data, driver.ring, tuple.__new__
        read_origin: Read = EventOrigin.read
        sequences, times, starts = poll.sequences.tolist(), poll.timestamps.tolist(), poll.offsets.tolist()
        driver.begin()
        for at, kind, first, second, flags, recorded, end in self._table[:count].tolist():
            sequence, time_ns = sequences[at], times[at]
            read: Read | None = None
            method = ""
            if kind >= 0 and not hears_all:
                if second:
                    read = EVENTS[kind]
                elif kind == STATE:
                    # A state that nobody asked for is no snapshot, and has to have an origin.
                    read, method = (EVENTS[kind], "on_snapshot") if flags & SNAPSHOT else (None, "")
                elif (single := SINGLE[kind]) is not None:
                    read, method = single
            if read is None or (second and flags & SNAPSHOT):
                drafts = driver.deliver(sequence, time_ns, data[starts[at] : end])
            else:
                driver.frames += 1
                strategy.trigger = (
                    new(Trigger, (driver.recorded_ring, recorded, flags, time_ns))
                    if flags & REPLAY
                    else new(Trigger, (ring, sequence, flags, time_ns))
                )
                try:
                    if second:
                        if flags & UNPROVEN:
                            continue
                        if flags & REMOVED:
                            strategy.on_removed(read(data, first), read_origin(data, second))
                        else:
                            strategy.on_event(read(data, first), read_origin(data, second))
                    elif not (flags & UNPROVEN and kind == STATE):
                        getattr(strategy, method)(read(data, first))
                except BaseException as error:  # noqa: BLE001 - foreign code, as in Driver.deliver
                    driver.contain(error, sequence, time_ns, data[starts[at] : end])
                drafts = strategy.drafts
            if drafts:
                yield drafts, time_ns
                strategy.drafts = []


def hears(strategy: Strategy) -> bool:
    """Whether the strategy overrides `on_message`, which gets whole messages."""
    return getattr(strategy.on_message, "__func__", None) is not Strategy.on_message
