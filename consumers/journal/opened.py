"""One segment's file while it is open: what the raw and the packed form have in common."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO


class OpenedSegment:
    """The segment at `path` in `file`, which is closed with it."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._file = file

    @property
    def bytes_on_disk(self) -> int:
        """The size of the file now."""
        return os.fstat(self._file.fileno()).st_size

    @property
    def inode(self) -> tuple[int, int]:
        """Device and inode of the file."""
        status = os.fstat(self._file.fileno())
        return status.st_dev, status.st_ino

    def close(self) -> None:
        """Close the file."""
        self._file.close()
