"""`alphapulse collect --standby`: wait, ready, until nobody writes the ring.

Owns the looking and what is said meanwhile; `producers.standby` decides.  What a start would refuse is refused before
the wait, while the other collector still works: another layout, another chain, a filter that cannot be read.
"""

from __future__ import annotations

import signal
import sys
import time
from contextlib import closing

import click
import msgspec

from producers.collector import CollectorOptions, check_start
from producers.standby import LOOK_NS, Standby, StandbyCounts
from ringbuf import RingInfo, WriterWatch
from tlv.errors import SegmentError
from tlv.units import NS
from tools.command.counting import counters_beside
from tools.command.interrupt import Interrupt


def stand_by(options: CollectorOptions, counts: StandbyCounts, *, as_json: bool) -> bool:
    """Wait until nobody writes the ring; False if told to end before that.

    Raises:
        UsageError, FeedError, SegmentError: what a start would refuse.
    """
    check_start(options)
    with Interrupt() as asked, closing(WriterWatch(options.ring)) as watch:
        for number in (signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)  # sent to every collector; the filter's file is read at the takeover
        begun = not watch.has_writer() or _wait(options, counts, watch, asked, as_json=as_json)
    # Until the collector listens for it: the ring is closed then, not left as of a dead writer.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return begun


def _wait(
    options: CollectorOptions, counts: StandbyCounts, watch: WriterWatch, asked: Interrupt, *, as_json: bool
) -> bool:
    standby = Standby()
    counts.writer_pid = writer_of(options.ring)
    say(options, counts, as_json=as_json)
    with counters_beside(StandbyCounts, options.ring, "standby") as shared:
        while not asked():
            written = watch.has_writer()
            counts.looks += 1
            if standby.may_begin(time.monotonic_ns(), written=written, lost_name=watch.lost_name):
                return True
            if shared is not None and shared.due:
                counts.writer_pid = writer_of(options.ring)
                shared.put(counts)
            time.sleep(LOOK_NS / NS)
    return False


def writer_of(ring: str) -> int:
    """Pid of the ring's writer; 0 where the ring does not say."""
    try:
        return RingInfo.read(ring).writer_pid
    except SegmentError:  # it is being made, or has lost its name
        return 0


def say(options: CollectorOptions, counts: StandbyCounts, *, as_json: bool) -> None:
    """The line that tells what is waited for."""
    ring, chain, pid = options.ring, options.chain.name, counts.writer_pid
    if as_json:
        click.echo(msgspec.json.encode({"standby": True, "ring": ring, "chain": chain, "writer_pid": pid}))
    else:
        click.echo(f"standby for ring {ring} ({chain}): ready, and waiting for its writer (pid {pid}) to end")
    sys.stdout.flush()
