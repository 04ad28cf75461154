"""The errors of a journal.

JournalError
|-- ForeignFileError    a file that is no journal, or one of another version or layout
|-- SegmentGone         a segment was dropped by retention, or removed, since the directory was listed
|-- JournalDamaged      bytes in the middle changed; says where
|-- DiskRefused         the disk does not take the next batch now; nothing of it counts as written
|-- JournalRemoved      the segment that is being written was removed, alone or with its folder
`-- JournalInUse        another recorder writes into the directory
"""

from __future__ import annotations

from pathlib import Path

from tlv.errors import AlphaPulseError


class JournalError(AlphaPulseError):
    """A journal cannot be read or written."""

    @property
    def place(self) -> dict[str, object]:
        """Where, as far as it is known, as fields of a log."""
        return {}


class ForeignFileError(JournalError):
    """The file is no journal segment of this version and layout."""


class SegmentGone(JournalError):
    """The segment no longer exists, neither raw nor packed."""


class JournalInUse(JournalError):
    """The directory's lock is held by another recorder."""


class DiskRefused(JournalError):
    """The disk does not take it now: no room, inodes, quota or descriptors, an I/O error, read-only, no folder.

    Nothing of the batch counts as written, so `append` can be called again with it, or the journal opened again.
    """


class JournalRemoved(JournalError):
    """The segment that is being written has no name any more; whoever records opens the journal anew."""


class JournalDamaged(JournalError):
    """A record that is neither whole nor the torn end of a crash."""

    def __init__(self, path: Path, position: int, found: str) -> None:
        super().__init__(f"{path}: expected a whole record at byte {position}, found {found}")
        self.path = path
        self.position = position

    @property
    def place(self) -> dict[str, object]:
        """The segment, and the byte where its damage begins."""
        return {"segment": self.path, "position": self.position}
