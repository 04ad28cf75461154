"""Readers that open, seek and follow while segments are begun, packed and dropped.

Owns the judgement.  What a reader tells as lost must have been dropped: retention only goes up, so a sequence that is
at or above the oldest one after a look was there before it.
"""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import NamedTuple

from consumers.journal import JournalError, JournalReader
from ringbuf import Status
from tools.prove.journal.made import BATCH, UUID, MadeJournal

SEGMENT_BYTES = 1 << 22
RETAINED_SEGMENTS = 3


class Followed(NamedTuple):
    """What the readers found."""

    segments: int
    seeks: int
    followed: int
    told_lost: int
    wrongly_missing: int


def oldest(directory: Path) -> int:
    """The oldest sequence that the journal has."""
    with JournalReader(directory) as reader:
        return reader.sequence


def follow_and_seek(directory: Path, seconds: float, seed: int, *, retain: bool) -> Followed:
    """Write for `seconds` while one reader follows and one seeks at random."""
    journal = MadeJournal(
        directory, segment_bytes=SEGMENT_BYTES, retain_bytes=RETAINED_SEGMENTS * SEGMENT_BYTES // 8 if retain else 0
    )
    journal.append()
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            journal.append()
        journal.close()

    writer = threading.Thread(target=write)
    writer.start()
    rng = random.Random(seed)
    deadline = time.monotonic() + seconds
    seeks = wrong = told = followed = 0
    try:
        with JournalReader(directory) as reader:
            while time.monotonic() < deadline:
                poll = reader.poll()
                followed += len(poll)
                if poll.loss is not None:
                    told += poll.loss.count
                    wrong += poll.loss.last >= oldest(directory)
                seeks += 1
                wrong += not lands(directory, rng, journal)
    finally:
        stop.set()
        writer.join()
    return Followed(segments_made(directory), seeks, followed, told, wrong)


def lands(directory: Path, rng: random.Random, journal: MadeJournal) -> bool:
    """Whether a seek to a sequence that is there finds it."""
    sequence = rng.randrange(max(1, journal.next_sequence - 40 * BATCH), journal.next_sequence)
    try:
        with JournalReader(directory) as reader:
            reader.seek_sequence(sequence, UUID)
            poll = reader.poll()
            found = poll[0].sequence if len(poll) else None
            closed = poll.status is Status.CLOSED
    except JournalError:
        found, closed = None, False
    return found == sequence or sequence < oldest(directory) or (closed and sequence >= journal.next_sequence)


def segments_made(directory: Path) -> int:
    """The ordinal of the last segment."""
    with JournalReader(directory, start="latest") as reader:
        return reader.ordinal
