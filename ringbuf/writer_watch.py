"""Whether a ring has a writer, for a process that waits to become the next one.

Owns the question.  It must never take the writer's lock: whoever only looks keeps nobody from writing.
"""

from __future__ import annotations

from ringbuf.errors import RingNotFound
from ringbuf.locks import WRITER_BYTE, RingLock
from ringbuf.names import lock_object
from ringbuf.segment import same_object


class WriterWatch:
    """Watches the writer's lock of ring `name`.

    The lock object of a writer is kept for as long as that writer lives: where the names of its ring are removed, it is
    the writer all the same, and what has the name by then is not what it holds.
    """

    def __init__(self, name: str) -> None:
        self._object_name = lock_object(name)
        self._lock: RingLock | None = None
        self.lost_name = False
        """Whether the last writer's ring had lost its name when that writer left it."""

    def has_writer(self) -> bool:
        """Whether a living process, however slow or stopped, writes the ring; two system calls as long as it does.

        Raises:
            UnsafeSegment: the lock object is not ours.
        """
        if self._lock is not None:
            if self._lock.is_held(WRITER_BYTE):
                return True
            self.lost_name = not same_object(self._lock.fd, self._object_name)
            self.close()
        try:
            lock = RingLock(self._object_name)
        except RingNotFound:
            return False
        self._lock = lock
        if lock.is_held(WRITER_BYTE):
            self.lost_name = False
            return True
        self.close()
        return False

    def close(self) -> None:
        """Look no more."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
