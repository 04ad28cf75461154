"""The one writer of a journal.

Owns the directory's lock, the segment that is being written, rotation, and when bytes are forced to the disk.  It is
given frames by a recorder and must never know where they come from.

What a crash can lose, by `Fsync`:

    policy      the process is killed     the machine loses power
    NEVER       nothing that `append`     everything the kernel had not written back (some 30 s)
    INTERVAL    returned from (the        at most the last `interval_s`
    BATCH       kernel has it)            nothing that `append` returned from; every batch waits for the disk

Space is allocated in steps, before it is needed, and SPARE_BYTES are never used by frames.  So a full disk is an error
before a batch is begun, never a torn record, and the segment can still be closed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from enum import StrEnum
from pathlib import Path
from typing import Self

import numpy as np
from msgspec.structs import replace

from consumers.journal import kernels
from consumers.journal.errors import JournalDamaged, JournalError, JournalFull, JournalInUse
from consumers.journal.flushing import Flusher
from consumers.journal.layout import (
    DEFAULT_SEGMENT_BYTES,
    END,
    GAP,
    GRANT_BYTES,
    HEAD_BYTES,
    HEADER_BYTES,
    LENGTH_ROW,
    MAX_PAYLOAD,
    SEGMENT_MAGIC,
    SEQUENCE_ROW,
    SPARE_BYTES,
    VERSION,
    SegmentHeader,
)
from consumers.journal.recovery import SegmentEnd, cut, examine
from consumers.journal.sealing import Retention, Sealer
from consumers.journal.segment import SegmentFile, header_checksum, list_segments, read_head, segment_path
from consumers.lockfile import LockFile, LockHeld
from tlv.buffers import Bytes, Longs
from tlv.codes import Domain, GapScope, Reason, Source
from tlv.errors import UsageError
from tlv.layout import LAYOUT_DIGEST, Gap
from tlv.message import build

log = logging.getLogger("alphapulse.journal")

STAGE_BYTES = 1 << 20
"""Packed for one `write`: large enough that the system call (about 1 us) is negligible beside the copy."""
NOTHING = np.zeros(0, np.uint8)


class Fsync(StrEnum):
    """When bytes are forced to the disk; this file's docstring says what each can lose."""

    NEVER = "never"
    INTERVAL = "interval"
    BATCH = "batch"


