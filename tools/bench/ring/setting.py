"""What the ring's benchmarks run on: pinned processes, a ring for each reading, a peer process.

Owns how processes of a reading are started, pinned and ended.  It must never know what is measured.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

import numpy as np

from ringbuf import Writer
from tools.bench.processes import SPAWN

PAYLOAD = np.arange(128, dtype=np.uint8)
CAPACITY = 1 << 22
"""Fits a second-level cache with its reader's buffer: the transport is measured, not the memory."""


def cores() -> list[int]:
    """The cores this process may use."""
    return sorted(os.sched_getaffinity(0))


def pin(place: int) -> None:
    """Keep this process on one core; does nothing if there are not enough, or if it is refused.

    A peer is started before this process pins itself: it inherits what is allowed.
    """
    allowed = cores()
    if place < len(allowed):
        with suppress(OSError):
            os.sched_setaffinity(0, {allowed[place]})


@contextmanager
def pinned(place: int) -> Iterator[None]:
    """The same for a block."""
    before = os.sched_getaffinity(0)
    pin(place)
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setaffinity(0, before)


@contextmanager
def ring(*, capacity: int = CAPACITY, no_wake: bool = True) -> Iterator[Writer]:
    """A ring for one reading, gone afterwards."""
    writer = Writer.create(f"bench.{os.getpid()}.{secrets.token_hex(4)}", capacity=capacity, no_wake=no_wake)
    try:
        yield writer
    finally:
        writer.close(unlink=True)


@contextmanager
def peer(target: Callable[..., None], *arguments: object) -> Iterator[Connection]:
    """A process that runs `target(connection, ...)`; its first message, that it is ready, has come when this yields."""
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        ours.recv()
        yield ours
    finally:
        ours.close()
        process.join(10)
        if process.is_alive():
            process.kill()
