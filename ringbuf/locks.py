"""Byte locks by which processes know whether a ring's writer and consumers live: the kernel frees them at death.

Owns the lock object of a ring: byte 0 is the writer's, byte 64+i belongs to consumer slot i.  It must never know
what a holder does.

The locks are open-file-description locks.  They belong to the descriptor, not to the process: threads of one
process exclude each other, and a forked child would keep its parent's lock alive.  So descriptors are
close-on-exec, and a forked child closes its copies at once: the lock stays with the parent and dies with it.

A writer locks its byte of the ring object as well.  The lock object alone would not do: where it is removed under a
living writer (logind's RemoveIPC, a user's `rm`), a second writer would create and lock another one of that name.
"""

from __future__ import annotations

import fcntl
import os
import struct
import weakref
from collections.abc import Callable

from ringbuf.segment import OUTSIDERS_MAY_NOT, open_object

WRITER_BYTE = 0
FIRST_SLOT_BYTE = 64
FLOCK = struct.Struct("@hhqqi4x")  # struct flock of fcntl(2), 64-bit: type, whence, start, len, pid

_open_locks: weakref.WeakSet[RingLock] = weakref.WeakSet()


def _flock(kind: int, byte: int) -> bytes:
    return FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0)


def _try_lock(fd: int, byte: int) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK, byte))
    except (BlockingIOError, PermissionError):
        return False
    return True


class RingLock:
    """The lock object of one ring, opened once by each holder."""

    def __init__(self, object_name: str, *, create: bool = False, owner: int | None = None) -> None:
        # Writable for a reader of the ring's group, too: a lock that excludes others needs it.
        self.fd = open_object(object_name, create=create, writable=True, owner=owner, forbidden=OUTSIDERS_MAY_NOT)
        self._ring_fd = -1
        self.forked = False
        self.on_fork: Callable[[], None] | None = None  # called in a forked child, which holds no lock
        _open_locks.add(self)

    def try_lock(self, byte: int) -> bool:
        """Lock a byte; False if a living process holds it."""
        return _try_lock(self.fd, byte)

    def try_lock_ring(self, object_name: str) -> bool:
        """Lock the writer's byte of the ring object too, through a descriptor that nothing else uses.

        A map keeps a copy of the descriptor that it was made from, and a forked child would keep the lock with it.
        """
        self._ring_fd = open_object(object_name, writable=True)
        return _try_lock(self._ring_fd, WRITER_BYTE)

    def unlock(self, byte: int) -> None:
        """Unlock a byte."""
        fcntl.fcntl(self.fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, byte))

    def is_held(self, byte: int) -> bool:
        """Whether another living process holds a byte.  (Our own lock does not conflict with ourselves.)"""
        answer = fcntl.fcntl(self.fd, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK, byte))
        return bool(FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)

    def close(self) -> None:
        """Unlock everything."""
        for fd in (self.fd, self._ring_fd):
            if fd >= 0:
                os.close(fd)
        self.fd = self._ring_fd = -1


def leave_locks_with_parent() -> None:
    """Run in a forked child: close its copies of all locks, and call `on_fork` of each."""
    for lock in list(_open_locks):
        lock.close()
        lock.forked = True
        if lock.on_fork is not None:
            lock.on_fork()


os.register_at_fork(after_in_child=leave_locks_with_parent)
