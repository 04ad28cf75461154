"""Whether a ring has a writer, for a process that waits to become the next one.

Owns the question.  It must never take the writer's lock: whoever only looks keeps nobody from writing.
"""

from __future__ import annotations

from contextlib import suppress

from ringbuf.errors import RingNotFound
from ringbuf.locks import WRITER_BYTE, RingLock
from ringbuf.names import lock_object, ring_object
from ringbuf.segment import same_object


class WriterWatch:
    """Watches both locks of the writer of ring `name`: on the lock object, and on the ring itself.

    The objects of a writer are kept open for as long as it lives: where their names are removed, it is the writer all
    the same, and what has the names by then is not what it holds.
    """

    def __init__(self, name: str) -> None:
        self._object_names = (lock_object(name), ring_object(name))
        self._locks: dict[str, RingLock] = {}
        self.lost_name = False
        """Whether the last writer's ring had lost its name when that writer left it."""

    def has_writer(self) -> bool:
        """Whether a living process, however slow or stopped, writes the ring; a system call as long as it does.

        Raises:
            UnsafeSegment: one of the objects is not ours.
        """
        if self._is_held():
            return True
        if self._locks:
            self.lost_name = not all(same_object(lock.fd, name) for name, lock in self._locks.items())
            self.close()
        for name in self._object_names:
            with suppress(RingNotFound):
                self._locks[name] = RingLock(name)
        if self._is_held():
            self.lost_name = False
            return True
        self.close()
        return False

    def _is_held(self) -> bool:
        return any(lock.is_held(WRITER_BYTE) for lock in self._locks.values())

    def close(self) -> None:
        """Look no more."""
        for lock in self._locks.values():
            lock.close()
        self._locks.clear()
