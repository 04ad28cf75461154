"""A fold of frames into what the page shows.

Owns what is kept of the frames of all rings, and what of it changed since the last update.  Takes frames and wall times
and knows neither where they come from nor who looks: the live server feeds it from rings, time travel from a journal.

    take_poll   the next frames of a ring, with the loss in front of them
    leave       a ring is gone
    sample      a point of the charts
    update      what changed since the last update
    whole       everything, as of the last update

Of thousands of frames a tick shows few, so their types are looked up as arrays, and a message is parsed only if it is
shown or rare: 5,000 events are looked at in 7 ms, the states of their pools included, and one row of a swap takes 22 us
(`alphapulse bench --only obs` has the whole).
"""

from __future__ import annotations

from collections import ChainMap, deque
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec
import numpy as np

from ringbuf import Poll
from tlv.buffers import Longs
from tlv.codes import EXTENDED, MAGIC, VERSION, Domain, Flag
from tlv.errors import FrameError
from tlv.kernels import SHORT_FORM
from tlv.layout import (
    HEADER,
    HEADER_SIZE,
    Block,
    BlockEnd,
    Gap,
    Heartbeat,
    PoolBurn,
    PoolCollect,
    PoolMint,
    PoolState,
    PoolSwap,
    PoolSync,
    Reorg,
    SignalIdentity,
    SignalWithdrawn,
    VenueName,
)
from tlv.message import Message, parse
from tlv.record import Record
from tlv.units import MS, NS
from tools.dashboard.executions import EXECUTION_RECORDS, Executions
from tools.dashboard.opportunities import Opportunities
from tools.dashboard.rows import block_row, ended_row, feed_row, swap_row
from tools.dashboard.seen_ring import KeptFrame, KeptReorg, SeenRing
from tools.dashboard.shapes import (
    BlockRow,
    Happening,
    Health,
    HopRow,
    PageSummary,
    PoolStateRow,
    RateSample,
    SwapRow,
    Update,
)
from tools.dashboard.words import SAYINGS, Saying
from tools.feed_stat import LAST_COLLECTOR

SWAPS, BLOCKS, HAPPENINGS, SAMPLES = 500, 256, 200, 600
"""How much of each is kept; samples for five minutes."""
SENT_SWAPS = 200
"""In one update: nobody reads more, and a page draws no more in its time."""
RINGS = 64
"""Beyond that the rows of one that is gone make room for those of a new one."""
HALF_LIFE_NS = NS
"""Of the smoothed rates."""
EVENTS = [cls.layout.type for cls in (PoolSwap, PoolMint, PoolBurn, PoolCollect, PoolSync)]
SWAP, SIGNAL, WITHDRAWN = (cls.layout.type for cls in (PoolSwap, SignalIdentity, SignalWithdrawn))
BEHIND_IDENTITY = HEADER_SIZE + SHORT_FORM + SignalIdentity.layout.size
"""Bytes in front of the record behind a SignalIdentity."""
SHORTEST = HEADER_SIZE + 3
"""Bytes of a frame whose first record's type can be read, in either form."""


class PoolFold(Protocol):
    """The states of pools (`tools.dashboard.pools`)."""

    def take_poll(self, ring: str, uuid: bytes, poll: Poll, clock_offset_ns: int) -> None:
        """The next frames of a ring, with the loss in front of them.  Another uuid: the ring was made anew."""

    def lose(self, ring: str) -> None:
        """Frames of a ring were lost: states are not known until the next event of each pool."""

    def forget(self, ring: str) -> None:
        """A ring is gone: its pools are shown no more."""

    def changed(self) -> list[PoolStateRow]:
        """Pools whose rows changed since the last call."""

    def rows(self) -> list[PoolStateRow]:
        """All pools, as of the last call of `changed`."""


class NoPools:
    """Keeps the state of no pool."""

    def take_poll(self, ring: str, uuid: bytes, poll: Poll, clock_offset_ns: int) -> None:
        """Nothing."""

    def lose(self, ring: str) -> None:
        """Nothing."""

    def forget(self, ring: str) -> None:
        """Nothing."""

    def changed(self) -> list[PoolStateRow]:
        """None."""
        return []

    def rows(self) -> list[PoolStateRow]:
        """None."""
        return []


