"""`AnomalyWatch`: the detectors as one strategy, a pure function of frames.

Owns which frame reaches which detector.  It knows neither rings nor clocks: what its own ring holds is given to it, and
time is that of the frames.
"""

from __future__ import annotations

from typing import ClassVar

from consumers.anomalies.announcements import Announcements, FramePlace
from consumers.anomalies.block_book import BlockBook
from consumers.anomalies.chain import EventRate, Gaps, ReorgDepth, UnprovenShare
from consumers.anomalies.config import AnomalyThresholds
from consumers.anomalies.flow import FrameClock, LatencyDrift, Silence
from consumers.anomalies.pools import Pools
from consumers.anomalies.published import PublishedAnomalies
from consumers.strategy import Draft, Strategy
from tlv.codes import Domain, Flag, GapScope, InvalidationScope, Source
from tlv.layout import (
    BackfillBegin,
    Block,
    BlockEnd,
    EventOrigin,
    Gap,
    Heartbeat,
    PoolBurn,
    PoolLiquidity,
    PoolMint,
    PoolRecord,
    PoolState,
    PoolSwap,
    PoolSync,
    Reorg,
    Session,
    StateInvalidation,
    SystemHealth,
)
from tlv.message import Message
from tlv.record import Record
from tlv.units import MS, NS


class AnomalyWatch(Strategy):
    """Publishes SystemHealth for what is not as usual.

    Args:
        published: what was said before, in the ring of anomalies.
        chain_id: of the ring's chain, as long as no Session says it.
    """

    name = "anomalies"
    source = Source.ANOMALY_WATCH
    wants: ClassVar[frozenset[type[Record]]] = frozenset(
        (Block, BlockEnd, BackfillBegin, Heartbeat, EventOrigin, PoolState)
    )

    def __init__(
        self,
        thresholds: AnomalyThresholds | None = None,
        published: PublishedAnomalies | None = None,
        chain_id: int = 0,
    ) -> None:
        super().__init__()
        limits = thresholds or AnomalyThresholds()
        self._published = published or PublishedAnomalies()
        self._chain_id = chain_id
        self._announcements = says = Announcements(self._published, self._say)
        self._clock = FrameClock()
        self._wall_ns = 0
        self._blocks = BlockBook()
        self._rate = EventRate(says, limits.rate_high_pct, limits.rate_low_pct)
        self._unproven = UnprovenShare(says, limits.unproven_share_bps)
        self._gaps = Gaps(says, limits.gap_count)
        self._reorgs = ReorgDepth(says, limits.reorg_blocks)
        self._silence = Silence(says, limits.silence_ms)
        self._latency = LatencyDrift(says, limits.latency_drift_ms)
        self._pools = Pools(says, limits.price_jump_bps, limits.liquidity_drop_bps)
        self._newest_ended = -1

    @property
    def lasting(self) -> tuple[SystemHealth, ...]:
        """What began and has not ended."""
        return tuple(self._published.lasting.values())

    @property
    def held(self) -> dict[str, int]:
        """How much is remembered: pools and blocks."""
        return {"pools": len(self._pools.book), "blocks": len(self._blocks)}

    def on_message(self, message: Message) -> None:
        """Any frame: time passes, and flagged events are counted that no method is called for."""
        trigger, header = self.trigger, message.header
        self._wall_ns = header.timestamp_ns
        self._announcements.place = FramePlace(trigger.ring, trigger.sequence, self._wall_ns, self._chain(trigger.ring))
        replayed = bool(header.flags & Flag.REPLAY)
        now_ns = self._clock.advance(header.timestamp_ns, trigger.published_ns, replayed=replayed)
        record = message.records[0] if message.records else None
        match record:
            case Heartbeat():
                self._silence.on_heartbeat(record, now_ns)
            case BackfillBegin():
                self._latency.on_backfill(record)
            case Block():
                self._silence.on_block(record, now_ns)
            case _:
                self._silence.on_frame(now_ns)
        origin = message.first(EventOrigin)
        if origin is not None:
            events = -1 if header.flags & Flag.REMOVED else 1
            self._blocks.count(origin, events, unproven=bool(header.flags & Flag.UNPROVEN))

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        """A pool event."""
        if isinstance(record, PoolSync | PoolSwap | PoolMint | PoolBurn | PoolLiquidity | PoolState):
            self._pools.on_event(record, origin)

    def on_removed(self, record: PoolRecord, origin: EventOrigin) -> None:
        """What the pool was before is not known."""
        self._pools.book.forget(record.pool)

    def on_snapshot(self, record: PoolState) -> None:
        """A state to begin with."""
        self._pools.on_snapshot(record)

    def on_block(self, block: Block) -> None:
        """A block to count events of."""
        age_ms = (self._wall_ns - block.timestamp * NS) // MS
        self._blocks.announce(block, self.trigger.sequence, age_ms)

    def on_block_end(self, end: BlockEnd) -> None:
        """All of a block is there, and it is judged."""
        seen = self._blocks.of(end.hash)
        self._gaps.on_block_end(end, seen)
        if end.number > self._newest_ended:
            self._newest_ended = end.number
            self._rate.on_block_end(end)
            self._unproven.on_block_end(end, seen)
            self._latency.on_block_end(end, seen)
        self._pools.on_block_end(end)

    def on_reorg(self, reorg: Reorg) -> None:
        """Blocks above the fork are told anew."""
        self._newest_ended = min(self._newest_ended, reorg.fork_number)
        for detector in (self._rate, self._unproven, self._gaps, self._latency, self._reorgs):
            detector.on_reorg(reorg)

    def on_invalidation(self, invalidation: StateInvalidation) -> None:
        """What was known of pools is void."""
        if invalidation.scope == InvalidationScope.ONE_POOL:
            self._pools.book.forget(invalidation.pool)
        else:
            self._pools.book.forget_all()

    def on_gap(self, gap: Gap) -> None:
        """A loss that the ring declares; what was lost may have been about any pool."""
        self._gaps.on_gap(gap)
        self._forget(blocks=gap.scope != GapScope.BLOCK_NUMBERS)

    def on_session(self, session: Session) -> None:
        """Another epoch: a block that the writer before it left half told is told as a Gap."""
        if session.chain_id:
            self._published.chain_ids[self.trigger.ring] = session.chain_id
        self._blocks.forget()
        if session.epoch == 1:
            self._newest_ended = -1
            self._gaps.on_new_ring()
            self._latency.on_new_ring()

    def on_lost(self, first: int, last: int) -> None:
        """A loss is evidence of itself and of nothing else."""
        ring = self.trigger.ring
        self._announcements.place = FramePlace(ring, last, self._wall_ns, self._chain(ring))
        self._gaps.on_lost(first, last)
        self._silence.on_lost()
        self._forget(blocks=True)

    def _forget(self, *, blocks: bool) -> None:
        self._pools.book.forget_all()
        if blocks:
            self._blocks.forget()

    def _chain(self, ring: bytes) -> int:
        return self._published.chain_ids.get(ring) or self._chain_id

    def _say(self, health: SystemHealth) -> None:
        self.drafts.append(Draft(self.source, (health,), 0, Domain.SYSTEM))
