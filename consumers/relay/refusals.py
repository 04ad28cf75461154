"""Which Farewells are final: the one table that relay and client decide by, and that `RELAY.md` repeats.

A final refusal says that the same hello is refused again; a client raises it.  Everything else passes by itself, and a
client comes again after a pause.  A reason that this table does not know counts as temporary: a client that comes again
in vain costs little, one that gave up for a passing reason misses everything.
"""

from __future__ import annotations

import errno
from typing import NamedTuple

from tlv.codes import FarewellReason


class FarewellMeaning(NamedTuple):
    """What a client may make of a Farewell."""

    final: bool
    meaning: str


REFUSALS = {
    FarewellReason.SHUTTING_DOWN: FarewellMeaning(False, "the relay was told to stop"),
    FarewellReason.TOO_SLOW: FarewellMeaning(False, "nothing was read for too long"),
    FarewellReason.BAD_HELLO: FarewellMeaning(True, "the first message is no Subscribe, or is a wrong one"),
    FarewellReason.HELLO_TIMEOUT: FarewellMeaning(False, "the Subscribe did not come in time"),
    FarewellReason.LAYOUT_DIFFERS: FarewellMeaning(True, "client and relay have different layouts"),
    FarewellReason.NAME_IN_USE: FarewellMeaning(False, "another connection holds the name; it may be about to end"),
    FarewellReason.NAME_REFUSED: FarewellMeaning(True, "no name, where one is needed, or one with other characters"),
    FarewellReason.SEQUENCE_IN_FUTURE: FarewellMeaning(True, "a sequence asked for or acknowledged is yet to come"),
    FarewellReason.TOO_MANY_CLIENTS: FarewellMeaning(False, "the relay serves as many clients as it may"),
    FarewellReason.BAD_MESSAGE: FarewellMeaning(True, "bytes that are no message"),
    FarewellReason.RING_UNREADABLE: FarewellMeaning(False, "ring or journal cannot be read now"),
    FarewellReason.NO_RESOURCES: FarewellMeaning(False, "the relay lacks descriptors, memory or disk now"),
    FarewellReason.CURSOR_REFUSED: FarewellMeaning(True, "the name's file cannot be opened, and stays so"),
}

PASSING = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.EDQUOT,
        errno.EINTR,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOLCK,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.EROFS,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)
"""What a system call fails with for a lack that passes: descriptors, memory, locks, disk."""


def is_final(reason: int) -> bool:
    """Whether a client that was refused for `reason` must not come again with the same hello."""
    return any(refusal.final for known, refusal in REFUSALS.items() if known == reason)


def passes(error: OSError | MemoryError) -> bool:
    """Whether the same call may succeed later without anybody's help."""
    return isinstance(error, MemoryError) or error.errno in PASSING


def number_of(error: OSError | MemoryError) -> int:
    """The errno of a lack, as a Farewell carries it."""
    return errno.ENOMEM if isinstance(error, MemoryError) else error.errno or 0
