"""Detectors of what concerns the chain as a whole: its events' number and origin, what is missing, what left it.

Rate and share are those of the counts that BlockEnds carry, which lost frames make no less true; what came of a block
is compared with its count only where all of it was seen.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import NamedTuple

from consumers.anomalies.announcements import Announcements, Sighting
from consumers.anomalies.block_book import SeenBlock
from tlv.codes import AnomalyKind, GapScope, Reason
from tlv.layout import BlockEnd, Gap, Reorg

RATE_BLOCKS = 8
"""The newest blocks, whose events are compared with those of the blocks before."""
RATE_HISTORY = 128
LEAST_HISTORY = 24
"""Blocks to know before anything is unusual."""
LEAST_MORE = 100
"""Events above the usual number without which a quiet chain's handful is no burst."""
LEAST_USUAL = 50
"""Events that are usual, below which it is no news that there are none."""
USUAL_PCT = 100
SHARE_BLOCKS = 16
LEAST_EVENTS = 50
"""Events without which their share says nothing."""
MOST_DECLARED = 256
"""Ranges of blocks that a Gap declared and that are not passed yet."""
BPS = 10_000


class CountedBlock(NamedTuple):
    """The events of one block."""

    unproven: int
    events: int
    """All of them."""
    number: int
    sequence: int
    """Of its BlockEnd."""


def counted(end: BlockEnd, flagged: int, sequence: int) -> CountedBlock:
    """The counts of a block of whose published events so many are flagged."""
    return CountedBlock(end.held_back + flagged, end.event_count + end.held_back, end.number, sequence)


def drop_above(blocks: deque[CountedBlock], number: int) -> None:
    """Take out the blocks above this number, which are the newest."""
    while blocks and blocks[-1].number > number:
        blocks.pop()


class EventRate:
    """Events of the newest blocks against those of the blocks before, in percent of what is usual for as many."""

    def __init__(self, announcements: Announcements, high_pct: int, low_pct: int) -> None:
        self._announcements, self._high, self._low = announcements, high_pct, low_pct
        self._blocks: deque[CountedBlock] = deque(maxlen=RATE_HISTORY + RATE_BLOCKS)

    def on_reorg(self, reorg: Reorg) -> None:
        """What left the chain does not count."""
        drop_above(self._blocks, reorg.fork_number)

    def on_block_end(self, end: BlockEnd) -> None:
        """A block that is newer than all before."""
        self._blocks.append(counted(end, 0, self._announcements.place.sequence))
        known = len(self._blocks) - RATE_BLOCKS
        if known < LEAST_HISTORY:
            return
        before = sum(block.events for block in islice(self._blocks, known))
        newest = list(islice(self._blocks, known, None))
        now = sum(block.events for block in newest)
        # `usual` events would be expected in as many blocks; kept as a fraction, before * RATE_BLOCKS / known.
        percent = now * 100 * known // (before * RATE_BLOCKS) if before else now * 100
        usual = before * RATE_BLOCKS // known
        many = percent >= self._high and now - usual >= LEAST_MORE
        few = percent <= self._low and usual >= LEAST_USUAL
        began = self._announcements.began(AnomalyKind.RATE)
        was_high = began is not None and began.threshold > USUAL_PCT
        threshold = self._high if many or was_high else self._low
        ends = percent <= self._high // 2 if was_high else percent >= 2 * self._low
        text = f"{now} events in {RATE_BLOCKS} blocks, usual {usual}"
        sighting = Sighting(AnomalyKind.RATE, percent, threshold, newest[0].sequence, text, end.number, end.hash)
        self._announcements.judge(sighting, begins=many or few, ends=ends)


