"""Which endpoint is next, and when: the list, its pauses, a circuit breaker, and the way back to the first.

Owns the decision, not the waiting: times and random numbers come as arguments.  It knows nothing of sockets, and not
why an endpoint is of no use: `producers.node.health` does.

    the next endpoint = the one that costs least to try; of equals, the first of the list
        wait     until its pause is over: full jitter after a failure, Retry-After if the node says so
        penalty  one bound, while it rests: it was useless not long ago, and finding that out again takes a bound
        not      while it serves another chain: it is asked again 1 min later, 2 min after that, at last every hour

    CLOSED --- `failed` x `threshold` ---> OPEN --- `open_s` later ---> HALF_OPEN
      ^                                     ^                              |  |
      |                                     +-------- `failed` ------------+  |
      +------------------------------ `proved` ------------------------------+

An endpoint is proved when a block has ended on its connection, not when the handshake went through: a node that accepts
and closes at once was reconnected 569 times a second by a client that trusted handshakes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from producers.node.backoff import LONGEST_RETRY_AFTER_S, Circuit, jittered
from tlv.codes import FeedReason
from tlv.units import NS

FIRST_REST_S, LONGEST_REST_S = 60.0, 600.0
"""How long a useless endpoint is tried only where the others are worse; doubles each time it is useless again."""
FIRST_EXCLUSION_S, LONGEST_EXCLUSION_S = 60.0, 3600.0
"""How long an endpoint of another chain is left alone before it is asked which it serves now; doubles each time."""
NEVER_NS = 1 << 63
RETURN_S = 600.0
"""After so long on a fallback the first endpoint is asked whether it is back."""


@dataclass(slots=True)
class Candidate:
    """One endpoint."""

    url: str
    not_before_ns: int = 0
    rests_until_ns: int = 0
    failures: int = 0
    """In a row."""
    useless: int = 0
    """How often in a row it was given up by judgement, not by a broken connection."""
    wrong_chain: bool = False
    asked_again_ns: int = NEVER_NS
    """When it is asked whether it serves our chain by now."""
    times_asked: int = 0
    """How often it was asked that."""
    reason: FeedReason = FeedReason.CONNECTING
    """What ended its last connection."""
    words: str = ""
    """The same for people."""

    @property
    def exclusion_ns(self) -> int:
        """Until it is asked again which chain it serves."""
        return int(min(FIRST_EXCLUSION_S * float(1 << min(self.times_asked, 8)), LONGEST_EXCLUSION_S) * NS)


class Endpoints:
    """The endpoints of one collector, the preferred one first."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        bound_s: float = 10.0,
        threshold: int = 8,  # consecutive failures; one full round of fallbacks should fit
        open_s: float = 30.0,
        return_s: float = RETURN_S,
    ) -> None:
        self._candidates = [Candidate(url) for url in urls]
        self.usable = len(self._candidates)
        """How many serve our chain, as far as is known."""
        self._bound_ns, self._return_ns = int(bound_s * NS), int(return_s * NS)
        self._threshold, self._open_s = threshold, open_s
        self._left_first_ns = 0
        self.index = 0
        """Of the endpoint that is in use, or is next."""
        self.failures = 0
        """In a row, over all endpoints."""
        self.circuit = Circuit.CLOSED

    def __len__(self) -> int:
        return len(self._candidates)

    @property
    def current(self) -> Candidate:
        """The endpoint that is in use, or is next."""
        return self._candidates[self.index]

    @property
    def fallback(self) -> Candidate | None:
        """Whom to ask what the current one may not know: the first other endpoint of our chain."""
        if len(self._candidates) == 1:
            return None
        others = (one for one in self._candidates if one is not self.current and not one.wrong_chain)
        return min(others, key=lambda one: one.useless, default=None)

    @property
    def all(self) -> Sequence[Candidate]:
        """Every endpoint, the preferred one first."""
        return self._candidates

    @property
    def all_failed(self) -> bool:
        """Whether each of them was tried, or asked, in vain."""
        return all(candidate.words for candidate in self._candidates)

    def others(self) -> list[Candidate]:
        """All but the current one."""
        return [candidate for candidate in self._candidates if candidate is not self.current]

    def attempt(self) -> None:
        """An attempt begins; after an open circuit it is a trial."""
        if self.circuit is Circuit.OPEN:
            self.circuit = Circuit.HALF_OPEN

    def proved(self) -> None:
        """A block ended on this connection, or the node answers and nobody knows a newer head."""
        self.served()
        self.current.useless = 0

    def served(self) -> None:
        """A connection that broke had brought a header: what fails next is the first failure in a row."""
        self.failures = self.current.failures = 0
        self.circuit = Circuit.CLOSED

    def failed(
        self,
        reason: FeedReason,
        words: str,
        random: float,
        now_ns: int,
        *,
        retry_after_s: float = 0.0,
        useless: bool = False,
    ) -> float:
        """The connection could not be made, was lost, or was given up; returns the pause in seconds before the next.

        Args:
            reason: what happened.
            words: the same for people, without secrets.
            random: uniform in [0, 1).  Full jitter (AWS architecture blog, "Exponential Backoff And Jitter"): a whole
                fleet that lost its node comes back spread over the pause, not at its end.
            now_ns: monotonic.
            retry_after_s: the peace that the node asked for; the others are tried meanwhile.
            useless: found out by a bound without progress, so that trying it again costs another.
        """
        current = self.current
        current.reason, current.words = reason, words
        current.failures += 1
        self.failures += 1
        pause_s = max(jittered(random, current.failures), min(retry_after_s, LONGEST_RETRY_AFTER_S))
        current.not_before_ns = now_ns + int(pause_s * NS)
        if useless:
            rest_s = min(FIRST_REST_S * float(1 << min(current.useless, 8)), LONGEST_REST_S)
            current.useless += 1
            current.rests_until_ns = now_ns + int(rest_s * NS)
        if self.failures >= self._threshold:
            self.circuit = Circuit.OPEN
            return max(self._choose(now_ns), self._open_s * (0.5 + random / 2))
        return self._choose(now_ns)

    def ended(self, reason: FeedReason, words: str, random: float, now_ns: int) -> float:
        """A connection that had served ended; returns the pause in seconds before the next."""
        self.current.reason, self.current.words = reason, words
        self.current.not_before_ns = now_ns + int(random * NS / 4)
        return self._choose(now_ns)

    def rest(self, candidate: Candidate, words: str, now_ns: int) -> None:
        """It could not be asked, as `words` say: for a while it is tried only where the others are worse."""
        candidate.words = words
        candidate.rests_until_ns = max(candidate.rests_until_ns, now_ns + int(FIRST_REST_S * NS))

    def exclude(self, candidate: Candidate, words: str, now_ns: int, *, for_good: bool = False) -> float:
        """It serves another chain; returns the pause before the next.  Ask `usable` first."""
        self.usable -= not candidate.wrong_chain
        candidate.wrong_chain, candidate.reason, candidate.words = True, FeedReason.WRONG_CHAIN, words
        candidate.asked_again_ns = NEVER_NS if for_good else now_ns + candidate.exclusion_ns
        return self._choose(now_ns) if candidate is self.current and self.usable else 0.0

    def asks_excluded(self, now_ns: int) -> Candidate | None:
        """One that served another chain, if it is time to ask which it serves now; not again for twice as long then."""
        due = next((one for one in self._candidates if one.wrong_chain and one.asked_again_ns <= now_ns), None)
        if due is not None:
            due.times_asked += 1
            due.asked_again_ns = now_ns + due.exclusion_ns
        return due

    def readmit(self, candidate: Candidate, now_ns: int) -> None:
        """It serves our chain by now; if it is the first, it is returned to after as long as to one that was left."""
        self.usable += candidate.wrong_chain
        candidate.wrong_chain, candidate.words = False, ""
        self._left_first_ns = now_ns

    def asks_first(self, now_ns: int) -> Candidate | None:
        """The preferred endpoint, if it is time to ask whether it is back; not again for a while then."""
        if len(self._candidates) == 1:
            return None
        first = next((one for one in self._candidates if not one.wrong_chain), self.current)
        wait_ns = self._return_ns << min(first.useless, 3)
        if first is self.current or now_ns - self._left_first_ns < wait_ns:
            return None
        self._left_first_ns = now_ns
        return first

    def prefer(self, candidate: Candidate) -> None:
        """It is back: the next connection goes there."""
        candidate.not_before_ns = candidate.rests_until_ns = 0
        self.index = self._candidates.index(candidate)

    def _choose(self, now_ns: int) -> float:
        """Turn to the endpoint that costs least to try; returns the seconds until it may be."""
        before = self.index

        def cost_ns(index: int) -> int:
            one = self._candidates[index]
            return max(one.not_before_ns - now_ns, 0) + (self._bound_ns if one.rests_until_ns > now_ns else 0)

        usable = [index for index, one in enumerate(self._candidates) if not one.wrong_chain]
        self.index = min(usable, key=cost_ns, default=self.index)
        if before != self.index and self.index != min(usable, default=0):
            self._left_first_ns = now_ns
        return max(self.current.not_before_ns - now_ns, 0) / NS
