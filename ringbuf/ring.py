"""A ring in this process: its objects, mapped and checked.

Owns creation, attaching and unlinking.  It must never publish or read a frame.

Creation, under the writer's lock so that there is one creator: control page, then the ring, filled, its magic last.
A creator killed at any step leaves a ring without magic; the next one removes it and starts over.
"""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass

import numpy as np

from ringbuf.declare import offset_of
from ringbuf.errors import AlreadyExists, BadSegment, NotOwner, RingNotFound, RingNotReady
from ringbuf.holder import describe_process
from ringbuf.identity import Identity, check_control, read_identity, write_control_identity, write_identity
from ringbuf.kernels import put_word, snapshot
from ringbuf.layout import CONTROL, CONTROL_MAGIC, HEADER, HEADER_BYTES, MAGIC
from ringbuf.locks import WRITER_BYTE, RingLock
from ringbuf.names import check_name, control_object, list_rings, lock_object, ring_object
from ringbuf.segment import (
    OUTSIDERS_MAY_NOT,
    PRIVATE,
    create_object,
    map_words,
    open_object,
    same_object,
    share,
    unlink_object,
)
from tlv.buffers import Bytes, Longs, Words
from tlv.errors import SegmentError
from tlv.nearest import did_you_mean, there_are

GROUP_READS = 0o640
GROUP_WRITES = 0o660


