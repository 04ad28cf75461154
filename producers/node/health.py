"""Whether the connected endpoint is worth keeping: progress is the only health.

Owns the judgement, from counters and times that are given to it.  It must never know sockets, nor which endpoint is
next (`producers.node.endpoints`).

    good    blocks end, headers are fetched or pools proven within the bound: max(least, 8 x the usual block time)
    idle    no block ends, but the node says its newest number, and nobody knows one above what has ended: as good
    else    left shortly before the bound, so that the next one is in use by then, whatever the sockets say:
            SILENT, NOT_ANSWERING, REFUSED (every request), NO_BLOCK_ENDS, ONLY_GAPS, STALE

On silence the node is asked for its newest number, and before the bound another endpoint too.  `health` is what an
operator sees: it speaks as soon as three blocks are overdue, long before the bound.

The usual block time is that of the chain file, or the median between live heads if that is longer: back-filled headers
come in milliseconds, and say nothing of it.
"""

from __future__ import annotations

from typing import NamedTuple

from producers.node.timers import OVERSLEPT_NS
from tlv.codes import FeedReason
from tlv.units import NS

FACTOR = 8
"""Block times without progress that are borne: public nodes pause for two or three and go on."""
CONNECTING_SHARE = 50
"""Of the bound, this part is left for the connection to the next endpoint."""
REMEMBERED = 32
PROBE_NS = 2 * NS
ANSWER_NS = 5 * NS // 2
"""An endpoint that has not said its newest number for so long is shown as not answering."""
OVERDUE_NS = 5 * NS
OVERDUE_BLOCKS = 3
MOST_REFUSALS = 3
OWN_WAIT_NS = 5 * NS
"""`producers.assembly` itself waits 4 s for a log of a later block before it asks for the newest one's."""
TALKING = (FeedReason.NO_BLOCK_ENDS, FeedReason.ONLY_GAPS)
LEAST_TALKING_NS = 10 * NS
"""A node that pushes and answers is never left sooner: what it lacks for a moment is sought with patience."""
ALONE = 4
"""Bounds for which a node that pushes and answers is kept if there is no other: what it lacks may come."""


class FeedCounts(NamedTuple):
    """What a feed has counted since it began."""

    ends: int
    """Blocks that ended whole."""
    gaps: int
    headers: int
    """Headers that were not known, pushed or fetched."""
    heads: int
    """Heads that were pushed."""
    pools: int
    frames: int
    """Everything that came, in frames."""
    answers: int
    """Requests answered with a result, or with a revert."""
    refusals: int
    """Requests answered with any other error."""
    timeouts: int
    """Requests that were not answered in time."""
    limited: int
    """Of these, the ones refused for their number: rate or quota."""
    owed: int
    """Requests without an answer now."""
    head: int
    """Number of the newest block; -1 before the first."""
    safe: int
    """Everything up to here has ended."""
    said: int
    """What the node said last when asked for its newest number; -1 before it did."""
    times_said: int
    """How often it did."""


