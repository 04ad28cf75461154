"""Turns a journal's segments into blocks of rows and into statements about blocks, several segments at once.

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
from consumers.analysis.statements import STATEMENT_ROWS, list_statements
from consumers.journal.kernels import ENDED
from consumers.journal.layout import FRAME
from consumers.journal.scan import CHUNK_BYTES, COLUMNS, Scanner
from consumers.journal.segment import SegmentFile
from tlv.buffers import Longs

MOST_WORKERS = 8
NOTHING_SAID: Longs = np.zeros((STATEMENT_ROWS, 0), np.int64)
SMALLEST_RECORD = 8
"""Bytes that a record with its TLV head takes at least; bounds the rows that one chunk can give."""


class Scanned(NamedTuple):
    """The result of one segment's scan."""

    ordinal: int
    blocks: list[RowBlock]
    said: Longs | None
    """The statements about blocks, of all its frames; None if they were not asked for."""
    frames: int
    """Frames that were selected."""
    refused: int
    """Frames that are no message."""
    file_bytes: int
    is_complete: bool
    """Whether no frame will ever be added to the segment."""


class Parts(NamedTuple):
    """What of a segment is wanted."""

    tables: bool = True
    """The selected rows."""
    statements: bool = False
    """What is said about blocks, selected or not."""


ROWS = Parts()
EVERYTHING = Selection(canonical=False)


def scan_segment(segment: SegmentFile, selection: Selection, is_last: bool, wanted: Parts = ROWS) -> Scanned:
    """All selected rows of one segment, and what it says about blocks.

    Raises:
        JournalError: the segment is foreign, damaged or gone.
    """
    file_bytes = segment.path.stat().st_size if segment.path.exists() else 0
    chosen = np.zeros(COLUMNS, np.int64)
    listed = np.zeros((kernels.LISTED_ROWS, CHUNK_BYTES // SMALLEST_RECORD), np.int64)
    picked = np.zeros((kernels.TYPE_ROW, MOST_ROWS), np.int64)
    said: list[Longs] = []
    is_all = not selection.has_range and selection.filter == EVERYTHING.filter
    frames = refused = 0
    scanner = open_segment(segment)
    try:
        offset_ns = scanner.header.clock_offset_ns
        blocks = Blocks(scanner.header.ring_uuid, offset_ns, selection.classes)
        for count in scans(scanner, is_last):
            for mark, first, last in scanner.runs(count):
                if mark != FRAME:
                    continue
                if not is_all:
                    if wanted.statements:
                        taken, _ = choose(scanner, first, last, EVERYTHING, chosen)
                        said.append(statements_of(scanner, chosen, taken))
                    if not wanted.tables:
                        continue
                taken, bad = choose(scanner, first, last, selection, chosen)
                if is_all and wanted.statements:
                    said.append(statements_of(scanner, chosen, taken))
                    if not wanted.tables:
                        continue
                if selection.canonical:
                    taken = kernels.without_removed(scanner.buffer, scanner.table, chosen, taken)
                rows = kernels.list_rows(scanner.buffer, scanner.table, chosen, taken, selection.tabled, listed)
                blocks.take(scanner.buffer, scanner.table, listed, rows, picked)
                frames += taken
                refused += bad
        is_complete = scanner.status == ENDED
        statements = np.concatenate(said or [NOTHING_SAID], axis=1) if wanted.statements else None
        return Scanned(segment.ordinal, list(blocks.finish()), statements, frames, refused, file_bytes, is_complete)
    finally:
        scanner.close()


def choose(scanner: Scanner, first: int, last: int, selection: Selection, chosen: Longs) -> tuple[int, int]:
    """The frames in columns `first` to `last` - 1 of the scanner's table that are selected: (chosen, refused)."""
    return kernels.choose(
        scanner.buffer,
        scanner.table,
        first,
        last,
        scanner.header.clock_offset_ns,
        selection.bounds,
        selection.sizes,
        selection.filter.tables,
        chosen,
    )


def statements_of(scanner: Scanner, chosen: Longs, count: int) -> Longs:
    """What the first `count` chosen frames of the scanner's table say about blocks."""
    said = np.empty((STATEMENT_ROWS, count), np.int64)
    return said[:, : list_statements(scanner.buffer, scanner.table, chosen, count, said)]


def scan_segments(
    segments: list[SegmentFile], last_ordinal: int, selection: Selection, wanted: Parts = ROWS
) -> Iterator[Scanned]:
    """`scan_segment` of each, in order, a few ahead of what is asked for.  `last_ordinal` is the journal's last."""
    workers = min(MOST_WORKERS, len(os.sched_getaffinity(0)), max(len(segments), 1))
    waiting: deque[Future[Scanned]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="journal-scan") as pool:
        try:
            for segment in segments:
                is_last = segment.ordinal == last_ordinal
                waiting.append(pool.submit(scan_segment, segment, selection, is_last, wanted))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
