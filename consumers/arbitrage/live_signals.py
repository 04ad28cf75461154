"""The opportunities that a strategy knows of, and the signals about them that still hold.

Owns the identity of an opportunity, and which signal is to be withdrawn when.  Knows no pool's state and emits nothing.

    an opportunity begins with the first signal about a cycle, and ends when the cycle earns nothing any more
    a signal holds until a newer one of its opportunity, its withdrawal, or the end of its last block
    an opportunity whose signal expired is kept silently: if the cycle still earns when a pool moves, it is the same one
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

from consumers.strategy import Trigger
from tlv.codes import QuoteVerdict
from tlv.layout import CycleLeg, Economics, WayTick


class Statement(NamedTuple):
    """What a signal says, but for its block: as long as it is equal, nothing new is to be said."""

    verdict: QuoteVerdict
    economics: Economics
    legs: list[CycleLeg]
    way: tuple[WayTick, ...]

    @property
    def token_in(self) -> bytes:
        """The token that the cycle begins and ends with."""
        return self.legs[0].token_in


class KnownOpportunity(NamedTuple):
    """A cycle that earns, and the newest signal about it."""

    key: int
    """Of the cycle (`cycle_table.CycleCandidate`)."""
    start: int
    number: int
    """What is in the signals: equal in all of them."""
    pools: tuple[int, ...]
    signal_id: int
    """0: no signal holds."""
    block_number: int
    expires_block: int
    statement: Statement


def opportunity_number(pools: Sequence[bytes], token_in: bytes, trigger: Trigger) -> int:
    """64 bits that name an opportunity: equal for equal pools in order, token and first trigger, so a replay gives the
    same."""
    text = b"".join((b"opportunity", *pools, token_in, trigger.ring, trigger.sequence.to_bytes(8, "little")))
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


class LiveSignals:
    """Opportunities by cycle and by pool."""

    def __init__(self) -> None:
        self._by_key: dict[int, KnownOpportunity] = {}
        self._by_pool: dict[int, set[int]] = {}
        self._holding: dict[int, None] = {}

    def __len__(self) -> int:
        """How many signals hold."""
        return len(self._holding)

    def __iter__(self) -> Iterator[KnownOpportunity]:
        """Those whose signals hold, in the order in which they came to hold."""
        return iter([self._by_key[key] for key in self._holding])

    def get(self, key: int) -> KnownOpportunity | None:
        """That of a cycle."""
        return self._by_key.get(key)

    def through(self, pools: Iterable[int]) -> list[KnownOpportunity]:
        """Those of cycles through any of the pools, ordered by cycle."""
        if not self._by_key:
            return []
        keys = {key for pool in pools for key in self._by_pool.get(pool, ())}
        return [self._by_key[key] for key in sorted(keys)]

    def put(self, opportunity: KnownOpportunity) -> None:
        """Take over what is known of an opportunity now."""
        self._by_key[opportunity.key] = opportunity
        for pool in opportunity.pools:
            self._by_pool.setdefault(pool, set()).add(opportunity.key)
        if opportunity.signal_id:
            self._holding[opportunity.key] = None
        else:
            self._holding.pop(opportunity.key, None)

    def end(self, opportunity: KnownOpportunity) -> None:
        """The cycle earns nothing any more, or nobody knows whether it does."""
        del self._by_key[opportunity.key]
        self._holding.pop(opportunity.key, None)
        for pool in opportunity.pools:
            self._by_pool[pool].discard(opportunity.key)

    def silence(self, opportunity: KnownOpportunity) -> None:
        """Its signal does not hold any more; it may still earn."""
        self.put(opportunity._replace(signal_id=0))
