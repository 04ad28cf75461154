"""A log that rotates: `x.log`, and `x.log.1`, `x.log.2`, ... that it was before.

Owns their order, and the reading over them while they are renamed: nothing is locked.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import BinaryIO

LAST_LINES = 8
FIRST_BYTES = 16384
MISSING = b"(lines may be missing here: files were rotated away before they were looked at)\n"
TRIES = 5
"""Of opening all files in one order: who logs may rotate meanwhile."""


def rotated(log: Path) -> list[Path]:
    """The files of a log, newest first."""
    numbered = {int(path.suffix[1:]): path for path in log.parent.glob(f"{log.name}.*") if path.suffix[1:].isdecimal()}
    return [log, *(path for _, path in sorted(numbered.items()))]


def last_lines(log: Path, count: int = LAST_LINES) -> list[str]:
    """The last lines of a log, over its files; none if it cannot be read."""
    data = b""
    for path in rotated(log):
        with contextlib.suppress(OSError):
            data = end_of(path, count) + data
        if data.count(b"\n") > count:
            break
    return data.decode(errors="replace").splitlines()[-count:]


def end_of(path: Path, count: int) -> bytes:
    """The end of a file, with so many lines in it if it has them."""
    wanted = FIRST_BYTES
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        while True:
            file.seek(max(size - wanted, 0))
            data = file.read()
            if data.count(b"\n") > count or wanted >= size:
                return data
            wanted *= 4


class FollowedLog:
    """What is appended to a log from now on, whatever becomes of its files.

    It may not be there yet.  A log that has older files when it is first seen may have lost its oldest, which is said;
    one that keeps none cannot be told from one that has just begun.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._file: BinaryIO | None = None
        self._rest = b""
        with contextlib.suppress(OSError):
            self._file = log.open("rb")
            self._file.seek(0, os.SEEK_END)

    def new_lines(self) -> list[str]:
        """Whole lines since the last look; one in parentheses where some may have been rotated away."""
        *lines, self._rest = (self._rest + self._new_bytes()).split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def _new_bytes(self) -> bytes:
        newer, gone = self._open_newer()
        data = self._file.read() if self._file is not None else b""  # now: it grows no more if there is a newer one
        if gone:
            data += (b"" if (b"\n" + self._rest + data).endswith(b"\n") else b"\n") + MISSING
        for file in newer:
            if self._file is not None:
                self._file.close()
            self._file = file
            data += file.read()
        return data

    def _open_newer(self) -> tuple[list[BinaryIO], bool]:
        """The files that were begun after ours, oldest first; and whether others were between it and them, perhaps."""
        for _ in range(TRIES):
            opened: list[BinaryIO] = []
            ours = False
            with contextlib.suppress(OSError):  # one is renamed at this moment
                for path in rotated(self._log):
                    file: BinaryIO = path.open("rb")
                    opened.append(file)
                    if self._is_ours(file):
                        ours = True
                        break
                # Files are renamed one by one: what was found is right if the same files have the same names now.
                now = [identity(path.stat()) for path in rotated(self._log)]
                seen = [identity(os.fstat(file.fileno())) for file in opened]
                if seen == now or (ours and seen == now[: len(seen)]):
                    if ours:
                        opened.pop().close()
                    first_seen = self._file is None and len(opened) == 1
                    return opened[::-1], not (ours or first_seen)
            for file in opened:
                file.close()
        return [], False

    def _is_ours(self, file: BinaryIO) -> bool:
        return self._file is not None and identity(os.fstat(file.fileno())) == identity(os.fstat(self._file.fileno()))


def identity(found: os.stat_result) -> tuple[int, int]:
    """What a file keeps under every name."""
    return found.st_dev, found.st_ino