class Totals(msgspec.Struct):
    """Counts since the fold began.  Time travel sets them to what they were where it begins."""

    events: int = 0
    swaps: int = 0
    signals: int = 0
    withdrawn: int = 0
    orders: int = 0
    reorgs: int = 0
    gaps: int = 0
    lost_frames: int = 0
    refused_frames: int = 0


class DashboardView:
    """What the page shows of all rings; `pools` keeps the states of their pools."""

    def __init__(self, pools: PoolFold | None = None) -> None:
        self.totals = Totals()
        self._pools: PoolFold = pools or NoPools()
        self._rings: dict[str, SeenRing] = {}
        self._swaps: deque[KeptFrame | SwapRow] = deque(maxlen=SWAPS)
        self._blocks: dict[tuple[str, bytes], BlockRow] = {}
        self._opportunities = Opportunities()
        self._executions = Executions()
        self._happenings: list[Happening] = []
        self._samples: deque[RateSample] = deque(maxlen=SAMPLES)
        self._health: Health | None = None
        self._summary: PageSummary | None = None
        # What is new since the last update.
        self._new_swaps: deque[KeptFrame] = deque(maxlen=SWAPS)
        self._new_swap_count = 0
        self._changed_blocks: dict[tuple[str, bytes], None] = {}
        self._new_happenings: deque[Happening] = deque(maxlen=HAPPENINGS)
        self._new_samples: deque[RateSample] = deque(maxlen=SAMPLES)
        self._health_changed = False
        self._replaced = False
        # Rates.
        self._now_ns = 0
        self._fresh_events = 0
        self._fresh_frames = 0
        self._events_per_s = 0.0
        self._frames_per_s = 0.0

    # ---- what comes in

    def take_poll(self, ring: str, uuid: bytes, poll: Poll, clock_offset_ns: int) -> None:
        """The next frames of `ring`; the offset is what the wall clock is ahead of the clock of their times."""
        at_ns = int(poll.timestamps[0]) + clock_offset_ns if len(poll) else self._now_ns
        seen = self._rings.get(ring)
        if seen is None or seen.uuid != uuid:
            seen = self._begin(ring, uuid, at_ns)
        seen.gone = False
        poll = self._go_on(seen, poll, at_ns)
        if not len(poll):
            return
        heads = heads_of(poll)
        types = first_types(poll, heads)
        flags = heads["flags"].astype(np.int64)
        self._count(poll, types, flags, clock_offset_ns)
        self._new_swap_count += keep(ring, poll, types == SWAP, self._new_swaps)
        signals = (types == SIGNAL) & (heads["domain"] == Domain.SIGNAL)
        self._opportunities.take_poll(ring, poll, np.flatnonzero(signals))
        for index in np.flatnonzero(np.isin(types, RARE)).tolist():
            frame = poll[index]
            message = self._parse(bytes(frame.payload))
            if message is not None and message.records:
                self._take(seen, frame.sequence, message)
        self._pools.take_poll(ring, uuid, poll, clock_offset_ns)

    def leave(self, ring: str, problem: str) -> None:
        """A ring is gone or cannot be read: what it said stays, and its feed is no feed any more."""
        if ring in self._rings:
            self._rings[ring].heartbeat = None
            self._rings[ring].gone = True
            if problem:
                self._happen(ring, self._rings[ring].sequence, self._now_ns, Saying("lost", -1, -1, problem))

    def set_health(self, health: Health) -> None:
        """How everything stands."""
        self._health_changed |= health != self._health
        self._health = health

    def sample(self, now_ns: int, hops: list[HopRow]) -> None:
        """A point of the charts, with the hops' durations since the last one."""
        self._smooth(now_ns)
        sample = RateSample(now_ns // MS, round(self._events_per_s, 1), round(self._frames_per_s, 1), hops)
        self._samples.append(sample)
        self._new_samples.append(sample)

    # ---- what goes out

    def update(self, now_ns: int, *, brief: bool = False) -> Update:
        """What changed since the last update; everything if rows of a ring that was made anew, or is gone, are shown no
        more.  A `brief` one has events, blocks and happenings alone."""
        swaps, skipped = self._send_swaps()
        signals = self._opportunities.changed(self._rings)
        self.totals.refused_frames += self._opportunities.take_refused()
        blocks = [self._blocks[key] for key in self._changed_blocks if key in self._blocks]
        happenings, self._new_happenings = [*self._new_happenings], deque(maxlen=HAPPENINGS)
        self._changed_blocks.clear()
        update = Update(
            time_ms=now_ns // MS,
            skipped_swaps=skipped,
            swaps=swaps or None,
            signals=signals or None,
            orders=self._executions.changed() or None,
            profits=self._executions.changed_profits(),
            breakers=self._executions.changed_breakers(),
            blocks=blocks or None,
            happenings=happenings or None,
        )
        if not brief or self._replaced:
            update = msgspec.structs.replace(update, **self._rest(now_ns))
        if self._replaced:
            self._replaced = False
            return self.whole(now_ns)
        return update

    def _rest(self, now_ns: int) -> dict[str, Any]:
        """Of an update what a brief one has not."""
        self._smooth(now_ns)
        pools = self._pools.changed()
        self._summary = self._sum_up(now_ns)
        rest = {
            "summary": self._summary,
            "pools": pools or None,
            "rates": [*self._new_samples] or None,
            "health": self._health if self._health_changed else None,
        }
        self._new_samples.clear()
        self._health_changed = False
        return rest

    def whole(self, now_ns: int) -> Update:
        """Everything, as of the last `update`."""
        swaps = self._parse_swaps(self._swaps)
        self._swaps = deque(swaps, maxlen=SWAPS)
        return Update(
            time_ms=now_ns // MS,
            whole=True,
            summary=self._summary,
            swaps=swaps,
            pools=self._pools.rows(),
            signals=[*self._opportunities.rows()],
            orders=[*self._executions.rows()],
            profits=self._executions.profits(),
            breakers=self._executions.breakers(),
            blocks=[*self._blocks.values()],
            happenings=[*self._happenings],
            rates=[*self._samples],
            health=self._health,
        )

    # ---- swaps, parsed when they are shown

    def _send_swaps(self) -> tuple[list[SwapRow], int]:
        """The newest swaps, and how many there were beyond those; what is not sent waits unparsed for a `whole`."""
        waiting = [*self._new_swaps]
        rows = self._parse_swaps(waiting[-SENT_SWAPS:])
        self._swaps += waiting[:-SENT_SWAPS]
        self._swaps += rows
        skipped = max(self._new_swap_count - SENT_SWAPS, 0)
        self._new_swaps.clear()
        self._new_swap_count = 0
        return rows, skipped

    def _parse_swaps(self, kept: Iterable[KeptFrame | SwapRow]) -> list[SwapRow]:
        """The rows of swaps, but of those that are none."""
        rows = []
        for swap in kept:
            row: SwapRow | None
            if isinstance(swap, SwapRow):
                row = swap
            else:
                message, seen = self._parse(swap.payload), self._rings[swap.ring]
                row = swap_row(swap.ring, swap.sequence, message, seen.symbols, seen.venues) if message else None
            if row is not None:
                rows.append(row)
        return rows

    # ---- what is rare, parsed when it comes

    def _take(self, seen: SeenRing, sequence: int, message: Message) -> None:
        record, header = message.records[0], message.header
        match record:
            case Heartbeat() if header.domain == Domain.SYSTEM and header.source <= LAST_COLLECTOR:
                seen.heartbeat, seen.heartbeat_ns = record, header.timestamp_ns
            case Block():
                self._put_block(block_row(seen.name, record), record.hash)
            case BlockEnd():
                before = self._blocks.get((seen.name, record.hash))
                self._put_block(ended_row(seen.name, record, header.timestamp_ns, before), record.hash)
                seen.ended = max(seen.ended, record.number)
                self._opportunities.end_block(seen.uuid, seen.ended)
            case PoolState():
                symbols = ((record.token0, record.symbol0), (record.token1, record.symbol1))
                seen.symbols.update((token, symbol) for token, symbol in symbols if symbol)
            case VenueName():
                seen.venues[record.code] = record.name
            case Reorg():
                self.totals.reorgs += 1
                self._take_back(seen, sequence, record)
            case Gap():
                self.totals.gaps += 1
            case _ if isinstance(record, EXECUTION_RECORDS):
                self._take_execution(seen, sequence, message)
        if type(record) in SAYINGS:
            self._happen(seen.name, sequence, header.timestamp_ns, SAYINGS[type(record)](record))
            for name in message.records[1:]:
                if isinstance(name, VenueName):
                    seen.venues[name.code] = name.name

    def _take_back(self, seen: SeenRing, sequence: int, record: Reorg) -> None:
        for key, block in self._blocks.items():
            if block.ring == seen.name and block.number > record.fork_number and block.verdict != "removed":
                self._blocks[key] = msgspec.structs.replace(block, verdict="removed")
                self._changed_blocks[key] = None
        seen.ended = min(seen.ended, record.fork_number)
        self._opportunities.take_back(KeptReorg(seen.uuid, sequence, record.fork_number))

    def _take_execution(self, seen: SeenRing, sequence: int, message: Message) -> None:
        names = {ring.uuid: ring.name for ring in self._rings.values()}
        symbols = ChainMap(*(ring.symbols for ring in self._rings.values()))
        venues = ChainMap(*(ring.venues for ring in self._rings.values()))
        first = self._executions.take(seen.name, sequence, message, symbols, venues, names.get)
        self.totals.orders += first

    def _put_block(self, row: BlockRow, block_hash: bytes) -> None:
        key = (row.ring, block_hash)
        self._blocks[key] = row
        self._changed_blocks[key] = None
        shorten(self._blocks, BLOCKS)

    def _happen(self, ring: str, sequence: int, at_ns: int, told: Saying) -> None:
        happening = Happening(ring, sequence, at_ns // MS, *told)
        self._happenings.append(happening)
        self._new_happenings.append(happening)
        if len(self._happenings) > HAPPENINGS:
            # Emitters are declared by the hundred, which is no reason to forget a reorg.
            many = (at for at, kept in enumerate(self._happenings) if kept.kind == "unproven")
            del self._happenings[next(many, 0)]

    def _go_on(self, seen: SeenRing, poll: Poll, at_ns: int) -> Poll:
        """What of a poll is new.  A loss is told, also where a reader began again and does not know of it."""
        first = int(poll.sequences[0]) if len(poll) else 0
        if poll.loss is not None:
            self._lose(seen, poll.loss.first, poll.loss.last, "overwritten before they were read", at_ns)
        elif seen.sequence and first > seen.sequence + 1:
            self._lose(seen, seen.sequence + 1, first - 1, "not read", at_ns)
        if len(poll) and first <= seen.sequence:
            poll = poll.part(int(np.searchsorted(poll.sequences, seen.sequence, side="right")), len(poll))
        if len(poll):
            seen.sequence = int(poll.sequences[-1])
        return poll

    def _lose(self, seen: SeenRing, first: int, last: int, text: str, at_ns: int) -> None:
        count = last - first + 1
        self.totals.lost_frames += count
        self._happen(seen.name, last, at_ns, Saying("lost", first, last, f"{count} frames are not shown: {text}"))
        self._pools.lose(seen.name)
        self._opportunities.lose(seen.name, last)
        seen.sequence = max(seen.sequence, last)

    def _begin(self, ring: str, uuid: bytes, at_ns: int) -> SeenRing:
        """A ring is there, or another of its name: rows are named by sequences, which begin again."""
        if ring in self._rings:
            text = "the ring was made anew: what the old one said is not shown any more"
            self._happen(ring, 0, at_ns, Saying("ring_replaced", -1, -1, text))
            self._drop_rows(ring)
        elif len(self._rings) >= RINGS:
            gone = next((seen.name for seen in self._rings.values() if seen.gone), None)
            if gone is not None:
                self._drop_rows(gone)
                self._pools.forget(gone)
                del self._rings[gone]
        self._rings[ring] = SeenRing(ring, uuid)
        return self._rings[ring]

    def _drop_rows(self, ring: str) -> None:
        self._swaps = deque((row for row in self._swaps if row.ring != ring), maxlen=SWAPS)
        self._blocks = {key: row for key, row in self._blocks.items() if row.ring != ring}
        self._opportunities.forget(ring)
        self._executions.forget(ring)
        waiting = [kept for kept in self._new_swaps if kept.ring != ring]
        self._new_swap_count -= len(self._new_swaps) - len(waiting)
        self._new_swaps = deque(waiting, maxlen=SWAPS)
        self._replaced = True

    def _parse(self, payload: bytes) -> Message | None:
        try:
            return parse(payload)
        except FrameError:
            self.totals.refused_frames += 1
            return None

    # ---- numbers

    def _count(self, poll: Poll, types: Longs, flags: Longs, clock_offset_ns: int) -> None:
        totals = self.totals
        events = np.isin(types, EVENTS) & (flags & Flag.SNAPSHOT == 0)
        fresh = poll.timestamps + clock_offset_ns > self._now_ns
        totals.events += int(np.count_nonzero(events))
        totals.swaps += int(np.count_nonzero(types == SWAP))
        withdrawn = int(np.count_nonzero(second_types(poll, types == SIGNAL) == WITHDRAWN))
        totals.signals += int(np.count_nonzero(types == SIGNAL)) - withdrawn
        totals.withdrawn += withdrawn
        totals.refused_frames += int(np.count_nonzero(types == NO_MESSAGE))
        self._fresh_events += int(np.count_nonzero(events & fresh))
        self._fresh_frames += int(np.count_nonzero(fresh))

    def _smooth(self, now_ns: int) -> None:
        """Rates of what was published since they were last smoothed; a backlog counts in none."""
        passed_ns = now_ns - self._now_ns
        if self._now_ns and passed_ns > 0:
            kept = 0.5 ** (passed_ns / HALF_LIFE_NS)
            self._events_per_s = kept * self._events_per_s + (1 - kept) * self._fresh_events * NS / passed_ns
            self._frames_per_s = kept * self._frames_per_s + (1 - kept) * self._fresh_frames * NS / passed_ns
        self._now_ns = now_ns
        self._fresh_events = self._fresh_frames = 0

    def _sum_up(self, now_ns: int) -> PageSummary:
        stands = (row.number for row in self._blocks.values() if row.verdict != "removed")
        feeds = [
            feed_row(seen.name, seen.heartbeat, now_ns - seen.heartbeat_ns)
            for seen in self._rings.values()
            if seen.heartbeat is not None
        ]
        return PageSummary(
            time_ms=now_ns // MS,
            block=max(stands, default=-1),
            **msgspec.structs.asdict(self.totals),
            pools=len(self._pools.rows()),
            events_per_s=round(self._events_per_s, 1),
            frames_per_s=round(self._frames_per_s, 1),
            feeds=feeds,
        )


KNOWN: tuple[type[Record], ...] = (Heartbeat, Block, BlockEnd, PoolState, VenueName, *SAYINGS, *EXECUTION_RECORDS)
RARE = [cls.layout.type for cls in KNOWN]
"""Types of first records that are parsed as they come."""
NO_MESSAGE = 0


def heads_of(poll: Poll) -> Any:
    """The header of each frame, as a structured array; that of a frame shorter than one is of no message."""
    buffer, at = poll.buffer, np.minimum(poll.offsets, len(poll.buffer) - HEADER_SIZE)
    return np.ascontiguousarray(buffer[at[:, None] + np.arange(HEADER_SIZE)]).view(HEADER)[:, 0]


def first_types(poll: Poll, heads: Any) -> Longs:
    """The type of each frame's first record; NO_MESSAGE where the header is not one, or there is no record."""
    buffer, lengths = poll.buffer, poll.lengths
    good = (lengths >= SHORTEST) & (heads["magic"] == MAGIC) & (heads["version"] == VERSION)
    good &= heads["payload_size"].astype(np.int64) == lengths - HEADER_SIZE
    at = np.where(good, poll.offsets, 0) + HEADER_SIZE
    first = buffer[at]
    types: Longs = np.where(good, np.where(first == EXTENDED, buffer[at + 2], first), NO_MESSAGE).astype(np.int64)
    return types


def second_types(poll: Poll, wanted: Any) -> Longs:
    """The type of the record behind the SignalIdentity of each frame that is wanted, in its short form; else 0."""
    at = poll.offsets + BEHIND_IDENTITY
    there = wanted & (poll.lengths > BEHIND_IDENTITY)
    types: Longs = np.where(there, poll.buffer[np.where(there, at, 0)], 0).astype(np.int64)
    return types


def keep(ring: str, poll: Poll, wanted: Any, kept: deque[KeptFrame]) -> int:
    """Keep the newest of the wanted frames of a poll; returns how many there were."""
    columns = np.flatnonzero(wanted)
    for index in columns[-(kept.maxlen or 0) :].tolist():
        frame = poll[index]
        kept.append(KeptFrame(ring, frame.sequence, bytes(frame.payload)))
    return len(columns)


def shorten(kept: dict[Any, Any], most: int) -> None:
    """Drop what came first, beyond `most`."""
    while len(kept) > most:
        del kept[next(iter(kept))]
