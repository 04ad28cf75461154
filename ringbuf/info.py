"""The state of a ring as `ringstat` shows it, and the removal of rings.

Owns the read-only view of header and control page.  It must never change a ring that has a writer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from ringbuf.counters import remove_dead_counters
from ringbuf.errors import NotOwner, RingNotFound, RingNotReady, UnsafeSegment
from ringbuf.identity import Identity
from ringbuf.layout import CLOSED, CONTROL, EVICTED, FREE, HEADER, HEADER_BYTES, SLOTS
from ringbuf.locks import FIRST_SLOT_BYTE, WRITER_BYTE, RingLock
from ringbuf.names import list_remains, list_rings, lock_object
from ringbuf.ring import claim, copy_page, open_ring, unlink_ring
from tlv.errors import SegmentError
from tlv.units import NS

COUNTERS = ("pads", "batches", "rejects", "wakes", "back_pressure", "dropped", "evictions", "recoveries")
"""Words of the header that count."""


@dataclass(frozen=True)
class SlotInfo:
    """A reliable consumer's slot that is not free."""

    slot: int
    pid: int
    alive: bool  # its kernel lock is held
    evicted: bool
    position: int
    lag_bytes: int


@dataclass(frozen=True)
class RingInfo:
    """A ring at one moment (each value whole, but not all of the very same instant)."""

    identity: Identity
    tail: int
    next_sequence: int
    intent: int
    gate: int
    key_position: int
    epoch: int
    epoch_sequence: int
    closed: bool
    writer_alive: bool  # its lock is held
    writer_pid: int  # diagnostics only
    publish_age_s: float  # since the last publish
    heartbeat_age_s: float  # since the last publish or heartbeat
    counters: dict[str, int]  # frames and bytes (with their descriptors and padding), and COUNTERS
    slots: tuple[SlotInfo, ...]

    @property
    def name(self) -> str:
        """The ring's name."""
        return self.identity.name

    @classmethod
    def read(cls, name: str) -> RingInfo:
        """Look at ring `name`.

        Raises:
            RingNotFound, RingNotReady, BadSegment, UnsafeSegment: see `ringbuf.errors`.
        """
        ring = open_ring(name, writable=False)
        try:
            lock = RingLock(lock_object(name))
        except BaseException:
            ring.close()
            raise
        try:
            header = copy_page(ring.words, HEADER_BYTES).view(HEADER)[0]
            control = copy_page(ring.control, CONTROL.itemsize).view(CONTROL)[0]
            tail = int(header["tail"])
            commits = {int(record["tail"]): int(record["next_sequence"]) for record in header["commit"]}
            next_sequence = commits.get(tail, max(commits.values()))
            now = time.monotonic_ns()
            slots = tuple(
                SlotInfo(
                    slot=i,
                    pid=int(slot["pid"]),
                    alive=lock.is_held(FIRST_SLOT_BYTE + i),
                    evicted=int(slot["state"]) == EVICTED,
                    position=int(slot["position"]),
                    lag_bytes=max(tail - int(slot["position"]), 0),
                )
                for i, slot in enumerate(control["slots"])
                if int(slot["state"]) != FREE
            )
            return cls(
                identity=ring.identity,
                tail=tail,
                next_sequence=next_sequence,
                intent=int(header["intent"]),
                gate=int(header["gate"]),
                key_position=int(header["key_position"]),
                epoch=int(header["epoch"]),
                epoch_sequence=int(header["epoch_sequence"]),
                closed=int(header["state"]) == CLOSED,
                writer_alive=lock.is_held(WRITER_BYTE),
                writer_pid=int(header["pid"]),
                publish_age_s=(now - int(header["publish_ns"])) / NS if header["publish_ns"] else float("inf"),
                heartbeat_age_s=(now - max(int(header["publish_ns"]), int(header["heartbeat_ns"]))) / NS,
                counters={"frames": next_sequence - 1, "bytes": tail} | {name: int(header[name]) for name in COUNTERS},
                slots=slots,
            )
        finally:
            lock.close()
            ring.close()


def unlink(name: str) -> None:
    """Remove ring `name`, and the counters beside it whose processes have ended; its readers get the status ORPHANED.

    Raises:
        NotOwner: it has a living writer.
        RingNotFound: there is none.
    """
    if name not in list_rings() and name not in list_remains():
        raise RingNotFound(f"no ring {name!r} to unlink")
    lock = claim(name)
    try:
        unlink_ring(name)
    finally:
        lock.close()
    remove_dead_counters(f"{name}-")


def is_finished(name: str) -> bool:
    """Whether the creation of ring `name` was finished, also if another build made it or it is damaged since."""
    try:
        open_ring(name, writable=False).close()
    except (RingNotFound, RingNotReady):
        return False
    except SegmentError:
        return True
    return True


def collect_garbage(*, closed: bool = False, prefix: str = "") -> list[str]:
    """Remove rings whose creation or unlinking was not finished, and with `closed` all that have no living writer; and
    the counters of processes that have ended.

    Only those whose name begins with `prefix`.  Returns the names of the rings removed.
    """
    unfinished = [name for name in list_rings() if name.startswith(prefix) and (closed or not is_finished(name))]
    removed = []
    for name in unfinished + [name for name in list_remains() if name.startswith(prefix)]:
        try:
            unlink(name)
        except (NotOwner, RingNotFound, UnsafeSegment):
            continue  # another process is creating it, has removed it already, or another user put it there
        removed.append(name)
    remove_dead_counters(prefix)
    return removed


assert SLOTS <= FIRST_SLOT_BYTE
