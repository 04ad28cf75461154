"""The slots of reliable consumers on the control page: who holds one, and how far its holder has read (I7)."""

from __future__ import annotations

from ringbuf.atomics import fence_seq_cst, load_acquire, store_monotonic, store_release
from ringbuf.layout import JOINED, SLOT_0, SLOT_JOINED, SLOT_PID, SLOT_POSITION, SLOT_STATE, SLOT_WORDS, SLOTS
from tlv.buffers import Words
from tlv.jit import kernel


@kernel
def announce_slot(control: Words, slot: int, position: int) -> None:
    """Protect the frames from `position` on from being overwritten; for the holder of the slot's lock."""
    at = SLOT_0 + slot * SLOT_WORDS
    store_monotonic(control, at + SLOT_POSITION, position)
    store_release(control, at + SLOT_STATE, JOINED)
    # SYNC join: pairs with scan_gate.
    fence_seq_cst()


@kernel
def describe_slot(control: Words, slot: int, pid: int, now_ns: int) -> None:
    """Record the holder's pid and join time; diagnostics only."""
    at = SLOT_0 + slot * SLOT_WORDS
    store_monotonic(control, at + SLOT_PID, pid)
    store_monotonic(control, at + SLOT_JOINED, now_ns)


@kernel
def set_slot(control: Words, slot: int, state: int) -> None:
    """Free or evict a consumer slot."""
    store_release(control, SLOT_0 + slot * SLOT_WORDS + SLOT_STATE, state)


@kernel
def slot_state(control: Words, slot: int) -> int:
    """FREE, JOINED or EVICTED."""
    return load_acquire(control, SLOT_0 + slot * SLOT_WORDS + SLOT_STATE)


@kernel
def blocking_slot(control: Words, limit: int) -> int:
    """The joined slot that is furthest behind `limit`, or -1."""
    found = -1
    for slot in range(SLOTS):
        at = SLOT_0 + slot * SLOT_WORDS
        if load_acquire(control, at + SLOT_STATE) == JOINED:
            position = load_acquire(control, at + SLOT_POSITION)
            if position < limit:
                found, limit = slot, position
    return found
