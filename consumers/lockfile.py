"""A file that one process at a time may hold.

Owns the lock of a journal directory, of a relay's socket and of a client's name.  The lock belongs to the open file
description: the kernel drops it when its holder dies, however that happens, so a file that was left behind locks
nobody out, and no decision depends on a pid or a time-out.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Self

from ringbuf.holder import describe_process, locker_of
from tlv.errors import AlphaPulseError


class LockHeld(AlphaPulseError):
    """Another process, or another object of this one, holds the lock."""


class LockFile:
    """Holds the lock on `path` from construction to `close`.  The file is created if missing and never removed: a
    new file of the same name would be another lock.

    Raises:
        LockHeld: somebody else has it; the message says which process.
        OSError: the file cannot be opened or locked; nothing is held.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            self._take()
        except BaseException:
            # A descriptor that stays open would hold the lock for as long as this process lives.
            self.close()
            raise

    def _take(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockHeld(f"{self.path} is locked by {describe_process(self._holder())}") from None
        # For the message above; diagnostics only, and on a full disk the pid is not written.
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def _holder(self) -> int:
        """The pid that the kernel knows, else the one that the holder wrote; 0 if there is none."""
        with contextlib.suppress(OSError, ValueError):
            return locker_of(os.fstat(self._fd).st_ino) or int(os.pread(self._fd, 32, 0))
        return 0

    def close(self) -> None:
        """Release the lock.  A second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
