"""How a writer takes a ring over and how it closes it (I5, I6)."""

from __future__ import annotations

from ringbuf.atomics import (
    futex_wake,
    load_acquire,
    load_monotonic,
    store_monotonic,
    store_release,
)
from ringbuf.layout import (
    ALIGNMENT,
    ALIVE,
    BATCHES,
    COMMIT_0,
    COMMIT_LATEST,
    COMMIT_SEQUENCE,
    COMMIT_TAIL,
    COMMIT_WORDS,
    EPOCH,
    EPOCH_POSITION,
    EPOCH_SEQUENCE,
    HEARTBEAT,
    INTENT,
    PADS,
    PID,
    STATE,
    TAIL,
    WAKE,
    WAKES,
)
from ringbuf.status import CORRUPT, OK
from tlv.buffers import State, Words
from tlv.jit import kernel


@kernel
def take_over(words: Words, writer: State, now_ns: int, pid: int) -> int:
    """Continue at the last writer's `tail`: a new epoch begins there, `intent` is kept (I2, I5, I6).

    The caller holds the writer's lock, so nobody else writes.  Returns OK, or CORRUPT if no commit record fits.
    """
    me = writer[0]
    tail, intent = load_acquire(words, TAIL), load_acquire(words, INTENT)
    # SYNC record: pairs with commit; wherever the dead writer stopped, one of the two belongs to its tail.
    turn = 0 if load_acquire(words, COMMIT_0 + COMMIT_TAIL) == tail else 1
    at = COMMIT_0 + turn * COMMIT_WORDS
    if load_acquire(words, at + COMMIT_TAIL) != tail or tail < 0 or tail & (ALIGNMENT - 1) or intent < tail:
        return CORRUPT
    sequence = load_monotonic(words, at + COMMIT_SEQUENCE)
    if not 0 < sequence <= tail // ALIGNMENT + 1:
        return CORRUPT
    me["tail"] = me["head"] = tail
    me["sequence"] = me["committed"] = sequence
    me["intent"] = intent
    me["gate"] = 0
    me["latest"] = load_monotonic(words, at + COMMIT_LATEST)
    me["key"] = me["region"] = -1
    me["turn"] = 1 - turn
    me["wake_sequence"] = load_monotonic(words, WAKE)
    me["pads"] = load_monotonic(words, PADS)
    me["batches"] = load_monotonic(words, BATCHES)
    me["wakes"] = load_monotonic(words, WAKES)
    store_monotonic(words, HEARTBEAT, now_ns)
    store_monotonic(words, PID, pid)
    store_monotonic(words, STATE, ALIVE)
    store_monotonic(words, EPOCH_POSITION, tail)
    store_monotonic(words, EPOCH_SEQUENCE, sequence)
    # SYNC epoch: pairs with readable and idle_status.
    store_release(words, EPOCH, load_monotonic(words, EPOCH) + 1)
    return OK


@kernel
def set_state(words: Words, writer: State, state: int) -> None:
    """Mark the ring as alive or closed, and wake all sleepers."""
    me = writer[0]
    # SYNC state: pairs with idle_status; whoever loads this state sees everything that was published before.
    store_release(words, STATE, state)
    me["wake_sequence"] += 1
    store_release(words, WAKE, me["wake_sequence"])
    futex_wake(words, WAKE)
