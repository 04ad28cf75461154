"""One journal that can be travelled in: the thread that indexes it, and the seek.

Owns when a checkpoint is kept, and how a page is folded from one.  It reads the journal and never writes into its
directory.

    index     fold the journal from its beginning; note each BlockEnd, keep a checkpoint every few blocks
    seek N    the last BlockEnd of block N (or of the nearest below), the checkpoint before it, and a fold up to it

A checkpoint is also kept where a segment begins: when retention drops the segments before, what was known by then is
known still.  The thread yields: it works some milliseconds and rests as long, at the lowest priority.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from consumers.journal import JournalError, JournalReader
from consumers.journal.layout import HEAD_BYTES, SegmentHeader
from consumers.journal.segment import SegmentFile, list_segments, parse_header, read_head, stored_index
from ringbuf import Poll, Status
from tlv.errors import AlphaPulseError
from tlv.layout import LAYOUT_DIGEST
from tlv.units import MS
from tools.dashboard.checkpoints import CheckpointFiles, CheckpointHead
from tools.dashboard.known_blocks import Checkpoint, KnownBlocks, KnownEnd
from tools.dashboard.recorded_fold import EndedBlock, RecordedFold
from tools.dashboard.shapes import JournalRow, Update

log = logging.getLogger("alphapulse.obs")

BLOCKS_APART, FRAMES_APART = 64, 1 << 14
"""A checkpoint is due after so many blocks, or at the first block's end after so many frames."""
WORK_S = 0.004
"""How long the thread works before it rests."""
LOOK_S = 1.0
"""How often a journal that is read to its end is looked at."""
AGAIN_S = 5.0
"""After what went wrong."""
LOWEST_PRIORITY = 19
AT_END = (Status.EMPTY, Status.CLOSED)


class NotRecorded(AlphaPulseError):
    """There is no such block to travel to."""


class NobodyWaits(AlphaPulseError):
    """Who asked has gone."""


class PastPage(NamedTuple):
    """The fold as of a block's end."""

    journal: RecordedJournal
    fold: RecordedFold
    end: EndedBlock

    def update(self) -> Update:
        """All of it."""
        return self.fold.page(self.end)


def never() -> bool:
    """The default of `abandoned`."""
    return False


