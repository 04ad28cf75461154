"""Detectors of when things come: silence, and blocks that are published later than usual.

Owns the time of frames.  It must never look at a clock: time passes with frames, so a feed from which nothing comes at
all, no heartbeat either, is silent in hindsight.
"""

from __future__ import annotations

from collections import deque

from consumers.anomalies.announcements import NO_HASH, Announcements, Sighting
from consumers.anomalies.block_book import SeenBlock
from tlv.codes import AnomalyKind
from tlv.layout import BackfillBegin, Block, BlockEnd, Heartbeat, Reorg
from tlv.units import MS

LATENCY_BLOCKS = 4
"""The newest blocks; the earliest of them counts, so that a burst behind a pause is no drift."""
LATENCY_HISTORY = 64
LEAST_LATENCIES = 16
"""Blocks to know before anything is unusual."""


class FrameClock:
    """Time as frames show it, in ns since the first.

    A header's wall time may step; the publish time of a ring does not, but a replay's is its own and another boot's
    begins anew.  So the smaller of both differences counts, where both are of one clock.
    """

    def __init__(self) -> None:
        self.now_ns = 0
        self._wall_ns = self._published_ns = -1

    def advance(self, wall_ns: int, published_ns: int, *, replayed: bool) -> int:
        """Take the times of the next frame; the time now."""
        if self._wall_ns >= 0:
            elapsed = wall_ns - self._wall_ns
            if not replayed and published_ns >= self._published_ns:
                elapsed = min(elapsed, published_ns - self._published_ns)
            self.now_ns += max(elapsed, 0)
        self._wall_ns, self._published_ns = wall_ns, published_ns
        return self.now_ns


class Silence:
    """Time without a new block, while other frames come or until one does."""

    def __init__(self, announcements: Announcements, threshold_ms: int) -> None:
        self._announcements, self._threshold = announcements, threshold_ms
        self._head_ns: int | None = None
        """When the newest block came; None: not known."""
        self._head: Block | None = None
        self._first = 0

    def on_frame(self, now_ns: int) -> None:
        """Any frame but a block."""
        if self._head_ns is not None:
            silent_ms = (now_ns - self._head_ns) // MS
            self._judge(silent_ms, begins=silent_ms >= self._threshold, ends=False)

    def on_heartbeat(self, beat: Heartbeat, now_ns: int) -> None:
        """The collector says how old its head is."""
        if self._head_ns is None:
            self._head_ns = now_ns - beat.head_age_ms * MS
            self._first = self._announcements.place.sequence
        self.on_frame(now_ns)

    def on_block(self, block: Block, now_ns: int) -> None:
        """A block came."""
        silent_ms = (now_ns - self._head_ns) // MS if self._head_ns is not None else 0
        if self._announcements.began(AnomalyKind.SILENCE) is not None:
            self._judge(silent_ms, begins=False, ends=True, came=block)
        elif silent_ms >= self._threshold:
            self._announcements.once(self._sighting(silent_ms, block))
        self._head_ns, self._head, self._first = now_ns, block, self._announcements.place.sequence

    def on_lost(self) -> None:
        """There may have been blocks among the frames that are missing."""
        self._head_ns, self._head = None, None

    def _judge(self, silent_ms: int, *, begins: bool, ends: bool, came: Block | None = None) -> None:
        if begins or ends:
            self._announcements.judge(self._sighting(silent_ms, came), begins=begins, ends=ends)

    def _sighting(self, silent_ms: int, came: Block | None) -> Sighting:
        block = came or self._head
        number, block_hash = (block.number, block.hash) if block is not None else (-1, NO_HASH)
        if came is not None:
            text = f"block {number} came after {silent_ms} ms"
        else:
            text = f"no block for {silent_ms} ms" + (f" after {number}" if block is not None else "")
        return Sighting(AnomalyKind.SILENCE, silent_ms, self._threshold, self._first, text, number, block_hash)


class LatencyDrift:
    """From a block's own time to the publishing of its announcement, beyond what is usual."""

    def __init__(self, announcements: Announcements, threshold_ms: int) -> None:
        self._announcements, self._threshold = announcements, threshold_ms
        self._newest: deque[tuple[int, int]] = deque(maxlen=LATENCY_BLOCKS)
        """Age when it was announced, and the sequence of that."""
        self._usual: deque[int] = deque(maxlen=LATENCY_HISTORY)
        """The least age of so many blocks running, at each block; the median of them is usual."""
        self._fetched = -1

    def on_backfill(self, begin: BackfillBegin) -> None:
        """Blocks up to this one come late because they were missed, which is told otherwise."""
        self._fetched = max(self._fetched, begin.last)

    def on_reorg(self, reorg: Reorg) -> None:
        """Those of the new branch come at once, whatever their times."""
        self._fetched = max(self._fetched, reorg.new_head_number)

    def on_new_ring(self) -> None:
        """Its numbers may begin anew."""
        self._fetched = -1

    def on_block_end(self, end: BlockEnd, seen: SeenBlock | None) -> None:
        """A block that is newer than all before."""
        if seen is None or end.number <= self._fetched:
            return
        self._newest.append((seen.age_ms, seen.first))
        if len(self._newest) < LATENCY_BLOCKS:
            return
        least = min(age for age, _ in self._newest)
        if len(self._usual) >= LEAST_LATENCIES:
            later = least - sorted(self._usual)[len(self._usual) // 2]
            text = f"{later} ms against the usual, {LATENCY_BLOCKS} blocks running"
            first = self._newest[0][1]
            sighting = Sighting(AnomalyKind.LATENCY_DRIFT, later, self._threshold, first, text, end.number, end.hash)
            self._announcements.judge(sighting, begins=later >= self._threshold, ends=later <= self._threshold // 2)
        self._usual.append(least)
