"""One thread that does the collector's disk work, so that a slow disk delays no event.

Owns the order and the end of that work: one piece at a time, in the order in which they were given, and all of them
done when `close` returns.  It must never know what is written.

A piece that the disk refuses is counted and logged, and the next is tried all the same: a full disk costs the next
start some questions to the node, never the feed.  Whoever has something to write every second asks `busy` first, so a
disk that hangs holds up one piece of each kind, and memory does not grow behind it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

log = logging.getLogger("alphapulse.collector")


class DiskThread:
    """The thread starts with the first piece of work.  Call it from one thread only."""

    def __init__(self) -> None:
        self.failures = 0
        """Pieces that the disk refused."""
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="disk")
        self._pieces: deque[Future[None]] = deque()
        self._refused: set[str] = set()

    @property
    def busy(self) -> bool:
        """Whether a piece is still unfinished.  Anything but an OSError is a bug, and is raised here."""
        while self._pieces and self._pieces[0].done():
            self._pieces.popleft().result()
        return bool(self._pieces)

    def write(self, what: str, work: Callable[[], None]) -> None:
        """Do `work` after everything that was given before; `what` names it in the log."""
        self._pieces.append(self._executor.submit(self._try, what, work))

    async def read(self, work: Callable[[], Result]) -> Result:
        """What `work` returns, or raises, once everything that was given before is done."""
        return await asyncio.wrap_future(self._executor.submit(work))

    def close(self) -> None:
        """Return when everything is done."""
        self._executor.shutdown(wait=True)
        assert not self.busy

    def _try(self, what: str, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            self.failures += 1
            if what not in self._refused:
                log.warning("cannot write the %s: %s; going on without", what, error.strerror or error)
            self._refused.add(what)
        else:
            if what in self._refused:
                log.warning("the %s can be written again", what)
            self._refused.discard(what)


def replace_file(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace a file whole: whatever happens, it holds the old or the new content.

    `durable` waits until the disk has it, so that a reboot cannot leave an empty file.

    Raises:
        OSError: the disk refuses; the old content stays.
    """
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    fresh.replace(path)
