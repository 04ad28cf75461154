"""One look at everything on this machine: rings, processes, relays.

Owns what is kept from one look to the next: the readers of the rings' messages, and the numbers that rates need.  It
changes nothing that it looks at.  What is not there yet, is made anew meanwhile or cannot be read is named, and the
next look looks again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ringbuf import Poll, RingInfo, list_rings
from tlv.errors import SegmentError
from tools.feed_stat import FeedStat
from tools.obs.anomalies import AnomaliesOfRing
from tools.obs.processes import Processes, look_at_processes
from tools.obs.watch import HeldEmitter, RingWatch
from tools.ringstat import RingStat, stat_of_ring
from tools.status import RelayState, relays

FRESH_S = 0.2
"""A look that is younger is shown again, so that many who ask cost as much as five a second."""
RELAYS_FRESH_S = 2.0
"""The same of relays, each of which is connected to: they count their clients no more often."""


@dataclass(frozen=True)
class FeedOfRing:
    """What a ring's messages say of its feed."""

    ring: str
    stat: FeedStat
    held: list[HeldEmitter]
    held_for_s: float
    missed_frames: int
    """Frames that this look came too late for: emitters held back may be missing."""


@dataclass(frozen=True)
class Look:
    """Everything at one moment."""

    wanted: tuple[str, ...]
    """Rings that were named; empty: every ring is looked at."""
    rings: list[RingStat]
    unreadable: dict[str, str]
    """Why, by the name of a ring: not there, being made, damaged, of another build."""
    feeds: list[FeedOfRing]
    anomalies: list[AnomaliesOfRing]
    """Of the rings beside which a watch for anomalies counts, and of those that hold any."""
    processes: Processes
    relays: list[RelayState]
    seconds: float
    """What the look took."""


class FrameTaker(Protocol):
    """Gets what is read of every ring, each frame once."""

    def take(self, ring: str, uuid: bytes, poll: Poll) -> None:
        """The next frames of a ring, or a loss."""

    def leave(self, ring: str, problem: str) -> None:
        """A ring is gone, or cannot be read: what comes next is its end, or another ring of its name."""


class Looking:
    """Looks again and again, at the rings called `wanted` or at all; threads may ask for it at once."""

    def __init__(self, wanted: Sequence[str], taker: FrameTaker | None = None) -> None:
        self.wanted = tuple(wanted)
        self._taker = taker
        self._watches: dict[str, RingWatch] = {}
        self._damaged: set[bytes] = set()
        """Rings whose messages are followed from their end only."""
        self._last: Look | None = None
        self._looked_at = 0.0
        self._relays: list[RelayState] = []
        self._relays_at = float("-inf")
        self._looking = threading.Lock()
        self._reading = threading.Lock()
        """Within the other: a reader serves one at a time.  Not held where a relay that hangs is waited for."""

    def look(self) -> Look:
        """Everything now, or as it was a moment ago."""
        with self._looking:
            now = time.monotonic()
            if self._last is None or now - self._looked_at > FRESH_S:
                self._last = self._look(now)
                self._looked_at = now
            return self._last

    def read(self) -> None:
        """Read what came into the rings of the last look, which costs far less than a look and waits for none."""
        with self._reading:
            for name in [*self._watches]:
                try:
                    self._advance(name, time.monotonic_ns())
                except SegmentError as error:
                    self._forget(name, str(error))

    def close(self) -> None:
        """Leave all rings."""
        for watch in self._watches.values():
            watch.close()
        self._watches.clear()

    def _look(self, now: float) -> Look:
        processes = look_at_processes()
        with self._reading:
            rings, unreadable, feeds = self._look_at_rings(now)
            anomalies = self._anomalies({stat.ring for stat in processes.stats if stat.role == "anomalies"})
        if now - self._relays_at > RELAYS_FRESH_S:
            self._relays, self._relays_at = relays(), now
        seconds = time.monotonic() - now
        return Look(self.wanted, rings, unreadable, feeds, anomalies, processes, self._relays, seconds)

    def _look_at_rings(self, now: float) -> tuple[list[RingStat], dict[str, str], list[FeedOfRing]]:
        before = {stat.name: stat for stat in self._last.rings} if self._last else {}
        rings: list[RingStat] = []
        feeds: list[FeedOfRing] = []
        unreadable: dict[str, str] = {}
        for name in self.wanted or list_rings():
            try:
                info = RingInfo.read(name)
                feed = self._follow(info)
            except SegmentError as error:
                unreadable[name] = str(error)
                self._forget(name, str(error))
                continue
            rings.append(stat_of_ring(info, feed.stat if feed else None, before.get(name), now - self._looked_at))
            if feed is not None:
                feeds.append(feed)
        for name in set(self._watches) - {stat.name for stat in rings}:
            self._forget(name, "")
        return rings, unreadable, feeds

    def _follow(self, info: RingInfo) -> FeedOfRing | None:
        """What the messages of a ring say of its feed; None if it is no collector's.

        Raises:
            SegmentError: they cannot be read; the next look begins at the ring's end.
        """
        name, uuid = info.name, info.identity.uuid
        watch = self._watches.get(name)
        if watch is not None and watch.uuid != uuid:
            self._forget(name, "")
            watch = None
        if watch is None:
            taker = self._taker.take if self._taker else None
            watch = self._watches[name] = RingWatch(name, oldest=uuid not in self._damaged, taker=taker)
        now_ns = time.monotonic_ns()
        self._advance(name, now_ns)
        stat = watch.feed(now_ns)
        return FeedOfRing(name, stat, watch.held(), watch.held_for_s(now_ns), watch.missed) if stat else None

    def _advance(self, name: str, now_ns: int) -> None:
        watch = self._watches[name]
        try:
            watch.advance(now_ns)
        except SegmentError:
            self._damaged = {watch.uuid}
            raise

    def _anomalies(self, watched: set[str]) -> list[AnomaliesOfRing]:
        return [
            watch.anomalies.of_ring(name, watch.missed)
            for name, watch in self._watches.items()
            if name in watched or watch.anomalies.told
        ]

    def _forget(self, name: str, problem: str) -> None:
        watch = self._watches.pop(name, None)
        if watch is not None:
            watch.close()
            if self._taker is not None:
                self._taker.leave(name, problem)
