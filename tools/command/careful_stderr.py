"""A stderr that ends no process: what a full disk or a closed pipe does not take is lost, and nothing else is.

Owns the three standard descriptors at a command's start.  One that is closed would be given to the next file that is
opened, and whatever prints would write into that: a journal, a ring.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any


class CarefulFile(io.FileIO):
    """A file whose writing never fails."""

    def write(self, data: Any, /) -> int:
        """Write all of it, or what is taken; a pipe takes large data in parts."""
        left = memoryview(data)
        try:
            while left:
                left = left[super().write(left) or len(left) :]
        except OSError:
            pass
        return len(data)


def keep_standard_streams() -> None:
    """Have all three open, and stderr careful; where a program has put another stream in its place, leave that."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free descriptor is this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout is sys.__stdout__:
        sys.stdout.reconfigure(errors="backslashreplace")  # a symbol that the terminal's encoding lacks ends nothing
    if sys.stderr is sys.__stderr__:
        sys.stderr = io.TextIOWrapper(
            CarefulFile(2, "w", closefd=False),
            encoding=getattr(sys.stderr, "encoding", "utf-8"),
            errors="backslashreplace",
            write_through=True,
        )
