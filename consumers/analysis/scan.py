"""Turns a journal's segments into blocks of rows, several segments at once.

Owns the threads.  Everything that takes time here (unpacking, checking, copying) runs without the GIL, so a second core
nearly doubles the rate.  Blocks come in the order of the journal; those of a few segments at most are in memory.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from consumers.analysis import kernels
from consumers.analysis.columns import MOST_ROWS, Blocks, RowBlock
from consumers.analysis.segments import open_segment, scans
from consumers.analysis.selection import Selection
from consumers.journal.layout import FRAME
from consumers.journal.scan import CHUNK_BYTES, COLUMNS
from consumers.journal.segment import SegmentFile

MOST_WORKERS = 8
SMALLEST_RECORD = 8
"""Bytes that a record with its TLV head takes at least; bounds the rows that one chunk can give."""


class Scanned(NamedTuple):
    """The result of one segment's scan."""

    blocks: list[RowBlock]
    frames: int
    """Frames that were selected."""
    refused: int
    """Frames that are no message."""
    file_bytes: int


def scan_segment(segment: SegmentFile, selection: Selection, is_last: bool) -> Scanned:
    """All selected rows of one segment.

    Raises:
        JournalError: the segment is foreign, damaged or gone.
    """
    file_bytes = segment.path.stat().st_size if segment.path.exists() else 0
    chosen = np.zeros(COLUMNS, np.int64)
    listed = np.zeros((kernels.LISTED_ROWS, CHUNK_BYTES // SMALLEST_RECORD), np.int64)
    picked = np.zeros((kernels.TYPE_ROW, MOST_ROWS), np.int64)
    frames = refused = 0
    scanner = open_segment(segment)
    try:
        offset_ns = scanner.header.clock_offset_ns
        blocks = Blocks(scanner.header.ring_uuid, offset_ns, selection.classes)
        for count in scans(scanner, is_last):
            for mark, first, last in scanner.runs(count):
                if mark != FRAME:
                    continue
                taken, bad = kernels.choose(
                    scanner.buffer,
                    scanner.table,
                    first,
                    last,
                    offset_ns,
                    selection.bounds,
                    selection.sizes,
                    selection.filter.tables,
                    chosen,
                )
                rows = kernels.list_rows(scanner.buffer, scanner.table, chosen, taken, selection.tabled, listed)
                blocks.take(scanner.buffer, scanner.table, listed, rows, picked)
                frames += taken
                refused += bad
        return Scanned(list(blocks.finish()), frames, refused, file_bytes)
    finally:
        scanner.close()


def scan_segments(segments: list[SegmentFile], last_ordinal: int, selection: Selection) -> Iterator[Scanned]:
    """`scan_segment` of each, in order, a few ahead of what is asked for.  `last_ordinal` is the journal's last."""
    workers = min(MOST_WORKERS, len(os.sched_getaffinity(0)), max(len(segments), 1))
    waiting: deque[Future[Scanned]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="journal-scan") as pool:
        try:
            for segment in segments:
                waiting.append(pool.submit(scan_segment, segment, selection, segment.ordinal == last_ordinal))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
