"""The frames of a journal, unpacked once into files without a name, and mapped by every run that reads them.

Owns the copy and what is said of it: which rings, which blocks, what is missing.  The files have no name in any folder,
so nothing of them is left however their process ends.  They may be larger than memory: the kernel writes them out.

The map is private and copied on a write: what a strategy writes into a frame is seen by that run alone.

    data    the payloads as the journal's scanner found them, each 8-byte aligned
    index   int64[frames, 5], the columns of `ringbuf.layout`'s index, with the offset in `data`
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from consumers.journal import JournalReader
from consumers.journal.errors import JournalError
from consumers.select_frames import select_frames
from ringbuf import Loss, Poll, Status
from ringbuf.layout import INDEX_ROWS, OFFSET_ROW
from tlv.buffers import Bytes, Longs
from tlv.codes import Domain, GapScope
from tlv.errors import FrameError, UsageError
from tlv.filter import MessageFilter
from tlv.layout import HEADER, HEADER_SIZE, Block, BlockEnd, Gap, VenueName
from tlv.message import parse
from tlv.venues import VENUES

FRAMES_PER_POLL = 4096
"""Frames of one part of a mapped journal: what a scan of the journal gives at most."""
DOMAIN_AT = int(HEADER.fields["domain"][1])  # type: ignore[index]
DOMAINS = 256


class Stretch(NamedTuple):
    """Frames `first` to `behind` - 1 of the map: of one incarnation of the ring, without a hole between them."""

    ring: bytes
    first: int
    behind: int
    loss: Loss | None
    """What is missing before the first."""
    clock_offset_ns: int
    """Added to a frame's publish time it gives wall time."""


@dataclass
class JournalFacts:
    """What a journal holds, and what it lacks."""

    ring_name: str = ""
    rings: list[bytes] = field(default_factory=list)
    """uuids of the incarnations, in order."""
    frames: int = 0
    losses: list[Loss] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    """Blocks that the collector could not have, and frames lost before the recorded ring."""
    held_back_blocks: int = 0
    """Blocks at whose end logs of unproven emitters were held back."""
    first_block: int = -1
    last_block: int = -1
    first_time_s: int = 0
    last_time_s: int = 0
    """Timestamps of the first and the last announced block."""
    ended: bool = False
    """Whether its recorder ended it in order."""

    def missing(self) -> list[str]:
        """Why a result over it is not that of the whole market, a reason a line; none if nothing is missing."""
        found = []
        if self.losses:
            count = sum(loss.count for loss in self.losses)
            places = ranges([(loss.first, loss.last) for loss in self.losses])
            found.append(f"{count} frames are missing in the journal: sequences {places}")
        blocks = [(gap.first, gap.last) for gap in self.gaps if gap.scope == GapScope.BLOCK_NUMBERS]
        frames = [(gap.first, gap.last) for gap in self.gaps if gap.scope == GapScope.RING_SEQUENCES]
        if blocks:
            found.append(f"the collector lacked blocks {ranges(blocks)}")
        if frames:
            found.append(f"frames were lost before they were recorded: sequences {ranges(frames)}")
        if self.held_back_blocks:
            found.append(f"{self.held_back_blocks} blocks ended with events of unproven pools held back")
        if len(self.rings) > 1:
            found.append(f"the ring was made anew {len(self.rings) - 1} times; what happened between is unknown")
        if not self.ended:
            found.append("the journal was not ended: it is still being written, or its recorder was killed")
        return found


def ranges(pairs: Sequence[tuple[int, int]], shown: int = 5) -> str:
    """`5, 7 to 9, and 3 more`."""
    texts = [f"{first}" if first == last else f"{first} to {last}" for first, last in pairs[:shown]]
    more = len(pairs) - shown
    return ", ".join(texts) + (f", and {more} more" if more > 0 else "")


