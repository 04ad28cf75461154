"""Waiting for the next commit, and waking those who sleep (I8)."""

from __future__ import annotations

from ringbuf.atomics import (
    fence_seq_cst,
    fetch_max,
    futex_wait,
    futex_wake,
    load_acquire,
    load_monotonic,
    monotonic_ns,
    pause,
    store_monotonic,
    store_release,
    yield_core,
)
from ringbuf.layout import TAIL, TICKET, WAKE, WAKES
from tlv.buffers import State, Words
from tlv.jit import inline_kernel, kernel

TURNS_BETWEEN_CLOCKS = 32


@kernel
def spin(words: Words, reader: State, until_ns: int) -> int:
    """Watch `tail` until `until_ns` of CLOCK_MONOTONIC; returns 1 as soon as there is something to read."""
    position = reader[0]["position"]
    while True:
        for _ in range(TURNS_BETWEEN_CLOCKS):
            if load_acquire(words, TAIL) != position:
                return 1
            pause()
        if monotonic_ns() >= until_ns:
            return 0


@kernel
def spin_yielding(words: Words, reader: State, until_ns: int) -> int:
    """`spin` that yields the core after each load."""
    position = reader[0]["position"]
    while True:
        if load_acquire(words, TAIL) != position:
            return 1
        if monotonic_ns() >= until_ns:
            return 0
        yield_core()


@kernel
def sleep_on(words: Words, control: Words, reader: State, timeout_ns: int) -> int:
    """Sleep until a commit, a signal or the end of `timeout_ns`; returns 1 if there is something to read."""
    position = reader[0]["position"]
    seen = load_acquire(words, WAKE)
    fetch_max(control, TICKET, seen + 1)
    # SYNC ticket: pairs with wake (I8).
    fence_seq_cst()
    if load_acquire(words, TAIL) == position:
        futex_wait(words, WAKE, seen, timeout_ns)
    return 1 if load_acquire(words, TAIL) != position else 0


@inline_kernel
def wake(words: Words, control: Words, writer: State) -> int:
    """Wake the sleepers, if any; returns 1 if there were."""
    me = writer[0]
    # SYNC ticket: pairs with sleep_on; either this load sees the ticket, or the sleeper sees the new tail (I8).
    fence_seq_cst()
    if load_monotonic(control, TICKET) <= me["wake_sequence"]:
        return 0
    me["wake_sequence"] += 1
    store_release(words, WAKE, me["wake_sequence"])
    futex_wake(words, WAKE)
    me["wakes"] += 1
    store_monotonic(words, WAKES, me["wakes"])
    return 1
