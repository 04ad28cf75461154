"""One pass over frames: the chosen ones, and what stands around them, their block, its end and what took them back.

Owns what is looked at in a frame without parsing it, and which frames are kept.  Times it only compares.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from ringbuf import Poll
from tlv.buffers import Bytes, Flags, Longs, Structs
from tlv.codes import EXTENDED, Flag
from tlv.errors import FrameError
from tlv.layout import EVENT_ORIGIN, HEADER, HEADER_SIZE, Block, BlockEnd, EventOrigin, Reorg, Session, VenueName
from tlv.message import Message, parse
from tlv.venues import VENUES
from tools.trace.frames import FramePiece
from tools.trace.signals import Signals

FLAGS_AT = int(HEADER.fields["flags"][1]) if HEADER.fields else 0
SHORT_HEAD = 2
"""Bytes before the value of a TLV in its short form, which every writer uses for an EventOrigin."""
SHORTEST = HEADER_SIZE + 3
"""Bytes of a message whose first type can be read in either form."""
KEPT_BLOCKS = 4096
"""Blocks whose arrival is remembered: more than are open at once, in any chain."""
BLOCKS_BEHIND = 1024
"""How many blocks behind its own an event is looked for to be taken back.  No collector remembers more."""
NOT_IN_TIME = int(Flag.SNAPSHOT | Flag.BACKFILL | Flag.REMOVED | Flag.REPLAY)
"""Flags of events whose times are no latencies."""


class BlockSeen(NamedTuple):
    """The message that announced a block."""

    sequence: int
    record: Block


class EndSeen(NamedTuple):
    """The message that closed a block."""

    sequence: int
    publish_ns: int


@dataclass(eq=False)
class Subject:
    """A chosen frame, and what the pass found around it."""

    ring: bytes
    sequence: int
    publish_ns: int
    offset_ns: int
    message: Message
    first_published: bytes | None = None
    """uuid in the Session before it; None if none was seen."""
    block: BlockSeen | None = None
    end: EndSeen | None = None
    removed_by: int = 0
    reorg: int = 0
    """The Reorg behind which the REMOVED copy stands."""
    original: int = 0
    """Of a REMOVED copy, what it is a copy of."""

    @property
    def origin(self) -> EventOrigin | None:
        """Where on the chain it stands, if it is an event."""
        return self.message.first(EventOrigin)

    @property
    def again(self) -> bool:
        """Whether it is an event that is published once more: its block came back to the chain.

        At first an event is built in the turn in which it was received; the copy keeps that time, and has a header of
        its own.
        """
        header, origin = self.message.header, self.origin
        return origin is not None and not header.flags & NOT_IN_TIME and header.timestamp_ns > origin.receive_time_ns

    @property
    def block_hash(self) -> bytes:
        """Of the block that it is about; empty if of none."""
        record = self.message.first(EventOrigin) or self.message.first(Block) or self.message.first(BlockEnd)
        if record is None:
            return b""
        return record.block_hash if isinstance(record, EventOrigin) else record.hash


class Columns:
    """What can be seen of each frame of a poll without parsing it."""

    def __init__(self, poll: Poll) -> None:
        self.poll = poll
        buffer, offsets, lengths = poll.buffer, poll.offsets, poll.lengths
        long_enough = lengths >= SHORTEST
        at = np.where(long_enough, offsets, 0)
        first = buffer[at + HEADER_SIZE]
        kinds = np.where(first == EXTENDED, buffer[at + HEADER_SIZE + 2], first)
        self.kinds: Bytes = np.where(long_enough, kinds, 0)
        self.flags: Bytes = np.where(long_enough, buffer[at + FLAGS_AT], 0)
        begins = offsets + lengths - EVENT_ORIGIN.itemsize
        room = lengths >= SHORTEST + SHORT_HEAD + EVENT_ORIGIN.itemsize
        head = np.where(room, begins - SHORT_HEAD, 0)
        self.is_event: Flags = (
            room & (buffer[head] == EventOrigin.layout.type) & (buffer[head + 1] == EVENT_ORIGIN.itemsize)
        )
        self._begins = begins

    def origins(self, columns: Longs) -> Structs:
        """The EventOrigin of each of these events."""
        rows = self._begins[columns][:, None] + np.arange(EVENT_ORIGIN.itemsize)
        found: Structs = np.ascontiguousarray(self.poll.buffer[rows]).view(EVENT_ORIGIN)[:, 0]
        return found

    def built_ns(self, columns: Longs) -> Longs:
        """When each of these messages was built, by its header."""
        rows = self.poll.offsets[columns][:, None] + np.arange(HEADER_SIZE)
        found: Longs = np.ascontiguousarray(self.poll.buffer[rows]).view(HEADER)[:, 0]["timestamp_ns"]
        return found


class Choice(Protocol):
    """Which frames are wanted."""

    def pick(self, piece: FramePiece, columns: Columns) -> list[int]:
        """The columns of those of a piece, rising."""

    def keep(self, subject: Subject) -> Subject | None:
        """Take one of them; which is given up for it."""


class TheOne:
    """The frame with one sequence."""

    def __init__(self, ring: bytes, sequence: int) -> None:
        self._ring, self._sequence = ring, sequence
        self.subject: Subject | None = None

    def pick(self, piece: FramePiece, columns: Columns) -> list[int]:
        """As `Choice` has it."""
        if piece.ring != self._ring:
            return []
        return [int(column) for column in np.flatnonzero(piece.poll.sequences == self._sequence)]

    def keep(self, subject: Subject) -> None:
        """As `Choice` has it."""
        self.subject = subject


class TheSlowest:
    """The `most` events that took longest on this host: from their arrival to the ring, and to the last signal on them.

    Of two that took as long the earlier one is kept.
    """

    def __init__(self, most: int, signals: Signals) -> None:
        self.events = 0
        self.left_out = 0
        self._most, self._signals = most, signals
        self._kept: list[tuple[int, int, Subject]] = []
        self._durations: dict[int, int] = {}
        self._order = 0

    def pick(self, piece: FramePiece, columns: Columns) -> list[int]:
        """As `Choice` has it."""
        found = np.flatnonzero(columns.is_event)
        received = columns.origins(found)["receive_time_ns"]
        in_time = (columns.flags[found] & NOT_IN_TIME == 0) & ~(columns.built_ns(found) > received)
        self.events += int(np.count_nonzero(in_time))
        self.left_out += int(np.count_nonzero(~in_time))
        found, received = found[in_time], received[in_time]
        if not found.size:
            return []
        sequences, published = piece.poll.sequences[found], piece.poll.timestamps[found]
        ends = published + piece.offset_ns
        for at in np.flatnonzero(np.isin(sequences, self._signals.triggers_in(piece.ring))).tolist():
            on_it = self._signals.on(piece.ring, int(sequences[at]), int(published[at]), piece.offset_ns)
            said_at = [signal.publish_ns for signal in on_it if signal.ring_created_ns <= published[at]]
            ends[at] = max(said_at, default=int(published[at])) + piece.offset_ns
        durations = np.where(received > 0, ends - received, 0)  # 0: nobody noted its arrival
        best = np.argsort(-durations, kind="stable")[: self._most]
        if len(self._kept) == self._most:
            best = best[durations[best] > self._kept[0][0]]
        best = np.sort(best)
        self._durations = {int(sequences[at]): int(durations[at]) for at in best.tolist()}
        return [int(column) for column in found[best]]

    def keep(self, subject: Subject) -> Subject | None:
        """As `Choice` has it."""
        self._order += 1
        entry = (self._durations[subject.sequence], -self._order, subject)
        if len(self._kept) < self._most:
            heapq.heappush(self._kept, entry)
            return None
        return heapq.heappushpop(self._kept, entry)[2]

    def subjects(self) -> list[Subject]:
        """The slowest first."""
        return [subject for _, _, subject in sorted(self._kept, key=lambda entry: (-entry[0], -entry[1]))]


class Chronicle:
    """The pass."""

    def __init__(self, choice: Choice, last_block: int = -1) -> None:
        self.frames = 0
        self.lost = 0
        self.broken = 0
        """Frames that are no messages."""
        self._choice = choice
        self._last_block = last_block
        self._ring = b""
        self._session: bytes | None = None
        self._blocks: OrderedDict[bytes, BlockSeen] = OrderedDict()
        self._open: dict[bytes, list[Subject]] = {}
        """Subjects by their block."""
        self._reorg, self._copies = 0, 0
        """The last Reorg, and how many of its REMOVED copies are still to come."""
        self.originals: list[int] = []
        """Sequences of the event that was looked for by its identity."""

    def read(self, pieces: Iterable[FramePiece], identity: EventOrigin | None = None) -> None:
        """Look at everything, or until so many blocks have come behind `last_block` that no reorg reaches back.

        `identity` is that of an event whose original is looked for, too.
        """
        for piece in pieces:
            if piece.ring != self._ring:
                self._ring, self._session = piece.ring, None
                self._blocks.clear()
                self._open.clear()
            if piece.poll.loss is not None:
                self.lost += piece.poll.loss.count
            if not len(piece.poll):
                continue
            self.frames += len(piece.poll)
            if self._take(piece, identity):
                return

    def _take(self, piece: FramePiece, identity: EventOrigin | None) -> bool:
        """Whether that was enough."""
        columns = Columns(piece.poll)
        picked = set(self._choice.pick(piece, columns))
        for column, message in self._notable(piece, columns, picked):
            sequence, publish_ns = int(piece.poll.sequences[column]), int(piece.poll.timestamps[column])
            if column in picked:
                self._begin(Subject(piece.ring, sequence, publish_ns, piece.offset_ns, message))
            record = message.records[0] if message.records else None
            if isinstance(record, Block):
                self._blocks[record.hash] = BlockSeen(sequence, record)
                if len(self._blocks) > KEPT_BLOCKS:
                    self._blocks.popitem(last=False)
                if 0 <= self._last_block < record.number - BLOCKS_BEHIND:
                    return True
            elif isinstance(record, BlockEnd):
                for subject in self._open.get(record.hash, ()):
                    subject.end = subject.end or EndSeen(sequence, publish_ns)
            elif isinstance(record, Session):
                self._session = record.ring_uuid
            elif isinstance(record, VenueName):
                VENUES.learn(record.code, record.name)
            elif isinstance(record, Reorg):
                self._reorg, self._copies = sequence, record.removed_events
            elif message.header.flags & Flag.REMOVED:
                self._take_back(sequence, message)
        if identity is not None:
            self._find_original(piece, columns, identity)
        return False

    def _notable(self, piece: FramePiece, columns: Columns, picked: set[int]) -> Iterator[tuple[int, Message]]:
        kinds = [record.layout.type for record in (Block, BlockEnd, Session, VenueName, Reorg)]
        removed = columns.is_event & (columns.flags & int(Flag.REMOVED) != 0)
        found = set(np.flatnonzero(np.isin(columns.kinds, kinds) | removed).tolist()) | picked
        for column in sorted(found):
            try:
                yield column, parse(piece.poll[column].payload)
            except FrameError:
                self.broken += 1

    def _begin(self, subject: Subject) -> None:
        subject.first_published = self._session
        subject.block = self._blocks.get(subject.block_hash)
        given_up = self._choice.keep(subject)
        if given_up is not subject:
            self._open.setdefault(subject.block_hash, []).append(subject)
        if given_up is not None and given_up in self._open.get(given_up.block_hash, ()):
            others = self._open[given_up.block_hash]
            others.remove(given_up)
            if not others:
                del self._open[given_up.block_hash]

    def _take_back(self, sequence: int, message: Message) -> None:
        origin = message.first(EventOrigin)
        if origin is None:
            return
        reorg = self._reorg if self._copies else 0
        self._copies = max(self._copies - 1, 0)
        for subject in self._open.get(origin.block_hash, ()):
            if subject.sequence < sequence and not subject.removed_by and same_event(subject.origin, origin):
                subject.removed_by, subject.reorg = sequence, reorg

    def _find_original(self, piece: FramePiece, columns: Columns, identity: EventOrigin) -> None:
        found = np.flatnonzero(columns.is_event & (columns.flags & int(Flag.REMOVED) == 0))
        if not found.size:
            return
        rows = columns.origins(found)
        same = (rows["transaction_hash"] == np.frombuffer(identity.transaction_hash, np.uint8)).all(axis=1)
        same &= rows["log_index"] == identity.log_index
        same &= (rows["block_hash"] == np.frombuffer(identity.block_hash, np.uint8)).all(axis=1)
        for column in found[same].tolist():
            self.originals.append(int(piece.poll.sequences[column]))


def same_event(one: EventOrigin | None, other: EventOrigin) -> bool:
    """Whether both stand for one log of one block."""
    return one is not None and (one.block_hash, one.transaction_hash, one.log_index) == (
        other.block_hash,
        other.transaction_hash,
        other.log_index,
    )
