"""Keeps stdout for the command's own lines while foreign code runs: whatever that code prints goes to stderr.

Owns descriptor 1 meanwhile.  `sys.stdout` alone is not enough: compiled code, child processes and handlers of a log may
write to the descriptor, and one of these lines makes a stream of JSON unreadable.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STDOUT, STDERR = 1, 2


class StdoutDescriptor:
    """Descriptor 1, which is stderr while anybody is in `apart`; threads and nested blocks may be there at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._kept: int | None = None
        """What it was; None if it was closed."""

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Have it be stderr until the end of the block."""
        with self._lock:
            if self._inside == 0:
                flush()
                self._divert()
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    flush()
                    self._restore()

    def _divert(self) -> None:
        with contextlib.suppress(OSError):
            self._kept = os.dup(STDOUT)
            os.dup2(STDERR, STDOUT)

    def _restore(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            os.dup2(kept, STDOUT)
            os.close(kept)


def flush() -> None:
    """Have what was printed so far go to where it was printed."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or there is none
        sys.__stdout__.flush()  # type: ignore[union-attr]


DESCRIPTOR = StdoutDescriptor()


@contextmanager
def prints_to_stderr() -> Iterator[None]:
    """While foreign code runs: what it prints goes to stderr, by whatever way."""
    with contextlib.redirect_stdout(sys.stderr), DESCRIPTOR.apart():
        yield
