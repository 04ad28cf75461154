"""The one writer of a journal.

Owns the directory's lock, the segment that is being written, rotation, and when bytes are forced to the disk.  It is
given frames by a recorder and must never know where they come from.

What a crash can lose, by `Fsync`:

    policy      the process is killed     the machine loses power
    NEVER       nothing that `append`     everything the kernel had not written back (some 30 s)
    INTERVAL    returned from (the        at most the last `interval_s`
    BATCH       kernel has it)            nothing that `append` returned from; every batch waits for the disk

Space is allocated in steps, before it is needed, and SPARE_BYTES are never used by frames.  So a full disk is an error
before a batch is begun, never a torn record, and the segment can still be closed.  Whatever else the disk refuses, a
batch counts as written as a whole or not at all; a second attempt writes the same bytes to the same place.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Self

import numpy as np
from msgspec.structs import replace

from consumers.journal import kernels
from consumers.journal.errors import DiskRefused, JournalDamaged, JournalError, JournalInUse, JournalRemoved
from consumers.journal.files import OWNER_ONLY, sync_directory
from consumers.journal.flushing import Flusher
from consumers.journal.layout import (
    DEFAULT_SEGMENT_BYTES,
    END,
    GAP,
    GRANT_BYTES,
    HEAD_BYTES,
    HEADER_BYTES,
    LENGTH_ROW,
    MARK_ROW,
    MAX_PAYLOAD,
    RING_ENDED,
    SEGMENT_MAGIC,
    SEQUENCE_ROW,
    SPARE_BYTES,
    TIME_ROW,
    VERSION,
    SegmentHeader,
)
from consumers.journal.recovery import Examination, SegmentEnd, cut, examine
from consumers.journal.sealing import Retention, Sealer
from consumers.journal.segment import SegmentFile, header_checksum, list_segments, read_head, segment_path, stored_index
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
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


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
        DiskRefused: the folder cannot be made, or not be written; it can be tried again.
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
        self._last_ns = 0
        self._stage = np.zeros(STAGE_BYTES, np.uint8)
        # Ready before the first batch: a ring's writer waits a tenth of a second for its recorder, then evicts it.
        kernels.pack_frames(self._stage, 0, NOTHING, np.zeros((MARK_ROW, 0), np.int64), 0, 0)
        with self._refusals(0):
            directory.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
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
            DiskRefused: nothing of it counts as written, the call can be repeated.
            JournalRemoved: the segment has no name any more.
            JournalError: a frame does not continue the journal, or is longer than MAX_PAYLOAD.
        """
        if count == 0:
            return
        lengths = table[LENGTH_ROW, :count]
        longest = int(lengths.max())
        if longest > MAX_PAYLOAD:
            raise JournalError(f"{self.ring_name}: expected frames of at most {MAX_PAYLOAD} bytes, found {longest}")
        if self._stage.size < longest + HEAD_BYTES + 8:
            self._stage = np.zeros(longest + HEAD_BYTES + 8, np.uint8)
        need = int(lengths.sum()) + count * (HEAD_BYTES + 8)
        with self._whole(int(table[SEQUENCE_ROW, 0]), need):
            taken = 0
            while taken < count:
                taken, end = kernels.pack_frames(self._stage, 0, buffer, table, taken, count)
                self._write(end)
        self._next += count
        self._last_ns = int(table[TIME_ROW, count - 1])
        self.frames += count

    def append_gap(self, first: int, last: int, reason: Reason) -> None:
        """Record that the frames `first` to `last` are lost.

        Raises:
            DiskRefused, JournalRemoved: as of `append`.
        """
        gap = Gap(first=first, last=last, scope=GapScope.RING_SEQUENCES, reason=reason)
        message = build(Domain.SYSTEM, Source.SUPERVISOR, [gap])
        payload = np.frombuffer(message, np.uint8)
        with self._whole(first, HEAD_BYTES + len(message) + 8):
            # The time of the frame before: publish times are searched, and those behind a loss may be from before it.
            self._write(kernels.pack_record(self._stage, 0, GAP, first, self._last_ns, 0, payload, 0, len(message)))
        self._next = last + 1
        self.lost += last - first + 1

    def close(self, *, ring_ended: bool = False) -> None:
        """Close the segment, seal the complete ones and release the lock.

        `ring_ended` says that the ring will never go on behind what was appended.
        """
        if ring_ended and self._fd < 0 and self._next:
            # What was recorded ended in an earlier segment; this one has only the news.  A full disk leaves it untold.
            with contextlib.suppress(DiskRefused):
                self._open_segment(self._next)
        self._end_segment(RING_ENDED if ring_ended else 0)
        self._flusher.close()
        self._sealer.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _recover(self) -> tuple[int, list[SegmentFile]]:
        """Cut a torn end and close the last segment.  Returns (last ordinal, complete segments to be sealed)."""
        tidy(self.directory)
        segments = list_segments(self.directory)
        while segments and is_blank(segments[-1]):
            log.warning("%(segment)s: removed, a power cut left nothing of it", {"segment": segments[-1].path})
            segments.pop().path.unlink()
        for segment in reversed(segments):
            try:
                self._continue(segment, examine(segment, self.layout_digest))
                break
            except JournalDamaged as error:
                log.warning("%(error)s; recording goes on behind it", {"error": error, **error.place})
        return segments[-1].ordinal if segments else 0, [segment for segment in segments if not segment.packed]

    def _continue(self, last: SegmentFile, found: Examination) -> None:
        """End the last segment that can be read, and go on behind it."""
        if found.ring_name != self.ring_name:
            raise UsageError(f"{self.directory}: expected a journal of ring {self.ring_name}, found {found.ring_name}")
        if found.end is SegmentEnd.TORN:
            torn = {"segment": last.path, "bytes": found.bytes_behind, "position": found.position}
            log.warning("%(segment)s: cut %(bytes)d torn bytes at byte %(position)d", torn)
        if found.end is not SegmentEnd.SEALED:
            cut(last, found.position)
            self._append_end(last, found.next_sequence)
        if found.ring_uuid == self.ring_uuid:
            self._next = found.next_sequence

    def _append_end(self, segment: SegmentFile, next_sequence: int) -> None:
        end = self._pack_end(next_sequence)
        with segment.path.open("ab") as file:
            file.write(self._stage[:end].data)

    def _pack_end(self, next_sequence: int, kind: int = 0) -> int:
        return kernels.pack_record(self._stage, 0, END, next_sequence, time.monotonic_ns(), kind, NOTHING, 0, 0)

    @contextlib.contextmanager
    def _whole(self, sequence: int, need: int) -> Iterator[None]:
        """Make room for `need` bytes, the first record having `sequence`; what is written within counts as a whole."""
        if self._next and sequence != self._next:
            raise JournalError(f"{self.directory}: expected sequence {self._next}, found {sequence}")
        with self._refusals(need):
            if self._fd >= 0 and self._position + need > self.segment_bytes:
                self._end_segment()
            if self._fd < 0:
                self._open_segment(sequence)
            self._grant(self._position + need + SPARE_BYTES)
        begin = self._position
        try:
            with self._refusals(need):
                yield
                if self.fsync is Fsync.BATCH:
                    os.fdatasync(self._fd)
                if os.fstat(self._fd).st_nlink == 0:
                    raise JournalRemoved(f"{segment_path(self.directory, self._ordinal)}: removed while it was written")
        except BaseException:
            self._position = begin
            raise

    @contextlib.contextmanager
    def _refusals(self, need: int) -> Iterator[None]:
        """Turn what the disk refuses within into DiskRefused."""
        try:
            yield
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise DiskRefused(f"{self.directory}: cannot be written ({error.strerror})") from error
            free = "an unknown number"
            with contextlib.suppress(OSError):
                room = os.statvfs(self.directory)
                free = f"{room.f_bavail * room.f_frsize} bytes and {room.f_favail} inodes"
            raise DiskRefused(
                f"{self.directory}: expected room for {need} bytes more, found {free} ({error.strerror})"
            ) from error

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
        fresh.unlink(missing_ok=True)
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, HEADER_BYTES + SPARE_BYTES)
            os.pwrite(fd, replace(header, checksum=header_checksum(header.pack())).pack(), 0)
            if self.fsync is not Fsync.NEVER:
                # Before its name is on the disk, or a power cut could leave a segment without a header.
                os.fdatasync(fd)
            fresh.replace(path)
            if self.fsync is not Fsync.NEVER:
                sync_directory(self.directory)
        except OSError:
            os.close(fd)
            for name in (fresh, path):
                with contextlib.suppress(OSError):
                    name.unlink(missing_ok=True)
            raise
        self._fd, self._ordinal, self._next = fd, ordinal, first_sequence
        self._position, self._granted = HEADER_BYTES, HEADER_BYTES + SPARE_BYTES
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
        raise refused

    def _write(self, size: int) -> None:
        view = self._stage[:size].data
        while view:
            written = os.pwrite(self._fd, view, self._position)
            self._position += written
            view = view[written:]

    def _end_segment(self, kind: int = 0) -> None:
        """Close the current segment with an END record; SPARE_BYTES are its room.

        One that the disk does not let end is complete all the same: the next one begins behind it.
        """
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        segment = SegmentFile(segment_path(self.directory, self._ordinal), self._ordinal, packed=False)
        self._flusher.watch(-1)
        removed = False
        try:
            removed = os.fstat(fd).st_nlink == 0
            end = self._pack_end(self._next, kind)
            os.pwrite(fd, self._stage[:end].data, self._position)
            os.ftruncate(fd, self._position + end)
            if self.fsync is not Fsync.NEVER:
                os.fsync(fd)
        except OSError as error:
            log.warning("%(segment)s could not be ended: %(error)s", {"segment": segment.path, "error": error.strerror})
        finally:
            with contextlib.suppress(OSError):
                os.close(fd)
        if not removed:
            self._sealer.give(segment)


def tidy(directory: Path) -> None:
    """Remove what a kill left: half-made files, raw segments beside their packed form, indexes without a segment."""
    for leftover in directory.glob("*.new"):
        leftover.unlink()
    for segment in list_segments(directory):
        raw = segment_path(directory, segment.ordinal)
        if segment.packed and raw.exists():
            # Its packed form was whole and on the disk before it got its name; if it no longer is, the raw one is.
            (raw if stored_index(segment) else segment.path).unlink()
    raw_ordinals = {segment.ordinal for segment in list_segments(directory) if not segment.packed}
    for path in directory.glob("segment-*.index"):
        if path.stem not in {f"segment-{ordinal:08d}" for ordinal in raw_ordinals}:
            path.unlink()


def is_blank(segment: SegmentFile) -> bool:
    """Whether the header of a raw segment never reached the disk, and so nothing of it did."""
    try:
        return not segment.packed and not any(read_head(segment))
    except JournalDamaged:  # no file at all
        return False
