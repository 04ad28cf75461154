"""Opening, creating and mapping shared-memory objects, and refusing what is not ours.

Owns every system call on an object's file.  It must never know what an object holds.

Objects are made and unlinked through posix_ipc.  They are opened with open(2), which is what shm_open(3) is in
/dev/shm: posix_ipc does not offer O_NONBLOCK, and a FIFO of a ring's name would block whoever attaches.  Any user can
create a name in /dev/shm, so an object is used only after the open file was checked: a regular file, ours, closed to
others.

Space is allocated at creation (posix_fallocate): ftruncate alone succeeds on a full file system, and the first touch
of a missing page kills the process with SIGBUS, perhaps a reader hours later.  Attaching changes no size.
"""

from __future__ import annotations

import errno
import mmap
import os
import resource
import stat
from pathlib import Path

import numpy as np
import posix_ipc

from ringbuf.errors import AlreadyExists, NoSharedMemory, NoSpace, RingNotFound, UnsafeSegment
from ringbuf.names import FOLDER
from tlv.buffers import Words
from tlv.errors import UsageError

PRIVATE = 0o600
SAFELY = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
OTHERS_MAY_NOT = 0o027  # a group may read if it was configured; nobody else writes, others do nothing
OUTSIDERS_MAY_NOT = 0o007  # control page and lock of a ring with a group: its readers store tickets and hold slots


def path_of(object_name: str) -> Path:
    """Where an object's file is."""
    return FOLDER / object_name.removeprefix("/")


def check_ours(fd: int, object_name: str, owner: int, forbidden: int) -> None:
    """Raise UnsafeSegment if somebody else could have put this open object there, or could change it."""
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise UnsafeSegment(f"{object_name}: expected a regular file, found {stat.filemode(found.st_mode)}")
    if found.st_uid != owner:
        raise UnsafeSegment(f"{object_name}: expected owner uid {owner}, found {found.st_uid}")
    if stat.S_IMODE(found.st_mode) & forbidden:
        shared = "0640" if forbidden == OTHERS_MAY_NOT else "0660"
        raise UnsafeSegment(f"{object_name}: expected mode 0600 or {shared}, found {stat.S_IMODE(found.st_mode):04o}")


def open_object(
    object_name: str,
    *,
    writable: bool,
    create: bool = False,
    owner: int | None = None,
    forbidden: int = OTHERS_MAY_NOT,
) -> int:
    """Open an object of `owner` (default: us) and return its descriptor, close-on-exec.  `create` makes it if missing.

    Raises:
        RingNotFound: there is none.
        NoSharedMemory: none can be made.
        UnsafeSegment: there is something else of that name.
    """
    flags = (os.O_RDWR if writable else os.O_RDONLY) | (os.O_CREAT if create else 0)
    try:
        fd = os.open(path_of(object_name), flags | SAFELY, PRIVATE)
    except OSError as error:
        if error.errno == errno.ENOENT and not create:
            raise RingNotFound(f"no shared-memory object {object_name}") from error
        if error.errno in (errno.ENOENT, errno.EROFS):
            raise NoSharedMemory(refusal(object_name, error)) from error
        kind = errno.errorcode.get(error.errno or 0, "?")
        raise UnsafeSegment(f"{object_name}: expected a shared-memory object of ours, open failed: {kind}") from error
    try:
        check_ours(fd, object_name, os.getuid() if owner is None else owner, forbidden)
    except UnsafeSegment:
        os.close(fd)
        raise
    return fd


def create_object(object_name: str, size: int, *, mode: int = PRIVATE, group: int = -1) -> int:
    """Create an object of `size` zero bytes that are really there, and return its descriptor.

    Raises:
        AlreadyExists: there is one of that name.
        NoSharedMemory: none can be made.
        UsageError: we are not in `group`.
        NoSpace: with the bytes needed and the bytes free; nothing is left behind.
    """
    try:
        # Size 0: posix_ipc would set it by ftruncate, which promises no space.
        fd: int = posix_ipc.SharedMemory(object_name, posix_ipc.O_CREX, mode=PRIVATE, size=0).fd
    except (posix_ipc.Error, OSError) as error:
        if isinstance(error, posix_ipc.ExistentialError) and FOLDER.is_dir():
            raise AlreadyExists(f"shared-memory object {object_name} exists") from error
        raise NoSharedMemory(refusal(object_name, error)) from error
    try:
        share(fd, mode, group, object_name)
        os.posix_fallocate(fd, 0, size)
    except UsageError:
        os.close(fd)
        unlink_object(object_name)
        raise
    except OSError as error:
        os.close(fd)
        unlink_object(object_name)
        if error.errno not in {errno.ENOSPC, errno.ENOMEM, errno.EFBIG}:
            raise
        raise NoSpace(f"{object_name}: {size} bytes needed, {room(size)}") from error
    return fd


def room(size: int) -> str:
    """What keeps an object of `size` bytes from being made: a limit of this process, or how much is free."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if 0 <= limit < size:
        return f"{limit} allowed by this process's limit on a file (ulimit -f)"
    free = os.statvfs(FOLDER)
    return f"{free.f_bavail * free.f_frsize} free in {FOLDER}"


def refusal(object_name: str, error: Exception) -> str:
    """That shared memory cannot be had, and what to do."""
    why = (error.strerror if isinstance(error, OSError) else None) or error
    return f"{object_name} cannot be made in {FOLDER}: {why}; is a tmpfs mounted there that all may write?"


def share(fd: int, mode: int, group: int, object_name: str) -> None:
    """Give an open object to `group` (-1: as it is) with `mode`, whatever the umask.

    Raises:
        UsageError: we are not in that group.
    """
    try:
        os.fchown(fd, -1, group)
    except PermissionError:
        raise UsageError(f"group: expected a group of ours for {object_name}, found {group}") from None
    os.fchmod(fd, mode)


def unlink_object(object_name: str) -> bool:
    """Remove an object's name; existing maps stay valid.  Returns whether there was one."""
    try:
        posix_ipc.unlink_shared_memory(object_name)
    except posix_ipc.ExistentialError:
        return False
    return True


def same_object(fd: int, object_name: str) -> bool:
    """Whether the name still means the object that `fd` is open on."""
    try:
        named = path_of(object_name).lstat()
    except FileNotFoundError:
        return False
    ours = os.fstat(fd)
    return (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)


def map_words(fd: int, size: int, *, writable: bool) -> Words:
    """Map `size` bytes of an object as 64-bit words.  The map lives as long as the array."""
    access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    return np.frombuffer(mmap.mmap(fd, size, mmap.MAP_SHARED, access), dtype=np.int64)
