"""A part of a journal, from one place to another, both included and exact.

Owns what a place includes.  Blocks of a feed are not in order: events of block N come before and behind the first ones
of N + 1, its REMOVED copies and late back-fills long after.  So a part is not cut at a place, it is chosen:

    sequence    frames of the journal's latest ring from or up to it; all of an older ring come before them
    time        frames that were published at it or later, or up to it, by the wall clock of their recorder
    block       messages of that block and higher, or lower ones, wherever they stand: events, REMOVED copies, late
                back-fills, the Block, its BlockEnd; and what speaks of no block (sessions, reorgs, heartbeats, gaps)
                from the first message of the lowest block or a higher one up to the last of the part
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from consumers.journal import kernels
from consumers.journal.layout import FRAME, SEQUENCE_ROW
from consumers.journal.reader import JournalReader, passed_over
from consumers.journal.scan import Scanner
from consumers.journal.segment import SegmentFile, list_segments, stored_index
from ringbuf import Poll, Status
from tlv.errors import UsageError

LOWEST, HIGHEST = -(1 << 63), (1 << 63) - 1
FAR_NS = 1 << 62
"""Beyond every publish time; less than an int64 takes, so that a clock's offset can be added."""


class JournalPlace(NamedTuple):
    """A place in a journal.  `kind` is "sequence", "block" or "time" (`value` is then ns since 1970)."""

    kind: str
    value: int


class Bounds(NamedTuple):
    """What a frame must lie within."""

    sequences: tuple[int, int]
    blocks: tuple[int, int]
    times: tuple[int, int]


class PartEnd(NamedTuple):
    """The last frame that can belong to a part: its segment, and its sequence there."""

    ordinal: int
    sequence: int


def check_order(begin: JournalPlace | None, end: JournalPlace | None) -> None:
    """Raise UsageError if a part would end before it begins."""
    if begin is not None and end is not None and begin.kind == end.kind and begin.value > end.value:
        raise UsageError(f"expected a part that ends behind its begin, found {begin.kind} {begin.value} to {end.value}")


def bounds_of(begin: JournalPlace | None, end: JournalPlace | None) -> Bounds:
    """The bounds that two places set; None sets none."""
    sides = {"sequence": [LOWEST, HIGHEST], "block": [LOWEST, HIGHEST], "time": [-FAR_NS, FAR_NS]}
    for place, side in ((begin, 0), (end, 1)):
        if place is not None:
            sides[place.kind][side] = place.value
    first, block, time = (tuple(sides[kind]) for kind in ("sequence", "block", "time"))
    return Bounds(first, block, time)  # type: ignore[arg-type]


def polls_of(reader: JournalReader, begin: JournalPlace | None, end: JournalPlace | None) -> Iterator[Poll]:
    """Polls with the frames of `reader`'s journal from `begin` to `end`, the losses between them included.

    The journal may be recorded meanwhile; it is read to its present end.
    """
    bounds = bounds_of(begin, end)
    last = last_of(reader, bounds)
    seek(reader, begin)
    latest = reader.latest_uuid
    while True:
        poll = reader.poll()
        part = chosen(reader, poll, bounds, last, latest)
        beyond = is_beyond(reader, bounds, last, latest)
        if len(part) or poll.status is not Status.OK or (poll.loss is not None and not beyond):
            yield part
        if beyond or poll.status in (Status.EMPTY, Status.CLOSED):
            return


def is_beyond(reader: JournalReader, bounds: Bounds, last: PartEnd, latest: bytes) -> bool:
    """Whether nothing of the part can follow."""
    if reader.ordinal >= last.ordinal and (reader.ordinal > last.ordinal or reader.sequence > last.sequence):
        return True
    return reader.uuid == latest and reader.sequence > bounds.sequences[1]


def seek(reader: JournalReader, place: JournalPlace | None) -> None:
    """Go to the first frame that can belong to a part that begins at `place`."""
    if place is None:
        return
    if place.kind == "sequence":
        reader.seek_sequence(place.value)
    elif place.kind == "block":
        reader.seek_block(place.value)
    else:
        reader.seek_time(place.value)


def chosen(reader: JournalReader, poll: Poll, bounds: Bounds, last: PartEnd, latest: bytes) -> Poll:
    """The frames of `poll` that lie within `bounds`, with the loss before them."""
    wanted = np.ones(len(poll), np.bool_)
    if reader.uuid == latest:
        wanted &= (poll.sequences >= bounds.sequences[0]) & (poll.sequences <= bounds.sequences[1])
    elif bounds.sequences[0] != LOWEST:
        wanted[:] = False
    published = poll.timestamps + reader.clock_offset_ns
    wanted &= (published >= bounds.times[0]) & (published <= bounds.times[1])
    if reader.ordinal >= last.ordinal:
        wanted &= (poll.sequences <= last.sequence) & (reader.ordinal == last.ordinal)
    if bounds.blocks != (LOWEST, HIGHEST):
        kernels.drop_other_blocks(poll.buffer, poll.table, len(poll), *bounds.blocks, wanted)
    return poll if wanted.all() else poll.choice(np.flatnonzero(wanted))


def last_of(reader: JournalReader, bounds: Bounds) -> PartEnd:
    """Where a part with these bounds ends; at the journal's end, whenever that is, if they are open."""
    if bounds.blocks[1] == HIGHEST and bounds.times[1] == FAR_NS:
        return PartEnd(1 << 62, HIGHEST)
    for segment in reversed(list_segments(reader.directory)):
        with passed_over():
            found = last_in(reader, segment, bounds)
            if found is not None:
                return PartEnd(segment.ordinal, found)
    return PartEnd(0, 0)


def last_in(reader: JournalReader, segment: SegmentFile, bounds: Bounds) -> int | None:
    """The sequence of the last frame in a segment that can belong to the part; None if none can."""
    lowest, highest = max(bounds.blocks[0], 0), bounds.blocks[1]
    index = stored_index(segment)
    if index is not None:
        head = index.header
        if highest != HIGHEST and (head.last_block < lowest or head.first_block > highest):
            return None
        if head.first_publish_ns + reader.header_of(segment).clock_offset_ns > bounds.times[1]:
            return None
    return HIGHEST if highest == HIGHEST else last_of_blocks(Scanner(segment, reader.layout_digest), lowest, highest)


def last_of_blocks(scanner: Scanner, lowest: int, highest: int) -> int | None:
    """The sequence of the last frame of these blocks that the scanner comes to; None if there is none."""
    found = None
    with contextlib.closing(scanner):
        while count := scanner.advance():
            for mark, first, behind in scanner.runs(count):
                if mark == FRAME:
                    at = kernels.last_of_blocks(scanner.buffer, scanner.table, first, behind, lowest, highest)
                    found = found if at < 0 else int(scanner.table[SEQUENCE_ROW, at])
    return found