class RecordedJournal:
    """The journal in `directory`, shown as `name`; the thread lives from `start` to `close`."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self._known = KnownBlocks()
        self._files: CheckpointFiles | None = None
        self._ring = ""
        self._indexed = 0.0
        self._problem = ""
        self._outdated = threading.Event()
        """What is indexed is not what the directory holds: it is indexed anew."""
        self._rested_at = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._index, name=f"index-{name}", daemon=True)

    def start(self) -> None:
        """Begin to index."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def row(self) -> JournalRow:
        """What can be travelled to by now."""
        extent, problem = self._known.extent(), self._problem
        if not problem and self._indexed == 1.0 and extent.first_block < 0:
            problem = "no block ends in it"
        return JournalRow(
            name=self.name,
            ring=self._ring,
            first_block=extent.first_block,
            last_block=extent.last_block,
            first_ms=extent.first_ns // MS,
            last_ms=extent.last_ns // MS,
            recording=is_recorded(self.directory),
            indexed=self._indexed,
            problem=problem,
        )

    # ---- the seek

    def seek(self, number: int, abandoned: Callable[[], bool] = never) -> PastPage:
        """The page as it was known when block `number`, or the nearest below it that was recorded, had ended.

        A block that ended more than once, since a reorg took it: when it ended last.

        Raises:
            NotRecorded: there is no block to show.
            NobodyWaits: `abandoned` said so.
            JournalError: the journal cannot be read.
        """
        known = self._known.find(number)
        if known is None:
            text = self._problem or f"none has ended in what is indexed by now, {self._indexed:.0%} of it"
            raise NotRecorded(f"journal {self.name}: expected a block that ended, found none: {text}")
        behind = known.uuid, known.end.sequence + 1
        fold, checkpoint = self._load(known)
        if not self.directory.is_dir():
            raise NotRecorded(f"journal {self.name}: expected a directory {self.directory}, found none")
        if (fold.uuid, fold.sequence) == behind:
            return PastPage(self, fold, known.end)
        with JournalReader(self.directory) as reader:
            if checkpoint is not None:
                reader.seek_sequence(checkpoint.sequence, checkpoint.uuid)
            for _ in ends_in(reader, fold):
                if (fold.uuid, fold.sequence) == behind:
                    return PastPage(self, fold, known.end)
                if abandoned():
                    raise NobodyWaits(f"journal {self.name}: nobody waits for block {number}")
        self._outdated.set()
        raise NotRecorded(f"journal {self.name}: block {known.end.number} is not there any more")

    def _load(self, known: KnownEnd) -> tuple[RecordedFold, Checkpoint | None]:
        """The nearest fold before a block's end; an empty one, of the journal's beginning, if there is none."""
        for checkpoint in known.checkpoints:
            fold = self._files.load(checkpoint.number) if self._files else None
            if fold is not None:
                return fold, checkpoint
        return RecordedFold(), None

    # ---- the thread

    def _index(self) -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
        while not self._stopped.is_set():
            try:
                self._files = self._files or CheckpointFiles(self.directory)
                self._follow(self._files)
            except (AlphaPulseError, OSError) as error:
                # What cannot be read now may be there, or mended, later.
                self._problem = str(error)
                log.warning("journal %(journal)s: %(error)s", {"journal": self.directory, "error": error})
                self._stopped.wait(AGAIN_S)
        if self._files is not None:
            self._files.close()

    def _follow(self, files: CheckpointFiles) -> None:
        """Index what is not indexed yet, and then what is recorded, until it is another journal."""
        self._outdated.clear()
        fold, head = self._restore(files)
        walk = IndexWalk(self._known, files, fold, head.taken_bytes if head else 0)
        all_bytes = recorded_bytes(self.directory)
        with JournalReader(self.directory) as reader:
            if head is not None:
                reader.seek_sequence(head.sequence, head.uuid)
            self._problem = ""
            self._rested_at = time.thread_time()
            while not self._stopped.is_set() and not self._outdated.is_set():
                poll = reader.poll()
                self._ring = reader.name
                for _ in walk.take(reader, poll):
                    self._rest()
                self._rest()
                if self._indexed < 1.0:
                    self._indexed = min(walk.taken_bytes / max(all_bytes, 1), 0.999)
                if not len(poll) and poll.status in AT_END:
                    self._see_end()
                    self._stopped.wait(LOOK_S)
        if self._outdated.is_set():
            files.cut(0)

    def _rest(self) -> None:
        """Let others work, for as long as was worked."""
        worked_s = time.thread_time() - self._rested_at
        if worked_s > WORK_S:
            self._stopped.wait(worked_s)
            self._rested_at = time.thread_time()

    def _see_end(self) -> None:
        """All that is there is indexed: see which segments were dropped, and whether it is the same journal."""
        segments = list_segments(self.directory)
        self._indexed = 1.0
        self._known.drop_before(segments[0].ordinal if segments else 0)
        newest = self._known.last_segment()
        if newest and not any(one.ordinal == newest and self._is_ours(one) for one in segments):
            self._outdated.set()

    def _is_ours(self, segment: SegmentFile) -> bool:
        """Whether the segment is the one that was indexed."""
        return created_ns(segment) == self._known.created(segment.ordinal)

    def _restore(self, files: CheckpointFiles) -> tuple[RecordedFold, CheckpointHead | None]:
        """Take over what is stored of this journal; the newest fold, and where it stands."""
        segments = {segment.ordinal: segment for segment in list_segments(self.directory)}
        first = min(segments, default=0)
        heads: list[CheckpointHead] = []
        for head in files.heads():
            segment = segments.get(head.ordinal)
            # What was dropped is known still, from the first checkpoint of the segment behind it.
            if head.ordinal >= first and (segment is None or created_ns(segment) != head.created_ns):
                break
            heads.append(head)
        fold = None
        while heads and (heads[-1].ordinal < first or (fold := files.load(len(heads) - 1)) is None):
            heads.pop()
        files.cut(len(heads))
        self._known, self._indexed = KnownBlocks(), 0.0
        self._known.drop_before(first)
        for head in heads:
            self._known.restore_checkpoint(head)
        return fold or RecordedFold(), heads[-1] if heads else None


