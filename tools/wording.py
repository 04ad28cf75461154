"""Codes and records of the wire in words: what `dump`, the live view and the dashboard say.

A code that this build does not know stays a number.
"""

from __future__ import annotations

from tlv.codes import GapScope, InvalidationScope, QuoteVerdict, Reason
from tlv.layout import BackfillBegin, BackfillEnd, Gap, Reorg, StateInvalidation
from tlv.venues import VENUES
from tools.code_names import code_name

VERDICTS = {
    QuoteVerdict.EXACT: "exact",
    QuoteVerdict.WITHIN_SEGMENT: "exact within its price range",
    QuoteVerdict.SPECULATIVE: "speculative: its block is open",
}
REASONS = {
    Reason.LAPPED: "the reader was too slow",
    Reason.NOT_RETAINED: "no longer kept",
    Reason.NODE_HAS_NO_BLOCK: "the node does not have them",
    Reason.DISCONNECTED: "the node was disconnected",
    Reason.STARTED: "the collector started",
    Reason.REORG: "a reorg",
    Reason.RANGE_REFUSED: "the node refuses the range",
    Reason.WRITER_RESTARTED: "the writer restarted",
    Reason.CHAIN_BROKEN: "the blocks do not join",
    Reason.LATE_LOGS: "logs came late",
    Reason.FILTER_CHANGED: "the filter changed",
    Reason.END_UNKNOWN: "the old ring's end is unknown",
    Reason.DAMAGED: "the bytes are damaged",
}


def reason(number: int) -> str:
    """Why something happened."""
    return REASONS[Reason(number)] if number in set(Reason) else f"reason {number}"


def verdict(number: int) -> str:
    """How far a signal's outcome can be trusted."""
    return VERDICTS[QuoteVerdict(number)] if number in set(QuoteVerdict) else f"verdict {number}"


def venue_name(number: int) -> str:
    """A venue without its chain; its code, if it has no name."""
    return (VENUES.name_of(number) or str(number)).rpartition(".")[2]


def counted(count: int, what: str) -> str:
    """1 block, 2 blocks."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def span(first: int, last: int) -> str:
    """From a first to a last block or sequence."""
    return str(first) if first == last else f"{first} to {last}"


def gap_text(gap: Gap) -> str:
    """What is missing, and why."""
    count = gap.last - gap.first + 1
    what = {int(GapScope.BLOCK_NUMBERS): "block", int(GapScope.RING_SEQUENCES): "message"}.get(gap.scope, "number")
    return f"{what}{'' if count == 1 else 's'} {span(gap.first, gap.last)} missing ({count:,}): {reason(gap.reason)}"


def reorg_text(reorg: Reorg) -> str:
    """What left the chain, and what that took back."""
    taken = counted(reorg.removed_events, "event")
    return f"{counted(reorg.depth, 'block')} above {reorg.fork_number} left the chain, {taken} taken back"


def invalidation_text(record: StateInvalidation) -> str:
    """Whose state must not be trusted, and why."""
    one = record.scope == InvalidationScope.ONE_POOL
    whose = f"pool 0x{record.pool.hex()}" if one else code_name(InvalidationScope, record.scope)
    return f"{whose}: state since block {record.since_block} not to be trusted: {reason(record.reason)}"


def backfill_text(record: BackfillBegin | BackfillEnd) -> str:
    """Which blocks are fetched, or were."""
    blocks = f"block{'' if record.first == record.last else 's'} {span(record.first, record.last)}"
    if isinstance(record, BackfillBegin):
        return f"fetching {blocks}: {reason(record.reason)}"
    return f"fetched {blocks}: {counted(record.events, 'event')} new, {counted(record.rounds, 'round')}"