class JournalWriter:
    """Appends the frames of one ring to the journal in `directory`.

    Opening takes the directory's lock, cuts what a crash tore and closes the segment that the crash left open.

    Args:
        next_sequence: where the ring's reader will begin if the journal does not continue (see `resume_at`).
        retain_bytes: drop the oldest segments beyond this much; 0 keeps all.
        retain_s: drop segments that were completed so long ago; 0 keeps all.

    Raises:
        JournalInUse: another recorder writes here.
        JournalDamaged: the last segment is damaged in the middle; `alphapulse journal cut` decides.
        UsageError: the directory holds the journal of another ring.
    """

    def __init__(
        self,
        directory: Path,
        *,
        ring_name: str,
        ring_uuid: bytes,
        fsync: Fsync = Fsync.INTERVAL,
        interval_s: float = 1.0,
        segment_bytes: int = DEFAULT_SEGMENT_BYTES,
        pack: bool = True,
        retain_bytes: int = 0,
        retain_s: float = 0.0,
        layout_digest: int = LAYOUT_DIGEST,
    ) -> None:
        if segment_bytes < GRANT_BYTES:
            raise UsageError(f"segment_bytes: expected at least {GRANT_BYTES}, found {segment_bytes}")
        self.directory = directory
        self.ring_name = ring_name
        self.ring_uuid = ring_uuid
        self.fsync = fsync
        self.segment_bytes = segment_bytes
        self.layout_digest = layout_digest
        self.frames = 0
        self.lost = 0
        self._fd = -1
        self._position = 0
        self._granted = 0
        self._next = 0
        self._stage = np.zeros(STAGE_BYTES, np.uint8)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._lock = LockFile(directory / "journal.lock")
        except LockHeld as error:
            raise JournalInUse(f"{directory}: expected to be its only recorder ({error})") from None
        try:
            self._ordinal, unsealed = self._recover()
        except BaseException:
            self._lock.close()
            raise
        self._flusher = Flusher(interval_s if fsync is Fsync.INTERVAL else 0.0)
        self._sealer = Sealer(directory, pack=pack, keep=Retention(retain_bytes, retain_s))
        for segment in unsealed:
            self._sealer.give(segment)

    @property
    def resume_at(self) -> int | None:
        """The next sequence this journal lacks of this incarnation of the ring; None if it has nothing of it."""
        return self._next or None

    def append(self, buffer: Bytes, table: Longs, count: int) -> None:
        """Append the frames of a poll: the first `count` columns of `table`, whose payloads stand in `buffer`.

        Raises:
            JournalFull: no room; nothing was written, the call can be repeated.
            JournalError: a frame does not continue the journal, or is longer than MAX_PAYLOAD.
        """
        if count == 0:
            return
        lengths = table[LENGTH_ROW, :count]
        if int(lengths.max()) > MAX_PAYLOAD:
            raise JournalError(
                f"{self.ring_name}: expected frames of at most {MAX_PAYLOAD} bytes, found {lengths.max()}"
            )
        self._begin(int(table[SEQUENCE_ROW, 0]), int(lengths.sum()) + count * (HEAD_BYTES + 8))
        taken = 0
        while taken < count:
            taken, end = kernels.pack_frames(self._stage, 0, buffer, table, taken, count)
            self._write(end)
        self._next += count
        self.frames += count
        self._settle()

    def append_gap(self, first: int, last: int, reason: Reason) -> None:
        """Record that the frames `first` to `last` are lost.

        Raises:
            JournalFull: no room; nothing was written.
        """
        gap = Gap(first=first, last=last, scope=GapScope.RING_SEQUENCES, reason=reason)
        message = build(Domain.SYSTEM, Source.SUPERVISOR, [gap])
        self._begin(first, HEAD_BYTES + len(message) + 8)
        payload = np.frombuffer(message, np.uint8)
        now = time.monotonic_ns()
        self._write(kernels.pack_record(self._stage, 0, GAP, first, now, 0, payload, 0, len(message)))
        self._next = last + 1
        self.lost += last - first + 1
        self._settle()

    def close(self) -> None:
        """Close the segment, seal the complete ones and release the lock."""
        self._end_segment()
        self._flusher.close()
        self._sealer.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _recover(self) -> tuple[int, list[SegmentFile]]:
        """Cut a torn end and close the last segment.  Returns (last ordinal, complete segments to be sealed)."""
        for leftover in self.directory.glob("*.new"):
            leftover.unlink()
        segments = list_segments(self.directory)
        while segments and is_blank(segments[-1]):
            log.warning("%s: removed, a power cut left nothing of it", segments[-1].path)
            segments.pop().path.unlink()
        if not segments:
            return 0, []
        last = segments[-1]
        found = examine(last, self.layout_digest)
        if found.ring_name != self.ring_name:
            raise UsageError(f"{self.directory}: expected a journal of ring {self.ring_name}, found {found.ring_name}")
        if found.state is SegmentEnd.DAMAGED:
            raise JournalDamaged(last.path, found.position, found.found)
        if found.state is SegmentEnd.TORN:
            log.warning("%s: cut %d torn bytes at byte %d", last.path, found.bytes_behind, found.position)
        if found.state is not SegmentEnd.SEALED:
            cut(last, found.position)
            self._append_end(last, found.next_sequence)
        if found.ring_uuid == self.ring_uuid:
            self._next = found.next_sequence
        return last.ordinal, [segment for segment in segments if not segment.packed]

    def _append_end(self, segment: SegmentFile, next_sequence: int) -> None:
        end = self._pack_end(next_sequence)
        with segment.path.open("ab") as file:
            file.write(self._stage[:end].data)

    def _pack_end(self, next_sequence: int) -> int:
        return kernels.pack_record(self._stage, 0, END, next_sequence, time.monotonic_ns(), 0, NOTHING, 0, 0)

    def _begin(self, sequence: int, need: int) -> None:
        """Make sure that `need` bytes can be appended, the first record having `sequence`."""
        if self._next and sequence != self._next:
            raise JournalError(f"{self.directory}: expected sequence {self._next}, found {sequence}")
        if self._fd >= 0 and self._position + need > self.segment_bytes:
            self._end_segment()
        if self._fd < 0:
            self._open_segment(sequence)
        self._grant(self._position + need + SPARE_BYTES)

    def _open_segment(self, first_sequence: int) -> None:
        ordinal = self._ordinal + 1
        path = segment_path(self.directory, ordinal)
        header = SegmentHeader(
            magic=SEGMENT_MAGIC,
            version=VERSION,
            checksum=0,
            layout_digest=self.layout_digest,
            ordinal=ordinal,
            first_sequence=first_sequence,
            created_ns=time.time_ns(),
            clock_offset_ns=time.time_ns() - time.monotonic_ns(),
            ring_uuid=self.ring_uuid,
            ring_name=self.ring_name,
        )
        fresh = path.with_name(path.name + ".new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, HEADER_BYTES + SPARE_BYTES)
            os.pwrite(fd, replace(header, checksum=header_checksum(header.pack())).pack(), 0)
            if self.fsync is not Fsync.NEVER:
                # Before its name is on the disk, or a power cut could leave a segment without a header.
                os.fdatasync(fd)
            fresh.replace(path)
        except OSError as error:
            os.close(fd)
            fresh.unlink(missing_ok=True)
            raise self._full(HEADER_BYTES + SPARE_BYTES, error) from error
        self._fd, self._ordinal, self._next = fd, ordinal, first_sequence
        self._position, self._granted = HEADER_BYTES, HEADER_BYTES + SPARE_BYTES
        if self.fsync is not Fsync.NEVER:
            sync_directory(self.directory)
        self._flusher.watch(fd)

    def _grant(self, end: int) -> None:
        if end <= self._granted:
            return
        # A small disk may have room for the batch though not for a whole step.
        for wanted in (max(end, self._granted + GRANT_BYTES), end):
            try:
                os.posix_fallocate(self._fd, self._granted, wanted - self._granted)
            except OSError as error:
                refused = error
                continue
            self._granted = wanted
            return
        # A refused step may have allocated a part before it failed.
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, self._granted)
        raise self._full(end - self._granted, refused) from refused

    def _full(self, need: int, error: OSError) -> JournalFull:
        room = os.statvfs(self.directory)
        free = room.f_bavail * room.f_frsize
        return JournalFull(f"{self.directory}: expected room for {need} bytes more, found {free} ({error.strerror})")

    def _write(self, size: int) -> None:
        view = self._stage[:size].data
        while view:
            written = os.pwrite(self._fd, view, self._position)
            self._position += written
            view = view[written:]

    def _settle(self) -> None:
        if self.fsync is Fsync.BATCH:
            os.fdatasync(self._fd)

    def _end_segment(self) -> None:
        """Close the current segment with an END record; SPARE_BYTES are its room."""
        if self._fd < 0:
            return
        self._write(self._pack_end(self._next))
        self._flusher.watch(-1)
        os.ftruncate(self._fd, self._position)
        if self.fsync is not Fsync.NEVER:
            os.fsync(self._fd)
        os.close(self._fd)
        self._fd = -1
        self._sealer.give(SegmentFile(segment_path(self.directory, self._ordinal), self._ordinal, packed=False))


def is_blank(segment: SegmentFile) -> bool:
    """Whether the header of a raw segment never reached the disk, and so nothing of it did."""
    return not segment.packed and not any(read_head(segment))


def sync_directory(directory: Path) -> None:
    """Force the directory itself to the disk: a new file's name is part of it."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
