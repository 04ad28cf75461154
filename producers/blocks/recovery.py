"""What an earlier collector published, read back from its ring: so that a restart continues its story.

Owns the reading of messages that this package wrote.  It must never publish, nor know a ring: it is given payloads in
order.  Nothing else is needed for a restart: which blocks were canonical and closed, which events stand, and what a
reorg took back only in part, because the process died in the middle.

A block that was not closed is fetched again whole, and the events that are in the ring already are known by identity.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from producers.blocks.chain import Block, Chain, Progress
from producers.node.rpc_types import Head
from producers.output.outbox import Segment
from tlv.codes import Completeness, Domain, Flag, GapScope, Reason
from tlv.layout import Block as BlockRecord
from tlv.layout import BlockEnd, EventOrigin, Gap, Header, Reorg, StateInvalidation
from tlv.message import parse

Identity = tuple[bytes, int]


class Recovered(NamedTuple):
    """The end of the earlier story."""

    blocks: list[Block]
    """The canonical ones, oldest first, as far back as the ring reaches."""
    half_removed: list[Segment]
    """Events of dropped blocks that were not taken back yet, newest first."""
    holes: list[tuple[int, int]]


class _Told:
    """One block as the messages tell it."""

    def __init__(self, record: BlockRecord) -> None:
        self.record = record
        self.standing: dict[Identity, bytes] = {}
        self.end: BlockEnd | None = None


def recover(payloads: Iterable[bytes | memoryview]) -> Recovered:
    """Read the messages of a ring, oldest first.

    Raises:
        FrameError: one of them is no message.
    """
    told: dict[bytes, _Told] = {}
    canonical: dict[int, _Told] = {}
    dropped: list[_Told] = []
    holes: list[tuple[int, int]] = []
    for payload in payloads:
        message = parse(payload, verify=False)
        record = message.records[0] if message.records else None
        if isinstance(record, BlockRecord):
            # A block that comes back is told anew, copies of its events included.
            canonical[record.number] = told[record.hash] = _Told(record)
        elif isinstance(record, Reorg):
            fallen = sorted((number for number in canonical if number > record.fork_number), reverse=True)
            dropped = [canonical.pop(number) for number in fallen]
        elif isinstance(record, BlockEnd) and record.hash in told:
            told[record.hash].end = record
        elif isinstance(record, StateInvalidation) and record.reason == Reason.LATE_LOGS:
            if record.since_block in canonical:
                canonical[record.since_block].end = None  # its end was to be told anew
        elif isinstance(record, Gap) and record.scope == GapScope.BLOCK_NUMBERS:
            holes.append((record.first, record.last))
        elif message.header.domain == Domain.MARKET_DATA:
            origin = message.first(EventOrigin)
            if origin is not None and origin.block_hash in told:
                _stand(told[origin.block_hash], message.header, origin, bytes(payload))
    left = [_segment(list(block.standing.values())) for block in dropped if block.standing]
    return Recovered([_block(canonical[number]) for number in sorted(canonical)], left, holes)


def restore(chain: Chain, recovered: Recovered) -> int:
    """Put what was recovered into an empty chain; returns the newest block number up to which all are closed."""
    chain.restore(recovered.blocks, recovered.holes)
    for block in recovered.blocks:
        block.root = block.parent_hash not in chain.blocks
    closed = recovered.blocks[0].number - 1
    for block in recovered.blocks:
        if block.progress is not Progress.CLOSED:
            break
        closed = block.number
    return closed


def _stand(block: _Told, header: Header, origin: EventOrigin, payload: bytes) -> None:
    identity = (origin.transaction_hash, origin.log_index)
    if header.flags & Flag.REMOVED:
        block.standing.pop(identity, None)
    else:
        block.standing[identity] = payload


def _block(told: _Told) -> Block:
    record = told.record
    head = Head(
        number=hex(record.number),
        hash=_hex(record.hash),
        parent_hash=_hex(record.parent_hash),
        timestamp=hex(record.timestamp),
        base_fee_per_gas=hex(record.base_fee),
        gas_used=hex(record.gas_used),
        gas_limit=hex(record.gas_limit),
    )
    block = Block(head, 0)
    block.seen = {_hex(transaction) + hex(index) for transaction, index in told.standing}
    block.highest_index = max((index for _, index in told.standing), default=-1)
    block.events = len(told.standing)
    if told.standing:
        block.published = [_segment(list(told.standing.values()))]
    if told.end is not None:
        block.progress, block.verdict, block.ended = Progress.CLOSED, Completeness(told.end.verdict), True
    else:
        block.progress = Progress.WANTED
    return block


def _segment(messages: list[bytes]) -> Segment:
    lengths = np.array([len(message) for message in messages], dtype=np.int64)
    return Segment(np.frombuffer(b"".join(messages), dtype=np.uint8), lengths.cumsum() - lengths, lengths)


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
