"""The counters of one process: a small object beside the ring that it serves, which any process of the user reads.

Owns the object: its making, its removal, and the copy that a reader takes.  It must never know what is counted: that is
declared once, as a dataclass of `int` (counts, which only grow), `Level` (what is now) and `Histogram`.

    the process                                           any other
    dataclass --bind--> its histograms count there        read_counters --> CountersCopy, or BadSegment
              --put, each second--> its counts

The owner holds a kernel lock on the object, so a dead process's counters are known, stay readable, and are replaced by
the next process of its role, removed with the ring or by `ringstat gc`.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, Self, get_type_hints

import numpy as np

from ringbuf.declare import Type, digest_of, offset_of, packed, word_of
from ringbuf.errors import AlreadyExists, BadSegment, NoSpace, RingNotFound, RingNotReady, UnsafeSegment
from ringbuf.histogram import Histogram
from ringbuf.identity import boot_id, put_bytes, text_of
from ringbuf.kernels import put_word, put_words, snapshot
from ringbuf.layout import (
    BEAT_WORD,
    COUNTERS_FORMAT,
    COUNTERS_HEADER,
    COUNTERS_MAGIC,
    COUNTS_0,
    HISTOGRAM,
    HISTOGRAM_WORDS,
)
from ringbuf.locks import WRITER_BYTE, RingLock
from ringbuf.names import counters_object, list_counters, object_prefix
from ringbuf.segment import create_object, map_words, open_object, same_object, unlink_object
from tlv.buffers import Words
from tlv.fields import I64
from tlv.units import NS

Level = Annotated[int, "level"]
"""A field that says how it is now; one of type `int` counts, and only grows."""
EVERY_NS = NS
"""How old counts and levels get; histograms are never late."""
MOST_ALIKE = 64
"""Processes of one role beside one ring; a further one counts for itself alone."""


@cache
def names_of(record: type, kind: object) -> tuple[str, ...]:
    """The fields of a dataclass that are of this kind: `int`, `Level` or `Histogram`."""
    hints = get_type_hints(record, include_extras=True)
    return tuple(field.name for field in fields(record) if hints[field.name] == kind)


def layout_of(record: type) -> Type:
    """The words behind the header: a word for each count and level, then the histograms."""
    words = (*names_of(record, int), *names_of(record, Level))
    return packed(**dict.fromkeys(words, I64), **dict.fromkeys(names_of(record, Histogram), HISTOGRAM))


class SharedCounters:
    """What this process counts, as `record` declares it, where others can read it.

    One thread counts: kernels add without a lock.  A forked child must not.
    """

    def __init__(self, record: type, words: Words, lock: RingLock, object_name: str) -> None:
        self.object_name = object_name
        self._words = words
        self._lock = lock
        self._due_ns = 0
        layout = layout_of(record)
        self._counts = [name for name in layout.names or () if layout[name] != HISTOGRAM]
        self._histograms = {name: COUNTS_0 + word_of(layout, name) for name in names_of(record, Histogram)}

    @classmethod
    def create(cls, record: type, ring: str, role: str) -> Self:
        """Make the counters of a process that is `role` ("collector") of `ring`; a dead one's are replaced.

        Raises:
            BadRingName, NoSpace, UnsafeSegment: see `ringbuf.errors`.
        """
        for number in range(1, MOST_ALIKE + 1):
            object_name = counters_object(ring, role, number)
            try:
                remove_if_dead(object_name)
                words, lock = _make(record, object_name, ring, role)
            except AlreadyExists:  # it lives, or another process was faster
                continue
            put_word(words, 0, COUNTERS_MAGIC)
            return cls(record, words, lock, object_name)
        raise NoSpace(f"{MOST_ALIKE} processes are {role} of {ring}, and each has counters: no name is left")

    def bind(self, counted: Any) -> None:
        """Have the histograms of `counted`, a `record`, count in shared memory from now on."""
        for name, at in self._histograms.items():
            setattr(counted, name, Histogram(self._words, at))

    def put(self, counted: Any) -> None:
        """Store the counts and levels of `counted` as they are."""
        values = np.array([getattr(counted, name) for name in self._counts], dtype=np.int64)
        put_words(self._words, COUNTS_0, values)
        now_ns = time.monotonic_ns()
        put_word(self._words, BEAT_WORD, now_ns)
        self._due_ns = now_ns + EVERY_NS

    @property
    def due(self) -> bool:
        """Whether the last `put` is a second ago."""
        return time.monotonic_ns() >= self._due_ns

    def close(self) -> None:
        """Remove them."""
        if self._lock.fd >= 0:
            if same_object(self._lock.fd, self.object_name):
                unlink_object(self.object_name)
            self._lock.close()


def _make(record: type, object_name: str, ring: str, role: str) -> tuple[Words, RingLock]:
    """Make the object and lock it; it is filled, all but its magic.

    Raises:
        AlreadyExists: there is one, or it was taken for a dead one's while we made it.
    """
    layout = layout_of(record)
    size = COUNTERS_HEADER.itemsize + layout.itemsize
    fd = create_object(object_name, size)
    try:
        words = map_words(fd, size, writable=True)
        lock = RingLock(object_name)
        if not (same_object(fd, object_name) and lock.try_lock(WRITER_BYTE) and same_object(lock.fd, object_name)):
            lock.close()
            raise AlreadyExists(f"{object_name}: another process took it while it was made")
    except RingNotFound as error:
        raise AlreadyExists(f"{object_name}: another process removed it while it was made") from error
    finally:
        os.close(fd)
    header = words[:COUNTS_0].view(COUNTERS_HEADER)[0]
    header["version"] = COUNTERS_FORMAT
    header["total_bytes"] = size
    header["layout_digest"] = digest_of(layout)
    header["pid"] = os.getpid()
    header["began_ns"] = time.monotonic_ns()
    put_bytes(header["boot_id"], boot_id())
    put_bytes(header["role"], role.encode())
    put_bytes(header["ring"], ring.encode())
    return words, lock


@dataclass(frozen=True)
class CountersCopy:
    """The counters of one process at one moment (each word whole, but not all of the very same instant)."""

    role: str
    ring: str
    pid: int
    alive: bool  # its kernel lock is held
    age_s: float  # since the process began
    beat_age_s: float  # since the counts were stored last
    layout_digest: int
    words: Words

    def as_record(self, record: type) -> Any:
        """A `record` with what was counted.

        Raises:
            BadSegment: another build counts something else.
        """
        layout = layout_of(record)
        expected = digest_of(layout)
        if self.layout_digest != expected:
            raise BadSegment(
                f"counters of {self.role} (pid {self.pid}): expected layout {expected:#x}, found"
                f" {self.layout_digest:#x}: another version of it runs"
            )
        body = self.words[COUNTS_0:].view(np.uint8)[: layout.itemsize].view(layout)[0]
        counted = record(**{name: int(body[name]) for name in layout.names or () if layout[name] != HISTOGRAM})
        for name in names_of(record, Histogram):
            at = COUNTS_0 + offset_of(layout, name) // 8
            setattr(counted, name, Histogram(self.words[at : at + HISTOGRAM_WORDS]))
        return counted


def read_counters(object_name: str) -> CountersCopy:
    """Copy the counters of that POSIX name.

    Raises:
        RingNotFound, RingNotReady, BadSegment, UnsafeSegment.
    """
    fd = open_object(object_name, writable=False)
    try:
        size = os.fstat(fd).st_size
        if size < COUNTERS_HEADER.itemsize or size % 8:
            raise (BadSegment if size else RingNotReady)(f"{object_name}: {size} bytes: no counters")
        shared = map_words(fd, size, writable=False)
    finally:
        os.close(fd)
    words: Words = np.zeros(size // 8, dtype=np.int64)
    snapshot(shared, len(words), words)
    header = words[:COUNTS_0].view(COUNTERS_HEADER)[0]
    if int(header["magic"]) == 0:
        raise RingNotReady(f"{object_name}: its process has not finished it")
    for field, expected in (("magic", COUNTERS_MAGIC), ("version", COUNTERS_FORMAT), ("total_bytes", size)):
        if int(header[field]) != expected:
            raise BadSegment(f"{object_name}: {field}: expected {expected:#x}, found {int(header[field]):#x}")
    if header["boot_id"].tobytes() != boot_id():
        raise BadSegment(f"{object_name}: left over from before the last reboot: `ringstat gc` removes it")
    now = time.monotonic_ns()
    try:
        role, ring = text_of(header["role"]), text_of(header["ring"])
    except UnicodeDecodeError as error:
        raise BadSegment(f"{object_name}: role or ring is no text") from error
    return CountersCopy(
        role=role,
        ring=ring,
        pid=int(header["pid"]),
        alive=is_alive(object_name),
        age_s=(now - int(header["began_ns"])) / NS,
        beat_age_s=(now - max(int(header["beat_ns"]), int(header["began_ns"]))) / NS,
        layout_digest=int(header["layout_digest"]),
        words=words,
    )


def is_alive(object_name: str) -> bool:
    """Whether the process whose counters they are lives.

    Raises:
        RingNotFound, UnsafeSegment.
    """
    lock = RingLock(object_name)
    try:
        return lock.is_held(WRITER_BYTE)
    finally:
        lock.close()


def remove_if_dead(object_name: str) -> bool:
    """Remove the counters of a process that has ended; whether they were there and its.

    Raises:
        UnsafeSegment.
    """
    try:
        lock = RingLock(object_name)
    except RingNotFound:
        return False
    try:
        # Locked and looked at again, so that of two who find it dead one removes it, and never a living one's.
        if not lock.try_lock(WRITER_BYTE) or not same_object(lock.fd, object_name):
            return False
        return unlink_object(object_name)
    finally:
        lock.close()


def remove_dead_counters(prefix: str = "") -> list[str]:
    """Remove the counters of dead processes beside rings whose name begins with `prefix`; the objects removed."""
    removed = []
    for object_name in list_counters():
        with contextlib.suppress(UnsafeSegment):  # another user put it there
            if object_name.startswith(f"/{object_prefix()}{prefix}") and remove_if_dead(object_name):
                removed.append(object_name)
    return removed
