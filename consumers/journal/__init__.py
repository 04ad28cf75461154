"""The journal: every frame of a ring on disk, in order, with a checksum each, and every loss with its sequences.

with JournalWriter(directory, ring_name="market.polygon", ring_uuid=reader.uuid) as journal:
    journal.append(poll.buffer, reader.index, len(poll))

for item in JournalReader(directory):
    ...                                     # ringbuf.Frame, or ringbuf.Loss for what the recorder could not have
"""

from consumers.journal.errors import (
    DiskRefused,
    ForeignFileError,
    JournalDamaged,
    JournalError,
    JournalInUse,
    JournalRemoved,
)
from consumers.journal.reader import JournalReader
from consumers.journal.writer import Fsync, JournalWriter

__all__ = [
    "DiskRefused",
    "ForeignFileError",
    "Fsync",
    "JournalDamaged",
    "JournalError",
    "JournalInUse",
    "JournalReader",
    "JournalRemoved",
    "JournalWriter",
]
