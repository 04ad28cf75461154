"""What happens to a segment once it is complete: an index is written, the file is packed, old segments are dropped.

Owns the thread that does this beside the recorder, so that a recorder never waits for a compressor.  Every step can be
repeated: a crash in the middle leaves a raw segment, which the next recorder seals again.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from pathlib import Path

import zstandard

from consumers.journal.errors import JournalError
from consumers.journal.index import build_index, write_index
from consumers.journal.scan import Scanner
from consumers.journal.segment import Segment, list_segments

log = logging.getLogger("alphapulse.journal")

ZSTD_LEVEL = 3
"""zstd's own default: packing goes on beside the recorder, which needs the core more than the disk the room."""


def seal(segment: Segment, *, pack: bool) -> None:
    """Write the index of a complete raw segment and, if `pack`, replace it by its zstd form."""
    scanner = Scanner(segment)
    try:
        write_index(segment.index_path, build_index(scanner))
    finally:
        scanner.close()
    if not pack:
        return
    packed = segment.path.with_name(segment.path.name + ".zst")
    fresh = packed.with_name(packed.name + ".new")
    data = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compress(segment.path.read_bytes())
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(packed)
    segment.path.unlink()


def drop_old(directory: Path, retain_bytes: int) -> int:
    """Remove the oldest segments, but for the last two, until at most `retain_bytes` remain.  Returns how many."""
    segments = list_segments(directory)
    total = sum(segment.path.stat().st_size for segment in segments)
    dropped = 0
    for segment in segments[:-2]:
        if total <= retain_bytes:
            break
        total -= segment.path.stat().st_size
        segment.path.unlink()
        segment.index_path.unlink(missing_ok=True)
        dropped += 1
    return dropped


class Sealer:
    """A thread that seals the segments it is given, in order."""

    def __init__(self, directory: Path, *, pack: bool, retain_bytes: int) -> None:
        self.directory = directory
        self.pack = pack
        self.retain_bytes = retain_bytes
        self.failures = 0
        self._waiting: queue.SimpleQueue[Segment | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal-sealer", daemon=True)
        self._thread.start()

    def give(self, segment: Segment) -> None:
        """Seal `segment` when its turn comes."""
        self._waiting.put(segment)

    def close(self) -> None:
        """Seal what was given, then stop."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while segment := self._waiting.get():
            try:
                seal(segment, pack=self.pack)
                if self.retain_bytes:
                    drop_old(self.directory, self.retain_bytes)
            except (OSError, JournalError) as error:
                # The raw segment stays, and everything can read it: only room is lost.
                self.failures += 1
                log.warning("%s stays unpacked: %s", segment.path, error)
