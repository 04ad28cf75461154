"""Rows 9 and 10: readers that die, stop or sleep.

Owns the campaigns about waiting.  It must never know how a sleeper is woken.
"""

from __future__ import annotations

import os
import signal
import time
from functools import partial

import numpy as np

from ringbuf import Reader, RingInfo, Status, Wait, Writer
from tools.prove.ring.native import SelfCheckingFrames, publish_to_sleepers, sleep_and_count, warm_native
from tools.rig.outcome import Outcome, timed
from tools.rig.processes import fresh_name, kill, reap, shared, spawn, wait_for


def sleep_until_killed(name: str, asleep: np.ndarray) -> None:
    """Wait in the futex for ever."""
    reader = Reader.attach(name)
    asleep[0] += 1
    while True:
        reader.wait(mode=Wait.FUTEX)
        reader.poll()


@timed
def prove_dead_readers_harm_nobody(kills: int = 1000) -> Outcome:
    """Row 9: waiters killed in their sleep, readers stopped: the writer goes on, and makes no needless wake-up."""
    warm_native()
    asleep = shared(np.int64, 1)
    with fresh_name("sleepers") as name, Writer.create(name, capacity=1 << 16) as writer:
        for i in range(kills):
            pid = spawn(partial(sleep_until_killed, name, asleep))
            wait_for(lambda i=i: asleep[0] > i)  # type: ignore[misc]
            if i % 2:
                time.sleep(0.0005)
            kill(pid)
            writer.publish(b"anybody?")
        before = RingInfo.read(name).counters["wakes"]
        for _ in range(1000):
            writer.publish(b"nobody")
        needless = RingInfo.read(name).counters["wakes"] - before
        stopped = spawn(partial(sleep_until_killed, name, asleep))
        wait_for(lambda: asleep[0] > kills)
        os.kill(stopped, signal.SIGSTOP)
        published = SelfCheckingFrames(writer).publish(100_000)
        os.kill(stopped, signal.SIGCONT)
        kill(stopped)
        alive = Reader.attach(name, start="oldest").poll().status is Status.OK
    summary = (
        f"{kills} waiters killed, then {needless} needless wakes in 1000 publishes; "
        f"{published} frames published past a stopped reader"
    )
    return Outcome(9, "dead and stopped readers", needless <= 1 and published == 100_000 and alive, summary)


def sleep_through(name: str, flags: np.ndarray, late: np.ndarray, me: int, until: int) -> None:
    """Sleep between any two frames, and count the sleeps that timed out."""
    reader = Reader.attach(name, start="oldest")
    arguments = (reader.words, reader.control, reader.state, reader.out, reader.index)
    late[me] = sleep_and_count(*arguments, flags, me, until)


@timed
def prove_no_wakeup_is_lost(wakes: int = 100_000, readers: int = 2) -> Outcome:
    """Row 10: publish only when all readers are about to sleep; their time-out of 10 s is never hit."""
    warm_native()
    flags, late = shared(np.int64, readers), shared(np.int64, readers)
    with fresh_name("wakes") as name, Writer.create(name, capacity=1 << 16) as writer:
        source = SelfCheckingFrames(writer)
        children = [spawn(partial(sleep_through, name, flags, late, i, wakes)) for i in range(readers)]
        done = 0
        while done < wakes:
            arguments = (writer.words, writer.control, writer.state, source.buffer, flags, readers, wakes - done)
            done += publish_to_sleepers(*arguments)
        codes = [reap(pid) for pid in children]
        rings = RingInfo.read(name).counters["wakes"]
    summary = f"{wakes} publishes to {readers} sleepers, {rings} futex wakes, {int(late.sum())} time-outs hit"
    return Outcome(10, "no lost wake-up", not late.any() and not any(codes), summary)
