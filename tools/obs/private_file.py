"""Files with secrets: read only if nobody else may."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tlv.errors import UsageError

MOST_BYTES = 1 << 16


def read_private(option: str, path: Path) -> str:
    """The text of a file that only its owner may read.

    Raises:
        UsageError: saying what is wrong, and never what the file holds.
    """
    try:
        # Not blocking: a FIFO would be waited for.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), encoding="utf-8") as file:  # noqa: PTH123
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise UsageError(f"{option} {path}: expected a file, found none that is regular")
            if mode & 0o077:
                raise UsageError(f"{option} {path}: expected mode 0600, found {mode & 0o777:04o}")
            text = file.read(MOST_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{option} {path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    if len(text) > MOST_BYTES:
        raise UsageError(f"{option} {path}: expected at most {MOST_BYTES:,} characters, found more")
    return text
