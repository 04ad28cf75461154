"""Row 7: a ring never has two writers, however they are started.

Owns the campaigns about the writer's lock.  It must never know how the lock works.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from ringbuf import NotOwner, Writer
from ringbuf.names import lock_object
from ringbuf.segment import path_of
from tools.prove.ring.native import warm_native
from tools.rig.outcome import Outcome, timed
from tools.rig.processes import fresh_name, kill, reap, shared, spawn, wait_for

WON, REFUSED = 1, 2


def race_for_it(name: str, start: np.ndarray, verdicts: np.ndarray, me: int) -> None:
    """Wait for the start, try to become the writer, and stay it until all have tried."""
    while not start[0]:
        time.sleep(0.0005)
    try:
        writer = Writer.open(name)
    except NotOwner:
        verdicts[me] = REFUSED
        return
    verdicts[me] = WON
    wait_for(verdicts.all)
    writer.close()


def own_in_a_child(name: str, held: np.ndarray) -> None:
    """Become the writer and publish for ever."""
    with Writer.open(name) as writer:
        while True:
            writer.publish(b"alive")
            held[0] += 1


def count_refusals(name: str, attempts: int) -> int:
    """Try to take over `attempts` times; returns how often that was refused."""
    refused = 0
    for _ in range(attempts):
        try:
            Writer.open(name).close()
        except NotOwner:
            refused += 1
    return refused


def publish_after_fork(writer: Writer, refused: np.ndarray) -> None:
    """In a forked child: note whether its parent's writer, and an attempt of its own to open one, are refused."""
    attempts: tuple[Callable[[], object], ...] = (partial(writer.publish, b"mine?"), partial(Writer.open, writer.name))
    for at, attempt in enumerate(attempts):
        try:
            attempt()
        except NotOwner:
            refused[at] = 1


@timed
def prove_one_writer(starts: int = 100) -> Outcome:
    """Row 7: same process, 100 at once, while the owner is stopped, without the lock object, after a fork."""
    warm_native()
    with fresh_name("owner") as name:
        with Writer.create(name, capacity=1 << 16):
            same_process = count_refusals(name, 10)
        start, verdicts = shared(np.int64, 1), shared(np.int64, starts)
        children = [spawn(partial(race_for_it, name, start, verdicts, i)) for i in range(starts)]
        start[0] = 1
        codes = [reap(pid) for pid in children]
        winners, losers = int((verdicts == WON).sum()), int((verdicts == REFUSED).sum())
        held = shared(np.int64, 1)
        owner = spawn(partial(own_in_a_child, name, held))
        wait_for(held.any)
        os.kill(owner, signal.SIGSTOP)
        stopped = count_refusals(name, 100)
        path_of(lock_object(name)).unlink()
        unlocked = count_refusals(name, 10)
        os.kill(owner, signal.SIGCONT)
        kill(owner)
        refused = shared(np.int64, 2)
        with Writer.open(name) as writer:
            before = writer.publish(b"before")
            reap(spawn(partial(publish_after_fork, writer, refused)))
            after = writer.publish(b"after")
    summary = (
        f"same process {same_process}/10 refused; {starts} starts: {winners} won, {losers} NotOwner; "
        f"owner stopped: {100 - stopped} of 100 takeovers; lock object removed {unlocked}/10 refused; "
        f"forked child refused {int(refused.sum())}/2, parent goes on"
    )
    passed = (same_process, winners, losers, stopped, unlocked, int(refused.sum())) == (10, 1, starts - 1, 100, 10, 2)
    return Outcome(7, "one writer", passed and after == before + 1 and not any(codes), summary)
