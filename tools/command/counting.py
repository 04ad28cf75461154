"""The shared counters of a command's process, for as long as it works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ringbuf import SharedCounters
from tlv.errors import SegmentError
from tools.command.stderr_log import complain


@contextmanager
def counters_beside(record: type, ring: str, role: str) -> Iterator[SharedCounters | None]:
    """Counters of `record` beside `ring`; None, said on stderr, where shared memory refuses them: nothing stops for
    want of being counted."""
    try:
        shared = SharedCounters.create(record, ring, role)
    except SegmentError as error:
        complain(role, f"{error}; working without shared counters", ring=ring)
        yield None
        return
    try:
        yield shared
    finally:
        shared.close()