class FeedHealth:
    """The judgement of one connection after the other."""

    def __init__(self, block_time_s: float = 0.0, least_s: float = 10.0) -> None:
        self._block_time_ns, self._least_ns = int(block_time_s * NS), int(least_s * NS)
        self._intervals: list[int] = []
        self._measure()
        self._begin(0)

    def _measure(self) -> None:
        median = sorted(self._intervals)[len(self._intervals) // 2] if self._intervals else 0
        self.usual_ns = max(self._block_time_ns, median)
        """The usual time between two blocks; 0 while nothing is known of it."""
        self.bound_ns = max(self._least_ns, FACTOR * self.usual_ns)
        """How long an endpoint may be without progress, until another one is in use."""
        self._patience_ns = patience_of(self.bound_ns)

    @property
    def quiet_s(self) -> float:
        """Seconds since the last progress, as of the last `look`."""
        return (self._now_ns - self._progress_ns) / NS

    def connected(self, now_ns: int, counts: FeedCounts) -> None:
        """A connection begins: it gets the full patience, and the pause before it is no block interval."""
        self._begin(now_ns, counts)

    def _begin(self, now_ns: int, counts: FeedCounts | None = None) -> None:
        self.proven = False
        """There was progress on this connection."""
        self._seen = counts
        self._skipped_ns = 0
        """Time in which we did not look: it counts for nothing, and every time here is without it."""
        self._now_ns = self._progress_ns = self._answered_ns = self._heard_ns = now_ns
        self._probed_ns = self._inquired_ns = now_ns
        self._head_ns: int | None = None
        self._owed_ns: int | None = None
        """Since when requests wait without one answer."""
        self._refused_ns: int | None = None
        """Since when requests are refused, and nothing is answered."""
        self._limited_ns: int | None = None
        """Since when requests are refused for their number, and nothing but its newest number is answered."""
        self._refusal_ns = 0
        self._refusals = self._limited = self._timeouts = self._gaps = 0
        """Since the last such answer, and since the last progress."""
        self._unanswered_ns: int | None = None
        """When the oldest unanswered question for the newest number was put."""
        self._said = self._elsewhere = -1
        self._behind_ns: int | None = None
        """Since when the node itself knows more than has ended."""
        self._stale_ns: int | None = None
        """Since when only another endpoint does."""

    def look(self, now_ns: int, counts: FeedCounts, *, alone: bool) -> FeedReason:
        """Take note of what happened; OK, or why the endpoint is to be left now.

        `alone`: there is no other endpoint, so one that talks is borne longer.
        """
        if now_ns - self._skipped_ns - self._now_ns > OVERSLEPT_NS:
            self._skipped_ns = now_ns - self._now_ns
        self._now_ns = now_ns - self._skipped_ns
        self._note(counts)
        reason, quiet_ns = FeedReason.OK, self._now_ns - self._progress_ns
        if quiet_ns > self._patience_ns:
            reason = self._why_quiet(max(self.bound_ns // 2, OWN_WAIT_NS), self.bound_ns // 2)
        elif not alone:
            reason = self._why_unanswered()
        if reason in TALKING:
            most_ns = patience_of(max(self.bound_ns, LEAST_TALKING_NS))
            return FeedReason.OK if quiet_ns <= (ALONE if alone else 1) * most_ns else reason
        return reason

    def health(self) -> FeedReason:
        """What an operator should see of the connected endpoint, as of the last `look`."""
        if self._unanswered_ns is not None and self._now_ns - self._unanswered_ns > ANSWER_NS:
            return self._mute
        overdue_ns = max(OVERDUE_NS, OVERDUE_BLOCKS * self._block_time_ns)
        if self._now_ns - self._progress_ns > min(overdue_ns, self.bound_ns):
            reason = self._why_quiet(OVERDUE_NS, 0)
            if reason is not FeedReason.OK:
                return reason
            return FeedReason.STALE if self._block_time_ns else FeedReason.OK
        return FeedReason.OK if self.proven else FeedReason.CONNECTING

    def asks(self) -> bool:
        """Whether the node is to be asked for its newest number now: nothing has come, or nothing was answered.

        Whoever deploys a contract whose calls fail must not make a collector leave a node that answers all others.
        """
        now_ns, most_ns = self._now_ns, self.bound_ns // 2
        if now_ns - self._probed_ns < min(PROBE_NS, self.bound_ns // 4):
            return False
        quiet = now_ns - self._progress_ns >= min(max(PROBE_NS, 3 * self.usual_ns // 2), most_ns)
        owed_ns, refused_ns = self._owed_ns, self._refused_ns
        troubled = (owed_ns is not None and now_ns - owed_ns > most_ns) or (
            refused_ns is not None and now_ns - refused_ns > most_ns
        )
        if not (quiet or troubled):
            return False
        self._probed_ns = now_ns
        if self._unanswered_ns is None:
            self._unanswered_ns = self._now_ns
        return True

    def asks_elsewhere(self) -> bool:
        """Whether another endpoint is to be asked the same now: half a bound after the last progress, and so on."""
        quiet_ns, since_ns = self._now_ns - self._progress_ns, self._now_ns - self._inquired_ns
        if min(quiet_ns, since_ns) < self.bound_ns // 3:
            return False
        self._inquired_ns = self._now_ns
        return True

    def heard_elsewhere(self, number: int) -> None:
        """Another endpoint of our chain says that this is its newest number."""
        self._elsewhere = number

    def _note(self, counts: FeedCounts) -> None:
        now_ns, seen = self._now_ns, self._seen or counts
        self._seen = counts
        if counts.frames > seen.frames:
            self._heard_ns = now_ns
        if counts.heads > seen.heads:
            if self._head_ns is not None:
                self._intervals.append(now_ns - self._head_ns)
                del self._intervals[:-REMEMBERED]
                self._measure()
            self._head_ns = now_ns
        if counts.times_said > seen.times_said:
            self._said, self._answered_ns, self._unanswered_ns = counts.said, now_ns, None
        self._note_requests(counts, seen)
        self._gaps += counts.gaps - seen.gaps
        fetched = counts.headers - seen.headers > counts.heads - seen.heads
        if counts.ends > seen.ends or counts.pools > seen.pools or fetched:
            self._progress_ns, self._gaps, self._unanswered_ns = now_ns, 0, None
        self._behind_ns = self._since(self._behind_ns, max(self._said, counts.head) > counts.safe)
        self._stale_ns = self._since(self._stale_ns, self._elsewhere > max(counts.safe, self._said, counts.head))
        idle = self._said >= 0 and self._behind_ns is None and self._stale_ns is None and not self._gaps
        self.proven = self.proven or counts.ends > seen.ends or idle

    def _note_requests(self, counts: FeedCounts, seen: FeedCounts) -> None:
        now_ns = self._now_ns
        if counts.refusals > seen.refusals:
            self._refusals += counts.refusals - seen.refusals
            self._refused_ns, self._refusal_ns = self._since(self._refused_ns, True), now_ns
        if counts.limited > seen.limited:
            self._limited += counts.limited - seen.limited
            self._limited_ns = self._since(self._limited_ns, True)
        self._timeouts += counts.timeouts - seen.timeouts
        if counts.answers > seen.answers:
            self._owed_ns = self._refused_ns = None
            self._refusals = self._timeouts = 0
        if counts.answers - counts.times_said > seen.answers - seen.times_said:
            self._limited_ns, self._limited = None, 0
        self._owed_ns = self._since(self._owed_ns, counts.owed + self._timeouts > 0)

    def _since(self, since_ns: int | None, holds: bool) -> int | None:
        """Since when something holds without interruption."""
        if not holds:
            return None
        return self._now_ns if since_ns is None else since_ns

    def _why_unanswered(self) -> FeedReason:
        """Blocks may end; OK unless requests have been refused or unanswered for a bound."""
        now_ns, bound_ns = self._now_ns, self._patience_ns
        if self._owed_ns is not None and now_ns - self._owed_ns > bound_ns:
            return FeedReason.REFUSED if self._refusals else FeedReason.NOT_ANSWERING
        for since_ns, number in ((self._refused_ns, self._refusals), (self._limited_ns, self._limited)):
            lasting = since_ns is not None and now_ns - since_ns > bound_ns
            if lasting and number >= MOST_REFUSALS and now_ns - self._refusal_ns < bound_ns:
                return FeedReason.REFUSED
        return FeedReason.OK

    def _why_quiet(self, behind_ns: int, stale_ns: int) -> FeedReason:
        """Why no block has ended for long; OK if for longer than these times there was none to end."""
        now_ns = self._now_ns
        if self._gaps:
            return FeedReason.ONLY_GAPS
        if now_ns - self._answered_ns > self._patience_ns:
            return self._mute
        if self._behind_ns is not None and now_ns - self._behind_ns > behind_ns:
            return FeedReason.REFUSED if self._limited >= MOST_REFUSALS else FeedReason.NO_BLOCK_ENDS
        if self._stale_ns is not None and now_ns - self._stale_ns >= stale_ns:
            return FeedReason.STALE
        return FeedReason.OK

    @property
    def _mute(self) -> FeedReason:
        """Of an endpoint that does not say its newest number."""
        if self._refusals:
            return FeedReason.REFUSED
        heard = self._heard_ns > max(self._progress_ns, self._answered_ns)
        return FeedReason.NOT_ANSWERING if heard else FeedReason.SILENT


def patience_of(bound_ns: int) -> int:
    """When to leave, so that the next endpoint is in use within the bound."""
    return bound_ns - bound_ns // CONNECTING_SHARE
