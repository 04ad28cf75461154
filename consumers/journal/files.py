"""New files of a journal: never readable by more than the file whose bytes they hold in another form.

Owns the mode and the group of a new file, whatever the umask, and when the folder's own bytes are forced to the disk.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

OWNER_ONLY = 0o700


def create_like(path: Path, like: os.stat_result) -> BinaryIO:
    """A new, empty file at `path` with the permissions and the group of `like`.

    Where the group cannot be given, nobody but the owner may read it.  A file of that name is replaced, not opened: its
    permissions would be kept, and whoever has it open would read on.
    """
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        mode = stat.S_IMODE(like.st_mode) & 0o666
        if os.fstat(fd).st_gid != like.st_gid:
            try:
                os.fchown(fd, -1, like.st_gid)
            except PermissionError:
                mode &= OWNER_ONLY
        os.fchmod(fd, mode)
        return os.fdopen(fd, "wb")
    except BaseException:
        os.close(fd)
        raise


def sync_directory(directory: Path) -> None:
    """Force the directory itself to the disk: a new file's name is part of it."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
