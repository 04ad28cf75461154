"""When to try again, and where: full-jitter pauses, a circuit breaker, and the order of endpoints.

Owns the decision, not the waiting: times and random numbers come as arguments.  It knows nothing of sockets.

    CLOSED --- `failed` x `threshold` ---> OPEN --- `open_s` later ---> HALF_OPEN
      ^                                     ^                              |  |
      |                                     +-------- `failed` ------------+  |
      +------------------------------ `proved` ------------------------------+

A connection counts as proved when it has carried a block, not when the handshake went through: a node that accepts and
closes at once was reconnected 569 times a second by a client that trusted handshakes.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from tlv.units import NS

LONGEST_RETRY_AFTER_S = 300.0
"""No more is granted: one node's slip must not keep a collector without fallbacks away for a day."""


class Circuit(StrEnum):
    """Whether it is worth trying."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Reconnect:
    """The pauses between connections, over a list of endpoints."""

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        base_s: float = 0.25,
        cap_s: float = 20.0,
        threshold: int = 8,  # consecutive failures; one full round of fallbacks should fit
        open_s: float = 30.0,
    ) -> None:
        self._endpoints = list(endpoints)
        self._base_s, self._cap_s = base_s, cap_s
        self._threshold, self._open_s = threshold, open_s
        self._turn = 0
        self._not_before_ns = [0] * len(self._endpoints)
        self.failures = 0
        self.circuit = Circuit.CLOSED

    @property
    def endpoint(self) -> str:
        """Where to connect next: the first endpoint while it works, the others in turn while it does not."""
        return self._endpoints[self._turn % len(self._endpoints)]

    def proved(self) -> None:
        """The connection carried a block."""
        self.failures = 0
        self.circuit = Circuit.CLOSED

    def failed(self, random: float, now_ns: int, retry_after_s: float = 0.0) -> float:
        """The connection could not be made or was lost; returns the pause in seconds before the next attempt.

        `random` is uniform in [0, 1).  Full jitter (AWS architecture blog, "Exponential Backoff And Jitter"): a whole
        fleet that lost its node comes back spread over the pause, not at its end.  An endpoint that asked for
        `retry_after_s` of peace gets them, while the others are tried.
        """
        mine = self._turn % len(self._endpoints)
        self._not_before_ns[mine] = now_ns + int(min(retry_after_s, LONGEST_RETRY_AFTER_S) * NS)
        self.failures += 1
        self._turn = min(
            range(self._turn + 1, self._turn + 1 + len(self._endpoints)),
            key=lambda turn: max(self._not_before_ns[turn % len(self._endpoints)], now_ns),
        )
        peace_s = (self._not_before_ns[self._turn % len(self._endpoints)] - now_ns) / NS
        if self.failures >= self._threshold:
            self.circuit = Circuit.OPEN
            return max(peace_s, self._open_s * (0.5 + random / 2))
        return max(peace_s, random * min(self._cap_s, self._base_s * float(1 << min(self.failures, 32))))

    def attempt(self) -> None:
        """An attempt begins; after an open circuit it is a trial."""
        if self.circuit is Circuit.OPEN:
            self.circuit = Circuit.HALF_OPEN


class BlockWatchdog:
    """Notices a node that is connected and silent: `max(least_s, 8 x the median interval)` without a block."""

    def __init__(self, least_s: float = 10.0, factor: int = 8, remembered: int = 32) -> None:
        self._least_ns = int(least_s * NS)
        self._factor, self._remembered = factor, remembered
        self._intervals: list[int] = []
        self._last_ns: int | None = None

    def restart(self, now_ns: int) -> None:
        """A connection begins: it gets the full patience, and the pause before it is no block interval."""
        self._last_ns = now_ns

    def block_arrived(self, now_ns: int) -> None:
        """Feed it every head."""
        if self._last_ns is not None:
            self._intervals.append(now_ns - self._last_ns)
            del self._intervals[: -self._remembered]
        self._last_ns = now_ns

    @property
    def median_ns(self) -> int:
        """Median time between the last blocks; 0 before there are two."""
        return sorted(self._intervals)[len(self._intervals) // 2] if self._intervals else 0

    @property
    def deadline_ns(self) -> int:
        """When silence becomes suspicious; 0 while nobody listens."""
        if self._last_ns is None:
            return 0
        return self._last_ns + max(self._least_ns, self._factor * self.median_ns)
