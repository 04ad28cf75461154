"""What an earlier collector published, read back from its ring, so that a restart continues there.

Owns the reading of messages that this package wrote.  It must never publish, nor know a ring: it is given payloads in
order.  Nothing else is needed for a restart: which blocks were canonical and closed, which events stand, and what a
reorg took back only in part, because the process died in the middle.

A block that was not closed is fetched again whole, and the events that are in the ring already are known by identity.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from producers.blocks.block import Block, Progress, ended_block
from producers.blocks.chain import Chain
from producers.decode.segment import Segment
from producers.node.rpc_types import Head
from tlv.codes import Completeness, Domain, Flag, GapScope, Reason
from tlv.layout import Block as BlockRecord
from tlv.layout import BlockEnd, EventOrigin, Gap, Header, Reorg, StateInvalidation
from tlv.message import parse

Identity = tuple[bytes, int]


class Recovered(NamedTuple):
    """What the ring holds of the earlier collector's blocks."""

    blocks: list[Block]
    """The canonical ones, oldest first, as far back as the ring reaches."""
    half_removed: list[Segment]
    """Events of dropped blocks that were not taken back yet, newest first."""
    holes: list[tuple[int, int]]


class _Found:
    """One block as its messages describe it."""

    def __init__(self, record: BlockRecord) -> None:
        self.record = record
        self.standing: dict[Identity, bytes] = {}
        self.end: BlockEnd | None = None


def recover(payloads: Iterable[bytes | memoryview]) -> Recovered:
    """Read the messages of a ring, oldest first.

    Raises:
        FrameError: one of them is no message.
    """
    found: dict[bytes, _Found] = {}
    canonical: dict[int, _Found] = {}
    dropped: list[_Found] = []
    holes: list[tuple[int, int]] = []
    for payload in payloads:
        message = parse(payload, verify=False)
        record = message.records[0] if message.records else None
        if isinstance(record, BlockRecord):
            # A block that comes back is published anew, copies of its events included.
            canonical[record.number] = found[record.hash] = _Found(record)
        elif isinstance(record, Reorg):
            fallen = sorted((number for number in canonical if number > record.fork_number), reverse=True)
            dropped = [canonical.pop(number) for number in fallen]
        elif isinstance(record, BlockEnd) and record.hash in found:
            found[record.hash].end = record
        elif isinstance(record, StateInvalidation) and record.reason == Reason.LATE_LOGS:
            if record.since_block in canonical:
                canonical[record.since_block].end = None  # its end was to be published anew
        elif isinstance(record, Gap) and record.scope == GapScope.BLOCK_NUMBERS:
            holes.append((record.first, record.last))
        elif message.header.domain == Domain.MARKET_DATA:
            origin = message.first(EventOrigin)
            if origin is not None and origin.block_hash in found:
                _stand(found[origin.block_hash], message.header, origin, bytes(payload))
    left = [_segment(list(block.standing.values())) for block in dropped if block.standing]
    return Recovered([_block(canonical[number]) for number in sorted(canonical)], left, holes)


def restore(chain: Chain, recovered: Recovered) -> int:
    """Put what was recovered into an empty chain; returns the newest block number up to which all are closed."""
    chain.restore(recovered.blocks, recovered.holes)
    for block in recovered.blocks:
        if block.parent_hash not in chain.blocks:
            block.lose_parent()
    closed = recovered.blocks[0].number - 1
    for block in recovered.blocks:
        if block.progress is not Progress.CLOSED:
            break
        closed = block.number
    return closed


def _stand(block: _Found, header: Header, origin: EventOrigin, payload: bytes) -> None:
    identity = (origin.transaction_hash, origin.log_index)
    if header.flags & Flag.REMOVED:
        block.standing.pop(identity, None)
    else:
        block.standing[identity] = payload


def _block(found: _Found) -> Block:
    record = found.record
    head = Head(
        number=hex(record.number),
        hash=_hex(record.hash),
        parent_hash=_hex(record.parent_hash),
        timestamp=hex(record.timestamp),
        base_fee_per_gas=hex(record.base_fee),
        gas_used=hex(record.gas_used),
        gas_limit=hex(record.gas_limit),
    )
    block = Block(head) if found.end is None else ended_block(head, Completeness(found.end.verdict))
    if found.standing:
        identities = {_hex(transaction) + hex(index) for transaction, index in found.standing}
        block.restore(identities, max(index for _, index in found.standing), _segment(list(found.standing.values())))
    if found.end is None:
        block.want()
    return block


def _segment(messages: list[bytes]) -> Segment:
    lengths = np.array([len(message) for message in messages], dtype=np.int64)
    return Segment(np.frombuffer(b"".join(messages), dtype=np.uint8), lengths.cumsum() - lengths, lengths)


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
