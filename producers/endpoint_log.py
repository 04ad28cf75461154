"""What the log and the statistics say of a collector's endpoints, and of what its feed declares.

Owns the words and how often they are said (`producers.node.remarks`).  It must never decide what becomes of an
endpoint.  A URL may hold a key: hosts are shown, and what a node says loses the parts of its URL.
"""

from __future__ import annotations

import logging

from producers.declared import Declared
from producers.feed import Feed
from producers.node.backoff import Circuit
from producers.node.endpoints import Candidate, Endpoints
from producers.node.redaction import host_of, printable
from producers.node.remarks import Remarks
from tlv.codes import FeedReason
from tlv.units import NS

UNREACHED_NS = 3 * NS
"""After so long without a connection it is said what is needed, also if nothing failed yet: packets may be dropped."""

log = logging.getLogger("alphapulse.collector")


class EndpointLog:
    """The log of one collector."""

    def __init__(self, feed: Feed, endpoints: Endpoints, urls: tuple[str, ...], remedy: str, began_ns: int) -> None:
        self._feed, self._endpoints, self._urls, self._remedy = feed, endpoints, urls, remedy
        self._remarks, self._declared = Remarks(), Declared()
        self._began_ns = began_ns
        self._said_unproven = self._said_unreached = False

    def warn(self, host: str, kind: str, text: str, now_ns: int) -> None:
        """Once, then counted."""
        line = self._remarks.remark(kind, text, now_ns)
        if line is not None:
            log.warning(line, extra={"host": host})

    def lost(self, what: str, reason: FeedReason, words: str, now_ns: int) -> str:
        """Say and count why there is no connection, or no more; returns the words as they may be shown."""
        host, name, stats = host_of(self._endpoints.current.url), reason.name.lower(), self._feed.stats
        words = printable(words, *self._urls)
        self._feed.reason = reason
        stats.last_trouble = f"{host}: {words}"
        stats.endpoint_failures[f"{host}: {name}"] += 1
        self.warn(host, f"{what} {reason} {words}", f"{what}: {words} ({name})", now_ns)
        return words

    def excluded(self, candidate: Candidate, words: str) -> None:
        """It serves another chain."""
        host = host_of(candidate.url)
        log.warning("%(host)s is not used: %(why)s", {"host": host, "why": words})
        self._feed.stats.endpoint_failures[f"{host}: wrong_chain"] += 1

    def readmitted(self, candidate: Candidate) -> None:
        """It had served another chain, and serves ours."""
        log.warning("%(host)s is used again: it serves the right chain", {"host": host_of(candidate.url)})

    def resting(self, candidate: Candidate, words: str, now_ns: int) -> None:
        """A fallback that could not be asked at the start."""
        host = host_of(candidate.url)
        self._feed.stats.endpoint_failures[f"{host}: unreachable"] += 1
        self.warn(host, f"check {host} {words}", f"fallback {host}: {words}; it is tried last", now_ns)

    def note_circuit(self) -> None:
        """The circuit breaker may be in another state."""
        circuit, stats = self._endpoints.circuit, self._feed.stats
        if circuit != stats.circuit:
            log.warning("the circuit is %s; %d failures in a row", circuit, self._endpoints.failures)
            stats.circuit_openings += circuit is Circuit.OPEN
            stats.circuit = circuit

    def tell(self, now_ns: int) -> None:
        """What the feed remarks of its endpoint; and once, that none can be reached, with what to do about it."""
        unproven = self._feed.unproven_identity
        if unproven is not None and not self._said_unproven:
            self._said_unproven = True
            log.info(printable(unproven, *self._urls))
        host = host_of(self._endpoints.current.url)
        for remark in self._feed.take_remarks():
            self.warn(host, f"{host} {remark.topic}", f"{host}: {printable(remark.words, *self._urls)}", now_ns)
        if not (self._said_unreached or self._feed.stats.connections):
            self._tell_unreached(now_ns)

    def _tell_unreached(self, now_ns: int) -> None:
        if self._endpoints.all_failed or now_ns - self._began_ns > UNREACHED_NS:
            self._said_unreached = True
            log.warning("no endpoint can be reached, and the collector goes on trying: %s", self.unreached())

    def unreached(self) -> str:
        """Every endpoint with what is known of it, and what to do."""
        found = ", ".join(
            f"{host_of(one.url)} ({printable(one.words, *self._urls) or 'no answer yet'})"
            for one in self._endpoints.all
        )
        return f"{found}; {self._remedy}" if self._remedy else found

    def tell_declared(self, now_ns: int) -> None:
        """What the feed declared since the last call."""
        for line, blocks in self._declared.lines(self._remarks, self._feed.count(), now_ns):
            log.warning(line, extra=blocks)
