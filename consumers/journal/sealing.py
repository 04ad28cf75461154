"""What happens to a segment once it is complete: an index is written, the file is packed, old segments are dropped.

Owns the thread that does this beside the recorder, so that a recorder never waits for a compressor.  Every step can be
repeated: a crash in the middle leaves a raw segment, which the next recorder seals again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
from pathlib import Path
from typing import NamedTuple

from consumers.journal.errors import JournalError
from consumers.journal.files import create_like, sync_directory
from consumers.journal.index import SegmentIndex, write_index
from consumers.journal.indexing import build_index
from consumers.journal.packed import write_packed
from consumers.journal.scan import Scanner
from consumers.journal.segment import SegmentFile, list_segments, packed_form

log = logging.getLogger("alphapulse.journal")


def seal(segment: SegmentFile, *, pack: bool) -> None:
    """Write the index of a complete raw segment and, if `pack`, replace both by its packed form."""
    scanner = Scanner(segment)
    try:
        like = segment.path.stat()
        index = build_index(scanner)
        write_index(segment.index_path, index, like)
        if pack:
            pack_segment(segment, scanner, index, like)
    finally:
        scanner.close()


def pack_segment(segment: SegmentFile, scanner: Scanner, index: SegmentIndex, like: os.stat_result) -> None:
    """Replace a raw segment and its index by its packed form, which is on the disk before they go."""
    packed = packed_form(segment).path
    fresh = packed.with_name(packed.name + ".new")
    try:
        with create_like(fresh, like) as file:
            write_packed(scanner.source, index, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(packed)
        sync_directory(segment.path.parent)
    except OSError:
        # Half a file would only take room on a disk that is probably full.
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    segment.path.unlink()
    segment.index_path.unlink(missing_ok=True)


class Retention(NamedTuple):
    """How much a journal keeps, applied whenever a segment is complete; 0 = no bound.  The last two segments stay."""

    bytes: int = 0
    seconds: float = 0.0


def drop_old(directory: Path, keep: Retention, now_s: float) -> int:
    """Remove the oldest segments beyond `keep.bytes`, or completed over `keep.seconds` before `now_s`; how many."""
    segments = list_segments(directory)
    total = sum(segment.path.stat().st_size for segment in segments)
    dropped = 0
    for segment in segments[:-2]:
        found = segment.path.stat()
        too_old = keep.seconds and now_s - found.st_mtime > keep.seconds
        if not too_old and not (keep.bytes and total > keep.bytes):
            break
        total -= found.st_size
        segment.path.unlink()
        segment.index_path.unlink(missing_ok=True)
        dropped += 1
    return dropped


class Sealer:
    """A thread that seals the segments it is given, in order."""

    def __init__(self, directory: Path, *, pack: bool, keep: Retention) -> None:
        self.directory = directory
        self.pack = pack
        self.keep = keep
        self.failures = 0
        self._waiting: queue.SimpleQueue[SegmentFile | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal-sealer", daemon=True)
        self._thread.start()

    def give(self, segment: SegmentFile) -> None:
        """Seal `segment` when its turn comes."""
        self._waiting.put(segment)

    def close(self) -> None:
        """Seal what was given, then stop."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        refused: list[SegmentFile] = []
        while segment := self._waiting.get():
            # What could not be sealed before is tried again: the disk may have been full.
            refused = [tried for tried in [*refused, segment] if not self._sealed(tried)]
            # Also after a failure: the disk may be full, and this makes room.
            try:
                drop_old(self.directory, self.keep, time.time())
            except OSError as error:
                self.failures += 1
                found = {"journal": self.directory, "error": error}
                log.warning("%(journal)s: its old segments stay: %(error)s", found)

    def _sealed(self, segment: SegmentFile) -> bool:
        """Seal it; False if that can be tried again."""
        try:
            seal(segment, pack=self.pack)
        except (OSError, JournalError) as error:
            if not segment.path.exists():
                return True
            # The raw segment stays, and every reader can read it; it only takes more room.
            self.failures += 1
            log.warning("%(segment)s stays unpacked: %(error)s", {"segment": segment.path, "error": error})
            return False
        return True