class UnprovenShare:
    """Events of emitters that are not proven, held back or flagged, among all events of the newest blocks."""

    def __init__(self, announcements: Announcements, threshold_bps: int) -> None:
        self._announcements, self._threshold = announcements, threshold_bps
        self._blocks: deque[CountedBlock] = deque(maxlen=SHARE_BLOCKS)

    def on_reorg(self, reorg: Reorg) -> None:
        """What left the chain does not count."""
        drop_above(self._blocks, reorg.fork_number)

    def on_block_end(self, end: BlockEnd, seen: SeenBlock | None) -> None:
        """A block that is newer than all before."""
        flagged = seen.unproven if seen is not None else 0
        self._blocks.append(counted(end, flagged, self._announcements.place.sequence))
        unproven, events = (sum(block[at] for block in self._blocks) for at in (0, 1))
        share = unproven * BPS // events if events else 0
        text = f"{unproven} of {events} events in {len(self._blocks)} blocks"
        first = self._blocks[0].sequence
        sighting = Sighting(AnomalyKind.UNPROVEN_SHARE, share, self._threshold, first, text, end.number, end.hash)
        begins = share >= self._threshold and events >= LEAST_EVENTS
        self._announcements.judge(sighting, begins=begins, ends=share <= self._threshold // 2)


class Gaps:
    """Frames, blocks and events that are missing: declared, or found by what is there."""

    def __init__(self, announcements: Announcements, threshold: int) -> None:
        self._announcements, self._threshold = announcements, threshold
        self._last_ended = -1
        self._declared: deque[tuple[int, int]] = deque(maxlen=MOST_DECLARED)

    def on_lost(self, first: int, last: int) -> None:
        """Frames never came."""
        self._last_ended = -1
        self._tell(last - first + 1, first, f"frames {first} to {last} were lost")

    def on_gap(self, gap: Gap) -> None:
        """The ring itself declares a loss."""
        count, first = max(gap.last - gap.first + 1, 0), self._announcements.place.sequence
        try:
            why = Reason(gap.reason).name
        except ValueError:
            why = str(gap.reason)
        if gap.scope == GapScope.BLOCK_NUMBERS:
            self._declared.append((gap.first, gap.last))
            self._tell(count, first, f"blocks {gap.first} to {gap.last}: {why}", gap.first)
        else:
            self._tell(count, first, f"sequences {gap.first} to {gap.last}: {why}")

    def on_reorg(self, reorg: Reorg) -> None:
        """Blocks above the fork are told anew."""
        self._last_ended = min(self._last_ended, reorg.fork_number)

    def on_new_ring(self) -> None:
        """Nothing before belongs to what follows."""
        self._last_ended = -1
        self._declared.clear()

    def on_block_end(self, end: BlockEnd, seen: SeenBlock | None) -> None:
        """Any block's end, of a late log too."""
        if seen is not None and seen.events < end.event_count:
            missing = end.event_count - seen.events
            text = f"{missing} of {end.event_count} events of the block never came"
            self._tell(missing, seen.first, text, end.number, end.hash)
        if end.number <= self._last_ended:
            return
        if self._last_ended >= 0:
            self._look_for_blocks(self._last_ended + 1, end.number - 1)
        self._last_ended = end.number
        while self._declared and self._declared[0][1] <= end.number:
            self._declared.popleft()

    def _look_for_blocks(self, first: int, last: int) -> None:
        """Whether these blocks, which did not end, were declared to be missing."""
        missing = last - first + 1
        if missing <= 0:
            return
        reached = first
        for declared_first, declared_last in sorted(self._declared):
            low, high = max(declared_first, reached), min(declared_last, last)
            if low <= high:
                missing -= high - low + 1
                reached = high + 1
        if missing:
            text = f"of blocks {first} to {last} neither end nor gap came"
            self._tell(missing, self._announcements.place.sequence, text, first)

    def _tell(self, count: int, first: int, text: str, number: int = -1, block_hash: bytes = bytes(32)) -> None:
        if count >= self._threshold:
            self._announcements.once(Sighting(AnomalyKind.GAP, count, self._threshold, first, text, number, block_hash))


class ReorgDepth:
    """Blocks that left the chain at once."""

    def __init__(self, announcements: Announcements, threshold_blocks: int) -> None:
        self._announcements, self._threshold = announcements, threshold_blocks

    def on_reorg(self, reorg: Reorg) -> None:
        """As the collector tells it."""
        if reorg.depth < self._threshold:
            return
        text = f"blocks {reorg.fork_number + 1} to {reorg.old_head_number} left the chain"
        first = self._announcements.place.sequence
        kind, number, block_hash = AnomalyKind.REORG_DEPTH, reorg.new_head_number, reorg.new_head_hash
        self._announcements.once(Sighting(kind, reorg.depth, self._threshold, first, text, number, block_hash))
