"""Rows 36 and 37, the ring's part: many cold starts at once, and signals in every wait.

Owns the campaigns about the process that uses a ring.  It must never touch the user's kernel cache.
"""

from __future__ import annotations

import gc
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from ringbuf import Reader, RingInfo, Wait, Writer
from tools.prove.ring.native import SelfCheckingFrames, warm_native
from tools.rig.outcome import Outcome, timed
from tools.rig.processes import fresh_name, reap_within, shared, spawn, wait_for

SMALL = 1 << 16
SIGNALS = (signal.SIGTERM, signal.SIGINT)
HUNG_S = 30.0  # a hundred times the promise, since the machine may do other work
ROOT = Path(__file__).parents[3]
COLD_STARTS = """
import os, sys
import numba
numba.njit("i8(i8)")(lambda n: n)
for left in range(int(sys.argv[1]), 0, -1):
    if os.fork() == 0:
        break
    if left == 1:
        sys.exit(any([os.wait()[1] for _ in range(int(sys.argv[1]))]))
import numpy as np
from ringbuf.kernels import get_word, put_word, record_bytes
from tlv.buffers import byte_at
from tlv.wide import compare_wide
words = np.zeros(8, dtype=np.int64)
put_word(words, 1, record_bytes(100))
byte, order = byte_at(np.full(1, 200, np.uint8), 0), compare_wide(np.zeros(4, "u8"), np.ones(4, "u8"))
os.write(1, f"{get_word(words, 1)} {byte} {order}\\n".encode())
"""
COLD_ANSWER = "192 200 -1"
"""Small kernels: it is their cache files that can clash.  The import of numba and its first compilation, most of a
start, are made once, before the forks: all begin at the same moment."""
OLD_CACHES = 3


def lay_old_caches(folder: Path) -> None:
    """Make old caches, which every start removes, all at the same moment."""
    for i in range(OLD_CACHES):
        cache = folder / "alphapulse" / f"kernels-old{i}"
        cache.mkdir(parents=True)
        (cache / "index").write_bytes(b"of other sources")
        os.utime(cache, (0, 0))
    (folder / "alphapulse").chmod(0o700)


@timed
def prove_cold_starts(processes: int, rounds: int) -> Outcome:
    """Row 36: many processes compile into one empty cache at once, and remove the same old ones."""
    failures = []
    left = 0
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            lay_old_caches(Path(cache))
            environment = {**os.environ, "XDG_CACHE_HOME": cache, "PYTHONPATH": str(ROOT)}
            environment.pop("NUMBA_DISABLE_JIT", None)
            command = [sys.executable, "-c", COLD_STARTS, str(processes)]
            ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if ran.returncode or ran.stdout.splitlines() != [COLD_ANSWER] * processes:
                failures.append((ran.stderr.strip().splitlines() or [ran.stdout])[-1])
            left += len(list(Path(cache).glob("alphapulse/kernels-*"))) - 1
    summary = (
        f"{processes} processes x {rounds} cold starts, {len(failures)} failures {failures[:1] or ''}, "
        f"{left} of {OLD_CACHES * rounds} old caches left"
    )
    return Outcome(36, "kernel cache", not failures and not left, summary)


def end_by_interrupt() -> None:
    """Let both signals raise KeyboardInterrupt; a shell starts background processes with SIGINT ignored.

    Python drops an exception that is raised while a destructor runs, and the garbage of the compiler has destructors.
    """
    gc.disable()
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler)


def wait_in(name: str, mode: Wait, busy: np.ndarray) -> None:
    """Read, waiting in one mode, until interrupted; a KeyboardInterrupt is how it ends."""
    end_by_interrupt()
    reader = Reader.attach(name)
    try:
        while True:
            busy[0] += 1
            reader.poll()
            reader.wait(mode=mode)
    except KeyboardInterrupt:
        reader.close()


def write_until_interrupted(name: str, busy: np.ndarray) -> None:
    """Publish at full rate until interrupted, then close the ring."""
    end_by_interrupt()
    with Writer.open(name) as writer:
        source = SelfCheckingFrames(writer)
        try:
            while True:
                busy[0] += 1
                source.publish_batches(2000)  # batches wake sleepers
        except KeyboardInterrupt:
            writer.close()


@timed
def prove_signals_are_served(rounds: int = 5) -> Outcome:
    """Row 37: SIGTERM and Ctrl-C in every wait mode, idle and beside a writer at full rate, and in that writer."""
    warm_native()
    took: list[float] = []
    codes: list[int] = []
    closed = expected = 0
    for round_ in range(rounds):
        at_full_rate = round_ % 2 == 1
        for number, mode in itertools.product(SIGNALS, Wait):
            with fresh_name("signals") as name:
                idle = Writer.create(name, capacity=SMALL)
                busy = shared(np.int64, 2)
                if at_full_rate:
                    idle.close()
                reader = spawn(partial(wait_in, name, mode, busy))
                if at_full_rate:
                    writer = spawn(partial(write_until_interrupted, name, busy[1:]))
                wait_for(busy.all if at_full_rate else busy.any)
                time.sleep(0.01)
                took.append(interrupt(reader, number, codes))
                if at_full_rate:
                    took.append(interrupt(writer, number, codes))
                    closed += RingInfo.read(name).closed
                    expected += 1
                idle.close()
    times = np.sort(took) * 1e3
    summary = (
        f"{len(took)} signals in {len(Wait)} wait modes, idle and at full rate, and while publishing: "
        f"exit p50 {times[len(times) // 2]:.1f} ms, p99 {times[len(times) * 99 // 100]:.0f} ms, "
        f"{closed}/{expected} rings marked closed"
    )
    return Outcome(37, "signals", not any(codes) and closed == expected, summary)


def interrupt(pid: int, number: int, codes: list[int]) -> float:
    """Send a signal and wait for the end, but not for ever; returns how long that took, in seconds."""
    begin = time.monotonic()
    os.kill(pid, number)
    codes.append(reap_within(pid, HUNG_S))
    return time.monotonic() - begin
