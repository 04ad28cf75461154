"""Blocks and logs into an ordered stream without gaps: decides what may be published, and when.

Owns what happens to a block from its announcement to its end.  It must never know frames or subscriptions
(`producers.feed`), nor sockets and clocks (`producers.collector`): heads and logs are given to it, and what answers and
timers bring waits for it in one list (`producers.blocks.arrivals`).  No part calls it back.

    head --announce--> head queue --adopted--> Reorg, REMOVED copies, Gap, Block
    log  --take------> its block, once ---------+
    arrival --act----> either of these          v
    advance:  close what is complete  ->  publish, in block order, up to the first WANTED block  ->  BlockEnd, in order

When a block is complete is `producers.closing`'s business, what a head changes `producers.switching`'s.
"""

from __future__ import annotations

from collections.abc import Sequence

from producers.blocks.arrivals import (
    Arrivals,
    HeaderFetched,
    HeadMissing,
    HeldBackFetched,
    HoleFilled,
    LogsConfirmed,
    LogsFetched,
    LogsUnavailable,
    Opinion,
    ParentSettled,
)
from producers.blocks.backfill import LogFetcher
from producers.blocks.block import CLOSED, KNOWN, LOST, NEW, OPEN, WANTED, Block
from producers.blocks.chain import Chain
from producers.blocks.completeness import Evidence
from producers.blocks.cross_check import CrossCheck
from producers.blocks.frontier import Frontier
from producers.blocks.recovery import Recovered
from producers.closing import Closing
from producers.context import Context
from producers.decode.pool_table import PoolTable
from producers.kinds.proving import Standing
from producers.node.jsonrpc import Rejection
from producers.node.rpc_types import Head, Log
from producers.output.block_events import BlockEvents
from producers.output.block_messages import BlockMessages
from producers.output.declarations import Declarations
from producers.output.event_filter import EventFilter
from producers.output.fee_states import FeeStates
from producers.output.introductions import Introductions
from producers.output.outbox import Outbox
from producers.output.pool_readings import NOTHING_WATCHED, PoolWatch
from producers.output.snapshots import Snapshots
from producers.output.tick_maps import TickMaps
from producers.pools.inquiry import Finding, Token
from producers.pools.quarantine import Quarantine
from producers.switching import Switching
from tlv.codes import Reason
from tlv.units import NS

NEARLY_HEAD = 2
"""The newest block is complete only when the next one comes, so states are asked a little below the head."""
STILL_NS = NS // 2
"""Until the head has stood so long states are asked as of its parent: a node that makes the next block may answer about
its newest from the state that it is making (anvil 1.7.1, by hash too)."""
LARGEST_STEP = 512
"""Logs that are published in one step, so that nothing keeps the event loop away for long: 12 us each, and 30 where
each is the first of its pool.  Of 2,048 the loop was away twice as long (`alphapulse bench --only collector`)."""
MOST_ENDS = 512
"""Blocks that are ended in one step, 12 us each: quiet ones, behind a block that was missing."""


