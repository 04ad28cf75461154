"""From the end of a ring's writer, ended or killed, to the first frame of the next one.

Owns the rows: a standby beside the writer; the baseline is a collector that is started when the writer has ended, as a
supervisor does.  The ring is full of real events, whose reading is what a takeover does; no node listens, as the first
frame waits for none.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

from ringbuf import Reader, RingInfo
from tlv.layout import LAYOUT_DIGEST
from tlv.units import MS
from tools.bench.collector.load import event_blocks, served
from tools.bench.result import BenchResult
from tools.rig.processes import fresh_name

EVENTS = 60_000
"""Fill a ring of 16 MiB."""
ROUNDS = 3
ENDS = {signal.SIGTERM: "ended (SIGTERM)", signal.SIGKILL: "killed"}
TARGET_MS = 500.0
NOBODY = "ws://127.0.0.1:9"
BASELINE = "a collector started then"
SAMPLE_S = 0.01


def run(seconds: float) -> list[BenchResult]:
    """The rows; a bench of less than a second has fewer events in its ring, and fewer rounds."""
    share = min(seconds, 1.0)
    rounds = max(int(ROUNDS * share), 1)
    with fresh_name("handover") as ring:
        fill(ring, max(int(EVENTS * share), 1000))
        rows = []
        for number, how in ENDS.items():
            took = {
                early: median(hand_over(ring, number, early=early) for _ in range(rounds)) for early in (True, False)
            }
            name = f"collector, hand-over: writer {how} to the standby's first frame"
            note = f"a ring of {RingInfo.read(ring).next_sequence - 1:,} frames; median of {rounds}"
            ratio = took[False] / took[True]
            rows.append(BenchResult(name, took[True], "ms", BASELINE, took[False], ratio, TARGET_MS, note))
    return rows


def hand_over(ring: str, number: signal.Signals, *, early: bool) -> float:
    """Milliseconds from the signal to the first frame of the next writer, which stands by if it is `early`."""
    with ExitStack() as stack:
        writer = stack.enter_context(collecting(ring, NOBODY))
        reader = stack.enter_context(Reader.attach(ring, layout_digest=LAYOUT_DIGEST))
        epoch = RingInfo.read(ring).epoch
        if early:
            stack.enter_context(collecting(ring, NOBODY, "--standby"))
        began_ns = time.monotonic_ns()
        writer.send_signal(number)
        if not early:
            writer.wait()
            stack.enter_context(collecting(ring, NOBODY))
        published: dict[int, int] = {}
        while True:
            published |= {frame.sequence: frame.publish_time_ns for frame in reader.poll()}
            now = RingInfo.read(ring)
            if now.epoch > epoch and now.epoch_sequence in published:
                return (published[now.epoch_sequence] - began_ns) / MS
            time.sleep(SAMPLE_S)


def fill(ring: str, events: int) -> None:
    """Put so many events into a ring, and end."""
    with served(event_blocks, events) as url, collecting(ring, url, "--until-idle", "0.5") as collector:
        collector.wait()


@contextmanager
def collecting(ring: str, url: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A collector's process, from its first line on."""
    command = ["collect", "--json", "--ring", ring, "--url", url, "--pool-cache", "none", *options]
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.command.main", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
    finally:
        process.terminate()
        process.communicate()
