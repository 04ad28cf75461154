"""What the ring said: every message checked as it comes, and the events that still stand.

Owns the reading side of a validation.  It must never ask a node, nor know how the collector works: it believes a
message only as far as its bytes are sound, and keeps what the judgement needs.

    frame --layout, checksum, sequence--> message --> events (REMOVED takes one back), blocks, ends, pools, counters
    forget(last): what was judged leaves memory, so that a continuous run stays small
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from ringbuf import Frame, Histogram
from tlv.codes import EmitterProof, Flag, GapScope
from tlv.errors import FrameError
from tlv.layout import (
    Block,
    BlockEnd,
    EventOrigin,
    Gap,
    PoolCreated,
    PoolRecord,
    PoolState,
    Reorg,
    Unproven,
)
from tlv.message import Message, parse
from tlv.units import MS
from tools.validate.abi import COINS, EVENTS
from tools.validate.standstill import Standstill

MAX_AGES = 1 << 16
"""Block ages kept for their percentiles; a day of Polygon."""
MOST_COMPLAINTS = 5

KINDS_OF_PAIRS = frozenset(
    family
    for one in EVENTS.values()
    for family in one.families
    if {*COINS} & {name for _, name in (*one.indexed, *one.data)}
)
"""Codes of those whose pools hold several coins: each pair is in doubt for itself, under the one name of the pool."""

Identity = tuple[bytes, bytes, int]
"""Block hash, transaction hash, log index."""


class Told(NamedTuple):
    """One event as the ring told it."""

    record: PoolRecord
    origin: EventOrigin
    flagged: bool = False
    """UNPROVEN: it is not said to be a pool's."""

    @property
    def emitter(self) -> bytes:
        """The contract that emitted it: the pool, or the factory of a new one."""
        return self.record.factory if isinstance(self.record, PoolCreated) else self.record.pool


@dataclass
class Window:
    """What was counted and measured since the last report."""

    counts: Counter[str] = field(default_factory=Counter)
    """messages, events, removed; and what must never be, see `NEVER`."""
    complaints: list[str] = field(default_factory=list)
    """The first few things that must never be, in words."""
    gaps: list[tuple[int, int]] = field(default_factory=list)
    reorgs: list[int] = field(default_factory=list)
    """Depths."""
    socket_to_reader: Histogram = field(default_factory=Histogram)
    """Of pushed events, from the collector's socket to this reader."""
    longest_still_ns: int = 0
    """See `tools.validate.standstill`."""
    block_ages_ms: list[float] = field(default_factory=list)
    """From a block's timestamp to its arrival, signed: blocks may come before their time."""


NEVER = {
    "broken": "frames that are no message: layout or checksum",
    "unknown": "TLVs without a layout",
    "out_of_sequence": "frames or headers with another sequence than the next",
    "lost": "frames that were overwritten before they were read",
    "taken_back_twice": "REMOVED copies of events that did not stand",
    "told_twice": "events that stood already",
}
"""Counters that must stay zero, and what they count."""


