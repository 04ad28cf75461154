"""The heartbeat: where the feed stands, and whether its node serves it.

Owns the record and the head's age.  When one is due is `producers.feed`'s business, what the reason is its owner's.
"""

from __future__ import annotations

from producers.context import Context
from producers.output.outbox import Outbox
from tlv.codes import Domain, FeedReason, FeedState
from tlv.layout import Heartbeat
from tlv.units import MS

U32_MAX = (1 << 32) - 1


class Heartbeats:
    """Of one feed, into its outbox and its statistics."""

    def __init__(self, context: Context, outbox: Outbox) -> None:
        self._clock, self._stats, self._outbox = context.clock, context.stats, outbox
        self._head = -1
        self._head_ns = context.clock.now_ns
        """When the head became what it is, to a heartbeat."""

    def put(self, head: int, safe: int, held_back: int, *, state: FeedState, endpoint: int, reason: FeedReason) -> None:
        """Publish one now: newest and safe block (-1 = none yet), logs held back, index of the endpoint in use."""
        if head != self._head:
            self._head, self._head_ns = head, self._clock.now_ns
        stats = self._stats
        stats.head_age_ms = min((self._clock.now_ns - self._head_ns) // MS, U32_MAX)
        stats.blocks_behind = min(max(head - safe, 0), U32_MAX)
        stats.held_back = held_back
        stats.feed_reason, stats.endpoint = reason.name.lower(), endpoint
        record = Heartbeat(
            head_number=head,
            safe_number=safe,
            last_sequence=self._outbox.next_sequence - 1,
            head_age_ms=stats.head_age_ms,
            blocks_behind=stats.blocks_behind,
            held_back=stats.held_back,
            feed_state=state,
            endpoint=endpoint,
            reason=reason,
        )
        self._outbox.put(Domain.SYSTEM, record)
