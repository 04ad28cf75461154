"""Messages about blocks: what is canonical, complete, taken back or missing.

Owns those records and their counters.  It must never decide anything: `producers.assembly` says what happened, and here
it becomes a message.
"""

from __future__ import annotations

from producers.blocks.block import Block
from producers.blocks.chain import ZERO_HASH, Switch
from producers.context import Context
from producers.node.hex import read_optional_quantity
from producers.output.outbox import Outbox
from tlv.codes import Completeness, Domain, Flag, GapScope, InvalidationScope, NotPublished, Reason
from tlv.layout import BackfillBegin, BackfillEnd, BlockEnd, Gap, Reorg, StateInvalidation, Uncovered, Unproven
from tlv.layout import Block as BlockRecord

LAST_IN_BLOCK = int(Flag.LAST_IN_BLOCK)
"""As a plain number: with a Flag `build` takes its careful way, 20 us with cold caches."""
VERDICTS = {verdict: verdict.name.lower() for verdict in Completeness}
OUTCOMES = {reason: reason.name.lower() for reason in NotPublished}


class BlockMessages:
    """The messages about one chain's blocks, into one outbox."""

    def __init__(self, context: Context, outbox: Outbox) -> None:
        self._clock, self._stats, self._outbox = context.clock, context.stats, outbox
        self._backfill: BackfillBegin | None = None
        self._backfilled = 0

    def put_block(self, block: Block) -> None:
        """`block` became canonical."""
        self._stats.blocks += 1
        head = block.head
        record = BlockRecord(
            number=block.number,
            timestamp=block.timestamp,
            gas_used=read_optional_quantity(head.gas_used),
            gas_limit=read_optional_quantity(head.gas_limit),
            receive_time_ns=self._clock.wall_ns,
            base_fee=read_optional_quantity(head.base_fee_per_gas),
            hash=_hash(block.hash),
            parent_hash=_hash(block.parent_hash),
        )
        self._outbox.put(Domain.MARKET_DATA, record)

    def put_block_end(self, block: Block, held_back: int, uncovered: list[Uncovered]) -> None:
        """`block` is complete and published, but for so many logs of unproven emitters; `uncovered` are its swaps that
        are not published."""
        record = BlockEnd(
            number=block.number,
            log_count=len(block.seen) + block.elsewhere.logs,
            event_count=block.events + block.elsewhere.events,
            held_back=held_back,
            hash=_hash(block.hash),
            verdict=block.verdict,
            swap_count=block.swap_count,
        )
        self._outbox.put(Domain.SYSTEM, record, *uncovered, flags=LAST_IN_BLOCK)
        self._stats.blocks_by_verdict[VERDICTS[block.verdict]] += 1
        outcomes = {"published": record.swap_count}
        for one in uncovered:
            outcome = OUTCOMES[NotPublished(one.reason)]
            outcomes[outcome] = outcomes.get(outcome, 0) + one.swaps
            outcomes["published"] -= one.swaps
        self._stats.add_swaps(block.count_swaps(outcomes))

    def put_reorg(self, switch: Switch) -> None:
        """Blocks left the chain; the REMOVED copies of their events must follow at once."""
        dropped, fork, new_head = switch.dropped, switch.fork, switch.adopted[-1]
        depth = len(dropped)
        if switch.unreachable is not None:
            depth += switch.unreachable[1] - switch.unreachable[0] + 1
        removed = sum(block.events for block in dropped if not block.to_replay)
        record = Reorg(
            fork_number=fork.number if fork is not None else switch.left_from - 1,
            old_head_number=dropped[0].number,
            new_head_number=new_head.number,
            depth=depth,
            removed_events=removed,
            fork_hash=_hash(fork.hash if fork is not None else ZERO_HASH),
            old_head_hash=_hash(dropped[0].hash),
            new_head_hash=_hash(new_head.hash),
        )
        self._put(record)
        self._stats.add_reorg(switch.left_from, depth, removed)

    def put_gap(self, first: int, last: int, reason: Reason) -> None:
        """These block numbers cannot be had."""
        self._put(Gap(first, last, GapScope.BLOCK_NUMBERS, reason))
        self._stats.add_gap(first, last)

    def put_invalidation(self, since_block: int, reason: Reason) -> None:
        """What readers derived from this block on is not to be trusted."""
        self._put(StateInvalidation(since_block, InvalidationScope.ALL_POOLS, reason, bytes(20)))

    def put_unproven(self, record: Unproven) -> None:
        """Logs of an emitter are held back, or are no more."""
        self._put(record)
        self._stats.unproven_emitters += 1

    def begin_backfill(self, missed: list[Block], reason: Reason) -> None:
        """These blocks became canonical without their logs being pushed; part of a backfill that is open, if one is."""
        if missed and self._backfill is None:
            self._backfill = BackfillBegin(missed[0].number, missed[-1].number, reason)
            self._backfilled = 0
            self._put(self._backfill)

    def count_backfilled(self, logs: int) -> None:
        """An answer held so many logs that were not pushed."""
        self._backfilled += logs

    def end_backfill(self, number: int) -> None:
        """Everything up to `number` is complete."""
        if self._backfill is not None and number >= self._backfill.last:
            self._put(BackfillEnd(self._backfill.first, self._backfill.last, self._backfilled, 1))
            self._stats.backfills += 1
            self._backfill = None

    def _put(
        self,
        record: Reorg | Gap | BackfillBegin | BackfillEnd | StateInvalidation | Unproven,
        flags: int = 0,
    ) -> None:
        self._outbox.put(Domain.SYSTEM, record, flags=flags)


def _hash(text: str) -> bytes:
    return bytes.fromhex(text[2:])
