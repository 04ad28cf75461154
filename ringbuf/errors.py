"""The errors of a ring.

    SegmentError (tlv.errors)
    |-- RingNotFound        no ring of that name
    |-- RingNotReady        its creation is not finished, or its creator died before it was, or the machine was rebooted
    |-- AlreadyExists       create() found a ring of that name
    |-- NotOwner            another process (or, after a fork, the parent) is the writer
    |-- NoSharedMemory      /dev/shm is missing, or cannot be written
    |-- NoSpace             /dev/shm cannot hold it
    |-- UnsafeSegment       not ours: another user's, no regular file, a mode that lets others in
    |-- BadSegment          ours, but not a ring of this build: magic, version, size, digest, checksum
    |-- RingClosed          this end was closed
    |-- RingFull            a reliable consumer held the ring for too long (policy RAISE)
    |-- NoFreeSlot          all consumer slots are taken
    |-- CorruptRing         an iterator met bytes that no writer writes
    `-- RingOrphaned        an iterator's ring was unlinked or replaced
    UsageError (tlv.errors)
    |-- BadRingName         not a ring name
    |-- BadGeometry         capacity, frame size or reserve that do not fit together
    |-- FrameTooLong        a payload over max_payload
    `-- BatchTooLarge       a batch over its share of the ring

Outcomes that are no error are `Status`.
"""

from __future__ import annotations

from tlv.errors import SegmentError, UsageError


class RingNotFound(SegmentError):
    """There is no ring of that name."""


class RingNotReady(SegmentError):
    """The ring is being created, its creator died before it finished, or it is of before the last reboot; the next
    `create` starts over."""


class AlreadyExists(SegmentError):
    """`create` found a ring of that name."""


class NotOwner(SegmentError):
    """The writer's lock is held by somebody else, or was left with the parent of a forked process."""


class NoSharedMemory(SegmentError):
    """The file system of shared memory is missing, or cannot be written."""


class NoSpace(SegmentError):
    """The file system of shared memory is full."""


class UnsafeSegment(SegmentError):
    """Something of that name exists that another user could have put there."""


class BadSegment(SegmentError):
    """The segment is ours, but no ring that this build can read."""


class RingClosed(SegmentError):
    """This writer or reader was closed."""


class RingFull(SegmentError):
    """A reliable consumer did not make room in time, and the policy is to raise."""


class NoFreeSlot(SegmentError):
    """Every consumer slot of the ring is held by a living process."""


class CorruptRing(SegmentError):
    """The ring holds bytes that no writer writes."""


class RingOrphaned(SegmentError):
    """The ring's name is gone or names another ring by now."""


class BadRingName(UsageError):
    """A ring name is 1 to 63 of a-z, 0-9, dot, underscore and dash, and starts with a letter."""


class BadGeometry(UsageError):
    """Capacity, frame size and reserve do not fit together."""


class FrameTooLong(UsageError):
    """A payload exceeds what this ring carries in one frame."""


class BatchTooLarge(UsageError):
    """A batch exceeds its share of the ring."""
