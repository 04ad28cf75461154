"""For how long a collector made no progress, by what it says in the ring.

Progress is a block that ends; a heartbeat of a feed that is well and has ended every block that it knows, if the chain
may be idle; and for `HOLD_S` one that holds events back, since a block may wait for so long until its emitters are
proven.  Everything else stands still: heartbeats of a feed that is not well, Gaps, silence.
"""

from __future__ import annotations

from producers.pools.quarantine import HOLD_S
from tlv.codes import FeedReason
from tlv.layout import BlockEnd, Heartbeat
from tlv.message import Message
from tlv.units import NS

HOLD_NS = int(HOLD_S * NS)


class Standstill:
    """The longest time without progress; `idles` if the chain makes a block only now and then."""

    def __init__(self, *, idles: bool) -> None:
        self._idles = idles
        self._longest_ns = 0
        self._progress_ns: int | None = None
        """When the collector last made progress; None before its first message."""
        self._holds_since_ns: int | None = None
        """The first heartbeat since a block ended that holds events back."""

    def note(self, message: Message, now_ns: int) -> None:
        """A message was read."""
        if self._progress_ns is None or self._shows_progress(message, now_ns):
            self._measure(now_ns)
            self._progress_ns = now_ns

    def take_longest_ns(self, now_ns: int) -> int:
        """Since the last call, until now."""
        self._measure(now_ns)
        longest_ns, self._longest_ns = self._longest_ns, 0
        return longest_ns

    def _measure(self, now_ns: int) -> None:
        if self._progress_ns is not None:
            self._longest_ns = max(self._longest_ns, now_ns - self._progress_ns)

    def _shows_progress(self, message: Message, now_ns: int) -> bool:
        record = message.records[0] if message.records else None
        if isinstance(record, BlockEnd):
            self._holds_since_ns = None
            return True
        if not isinstance(record, Heartbeat) or record.reason != FeedReason.OK:
            return False
        if self._idles and record.blocks_behind == 0:
            return True
        if not record.held_back:
            return False
        if self._holds_since_ns is None:
            self._holds_since_ns = now_ns
        return now_ns - self._holds_since_ns <= HOLD_NS
