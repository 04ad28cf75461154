"""How long a seek takes in a large journal whose last segment is still being written.

Owns the measuring.  Each seek is one of a new reader, as a client that comes back makes it, and lands exactly.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import NamedTuple

from consumers.journal import JournalReader
from tools.prove.journal.made import BATCH, MadeJournal

SEGMENT_BYTES = 1 << 26


class SeekTimes(NamedTuple):
    """Milliseconds from opening a reader to the frame that was sought."""

    by: str
    seeks: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    wrong: int


def make_journal(directory: Path, size: int) -> MadeJournal:
    """A journal of `size` bytes of records, open at its end, all segments before that packed."""
    journal = MadeJournal(directory, segment_bytes=SEGMENT_BYTES)
    while journal.blocks * journal.batch_bytes < size:
        journal.append()
    return journal


def all_packed(directory: Path) -> bool:
    """Whether all segments but the open one are packed by now."""
    return len(list(directory.glob("*.journal"))) == 1


def measure(journal: MadeJournal, seeks: int, seed: int) -> list[SeekTimes]:
    """Seek `seeks` times by sequence and by block, anywhere and in the open segment."""
    rng = random.Random(seed)
    numbers = [rng.randrange(journal.blocks) for _ in range(seeks - 1)] + [journal.blocks - 1]
    found = []
    for by in ("sequence", "block"):
        taken, wrong = [], 0
        for batch in numbers:
            sequence = batch * BATCH + (1 + rng.randrange(BATCH) if by == "sequence" else 1)
            begin = time.perf_counter()
            with JournalReader(journal.directory) as reader:
                reader.seek_sequence(sequence) if by == "sequence" else reader.seek_block(batch + 1)
                wrong += reader.poll()[0].sequence != sequence
            taken.append((time.perf_counter() - begin) * 1e3)
        taken.sort()
        half, most = taken[len(taken) // 2], taken[-1]
        slow = taken[len(taken) * 99 // 100]
        found.append(SeekTimes(by, seeks, round(half, 2), round(slow, 2), round(most, 2), wrong))
    return found
