"""What is said about blocks: the messages that tell a reader what is canonical, complete, taken back or missing.

Owns the records of the chain's own story and their counters.  It must never decide anything: `producers.assembly` says
what happened, and here it becomes a message.
"""

from __future__ import annotations

from producers.blocks.chain import ZERO_HASH, Block, Switch
from producers.node.hex import read_optional_quantity
from producers.output.outbox import Outbox
from producers.statistics import Statistics
from tlv.codes import Domain, Flag, GapScope, InvalidationScope, Reason
from tlv.layout import BackfillBegin, BackfillEnd, BlockEnd, Gap, Reorg, StateInvalidation
from tlv.layout import Block as BlockRecord


class Chronicle:
    """The story of one chain's blocks, told to one outbox."""

    def __init__(self, outbox: Outbox, stats: Statistics) -> None:
        self._outbox, self._stats = outbox, stats
        self._backfill: BackfillBegin | None = None
        self._backfilled = 0

    def tell_block(self, block: Block) -> None:
        """`block` became canonical."""
        self._stats.blocks += 1
        head = block.head
        record = BlockRecord(
            number=block.number,
            timestamp=block.timestamp,
            gas_used=read_optional_quantity(head.gas_used),
            gas_limit=read_optional_quantity(head.gas_limit),
            receive_time_ns=self._outbox.wall_ns,
            base_fee=read_optional_quantity(head.base_fee_per_gas),
            hash=_hash(block.hash),
            parent_hash=_hash(block.parent_hash),
        )
        self._outbox.put(Domain.MARKET_DATA, record)

    def tell_block_end(self, block: Block) -> None:
        """`block` is complete and published."""
        record = BlockEnd(
            block.number, len(block.seen), block.events, block.quarantined, _hash(block.hash), block.verdict
        )
        self._say(record, Flag.LAST_IN_BLOCK)
        self._stats.blocks_by_verdict[block.verdict.name.lower()] += 1

    def tell_reorg(self, switch: Switch) -> None:
        """Blocks left the chain; the REMOVED copies of their events must follow at once."""
        dropped, fork, new_head = switch.dropped, switch.fork, switch.adopted[-1]
        removed = sum(block.events for block in dropped if not block.to_replay)
        record = Reorg(
            fork_number=fork.number if fork is not None else dropped[-1].number - 1,
            old_head_number=dropped[0].number,
            new_head_number=new_head.number,
            depth=len(dropped),
            removed_events=removed,
            fork_hash=_hash(fork.hash if fork is not None else ZERO_HASH),
            old_head_hash=_hash(dropped[0].hash),
            new_head_hash=_hash(new_head.hash),
        )
        self._say(record)
        self._stats.reorgs.append({"number": dropped[-1].number, "depth": len(dropped), "removed_events": removed})

    def tell_gap(self, first: int, last: int, reason: Reason) -> None:
        """These block numbers cannot be had."""
        self._say(Gap(first, last, GapScope.BLOCK_NUMBERS, reason))
        self._stats.gaps.append((first, last))

    def tell_invalidation(self, since_block: int, reason: Reason) -> None:
        """What readers derived from this block on is not to be trusted."""
        self._say(StateInvalidation(since_block, InvalidationScope.ALL_POOLS, reason, bytes(20)))

    def begin_backfill(self, missed: list[Block], reason: Reason) -> None:
        """These blocks became canonical without their logs being pushed; part of a backfill that is open, if one is."""
        if missed and self._backfill is None:
            self._backfill = BackfillBegin(missed[0].number, missed[-1].number, reason)
            self._backfilled = 0
            self._say(self._backfill)

    def count_backfilled(self, logs: int) -> None:
        """An answer held so many logs that were not pushed."""
        self._backfilled += logs

    def end_backfill(self, number: int) -> None:
        """Everything up to `number` is complete."""
        if self._backfill is not None and number >= self._backfill.last:
            self._say(BackfillEnd(self._backfill.first, self._backfill.last, self._backfilled, 1))
            self._stats.backfills += 1
            self._backfill = None

    def _say(
        self, record: Reorg | Gap | BlockEnd | BackfillBegin | BackfillEnd | StateInvalidation, flags: int = 0
    ) -> None:
        self._outbox.put(Domain.SYSTEM, record, flags=flags)


def _hash(text: str) -> bytes:
    return bytes.fromhex(text[2:])
