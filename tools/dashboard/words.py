"""What a ring said beside events and blocks, as a happening in words; `tools.wording` has those that `dump` uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tlv.codes import EmitterProof
from tlv.layout import BackfillBegin, BackfillEnd, Gap, Reorg, RingReplaced, Session, StateInvalidation, Unproven
from tlv.record import Record
from tools.dashboard.rows import hex_of
from tools.wording import backfill_text, gap_text, invalidation_text, reorg_text

STANDINGS: dict[int, str] = {
    EmitterProof.UNKNOWN: "is not proven to be a pool yet",
    EmitterProof.POOL: "is a pool",
    EmitterProof.NO_POOL: "is no pool",
    EmitterProof.UNSUPPORTED: "is a pool of no factory that is configured",
}


class Saying(NamedTuple):
    """A happening's kind, the blocks or sequences that it is about (-1: none), and what it says."""

    kind: str
    first: int
    last: int
    text: str


def _reorg(record: Reorg) -> Saying:
    unknown = "" if any(record.fork_hash) else "; where the branches part is not known"
    text = f"{reorg_text(record)}; new head {record.new_head_number}{unknown}"
    return Saying("reorg", record.fork_number + 1, record.old_head_number, text)


def _gap(record: Gap) -> Saying:
    return Saying("gap", record.first, record.last, gap_text(record))


def _backfill_begin(record: BackfillBegin) -> Saying:
    return Saying("backfill_begin", record.first, record.last, backfill_text(record))


def _backfill_end(record: BackfillEnd) -> Saying:
    return Saying("backfill_end", record.first, record.last, backfill_text(record))


def _invalidation(record: StateInvalidation) -> Saying:
    return Saying("invalidation", record.since_block, -1, invalidation_text(record))


def _unproven(record: Unproven) -> Saying:
    standing = STANDINGS.get(record.standing, f"stands as {record.standing}")
    text = f"{hex_of(record.emitter)} {standing}: {record.held_back} events held back, {record.marked} marked"
    return Saying("unproven", record.since_block, -1, text)


def _session(record: Session) -> Saying:
    chain = f" of chain {record.chain_id}" if record.chain_id else ""
    return Saying("session", -1, -1, f"a writer began epoch {record.epoch}{chain} at sequence {record.first_sequence}")


def _replaced(record: RingReplaced) -> Saying:
    last = f"ended with sequence {record.last_sequence}" if record.last_sequence >= 0 else "ended, nobody knows where"
    return Saying("ring_replaced", -1, -1, f"the ring was made anew; the old one {last}")


SAYINGS: dict[type[Record], Callable[[Any], Saying]] = {
    Reorg: _reorg,
    Gap: _gap,
    BackfillBegin: _backfill_begin,
    BackfillEnd: _backfill_end,
    StateInvalidation: _invalidation,
    Unproven: _unproven,
    Session: _session,
    RingReplaced: _replaced,
}
"""The records that are happenings."""