@dataclass
class Ring:
    """The mapped objects of one ring, as a writer or as a reader."""

    name: str
    identity: Identity
    words: Words  # header page and data; read-only for a reader
    control: Words
    fd: int  # kept to notice that the name means another ring by now
    owner: int | None = None

    def is_orphaned(self) -> bool:
        """Whether the name is gone or names another ring."""
        return not same_object(self.fd, ring_object(self.name, self.owner))

    def close(self) -> None:
        """Close the descriptor; the maps are freed with the last array."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def copy_page(words: Words, size: int) -> Bytes:
    """A private copy of the first `size` bytes of a shared page."""
    copy = np.zeros(size // 8, dtype=np.int64)
    snapshot(words, size // 8, copy)
    return copy.view(np.uint8)


def open_ring(name: str, *, writable: bool, layout_digest: int = 0, owner: int | None = None) -> Ring:
    """Map an existing ring.

    Raises:
        RingNotFound, RingNotReady, UnsafeSegment, BadSegment: saying which object and why.
    """
    ring_name = ring_object(name, owner)
    while True:
        try:
            fd = open_object(ring_name, writable=writable, owner=owner)
        except RingNotFound as error:
            raise RingNotFound(absent(name, owner)) from error
        try:
            return map_ring(name, fd, writable, layout_digest, owner)
        except BadSegment:
            replaced = not same_object(fd, ring_name)
            os.close(fd)
            if not replaced:
                raise
            # Its control page went with it, or is of the ring that has the name now: that one is to be opened.
        except BaseException:
            os.close(fd)
            raise


def absent(name: str, owner: int | None) -> str:
    """That there is no such ring; of our own rings, which one may be meant and which there are."""
    text = f"no ring {name!r} ({ring_object(name, owner)})"
    if owner is not None:
        return f"{text}: its owner, user {owner}, has to start its producer"
    there = list_rings()
    return f"{text}{did_you_mean(name, there)}: start its producer {there_are(there, 'no ring')}"


def map_ring(name: str, fd: int, writable: bool, layout_digest: int, owner: int | None) -> Ring:
    """Map the ring whose object is open as `fd`, and the control page that has its name."""
    size = os.fstat(fd).st_size
    if size == 0:
        raise RingNotReady(f"ring {name}: its creator has not finished")
    if size < HEADER_BYTES:
        raise BadSegment(f"ring {name}: expected at least {HEADER_BYTES} bytes, found {size}")
    page = copy_page(map_words(fd, HEADER_BYTES, writable=False), HEADER_BYTES)
    identity = read_identity(page, size, f"ring {name}", layout_digest)
    control = open_control(name, identity, owner)
    return Ring(name, identity, map_words(fd, size, writable=writable), control, fd, owner)


def open_control(name: str, identity: Identity, owner: int | None) -> Longs:
    """Map the control page of a ring, for writing: readers store tickets and positions there."""
    control_name = control_object(name, owner)
    try:
        fd = open_object(control_name, writable=True, owner=owner, forbidden=OUTSIDERS_MAY_NOT)
    except RingNotFound as error:
        raise BadSegment(f"ring {name}: its control page {control_name} is missing") from error
    try:
        size = os.fstat(fd).st_size
        if size != CONTROL.itemsize:
            raise BadSegment(f"{control_name}: expected {CONTROL.itemsize} bytes, found {size}")
        words = map_words(fd, size, writable=True)
        check_control(copy_page(words, size), identity, control_name)
    finally:
        os.close(fd)
    return words


def claim(name: str) -> RingLock:
    """Become the one process that may write ring `name`, whether it exists or not.

    Raises:
        NotOwner: another living process already is.
    """
    object_name = lock_object(check_name(name))
    while True:
        lock = RingLock(object_name, create=True)
        if not lock.try_lock(WRITER_BYTE):
            lock.close()
            raise NotOwner(
                f"ring {name}: another living writer, {writer_of(name)}, holds its lock "
                f"({object_name}, byte {WRITER_BYTE})"
            )
        if same_object(lock.fd, object_name):
            return lock
        lock.close()  # the ring was unlinked between our open and our lock: a lock of the old object excludes nobody


def writer_of(name: str) -> str:
    """The process that the ring names as its writer, for a message: the lock does not say whose it is."""
    try:
        fd = open_object(ring_object(name), writable=False)
    except SegmentError:  # it is being created
        return describe_process(0)
    pid = int.from_bytes(os.pread(fd, 8, offset_of(HEADER, "pid")), sys.byteorder)
    os.close(fd)
    return describe_process(pid)


def lock_ring(ring: Ring, lock: RingLock) -> None:
    """Lock the ring object itself for the holder of the lock object, and open that one to whom the ring is open.

    Raises:
        NotOwner: the lock object was removed under a living writer, and `lock` is of a new one with its name.
    """
    object_name = ring_object(ring.name)
    if not lock.try_lock_ring(object_name):
        raise NotOwner(
            f"ring {ring.name}: another living writer, {writer_of(ring.name)}, holds it "
            f"({object_name}, byte {WRITER_BYTE}), though not {lock_object(ring.name)}: that one was removed under it"
        )
    found = os.fstat(ring.fd)
    for_group = bool(stat.S_IMODE(found.st_mode) & GROUP_READS & ~PRIVATE)
    share(lock.fd, GROUP_WRITES if for_group else PRIVATE, found.st_gid, lock_object(ring.name))


def create_ring(identity: Identity, *, group: int | None = None) -> Ring:
    """Make the objects of a ring and fill them, all but the magic.  The caller holds the writer's lock.

    Raises:
        AlreadyExists: a finished ring of that name exists.
        NoSpace: nothing is left behind.
    """
    name = identity.name
    remove_unfinished(name)
    gid = -1 if group is None else group
    remove_stale_control(name)
    control_fd = create_object(
        control_object(name), CONTROL.itemsize, mode=PRIVATE if group is None else GROUP_WRITES, group=gid
    )
    try:
        control = map_words(control_fd, CONTROL.itemsize, writable=True)
    finally:
        os.close(control_fd)
    write_control_identity(control.view(np.uint8), identity)
    put_word(control, 0, CONTROL_MAGIC)
    mode = PRIVATE if group is None else GROUP_READS
    try:
        fd = create_object(ring_object(name), identity.total_bytes, mode=mode, group=gid)
    except BaseException:
        unlink_object(control_object(name))
        raise
    words = map_words(fd, identity.total_bytes, writable=True)
    write_identity(words[: HEADER_BYTES // 8].view(np.uint8), identity)
    return Ring(name, identity, words, control, fd)


def finish_creation(ring: Ring) -> None:
    """Store the magic: from here on others attach."""
    put_word(ring.words, 0, MAGIC)


def remove_unfinished(name: str) -> None:
    """Unlink what a killed creator or another boot left; raise AlreadyExists if the ring is finished, BadSegment if it
    is none.
    """
    try:
        open_ring(name, writable=False).close()
    except RingNotFound:
        return
    except RingNotReady:
        unlink_object(ring_object(name))
        return
    raise AlreadyExists(f"ring {name}: exists; open it, or unlink it first")


def remove_stale_control(name: str) -> None:
    """Unlink the control page of a ring that is gone, if it is ours to unlink."""
    try:
        os.close(open_object(control_object(name), writable=True, forbidden=OUTSIDERS_MAY_NOT))
    except RingNotFound:
        return
    unlink_object(control_object(name))


def unlink_ring(name: str) -> None:
    """Remove the names of a ring's objects, the lock last.  The caller holds the writer's lock."""
    unlink_object(ring_object(name))
    unlink_object(control_object(name))
    unlink_object(lock_object(name))
