"""Rows 1 and 8: writers killed in the middle of a publish, and their successors.

Owns the campaigns that kill writers.  It must never kill a process that it did not start.
"""

from __future__ import annotations

import os
import random
import signal
import time
from functools import partial

import numpy as np

from ringbuf import Reader, RingInfo, Status, Writer
from tools.prove.ring.native import TALLY, Checker, SelfCheckingFrames, warm_native
from tools.rig.outcome import Outcome, timed
from tools.rig.processes import fresh_name, kill, reap, shared, spawn, wait_for

SMALLEST_STEP = 64  # `intent` moves with every frame: intent > tail means that a publish was under way
LEAST_INSIDE = 0.3  # of the kills; fewer, and the campaign proves little


def write_until_killed(name: str, marks: np.ndarray, life: int) -> None:
    """Take the ring over, note how long the first frame took, and publish flat out."""
    begin = time.monotonic_ns()
    writer = Writer.open_or_create(name, capacity=1 << 16, reserve=SMALLEST_STEP, no_wake=True)
    source = SelfCheckingFrames(writer)
    source.publish(1)
    marks[life] = time.monotonic_ns() - begin
    while True:
        if life % 2:
            source.publish(200)
        else:
            source.publish_batches(200)


def read_until_closed(name: str, tally: np.ndarray) -> None:
    """Check everything until the ring is closed."""
    checker = Checker(Reader.attach(name, start="oldest"), tally)
    while (status := checker.read()) not in {Status.CLOSED, Status.CORRUPT}:
        if status == Status.EMPTY:
            time.sleep(0.0002)  # two spinning readers would leave no core for the takeovers that are measured


@timed
def prove_kills(kills: int = 1000, seed: int = 1) -> Outcome:
    """Row 1: kill -9 of the writer at random moments, two readers alive throughout."""
    generator = random.Random(seed)
    warm_native()
    tallies, marks = shared(TALLY, 2), shared(np.int64, kills + 1)
    inside = silent = 0
    with fresh_name("kills") as name:
        writer = spawn(lambda: write_until_killed(name, marks, kills))
        wait_for(lambda: marks[kills])
        readers = [spawn(partial(read_until_closed, name, tallies[i : i + 1])) for i in range(2)]
        wait_for(tallies["started_at"].all)
        kill(writer)
        for life in range(kills):
            before = RingInfo.read(name)
            writer = spawn(partial(write_until_killed, name, marks, life))
            while not marks[life]:
                time.sleep(0.0002)
            time.sleep(generator.uniform(0, 0.004))
            kill(writer)
            after = RingInfo.read(name)
            inside += after.intent > after.tail
            silent += after.next_sequence == before.next_sequence
        with Writer.open(name) as last:
            published = last.next_sequence - 1
        codes = [reap(pid) for pid in readers]
    torn, disorder = int(tallies["torn"].sum() + tallies["corrupt"].sum()), int(tallies["out_of_order"].sum())
    exact = all(int(tally["expected"]) == published + 1 for tally in tallies) and all(
        int(tally["delivered"] + tally["lost"]) == published + 1 - int(tally["started_at"]) for tally in tallies
    )
    took = np.sort(marks[:kills].astype(np.float64)) / 1e6
    summary = (
        f"{kills} kills, {inside} inside a publish, {published} frames, {torn} torn, {disorder} out of order, "
        f"delivered + lost {'==' if exact else '!='} published, {int(tallies['epochs'].min())} epochs seen, "
        f"takeover p50 {took[kills // 2]:.1f} p99 {took[kills * 99 // 100]:.1f} ms"
    )
    passed = not (torn or disorder or silent or any(codes)) and exact and inside >= LEAST_INSIDE * kills
    return Outcome(1, "writer killed in mid-publish", passed, summary, seed)


def die_inside_a_long_frame(name: str) -> None:
    """Take the ring over, write a frame that damages the oldest ones, and die before the commit."""
    writer = Writer.open(name)
    with writer.batch() as batch:
        batch.append(bytes(range(256)) * 30)
        os.kill(os.getpid(), signal.SIGKILL)


@timed
def prove_short_restart(rounds: int = 100, seed: int = 1) -> Outcome:
    """Row 8: the dead writer had begun a long frame, the next one publishes a short one in its place."""
    generator = random.Random(seed)
    warm_native()
    delivered = lost = 0
    with fresh_name("restart") as name:
        for _ in range(rounds):
            with Writer.open_or_create(name, capacity=1 << 16, reserve=SMALLEST_STEP) as writer:
                SelfCheckingFrames(writer).publish(1000 + generator.randrange(1000))
            checker = Checker(Reader.attach(name, start="oldest"))  # at the frames that will be damaged
            reap(spawn(partial(die_inside_a_long_frame, name)))
            with Writer.open(name) as writer:
                SelfCheckingFrames(writer).publish(1)
                while checker.read() not in {Status.EMPTY, Status.CORRUPT}:
                    pass
                tally = checker.tally[0]
                if tally["torn"] or tally["corrupt"] or tally["out_of_order"] or checker.reader.lost == 0:
                    summary = f"a reader believed what a dead writer had damaged: {tally}"
                    return Outcome(8, "restart with a shorter frame", False, summary, seed)
                delivered, lost = delivered + int(tally["delivered"]), lost + int(tally["lost"])
            checker.reader.close()
    summary = f"{rounds} restarts, {delivered} frames delivered, {lost} damaged ones reported lost, 0 torn"
    return Outcome(8, "restart with a shorter frame", True, summary, seed)
