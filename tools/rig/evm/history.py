"""anvil's history on disk, so that a node that was killed can come back with its chain.

anvil writes the whole of it every second, in place: one that is killed while it writes could not start again.  So a
copy is taken of a file that is whole, and that is what the node comes back with.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from tlv.errors import FeedError

WRITTEN_TIMEOUT_S = 60.0


class History:
    """The file of one node, and the copy of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._copy = path.with_suffix(".copy")
        self._genesis_s = int(time.time())

    @property
    def options(self) -> tuple[str, ...]:
        """What makes anvil write and read it.

        anvil 1.7.1 makes a block 0 at each start, and of that and the one in the file it keeps either: with the same
        timestamp they are the same block.
        """
        file = ("--state", str(self.path), "--state-interval", "1", "--preserve-historical-states")
        return *file, "--timestamp", str(self._genesis_s)

    def save(self) -> None:
        """Copy what holds every block of this moment: the second file from now on, since the next may have been begun.

        Raises:
            FeedError: none was written in time.
        """
        for _ in range(2):
            self._wait_until_written()
        shutil.copyfile(self.path, self._copy)

    def restore(self) -> None:
        """What was saved, for a node that is not running."""
        shutil.copyfile(self._copy, self.path)

    def _wait_until_written(self) -> None:
        deadline = time.monotonic() + WRITTEN_TIMEOUT_S
        before = self._state()
        while time.monotonic() < deadline:
            seen = self._state()
            time.sleep(0.05)
            if before != seen == self._state() and self._is_whole():
                return
        raise FeedError(f"anvil wrote no {self.path.name} within {WRITTEN_TIMEOUT_S:.0f} s")

    def _state(self) -> tuple[int, int]:
        if not self.path.exists():
            return 0, 0
        found = self.path.stat()
        return found.st_size, found.st_mtime_ns

    def _is_whole(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(max(0, self._state()[0] - 1))
            return file.read() == b"}"