class RingLedger:
    """Everything that was read from one ring; `idles` if its chain makes a block only now and then."""

    def __init__(self, *, idles: bool = True) -> None:
        self._standstill = Standstill(idles=idles)
        self.window = Window()
        self.events: dict[Identity, Told] = {}
        """The events that stand, of blocks that were not judged yet."""
        self.blocks: dict[int, bytes] = {}
        """Hash of each canonical block."""
        self.ends: dict[bytes, BlockEnd] = {}
        self.pools: dict[bytes, PoolState] = {}
        """The pools that were introduced, by address."""
        self.unproven: dict[bytes, Unproven] = {}
        """By address: emitters of which nobody can say yet whether they are pools, and those that are none and have
        flagged events that cannot be taken back any more.  Of a pool whose pairs have records of their own, since the
        first of them."""
        self.first = -1
        """The oldest block that is still to be judged; -1 before the first."""
        self.closed = -1
        """Up to here every block is closed."""
        self.passed = -1
        """Up to here every block is closed, or declared as missing."""
        self.measuring = True
        """Whether latencies count: not while something else keeps this process busy."""
        self._expected = 1
        self._judged = -1

    def turn(self) -> Window:
        """End the window and begin the next."""
        self.window.longest_still_ns = self._standstill.take_longest_ns(time.monotonic_ns())
        ended, self.window = self.window, Window()
        return ended

    def take(self, frames: Iterable[Frame]) -> None:
        """Frames, in their order; they were read just now."""
        now_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
        for frame in frames:
            self.window.counts["messages"] += 1
            if frame.sequence != self._expected:
                self._complain("out_of_sequence", f"expected sequence {self._expected}, found {frame.sequence}")
            self._expected = frame.sequence + 1
            try:
                message = parse(frame.payload, where=f"sequence {frame.sequence}")
            except FrameError as error:
                self._complain("broken", str(error))
                continue
            if message.header.sequence != frame.sequence:
                self._complain(
                    "out_of_sequence", f"sequence {frame.sequence}: its header says {message.header.sequence}"
                )
            if message.unknown:
                self._complain("unknown", f"sequence {frame.sequence}: {message.unknown} TLVs without a layout")
            self._note(message, now_ns)
            self._standstill.note(message, monotonic_ns)

    def lose(self, first: int, last: int) -> None:
        """These frames were overwritten before they could be read."""
        self.window.counts["lost"] += last - first
        self._expected = last + 1
        self._complain("lost", f"sequences {first} to {last} were overwritten unread")

    def forget(self, last: int) -> None:
        """Blocks up to `last` were judged."""
        self._judged = last
        self.first = last + 1
        self.events = {key: told for key, told in self.events.items() if told.origin.block_number > last}
        self.blocks = {number: block_hash for number, block_hash in self.blocks.items() if number > last}
        self.ends = {block_hash: end for block_hash, end in self.ends.items() if end.number > last}

    def _note(self, message: Message, now_ns: int) -> None:
        record = message.records[0] if message.records else None
        origin = message.first(EventOrigin)
        if isinstance(record, PoolRecord) and origin is not None:
            flagged = bool(message.header.flags & Flag.UNPROVEN)
            self._note_event(Told(record, origin, flagged), message.header.flags, now_ns)
        elif isinstance(record, PoolState):
            self.pools[record.pool] = record
        elif isinstance(record, Block):
            self._note_block(record)
        elif isinstance(record, BlockEnd):
            self.ends[record.hash] = record
            self.closed = max(self.closed, record.number)  # a block that was healed ends once more
            self.passed = max(self.passed, record.number)
        elif isinstance(record, Reorg):
            self._note_reorg(record)
        elif isinstance(record, Gap) and record.scope == GapScope.BLOCK_NUMBERS:
            self.window.gaps.append((record.first, record.last))
            self.passed = max(self.passed, record.last)
        elif isinstance(record, Unproven):
            self._note_unproven(record)

    def _note_event(self, told: Told, flags: int, now_ns: int) -> None:
        origin = told.origin
        identity = (origin.block_hash, origin.transaction_hash, origin.log_index)
        if flags & Flag.REMOVED:
            self.window.counts["removed"] += 1
            if self.events.pop(identity, None) is None and origin.block_number > self._judged:
                self._complain("taken_back_twice", f"{place(told)} was taken back and did not stand")
            return
        self.window.counts["events"] += 1
        if identity in self.events:
            self._complain("told_twice", f"{place(told)} was told twice")
        self.events[identity] = told
        if self.measuring and not flags & Flag.BACKFILL:
            self.window.socket_to_reader.add(now_ns - origin.receive_time_ns)

    def _note_block(self, block: Block) -> None:
        if self.first < 0:
            self.first = block.number
        self.blocks[block.number] = block.hash
        if len(self.window.block_ages_ms) < MAX_AGES:
            self.window.block_ages_ms.append(block.receive_time_ns / MS - block.timestamp * 1e3)

    def _note_reorg(self, reorg: Reorg) -> None:
        """Blocks above the fork left the chain, and what replaces them is to be judged, again if need be."""
        self.window.reorgs.append(reorg.depth)
        self.first = min(self.first, reorg.fork_number + 1)
        self.closed, self.passed = min(self.closed, reorg.fork_number), min(self.passed, reorg.fork_number)
        for number in [number for number in self.blocks if number > reorg.fork_number]:
            self.ends.pop(self.blocks.pop(number), None)

    def _note_unproven(self, record: Unproven) -> None:
        refuted = record.standing in (EmitterProof.NO_POOL, EmitterProof.UNSUPPORTED)
        if record.standing == EmitterProof.UNKNOWN or (refuted and record.marked):
            before = self.unproven.get(record.emitter)
            if before is not None and record.protocol in KINDS_OF_PAIRS:
                record = msgspec.structs.replace(record, since_block=min(before.since_block, record.since_block))
            self.unproven[record.emitter] = record
        else:
            self.unproven.pop(record.emitter, None)

    def holds_back(self, emitter: bytes, number: int) -> bool:
        """Whether events of this emitter in block `number` are declared as held back."""
        record = self.unproven.get(emitter)
        return record is not None and record.standing == EmitterProof.UNKNOWN and record.since_block <= number

    def complain(self, text: str) -> None:
        """Something for the report, in words; the first few are kept."""
        if len(self.window.complaints) < MOST_COMPLAINTS and text not in self.window.complaints:
            self.window.complaints.append(text)

    def _complain(self, name: str, text: str) -> None:
        self.window.counts[name] += 1
        self.complain(text)


def place(told: Told) -> str:
    """Where an event stands, for people."""
    origin = told.origin
    return f"{type(told.record).__name__} in block {origin.block_number}, log {origin.log_index}"
