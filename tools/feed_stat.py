"""How the feed behind a ring is doing, as its newest heartbeat says.

Owns the reading of that heartbeat for `ringstat` and `status`.  It must never judge an endpoint: the collector does
(`producers.node.health`); here it only shows when the collector itself has fallen silent.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tlv.codes import Domain, FeedReason, FeedState
from tools.code_names import code_key

if TYPE_CHECKING:
    from tlv.layout import Heartbeat

SILENT_S = 5.0
"""A collector tells a heartbeat every second, with or without a connection."""
LAST_COLLECTOR = 19
"""Of `tlv.codes.Source`: who publishes is a collector up to here."""


@dataclass(frozen=True)
class FeedStat:
    """One feed at one moment."""

    state: str
    reason: str
    """`ok`, or what is wrong: `tlv.codes.FeedReason` in small letters, or `no_heartbeat`."""
    healthy: bool
    endpoint: int
    """Index in the collector's list."""
    head_number: int
    head_age_s: float
    blocks_behind: int
    held_back: int
    heartbeat_age_s: float

    @property
    def problem(self) -> str:
        """In words; empty if there is none."""
        if self.healthy:
            return ""
        if self.reason == "no_heartbeat":
            return f"its collector lives and has told no heartbeat for {self.heartbeat_age_s:.0f} s"
        return (
            f"feed is {self.reason} (endpoint {self.endpoint}, {self.state}, "
            f"head {self.head_number} came {self.head_age_s:.0f} s ago, {self.blocks_behind} blocks behind)"
        )


def look_at_feed(ring: str) -> FeedStat | None:
    """What the newest heartbeat in `ring` says; None if it is no collector's ring.

    Raises:
        SegmentError: there is no such ring, or none that this build can read.
    """
    from ringbuf.newest import newest_frames
    from tlv.errors import FrameError
    from tlv.layout import HEADER_SIZE, Heartbeat
    from tlv.message import parse

    for frame in newest_frames(ring):
        if frame.payload[HEADER_SIZE : HEADER_SIZE + 1] != bytes([Heartbeat.layout.type]):
            continue
        try:
            message = parse(frame.payload)
        except FrameError:
            continue  # no message of ours; whoever reads the ring finds out
        record = message.first(Heartbeat)
        if record is not None and message.header.domain == Domain.SYSTEM and message.header.source <= LAST_COLLECTOR:
            return stat_of(record, (time.monotonic_ns() - frame.publish_ns) / 1e9)
    return None


def stat_of(record: Heartbeat, age_s: float) -> FeedStat:
    """What a heartbeat of that age says now."""
    silent = age_s > SILENT_S
    reason = "no_heartbeat" if silent else code_key(FeedReason, record.reason)
    return FeedStat(
        state=code_key(FeedState, record.feed_state),
        reason=reason,
        healthy=not silent and record.reason == FeedReason.OK,
        endpoint=record.endpoint,
        head_number=record.head_number,
        head_age_s=round(record.head_age_ms / 1e3 + age_s, 3),
        blocks_behind=record.blocks_behind,
        held_back=record.held_back,
        heartbeat_age_s=round(age_s, 3),
    )
