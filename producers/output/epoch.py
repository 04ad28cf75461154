"""What stands at the beginning of each epoch of a ring: who writes, for which chain, and what its venues are called.

Owns these records.  The Session comes once more when the chain's early block became known: only then readers can tell
the chain from others of its id.
"""

from __future__ import annotations

from dataclasses import dataclass

from producers.chains.configuration import ChainConfig
from producers.output.outbox import Outbox
from tlv.codes import Domain, InvalidationScope, Reason
from tlv.layout import LAYOUT_DIGEST, Session, StateInvalidation, VenueName
from tlv.venues import VENUES


@dataclass(frozen=True, slots=True)
class OutputRing:
    """The ring that the messages go into, as its Session record has it."""

    ring_uuid: bytes
    epoch: int
    next_sequence: int


class Epoch:
    """One epoch of one ring."""

    def __init__(self, chain: ChainConfig, ring: OutputRing, outbox: Outbox) -> None:
        self._chain, self._ring, self._outbox = chain, ring, outbox
        self._genesis = bytes(32)
        """What the last Session says."""

    def open(self, genesis: bytes) -> None:
        """The first messages; `genesis` is zeros as long as it is unknown."""
        self._put_session(genesis)
        for code in sorted({factory.venue_code for factory in self._chain.factories}):
            self._outbox.put(Domain.SYSTEM, VenueName(code, VENUES.name_of(code) or ""))
        if self._ring.epoch > 1:
            record = StateInvalidation(0, InvalidationScope.ALL_POOLS, Reason.WRITER_RESTARTED, bytes(20))
            self._outbox.put(Domain.SYSTEM, record)

    def learn(self, genesis: bytes) -> None:
        """The node showed the chain's early block."""
        if genesis != self._genesis:
            self._put_session(genesis)

    def _put_session(self, genesis: bytes) -> None:
        ring, self._genesis = self._ring, genesis
        record = Session(ring.ring_uuid, ring.epoch, ring.next_sequence, self._chain.chain_id, LAYOUT_DIGEST, genesis)
        self._outbox.put(Domain.SYSTEM, record)
