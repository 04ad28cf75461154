"""`alphapulse collect --standby`: wait, ready, until nobody writes the ring.

Owns the looking and what is said meanwhile; `producers.standby` decides.  What a start would refuse is refused before
the wait, while the other collector still works: another layout, another chain, a filter that cannot be read.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from contextlib import closing

import click
import msgspec

from producers.collector import CollectorOptions, check_start
from producers.ring_reading import RingReading
from producers.standby import LOOK_NS, Standby, StandbyCounts
from ringbuf import RingInfo, RingNotFound, RingNotReady, WriterWatch
from tlv.errors import SegmentError
from tlv.units import NS
from tools.collect_ending import Ending
from tools.command.counting import counters_beside
from tools.command.service import SERVICE_MANAGER

EVERY_S = 1.0
"""How often the ring is read along and the counts are stored."""


class StandbyProcess:
    """This process, while it may be a standby of the ring that `options` name."""

    def __init__(self, options: CollectorOptions, *, as_json: bool) -> None:
        self.counts = StandbyCounts()
        self.ahead: RingReading | None = None
        """Has read along in the ring, if there is one that another process made."""
        self._options = options
        self._as_json = as_json

    def wait(self, ending: Ending) -> bool:
        """Wait until nobody writes the ring; False if told to end before that, or with it.

        Raises:
            UsageError, FeedError, SegmentError: what a start would refuse.
        """
        self._read_along()
        check_start(self._options, self.ahead)
        ignore_requests()
        with closing(WriterWatch(self._options.ring)) as watch:
            if watch.has_writer():
                self._wait(watch, ending)
        return not ending.asked

    def _wait(self, watch: WriterWatch, ending: Ending) -> None:
        standby, counts, ring = Standby(), self.counts, self._options.ring
        counts.writer_pid = writer_of(ring)
        self._say()
        with counters_beside(StandbyCounts, ring, "standby") as shared:
            due = 0.0
            while not ending.asked:
                SERVICE_MANAGER.turned()
                counts.looks += 1
                now = time.monotonic()
                written = watch.has_writer()
                if standby.may_begin(int(now * NS), written=written, lost_name=watch.lost_name):
                    return
                if now >= due:
                    due = now + EVERY_S
                    self._read_along()
                    counts.writer_pid = writer_of(ring)
                    if shared is not None:
                        shared.put(counts)
                time.sleep(LOOK_NS / NS)

    def _read_along(self) -> None:
        """Read what the ring has got since the last time; it may be another ring by now.

        Raises:
            SegmentError: no build like this one can go on with it.
        """
        ring = self._options.ring
        if self.ahead is not None and self.ahead.worn_out:
            self.ahead.close()
            self.ahead = None
        if self.ahead is None:
            with contextlib.suppress(RingNotFound, RingNotReady):
                self.ahead = RingReading(ring)
        if self.ahead is not None:
            self.ahead.advance()

    def _say(self) -> None:
        """The line that tells what is waited for."""
        ring, chain, pid = self._options.ring, self._options.chain.name, self.counts.writer_pid
        if self._as_json:
            click.echo(msgspec.json.encode({"standby": True, "ring": ring, "chain": chain, "writer_pid": pid}))
        else:
            click.echo(f"standby for ring {ring} ({chain}): ready, and waiting for its writer (pid {pid}) to end")
        sys.stdout.flush()


def ignore_requests() -> None:
    """What is asked of every collector is done by one that collects; at its begin it reads the filter's file anyway."""
    for number in (signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def writer_of(ring: str) -> int:
    """Pid of the ring's writer; 0 where the ring does not say."""
    try:
        return RingInfo.read(ring).writer_pid
    except SegmentError:  # it is being made, or has lost its name
        return 0