class Assembly:
    """The blocks of one chain, into one outbox."""

    def __init__(
        self,
        context: Context,
        outbox: Outbox,
        table: PoolTable,
        tokens: dict[bytes, Token],
        cross_check: CrossCheck,
        arrivals: Arrivals,
        tick_watch: PoolWatch = NOTHING_WATCHED,
    ) -> None:
        self.chain = Chain(context.chain.finality_blocks)
        self.unfinished = False
        """`advance` has more to publish, and left it for its next call."""
        self._clock, self._rpc, self._stats = context.clock, context.rpc, context.stats
        self._outbox, self._cross_check, self._arrivals = outbox, cross_check, arrivals
        self._frontier = Frontier(self.chain, context.stats)
        self._evidence = Evidence(context.chain, context.log_filter)
        self._logs = LogFetcher(context, self.chain, self._evidence, arrivals, table)
        self._quarantine = Quarantine(context, table, tokens, self.chain, arrivals)
        self._account, self._questioning = self._quarantine.account, self._quarantine.questioning
        self._introductions = Introductions(outbox, table, tokens, context.chain.factories_with_fee_call)
        self._messages = BlockMessages(context, outbox)
        self._events = BlockEvents(context, outbox, table, self._quarantine, self._introductions)
        self._snapshots = Snapshots(context, self._introductions, self.chain.is_canonical)
        self._tick_maps = TickMaps(context, self._introductions, outbox, self.chain.is_canonical, tick_watch)
        self._fee_states = FeeStates(context, self._introductions, outbox, self.chain.is_canonical, tick_watch)
        self._declarations = Declarations(
            self.chain, self._messages, self._snapshots, self._tick_maps, self._fee_states
        )
        self._closing = Closing(context, self._frontier, self._evidence, self._logs, cross_check, self._declarations)
        self._switching = Switching(
            context,
            self._frontier,
            self._evidence,
            self._closing,
            self._events,
            self._declarations,
            self._quarantine,
            arrivals,
        )
        self._connected = False
        self._through = 0
        """How many of the frontier's blocks had nothing left to publish."""

    def resume(self, recovered: Recovered) -> None:
        """Continue where an earlier collector stopped in the same ring."""
        self._switching.resume(recovered)

    # What the feed brings

    def announce(self, head: Head, *, live: bool) -> None:
        """A head: `live` if it was pushed while logs were being pushed too."""
        self._switching.announce(head, live=live)

    def take(self, logs: Sequence[Log], *, pushed: bool = True) -> None:
        """Logs, in any order.  What came before is dropped and counted."""
        blocks = self.chain.blocks
        self._stats.logs_received += len(logs)
        block_hash, block = None, None
        for log in logs:
            if log.block_hash != block_hash or block is None:
                block_hash = log.block_hash
                block = blocks.get(block_hash or "")
            if log.removed:
                self._stats.removed_notices += 1  # the reorg itself shows in the parents of the next head
            elif block is not None:
                taken = block.take(log, pushed=pushed)
                if taken is not NEW or block.progress is CLOSED:
                    self._closing.on_unexpected(block, taken, pushed)
            elif block_hash is not None:
                self._switching.early_logs.keep(block_hash, log)
            else:
                self._rpc.reject(Rejection.BAD_LOG)
                self.doubt_open_blocks()

    def act(self) -> None:
        """Act on what answers and timers brought, in the order in which it came."""
        arrivals = self._arrivals
        while arrivals:
            match arrivals.pop(0):
                case HeaderFetched(head):
                    self._switching.fetched(head)
                case ParentSettled():
                    self._switching.follow()
                case HeadMissing(block_hash, number):
                    self._switching.heads.seek_missing(block_hash, number)
                case LogsFetched(block, logs, whole, of_known):
                    self._merge(block, logs, whole=whole, of_known=of_known)
                case LogsUnavailable(block):
                    self._closing.give_up(block)
                case LogsConfirmed(block):
                    self._closing.confirm_list(block)
                case HoleFilled(heads):
                    self._switching.fill(heads)
                case HeldBackFetched(block):
                    self._closing.publish_again(block)
                case Opinion(block, found, short, misplaced):
                    if found:
                        self.take(found, pushed=False)
                    self._closing.weigh(block, found, short=short, misplaced=misplaced)
        if self._closing.refuted:
            for _, segments in self._closing.take_refuted():
                for segment in reversed(segments):
                    self._events.take_back_segment(segment)
        if self._closing.healed:
            self._closing.tell_healed()

    def _merge(self, block: Block, logs: list[Log], *, whole: bool, of_known: bool) -> None:
        before = block.events + len(block.waiting)
        logs = [log for log in logs if not log.removed]
        self.take(logs, pushed=False)
        new = block.events + len(block.waiting) - before
        self._closing.merge(block, logs, whole=whole, of_known=of_known, new=new)

    def advance(self) -> None:
        """Close, publish and end what can be.  Call it after every batch of frames, and on a timer."""
        self.publish()
        self.end()

    def publish(self) -> None:
        """The first half of `advance`: close what can be, and publish events."""
        self._through = 0
        if self.chain.head is None:
            return
        self.unfinished = False
        if self._frontier.blocks:
            tombstone = False
            for block in reversed(self._frontier.blocks):
                if tombstone and block.progress is OPEN:
                    self._closing.on_tombstone(block)
                tombstone = tombstone or block.pushed > 0
            self._through = self._publish()

    def end(self) -> None:
        """The second half, for which no event waits: judge emitters, end blocks, ask, and note what will be needed."""
        if self.chain.head is None:
            return
        self._judge()
        if self._through:
            self._end(self._frontier.blocks[: self._through])
        if self._frontier.blocks:
            self._evidence.prepare(self._frontier.blocks)
        if self._connected and self._logs.due:
            self._logs.pump()

    def knows(self, block_hash: str) -> bool:
        """Whether the header of this block is known."""
        return block_hash in self.chain.blocks

    def begins_above(self, number: int) -> bool:
        """Whether a block of this number is older than all that was told."""
        return self.chain.begins_above(number)

    def left_behind(self, head: Head) -> bool:
        """Whether a head is older than ours, by its number and its time, and not of our chain."""
        return self.chain.left_behind(head)

    def shows_logs(self, block_hash: str) -> bool:
        """Whether the bloom filter of a known block shows logs that are subscribed to."""
        block = self.chain.blocks.get(block_hash)
        return block is not None and bool(block.positives)

    def tick(self) -> None:
        """Time passed: refetch what stays open too long, and ask what pools hold."""
        self._closing.close_overdue()
        self.advance()
        if self._events.introduced or self._snapshots.due or self._tick_maps.due or self._fee_states.due:
            self._ask_for_states()

    def settle(self) -> None:
        """Nothing more will be pushed: close what is open by asking."""
        self._closing.close_open()
        self.advance()

    @property
    def safe_number(self) -> int:
        """Everything up to here is closed and published."""
        return self._frontier.safe_number

    @property
    def head_number(self) -> int:
        """The newest canonical block; -1 before the first."""
        return self.chain.head.number if self.chain.head is not None else -1

    @property
    def safe_block(self) -> Block | None:
        """The block of `safe_number`; None if it is not known (any more)."""
        return self.chain.canonical.get(self.safe_number)

    @property
    def held_back(self) -> int:
        """Logs that wait until their emitter is proven."""
        return self._quarantine.held

    @property
    def settled(self) -> bool:
        """Whether everything that came is published and ended."""
        head = self.chain.head
        waiting = self._quarantine.held or self._account.healer.gate
        return not self._switching.heads and not waiting and (head is None or self.safe_number >= head.number)

    def disconnected(self) -> None:
        """Nothing is pushed any more, and what was being pushed may have lost its end."""
        self._closing.disconnected()
        self._switching.heads.disconnected()
        self._switching.holes.disconnected()
        self._quarantine.disconnected()
        self._connected = False
        self._switching.reason = Reason.DISCONNECTED
        if self.chain.head is not None:
            self._declarations.invalidate(self.safe_number + 1, Reason.DISCONNECTED)

    def reconnected(self) -> None:
        """Requests can be answered again."""
        self._logs.reconnected()
        self._evidence.reconnected()
        self._switching.holes.connected()
        for block in self.chain.canonical.values():
            if block.progress is WANTED:
                self._closing.want(block)
            elif block.progress is LOST:
                self._closing.mend(block)
        self._connected = True
        self._quarantine.reconnected()
        self._switching.follow()
        self.advance()

    def doubt_chain(self, *, in_doubt: bool) -> None:
        """Whether it is in doubt that what is pushed is of our chain."""
        self._switching.heads.in_doubt = in_doubt

    def doubt_open_blocks(self) -> None:
        """A frame could not be read: it may have been a log of any block that is open, or will be.

        A block whose parent is sought is not open yet, and its logs are being pushed."""
        self._switching.early_logs.doubt()
        for block in self.chain.blocks.values():
            if block.live and block.progress in (KNOWN, OPEN):
                block.doubt()

    def introduce_again(self) -> None:
        """Let every pool's next event be preceded by its PoolState, for readers that joined late."""
        self._introductions.forget()

    def filter_events(self, wanted: EventFilter | None) -> None:
        """Publish only these events from now on; what was published stays, and is taken back if its block is.

        What readers derived from the events before does not continue with those after, so they are told to forget it.
        """
        before, self._events.event_filter = self._events.event_filter, wanted
        self._tick_maps.is_followed = wanted.shows_liquidity if wanted is not None else lambda _: True
        self._fee_states.is_followed = wanted.shows_liquidity if wanted is not None else lambda _: True
        if self.chain.head is not None and wanted != before:
            self._declarations.invalidate(self.safe_number + 1, Reason.FILTER_CHANGED)

    def want_states(self) -> None:
        """Publish what every pool holds, for readers that joined late."""
        self._snapshots.want_all(self.head_number)
        self._tick_maps.want_all(self.head_number)
        self._fee_states.want_all(self.head_number)

    def take_distrust(self) -> str | None:
        """Why another endpoint should be asked, once: what this one lists is refuted by the evidence."""
        return self._logs.take_distrust()

    def take_verified(self) -> list[Finding]:
        """The pools verified since the last call."""
        return self._quarantine.take_verified()

    # Publication

    def _judge(self) -> None:
        """Let the quarantine ask and decide, and tell of the emitters that stay unproven."""
        waiting, account, agenda = self._quarantine, self._account, self._questioning.agenda
        is_due = waiting.undecided or self._questioning.has_room or (agenda and agenda[0][0] <= self._clock.now_ns)
        if is_due or account.healer.gate or account.healer.healed:
            waiting.judge()
        while waiting.settled_rows:
            row = waiting.settled_rows.pop()
            if self._introductions.introduce_anew(row):
                self._snapshots.want(row, self.head_number)
        if account.marked.to_take_back:
            self._take_back_marked()
        while waiting.confirmed_rows:
            self._events.introduce(waiting.confirmed_rows.pop())
        if not account.to_declare:
            return
        for record in account.take_declared():
            self._messages.put_unproven(record)

    def _take_back_marked(self) -> None:
        """Flagged events that do not stand any more: REMOVED copies, and their blocks end anew."""
        for taken in self._account.take_back():
            for segment in reversed(taken.segments):
                self._events.take_back_segment(segment)
            if taken.block.progress is CLOSED:
                self._frontier.reopen(taken.block)

    def _publish(self) -> int:
        """Events, in block order; returns how many of the blocks have none left to publish."""
        left, done = LARGEST_STEP, 0
        for block in self._frontier.blocks:
            if left <= 0 or block.progress is WANTED:
                break
            if block.waiting or block.to_replay:
                published, garbled = self._events.publish(block, left)
                left -= published
                if garbled:
                    self._closing.refetch(block)
                    break
            if block.waiting:
                break  # behind a hole, or for the next step
            done += 1
            if block.progress is OPEN:
                break  # its logs are still to come, and what is fetched of later blocks is no tombstone
        self.unfinished = left <= 0
        return done

    def _end(self, published: list[Block]) -> None:
        """BlockEnd, in order, for what is complete; a quarantined log holds it back, a second opinion for a moment."""
        if self._cross_check.trusted:
            for block in published:
                if block.progress is CLOSED and not block.ended:
                    self._cross_check.ask(block)
        ended = 0
        for block in published:
            if ended == MOST_ENDS:
                self.unfinished = True
                break
            if block.progress not in (CLOSED, LOST) or block.quarantined or block.waiting:
                break
            if not block.ended:
                if block.progress is CLOSED:
                    if self._cross_check.holds(block):
                        break
                    held_back = self._account.held_back(block) if block.unpublished else 0
                    self._messages.put_block_end(block, held_back, self._account.uncovered(block))
                block.end()
            self._frontier.declare_safe(block.number)
            self._messages.end_backfill(block.number)
            ended += 1
        if ended:
            self._frontier.move_to(self._frontier.safe_number + 1)

    def _ask_for_states(self) -> None:
        """Once the newest blocks are complete, ask what the pools hold of which readers know nothing, or no more."""
        head = self.chain.head
        if head is None:
            return
        for row in self._events.take_introduced():
            self._snapshots.want(row, head.number)
            self._tick_maps.want(row, head.number)
            self._fee_states.want(row, head.number)
        newest = self.safe_block
        if newest is head and self._clock.now_ns - head.arrived_ns < STILL_NS:
            newest = self.chain.canonical.get(head.number - 1)
        if self._connected and newest is not None and newest.number >= head.number - NEARLY_HEAD:
            self._snapshots.pump(newest)
            self._tick_maps.pump(newest)
            self._fee_states.pump(newest)

    def count(self) -> None:
        """Bring the counters that others keep into the statistics."""
        stats = self._stats
        stats.events_by_type = self._outbox.events_by_type
        stats.refused = {reason.name.lower(): number for reason, number in self._outbox.refused.items()}
        stats.rejected = {str(reason): number for reason, number in self._rpc.rejected.items()}
        stats.cross_check_rejected = {str(reason): number for reason, number in self._cross_check.rejected.items()}
        stats.held_logs = self._quarantine.held
        stats.lookalikes = self._account.counts[Standing.FALSE]
        stats.unsupported_logs = self._account.counts[Standing.UNSUPPORTED]
        stats.quarantined_logs = self._account.counts[Standing.UNKNOWN]