class MappedJournal:
    """The frames of a journal, mapped.

    A context manager; what `polls` gave is invalid behind it.
    """

    def __init__(self, facts: JournalFacts, stretches: list[Stretch], data: IO[bytes], index: IO[bytes]) -> None:
        self.facts = facts
        self.stretches = stretches
        self._stack = ExitStack()
        self.data: Bytes = self._map(data, np.uint8)
        self.index: Longs = self._map(index, np.int64).reshape(-1, INDEX_ROWS)
        self._view = memoryview(self.data)

    def _map(self, file: IO[bytes], kind: Any) -> Any:
        self._stack.enter_context(file)
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), kind)

    @property
    def data_bytes(self) -> int:
        """Bytes that are mapped."""
        return int(self.data.nbytes + self.index.nbytes)

    @property
    def addresses(self) -> tuple[int, int]:
        """Where the two maps begin."""
        return int(self.data.ctypes.data), int(self.index.ctypes.data)

    def polls(self, frames_per_poll: int = FRAMES_PER_POLL) -> Iterator[tuple[Stretch, Poll]]:
        """All frames in order as polls of a ring, each with its stretch; a loss stands before its first frame."""
        for stretch in self.stretches:
            loss = stretch.loss
            for first in range(stretch.first, stretch.behind, frames_per_poll):
                table = np.ascontiguousarray(self.index[first : min(first + frames_per_poll, stretch.behind)].T)
                yield stretch, Poll(Status.OK, loss, 0, self.data, self._view, table)
                loss = None
            if loss is not None:
                yield stretch, Poll(Status.OK, loss, 0, self.data, self._view, np.zeros((INDEX_ROWS, 0), np.int64))

    def close(self) -> None:
        """Close the files; the memory goes with the last array over it."""
        self._stack.close()

    def __enter__(self) -> MappedJournal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def map_journal(
    directory: Path,
    advance: Callable[[int], object] = lambda _: None,
    asked_to_stop: Callable[[], bool] = lambda: False,
) -> MappedJournal | None:
    """Unpack the journal in `directory` up to its present end; None if asked to stop before that.

    `advance` is called with the bytes that were read since it was called last.

    Raises:
        UsageError: no directory, or it holds no market data.
        JournalError: it holds no frame, or is of another version or layout.
        OSError: the folder for temporary files has no room.
    """
    facts = JournalFacts()
    stretches: list[Stretch] = []
    domains = np.zeros(DOMAINS, np.int64)
    notes = Notes(facts)
    with ExitStack() as stack:
        reader = stack.enter_context(JournalReader(directory))
        facts.ring_name = reader.name
        data, index = (stack.enter_context(tempfile.TemporaryFile(prefix="alphapulse-")) for _ in range(2))
        end = 0
        while True:
            if asked_to_stop():
                return None
            poll = reader.poll()
            if poll.loss is not None:
                facts.losses.append(poll.loss)
            count = len(poll)
            if count or poll.loss is not None:
                first = facts.frames
                found = Stretch(reader.uuid, first, first + count, poll.loss, reader.clock_offset_ns)
                note_frames(stretches, found)
            if count:
                begin = int(poll.offsets[0])
                size = int(poll.offsets[-1] + poll.lengths[-1]) - begin
                domains += domains_of(poll)
                notes.take(poll)
                table = np.ascontiguousarray(poll.table.T)
                table[:, OFFSET_ROW] += end - begin
                with naming_the_folder():
                    data.write(poll.buffer[begin : begin + size].data)
                    data.write(bytes(-size % 8))
                    index.write(table.data)
                end += size + -size % 8
                facts.frames += count
                advance(size)
            if poll.status in (Status.EMPTY, Status.CLOSED):
                facts.ended = poll.status is Status.CLOSED
                break
        with naming_the_folder():
            data.flush()
            index.flush()
        facts.rings = list(dict.fromkeys(stretch.ring for stretch in stretches))
        check_market(directory, facts, domains)
        stack.pop_all()
        reader.close()
    return MappedJournal(facts, stretches, data, index)


def note_frames(stretches: list[Stretch], found: Stretch) -> None:
    """Add what was read, to the last stretch if nothing parts them."""
    last = stretches[-1] if stretches else None
    if (
        last is not None
        and found.loss is None
        and found == last._replace(first=found.first, behind=found.behind, loss=None)
    ):
        stretches[-1] = last._replace(behind=found.behind)
    else:
        stretches.append(found)


def check_market(directory: Path, facts: JournalFacts, domains: Longs) -> None:
    """Refuse a journal in which there is nothing to trade on.

    Raises:
        JournalError: it holds no frame.
        UsageError: none of its frames is market data.
    """
    if not facts.frames:
        raise JournalError(f"{directory}: expected recorded frames, found none; its recorder had nothing to write yet")
    if domains[Domain.MARKET_DATA]:
        return
    names = [f"{domain.name.lower().replace('_', ' ')} ({domains[domain]})" for domain in Domain if domains[domain]]
    found = ", ".join(names) or "no message"
    wanted = "expected a journal of a market, as of market.polygon"
    raise UsageError(f"{directory}: {wanted}, found one of ring {facts.ring_name}: {found}")


def domains_of(poll: Poll) -> Longs:
    """How many messages of each domain there are in a poll."""
    whole = poll.offsets[poll.lengths >= HEADER_SIZE]
    return np.bincount(poll.buffer[whole + DOMAIN_AT], minlength=DOMAINS)


@contextmanager
def naming_the_folder() -> Iterator[None]:
    """Have an error of a file without a name say in which folder it is."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; TMPDIR names another folder", tempfile.gettempdir()) from None


class Notes:
    """Takes down what a result must be read with: blocks, and what is missing of them."""

    def __init__(self, facts: JournalFacts) -> None:
        self._facts = facts
        self._wanted = MessageFilter.of(types=[Block, BlockEnd, Gap, VenueName]).tables
        self._chosen: Longs = np.zeros(FRAMES_PER_POLL, np.int64)

    def take(self, poll: Poll) -> None:
        """Note the frames of a poll."""
        if len(poll) > self._chosen.size:
            self._chosen = np.zeros(len(poll), np.int64)
        count = select_frames(poll.buffer, poll.offsets, poll.lengths, self._wanted, self._chosen)
        for at in self._chosen[:count].tolist():
            try:
                records = parse(poll[at].payload, verify=False).records
            except FrameError:
                continue  # the strategy is told
            for record in records:
                self._note(record)

    def _note(self, record: object) -> None:
        facts = self._facts
        if isinstance(record, VenueName):
            VENUES.learn(record.code, record.name)
        elif isinstance(record, Gap):
            facts.gaps.append(record)
        elif isinstance(record, BlockEnd):
            facts.held_back_blocks += bool(record.held_back)
            self._note_block(record.number)
        elif isinstance(record, Block):
            facts.first_time_s = facts.first_time_s or record.timestamp
            facts.last_time_s = max(facts.last_time_s, record.timestamp)
            self._note_block(record.number)

    def _note_block(self, number: int) -> None:
        facts = self._facts
        facts.first_block = number if facts.first_block < 0 else min(facts.first_block, number)
        facts.last_block = max(facts.last_block, number)
