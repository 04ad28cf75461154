"""The thread that forces a segment to the disk once per interval.

A recorder must not wait for a disk: a ring of 16 MiB at a million frames a second is full after 70 ms, and one
fdatasync of a second's data takes longer than that.
"""

from __future__ import annotations

import logging
import os
import threading

log = logging.getLogger("alphapulse.journal")


class Flusher:
    """Calls fdatasync on the watched descriptor every `interval_s`; 0 starts no thread."""

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self.failures = 0
        self._fd = -1
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal-flusher", daemon=True)
        if interval_s > 0:
            self._thread.start()

    def watch(self, fd: int) -> None:
        """Flush `fd` from now on; -1 for none.  The caller may close the one before after this returns."""
        with self._guard:
            self._fd = fd

    def close(self) -> None:
        """Stop the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        refused = False
        while not self._stop.wait(self.interval_s):
            with self._guard:
                # A duplicate, so that the recorder may close its own while the disk works.
                fd = duplicate(self._fd)
            if fd < 0:
                continue
            try:
                os.fdatasync(fd)
                refused = False
            except OSError as error:
                self.failures += 1
                if not refused:
                    log.error("the disk refused to keep the journal: %s; trying again", error.strerror)
                refused = True
            finally:
                os.close(fd)


def duplicate(fd: int) -> int:
    """A second descriptor of `fd`; -1 if there is none to be had, or nothing to duplicate."""
    try:
        return os.dup(fd) if fd >= 0 else -1
    except OSError:
        return -1