class IndexWalk:
    """The fold of a whole journal, and the checkpoints that it leaves behind."""

    def __init__(self, known: KnownBlocks, files: CheckpointFiles, fold: RecordedFold, taken_bytes: int) -> None:
        self.taken_bytes = taken_bytes
        """Of records, by now."""
        self._known = known
        self._files = files
        self._fold = fold
        self._blocks = self._frames = 0

    def take(self, reader: JournalReader, poll: Poll) -> Iterator[EndedBlock]:
        """The next poll of a journal; each block that ends in it, when it is indexed."""
        if not len(poll):
            yield from self._fold.take(reader.name, reader.uuid, poll, reader.clock_offset_ns)
            return
        header = reader.segment_header
        if self._known.enter_segment(header) and self._fold.uuid:
            self._keep(header, header.ring_uuid, header.first_sequence, begins_segment=True)
        for end in self._fold.take(reader.name, reader.uuid, poll, reader.clock_offset_ns):
            self._known.add(end, header.ordinal)
            self._blocks += 1
            if self._blocks >= BLOCKS_APART or self._frames >= FRAMES_APART:
                self._fold.view.update(end.wall_ns)  # else what changed piles up in it
                self._keep(header, self._fold.uuid, self._fold.sequence)
            yield end
        self._frames += len(poll)
        self.taken_bytes += int(poll.lengths.sum()) + HEAD_BYTES * len(poll)

    def _keep(self, header: SegmentHeader, uuid: bytes, sequence: int, *, begins_segment: bool = False) -> None:
        """Keep a checkpoint; without room for it the next one is kept."""
        number, ends = self._known.since_checkpoint()
        place = header.ordinal, header.created_ns, uuid, sequence
        head = CheckpointHead(*place, begins_segment, self.taken_bytes, ends)
        self._blocks = self._frames = 0
        try:
            self._files.put(number, head, self._fold)
        except OSError as error:
            log.warning("time travel: %(error)s", {"error": error})
        else:
            self._known.put_checkpoint(head)


def ends_in(reader: JournalReader, fold: RecordedFold) -> Iterator[EndedBlock]:
    """Each block that ends in what is left of a journal, when `fold` has taken it in."""
    while len(poll := reader.poll()) or poll.status not in AT_END:
        yield from fold.take(reader.name, reader.uuid, poll, reader.clock_offset_ns)


def created_ns(segment: SegmentFile) -> int:
    """When a segment was begun."""
    return parse_header(segment.path, read_head(segment), LAYOUT_DIGEST).created_ns


def recorded_bytes(directory: Path) -> int:
    """The bytes of all records; of a packed segment those that it stands for."""
    total = 0
    for segment in list_segments(directory):
        with contextlib.suppress(JournalError, OSError):
            index = stored_index(segment)
            total += index.header.segment_bytes if index else segment.path.stat().st_size
    return total


def is_recorded(directory: Path) -> bool:
    """Whether a recorder holds the journal's lock.  Asked of the kernel: who tried the lock would disturb one that
    is just starting."""
    with contextlib.suppress(OSError):
        inode = (directory / "journal.lock").stat().st_ino
        # Its device is not compared: some file systems tell another one there than here.
        return re.search(rf"FLOCK .*:{inode} ", Path("/proc/locks").read_text()) is not None
    return False
