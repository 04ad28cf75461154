"""What detectors see becomes messages: begun once, ended once, and nothing that was said before a restart.

Owns which anomalies last.  It must never know how one is found: a detector says what it measured and whether that is
enough to begin, or little enough to end; between the two everything stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from consumers.anomalies.published import LastingKey, PublishedAnomalies
from tlv.codes import AnomalyKind, AnomalyState
from tlv.layout import SystemHealth

NO_POOL = bytes(20)
NO_HASH = bytes(32)
MOST_LASTING = 1_024
"""Anomalies that last at a time; one beyond that is said once, without an end."""
LARGEST = (1 << 63) - 1
EVIDENCE_BYTES = 64


class FramePlace(NamedTuple):
    """The frame that is judged."""

    ring: bytes
    sequence: int
    time_ns: int
    """Wall time at which it was published first."""
    chain_id: int


class Sighting(NamedTuple):
    """What a detector measured, in the unit of its kind."""

    kind: AnomalyKind
    value: int
    threshold: int
    first: int
    """Sequence of the first frame of the evidence; the last is the frame that is judged."""
    evidence: str
    block_number: int = -1
    block_hash: bytes = NO_HASH
    pool: bytes = NO_POOL
    venue: int = 0


class Announcements:
    """Says what is new, through `say`."""

    def __init__(self, published: PublishedAnomalies, say: Callable[[SystemHealth], object]) -> None:
        self.place = FramePlace(bytes(16), 0, 0, 0)
        self._published = published
        self._say = say

    @property
    def lasting(self) -> dict[LastingKey, SystemHealth]:
        """What began and has not ended, as it was said."""
        return self._published.lasting

    def began(self, kind: AnomalyKind, pool: bytes = NO_POOL) -> SystemHealth | None:
        """The beginning of one that lasts."""
        return self.lasting.get((kind, pool))

    def once(self, sighting: Sighting) -> None:
        """Something that is of one moment."""
        self._announce(sighting, AnomalyState.ONCE)

    def judge(self, sighting: Sighting, *, begins: bool, ends: bool) -> None:
        """Something that may last: begin, end, or leave it as it is."""
        key = (sighting.kind, sighting.pool)
        began = self.lasting.get(key)
        if began is None and begins:
            if len(self.lasting) >= MOST_LASTING:
                self.once(sighting)
            elif (said := self._announce(sighting, AnomalyState.BEGUN)) is not None:
                self.lasting[key] = said
        elif began is not None and ends:
            first = began.first_sequence if began.ring == self.place.ring else sighting.first
            if self._announce(sighting._replace(first=first), AnomalyState.ENDED) is not None:
                del self.lasting[key]

    def _announce(self, sighting: Sighting, state: AnomalyState) -> SystemHealth | None:
        """Say it; None if it was said, or its frame has been judged, before this watch began."""
        place = self.place
        health = SystemHealth(
            value=min(sighting.value, LARGEST),
            threshold=sighting.threshold,
            time_ns=place.time_ns,
            block_number=sighting.block_number,
            first_sequence=sighting.first,
            last_sequence=place.sequence,
            chain_id=place.chain_id,
            block_hash=sighting.block_hash,
            ring=place.ring,
            pool=sighting.pool,
            evidence=sighting.evidence.encode()[:EVIDENCE_BYTES].decode(errors="ignore"),
            venue=sighting.venue,
            kind=sighting.kind,
            state=state,
        )
        if self._published.includes(health):
            return None
        self._say(health)
        return health
