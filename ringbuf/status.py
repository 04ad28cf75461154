"""The outcomes of a read or a wait, and the modes of waiting.

Owns the numbers that kernels return.  They are results, not errors: `EMPTY` and `GAP` are ordinary.
"""

from __future__ import annotations

from enum import Enum, IntEnum


class Status(IntEnum):
    """Outcome of a poll or a wait."""

    OK = 0  # frames were delivered, or can be read
    EMPTY = 1  # nothing new
    GAP = 2  # the writer lapped this reader; `Poll.loss` names the lost frames, reading goes on behind them
    NEED = 3  # the next frame is larger than the room given; `Poll.need` says how large
    CLOSED = 4  # the writer closed the ring and everything was read
    WRITER_STALE = 5  # the writer's lock is held, but it has neither published nor sent a heartbeat for a while
    WRITER_DEAD = 6  # the writer's lock is free without a close: it died; another may take over
    EPOCH_CHANGED = 7  # everything of the old writer was delivered; what follows is the next writer's
    ORPHANED = 8  # the ring's name is gone or names another ring: attach again
    CORRUPT = 9  # bytes that no writer writes; the reader does not move


class Wait(Enum):
    """How a reader waits until something can be read, from fastest to cheapest."""

    SPIN = "spin"  # a core of its own
    YIELD = "yield"  # a core, when no other thread is ready to run on it
    BACKOFF = "backoff"  # spin, then yield, then sleep
    FUTEX = "futex"  # sleep at once


OK = int(Status.OK)
EMPTY = int(Status.EMPTY)
GAP = int(Status.GAP)
NEED = int(Status.NEED)
CLOSED = int(Status.CLOSED)
EPOCH_CHANGED = int(Status.EPOCH_CHANGED)
CORRUPT = int(Status.CORRUPT)

# What `append` and `publish` return instead of a sequence (which is >= 1).
TOO_LONG = -1  # the payload exceeds max_payload; or the writer is closed
FULL = -2  # a reliable consumer has not yet read what this frame would overwrite
BATCH_FULL = -3  # the batch would exceed its share of the ring
