"""Blocks and logs into an ordered stream without gaps: decides what may be published, and when.

Owns what happens to a block from its announcement to its end.  It must never know frames or subscriptions
(`producers.feed`), nor sockets and clocks (`producers.collector`): heads and logs are given to it, and what answers and
timers bring waits for it in one list (`producers.blocks.arrivals`).  No part calls it back.

    head --announce--> head queue --adopted--> Reorg, REMOVED copies, Gap, Block
    log  --take------> its block, once ---------+
    arrival --act----> either of these          v
    advance:  close what is complete  ->  publish, in block order, up to the first WANTED block  ->  BlockEnd, in order

A block is complete when
    TOMBSTONE       a log of a later block was pushed, and nothing looks missing (`producers.blocks.completeness`)
    BLOOM_NEGATIVE  the bloom filter holds none of our topics
    REFETCHED       eth_getLogs{blockHash} was merged, and no evidence refutes it
    PUSHED          the node could not be asked, and what was pushed leaves no doubt
and CROSS_CHECKED, instead of any of these, where a second endpoint lists nothing else.
What looks incomplete, was not pushed at all, or is silent too long, is WANTED: `producers.blocks.backfill` fetches it,
and nothing after it is published meanwhile.  A list that the evidence refutes is asked for again, also at the second
endpoint, and is never the end: after `PATIENCE_S` the block is LOST, which is a Gap.  A LOST block holds nobody up, and
is asked for as long as it is kept; when its list comes it is healed.  A log that comes after its block was closed is a
repair.  Both are counted, and readers are told (LATE_LOGS, then the events with BACKFILL, then the BlockEnd).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

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
from producers.blocks.block import Block, Progress, Taken
from producers.blocks.chain import NO_PARENTS, Chain, Switch
from producers.blocks.completeness import Doubt, Evidence
from producers.blocks.cross_check import CrossCheck
from producers.blocks.early_logs import EarlyLogs
from producers.blocks.head_queue import HeadQueue
from producers.blocks.holes import HoleFiller
from producers.blocks.recovery import REACH, Recovered, restore
from producers.context import Context
from producers.decode.pool_table import PoolTable
from producers.kinds.events import EVENT_OF_TOPIC
from producers.node.jsonrpc import Rejection
from producers.node.rpc_types import Head, Log
from producers.output.block_events import BlockEvents
from producers.output.block_messages import BlockMessages
from producers.output.event_filter import EventFilter
from producers.output.introductions import Introductions
from producers.output.outbox import Outbox
from producers.output.snapshots import Snapshots
from producers.output.tick_maps import NOTHING_WATCHED, TickMaps, TickWatch
from producers.pools.inquiry import Finding, Standing, Token
from producers.pools.quarantine import Quarantine
from tlv.codes import Completeness, Reason
from tlv.units import NS

AFTER_CHILD_NS = NS // 2
"""How long after the next head a block may stay without a tombstone."""
HOLE_NS = 3 * NS // 10
"""How long a hole in the log indices of the newest block may keep the logs behind it waiting."""
SILENCE_NS = 4 * NS
"""How long a block may stay OPEN without a log of a later block before it is fetched."""
NEARLY_HEAD = 2
"""The newest block is complete only when the next one comes, so states are asked a little below the head."""
LARGEST_STEP = 2_048
"""Logs that are published in one step, so that nothing keeps the event loop away for long: 3 us each (`alphapulse bench
--only collector`), and 30 where each is the first of its pool."""
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
        tick_watch: TickWatch = NOTHING_WATCHED,
    ) -> None:
        self.chain = Chain(context.chain.finality_blocks)
        self.safe_number = -1
        """Everything up to here is closed and published."""
        self.unfinished = False
        """`advance` has more to publish, and left it for its next call."""
        self._clock, self._rpc, self._stats = context.clock, context.rpc, context.stats
        self._outbox, self._cross_check, self._arrivals = outbox, cross_check, arrivals
        self._evidence = Evidence(context.chain, context.log_filter)
        self._heads = HeadQueue(context, self.chain, arrivals)
        self._early_logs = EarlyLogs(context.clock, context.timers, arrivals)
        self._logs = LogFetcher(context, self._evidence, arrivals, table)
        self._holes = HoleFiller(context, self.chain, arrivals)
        self._healed: list[Block] = []
        """LOST blocks whose list came, until readers are told."""
        self._quarantine = Quarantine(context, table, tokens, self.chain, arrivals)
        self._introductions = Introductions(outbox, table, tokens)
        self._messages = BlockMessages(context, outbox)
        self._events = BlockEvents(context, outbox, table, self._quarantine, self._introductions)
        self._snapshots = Snapshots(context, self._introductions, self.chain.is_canonical)
        self._tick_maps = TickMaps(context, self._introductions, outbox, self.chain.is_canonical, tick_watch)
        self._cursor = -1
        """The lowest block that may still have something to publish."""
        self._window: list[Block] = []
        """The canonical blocks from the cursor on, oldest first."""
        self._connected = False
        self._finality_blocks = context.chain.finality_blocks
        self._lost = False
        """What an earlier collector told is not known at all."""
        self._partial: frozenset[str] = frozenset()
        """Hashes of blocks that an earlier collector told, and of whose events not all can be taken back."""
        self._told_below = -1
        """Below this an earlier collector told blocks that are not known any more."""
        self._reason = Reason.STARTED
        """Why blocks that were not pushed had to be fetched."""

    def resume(self, recovered: Recovered) -> None:
        """Continue where an earlier collector stopped in the same ring."""
        for segment in recovered.half_removed:
            self._events.take_back_segment(segment)
        for first, last in recovered.unsure:
            self._messages.put_gap(first, last, Reason.WRITER_RESTARTED)
        self._lost, self._partial = recovered.lost, recovered.partial
        if recovered.torn and recovered.blocks:
            self._told_below = recovered.blocks[0].number
        if not recovered.blocks:
            if recovered.ended >= 0:
                # By number only: which branch was told, and whether it still stands, nobody can say.
                shallow = max(0, recovered.ended - self._finality_blocks + 1)
                self._messages.put_gap(shallow, recovered.ended, Reason.WRITER_RESTARTED)
                self._begin_above(recovered.ended)
            return
        self.safe_number = self._stats.safe_number = restore(self.chain, recovered)
        self._move_cursor(self.safe_number + 1)
        self._stats.head_number = recovered.blocks[-1].number
        self._reason = Reason.WRITER_RESTARTED

    def _begin_above(self, number: int) -> None:
        """Everything up to `number` was told, or declared."""
        self.chain.begin_above(number)
        self._told_below = number + 1
        self.safe_number = self._stats.safe_number = number
        self._reason = Reason.WRITER_RESTARTED

    # What the feed brings

    def announce(self, head: Head, *, live: bool) -> None:
        """A head: `live` if it was pushed while logs were being pushed too."""
        known = self.chain.blocks.get(head.hash)
        if known is not None:
            if not self._heads.announce_again(known):
                self._stats.duplicate_heads += 1
                return
        else:
            block = self._on_header(head, live=live)
            if block is None:
                return
            if self._lost:
                self._lost = False
                self._messages.put_gap(max(0, block.number - REACH), block.number, Reason.WRITER_RESTARTED)
                self._begin_above(block.number)
            self._heads.announce_new(block)
        self._follow()

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
                if taken is not Taken.NEW or block.progress is Progress.CLOSED:
                    self._on_unexpected(block, taken, pushed)
            elif block_hash is not None:
                self._early_logs.keep(block_hash, log)
            else:
                self._rpc.reject(Rejection.BAD_LOG)
                self.doubt_open_blocks()

    def act(self) -> None:
        """Act on what answers and timers brought, in the order in which it came."""
        arrivals = self._arrivals
        while arrivals:
            match arrivals.pop(0):
                case HeaderFetched(head):
                    block = self.chain.blocks.get(head.hash) or self._on_header(head, live=False)
                    if block is not None and self._heads.fetched(block):
                        self._follow()
                case ParentSettled():
                    self._follow()
                case HeadMissing(block_hash, number):
                    self._heads.seek_missing(block_hash, number)
                case LogsFetched(block, logs, whole):
                    self._merge(block, logs, whole=whole)
                case LogsUnavailable(block):
                    self._give_up(block)
                case LogsConfirmed(block):
                    if block.progress in (Progress.WANTED, Progress.LOST):
                        self._settle(block, Completeness.REFETCHED)
                case HoleFilled(heads):
                    self._fill(heads)
                case HeldBackFetched(block):
                    self._publish_again(block)
                case Opinion(block, found, short, misplaced):
                    self._weigh(block, found, short=short, misplaced=misplaced)
        if self._healed:
            self._tell_healed()

    def advance(self) -> None:
        """Close, publish and end what can be.  Call it after every batch of frames, and on a timer."""
        head = self.chain.head
        if head is None:
            return
        self.unfinished = False
        if self._window:
            self._advance_blocks()
        elif self._quarantine.agenda or self._quarantine.healer.gate:
            self._judge()
        if self._connected and self._logs.due:
            self._logs.pump(self.chain)
        if self._events.introduced or self._snapshots.due or self._tick_maps.due:
            self._ask_for_states(head)

    def shows_logs(self, block_hash: str) -> bool:
        """Whether the bloom filter of a known block shows logs that are subscribed to."""
        block = self.chain.blocks.get(block_hash)
        return block is not None and bool(block.positives)

    def tick(self) -> None:
        """Time passed: refetch what stays open too long."""
        now_ns = self._clock.now_ns
        for block, child in zip_longest(self._window, self._window[1:]):
            if block.progress is not Progress.OPEN:
                continue
            age_ns = now_ns - block.arrived_ns
            silent_too_long = age_ns > SILENCE_NS
            overtaken = child is not None and now_ns - child.arrived_ns > AFTER_CHILD_NS
            holed = age_ns > HOLE_NS and self._evidence.is_holed(block)
            if silent_too_long or overtaken or holed:
                self._close_or_refetch(block)
        self.advance()

    def settle(self) -> None:
        """Nothing more will be pushed: close what is open by asking."""
        for block in self._window:
            if block.progress is Progress.OPEN:
                self._close_or_refetch(block)
        self.advance()

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
        waiting = self._quarantine.held or self._quarantine.healer.gate
        return not self._heads and not waiting and (head is None or self.safe_number >= head.number)

    def disconnected(self) -> None:
        """Nothing is pushed any more, and what was being pushed may have lost its end."""
        for block in self.chain.blocks.values():
            block.lose_push()
            if block.progress is Progress.OPEN:
                block.want()
        self._heads.disconnected()
        self._holes.disconnected()
        self._quarantine.disconnected()
        self._connected = False
        self._reason = Reason.DISCONNECTED
        if self.chain.head is not None:
            self._invalidate(self.safe_number + 1, Reason.DISCONNECTED)

    def reconnected(self) -> None:
        """Requests can be answered again."""
        self._logs.reconnected()
        self._evidence.reconnected()
        self._holes.connected()
        for block in self.chain.canonical.values():
            if block.progress is Progress.WANTED:
                self._want(block)
            elif block.progress is Progress.LOST:
                self._logs.mend(block, soon=True)
        self._connected = True
        self._quarantine.reconnected()
        self._follow()
        self.advance()

    def doubt_open_blocks(self) -> None:
        """A frame could not be read: it may have been a log of any block that is open."""
        for block in self._window:
            if block.progress is Progress.OPEN:
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
        if self.chain.head is not None and wanted != before:
            self._invalidate(self.safe_number + 1, Reason.FILTER_CHANGED)

    def want_states(self) -> None:
        """Publish what every pool holds, for readers that joined late."""
        self._snapshots.want_all()
        self._tick_maps.want_all()

    def take_distrust(self) -> str | None:
        """Why another endpoint should be asked, once: what this one lists is refuted by the evidence."""
        return self._logs.take_distrust()

    def take_verified(self) -> list[Finding]:
        """The pools verified since the last call."""
        return self._quarantine.take_verified()

    # Heads

    def _on_header(self, head: Head, *, live: bool) -> Block | None:
        """The block of a header that was not known, with the logs that came before it; None if that cannot be read."""
        live = live and not self._early_logs.overflowed(head.hash)
        block = self.chain.add(head, self._clock.now_ns, live=live)
        self._stats.headers += 1
        self._evidence.read_header(block)
        for log in self._early_logs.adopt(block.hash):
            self._on_unexpected(block, block.take(log, pushed=True), pushed=True)
        return block

    def _follow(self) -> None:
        """Publish what the adoption of each head changes."""
        for switch in self._heads.follow():
            self._switch(switch)

    def _switch(self, switch: Switch) -> None:
        lowest = switch.adopted[0].number
        if switch.dropped:
            self._messages.put_reorg(switch)
            self._events.take_back(switch.dropped)
            self._tick_maps.reorganise(switch.dropped[-1].number)
            for block in switch.dropped:
                block.leave()
            self._declare_standing(switch)
        if switch.unreachable is not None:
            self._declare_gap(*switch.unreachable, Reason.CHAIN_BROKEN)
        if switch.hole is not None:
            self._declare_gap(*switch.hole, Reason.NODE_HAS_NO_BLOCK)
            self._holes.note()
        elif switch.dropped and switch.fork is None:
            self._invalidate(lowest, Reason.CHAIN_BROKEN)
        missed = [block for block in switch.adopted if not (block.live or block.verdict)]
        self._messages.begin_backfill(missed, Reason.REORG if switch.dropped else self._reason)
        for block in switch.adopted:
            self._enter(block)
        if self._cursor < 0 or lowest < self._cursor:
            self._cursor = lowest
            self.safe_number = min(self.safe_number, lowest - 1)
        self._move_cursor(self._cursor)
        self._stats.head_number = switch.adopted[-1].number
        self.chain.forget(self._cursor)

    def _fill(self, heads: list[Head]) -> None:
        """Blocks of a declared hole: they are canonical, and LOST until their logs come, so that nothing waits."""
        if not self._still_joins(heads):
            return
        for block in self.chain.fill(heads, self._clock.now_ns):
            self._evidence.read_header(block)
            self._messages.put_block(block)
            block.want()
            block.lose()
            block.end()
            self._logs.mend(block, soon=True)
        self._move_cursor(self._cursor)

    def _still_joins(self, heads: list[Head]) -> bool:
        """Whether the hole is still there; a reorg may have come meanwhile."""
        first, last = int(heads[0].number, 16), int(heads[-1].number, 16)
        above = self.chain.canonical.get(last + 1)
        joins = above is not None and (above.parent_hash == heads[-1].hash or above.parent_hash in NO_PARENTS)
        return joins and any(begin <= first and last <= end for begin, end in self.chain.holes)

    def _declare_standing(self, switch: Switch) -> None:
        """Events that an earlier collector told of blocks that left the chain, and that nobody can take back."""
        for block in reversed(switch.dropped):
            if block.hash in self._partial:
                self._messages.put_gap(block.number, block.number, Reason.WRITER_RESTARTED)
        lowest = switch.adopted[0].number
        if switch.fork is None and 0 < lowest <= self._told_below:
            self._messages.put_gap(max(0, lowest - REACH), self._told_below - 1, Reason.WRITER_RESTARTED)

    def _enter(self, block: Block) -> None:
        """`block` became canonical."""
        self._messages.put_block(block)
        if block.unpublished:
            self._quarantine.enter(block)
        if block.verdict:
            block.close(block.verdict)
        elif block.live:
            block.open()
            if self._evidence.proves_empty_at_once(block):
                block.close(Completeness.BLOOM_NEGATIVE)
        else:
            self._want(block)

    def _invalidate(self, since_block: int, reason: Reason) -> None:
        """Readers forget what they know; ask the node instead of waiting for the next event of each pool.

        Events of blocks up to the head may be in the ring already, and stand: a state from before them is of no use.
        """
        self._messages.put_invalidation(since_block, reason)
        self._snapshots.want_all(max(since_block, self.chain.head.number if self.chain.head is not None else 0))
        self._tick_maps.want_all(since_block)

    def _declare_gap(self, first: int, last: int, reason: Reason) -> None:
        self._messages.put_gap(first, last, reason)
        self._invalidate(first, reason)

    # Logs

    def _on_unexpected(self, block: Block, taken: Taken, pushed: bool) -> None:
        """A log that came before, that cannot be read, or whose block may be closed."""
        if taken is Taken.KNOWN:
            self._stats.duplicates += pushed
        elif taken is Taken.UNREADABLE:
            self._rpc.reject(Rejection.BAD_LOG)
        elif pushed and block.progress is Progress.CLOSED and self.chain.is_canonical(block):
            self._repair(block)

    def _repair(self, block: Block) -> None:
        """A log of a closed block: its verdict is void until it was fetched again."""
        self._stats.repairs += 1
        self._invalidate(block.number, Reason.LATE_LOGS)  # the log comes behind events of later blocks
        self._reopen(block)
        self._want(block)

    def _weigh(self, block: Block, found: list[Log], *, short: bool, misplaced: bool) -> None:
        """Logs that only the second endpoint lists are as loud as a repair, if an event is among them."""
        if found:
            self.take(found, pushed=False)
        if block.progress in (Progress.WANTED, Progress.LOST):
            proven = not misplaced and (not short or self._evidence.is_exact(block))
            if block.seen and proven and not self._evidence.is_doubtful(block, vouched=not short):
                self._settle(block, Completeness.PUSHED if short else Completeness.CROSS_CHECKED)
            return
        if block.progress is not Progress.CLOSED:
            return
        if found and self.chain.is_canonical(block):
            if any(log.topics and log.topics[0] in EVENT_OF_TOPIC for log in found):
                self._invalidate(block.number, Reason.LATE_LOGS)
            self._reopen(block)
        if not (short or misplaced):
            block.confirm()
        elif found and self.chain.is_canonical(block):
            self._want(block)  # neither endpoint lists all of it

    def _publish_again(self, block: Block) -> None:
        """Logs of it that were held back wait in it."""
        if not self.chain.is_canonical(block):
            return
        if block.progress is Progress.CLOSED:
            self._reopen(block)
        else:
            self._move_cursor(min(self._cursor, block.number))

    def _reopen(self, block: Block) -> None:
        """The end of a closed block is published anew, if it was published."""
        block.reopen()
        self._move_cursor(min(self._cursor, block.number))
        self.safe_number = self._stats.safe_number = min(self.safe_number, block.number - 1)

    # Completeness

    def _on_tombstone(self, block: Block) -> None:
        """A log of a later block came, so none of this one is on its way."""
        if self._evidence.catches_lie(block):
            self._review_empty()
        if self._evidence.proves_empty(block):
            block.close(Completeness.BLOOM_NEGATIVE)
        elif self._evidence.is_doubtful(block):
            self._refetch(block)
        else:
            block.close(Completeness.TOMBSTONE)

    def _close_or_refetch(self, block: Block) -> None:
        if self._evidence.proves_empty(block):
            block.close(Completeness.BLOOM_NEGATIVE)
        else:
            self._refetch(block)

    def _refetch(self, block: Block) -> None:
        """What was pushed of a block cannot be all, or not right: it is fetched before anything later is published."""
        self._stats.refetches += 1
        self._want(block)

    def _want(self, block: Block) -> None:
        block.want()
        self._logs.want(block)

    def _merge(self, block: Block, logs: list[Log], *, whole: bool) -> None:
        """The node's own list of the block's logs; one that is not `whole` has events alone."""
        before = block.events + len(block.waiting)
        logs = [log for log in logs if not log.removed]
        self.take(logs, pushed=False)
        block.merge()
        if block.progress not in (Progress.WANTED, Progress.LOST):
            self._logs.settled(block)
            if block.progress is Progress.CLOSED and block.waiting and self.chain.is_canonical(block):
                self._invalidate(block.number, Reason.LATE_LOGS)
                self._reopen(block)
                self._want(block)
            return
        if self._evidence.catches_lie(block):
            self._review_empty()
        doubt = self._evidence.judge(block, logs, whole=whole)
        if doubt is not Doubt.NONE:
            self._stats.refuted_answers += doubt is Doubt.REFUTED
            self._logs.doubt(block, doubt, logs)
            if doubt is Doubt.REFUTED:
                self._cross_check.ask_elsewhere(block)
            return
        self._messages.count_backfilled(block.events + len(block.waiting) - before)
        self._settle(block, Completeness.PUSHED if len(logs) < len(block.seen) else Completeness.REFETCHED)

    def _review_empty(self) -> None:
        """This endpoint's blooms of zeros prove nothing: ask about the blocks that were closed for one."""
        for block in self.chain.canonical.values():
            if block.verdict is Completeness.BLOOM_NEGATIVE and block.head_bloom == 0:
                self._logs.review(block)

    def _settle(self, block: Block, verdict: Completeness) -> None:
        """A list of the block's logs is believed."""
        lost = block.progress is Progress.LOST
        block.close(verdict)
        self._logs.settled(block)
        if lost and self.chain.is_canonical(block):
            self._healed.append(block)

    def _tell_healed(self) -> None:
        """Blocks of declared gaps are published after all, behind events of later blocks."""
        healed = [block for block in self._healed if block.progress is Progress.CLOSED]
        self._healed = []
        if not healed:
            return
        self._stats.healed_blocks += len(healed)
        self._invalidate(min(block.number for block in healed), Reason.LATE_LOGS)
        for block in healed:
            block.reopen()
        lowest = min(block.number for block in healed)
        self._move_cursor(min(self._cursor, lowest))
        self.safe_number = self._stats.safe_number = min(self.safe_number, lowest - 1)

    def _give_up(self, block: Block) -> None:
        """The node cannot list the logs of the block: what was pushed must do, or it is a gap."""
        if block.progress is not Progress.WANTED or not self.chain.is_canonical(block):
            return
        if block.pushed and not self._evidence.is_doubtful(block):
            block.close(Completeness.PUSHED)
            return
        block.lose()
        self._declare_gap(block.number, block.number, Reason.RANGE_REFUSED)
        self._logs.mend(block)

    # Publication

    def _advance_blocks(self) -> None:
        """Close, publish and end blocks from the cursor on."""
        tombstone = False
        for block in reversed(self._window):
            if tombstone and block.progress is Progress.OPEN:
                self._on_tombstone(block)
            tombstone = tombstone or block.pushed > 0
        published = self._publish()
        self._judge()
        self._end(self._window[:published])

    def _judge(self) -> None:
        """Let the quarantine ask and decide, and tell of the emitters that stay unproven."""
        waiting, healer = self._quarantine, self._quarantine.healer
        agenda = waiting.agenda
        is_due = waiting.undecided or (agenda and agenda[0][0] <= self._clock.now_ns)
        if is_due or healer.gate or healer.healed:
            waiting.judge()
        while waiting.settled_rows:
            row = waiting.settled_rows.pop()
            if self._introductions.introduce_anew(row):
                self._snapshots.want(row)
        if not waiting.to_declare:
            return
        for record in waiting.take_declared():
            self._messages.put_unproven(record)

    def _publish(self) -> int:
        """Events, in block order; returns how many of the blocks have none left to publish."""
        left, done = LARGEST_STEP, 0
        for block in self._window:
            if left <= 0 or block.progress is Progress.WANTED:
                break
            if block.waiting or block.to_replay:
                published, garbled = self._events.publish(block, left)
                left -= published
                if garbled:
                    self._refetch(block)
                    break
            if block.waiting:
                break  # behind a hole, or for the next step
            done += 1
            if block.progress is Progress.OPEN:
                break  # its logs are still to come, and what is fetched of later blocks is no tombstone
        self.unfinished = left <= 0
        return done

    def _end(self, published: list[Block]) -> None:
        """BlockEnd, in order, for what is complete; a quarantined log holds it back, a second opinion for a moment."""
        for block in published:
            if block.progress is Progress.CLOSED and not block.ended:
                self._cross_check.ask(block)
        ended = 0
        for block in published:
            if ended == MOST_ENDS:
                self.unfinished = True
                break
            if block.progress not in (Progress.CLOSED, Progress.LOST) or block.quarantined or block.waiting:
                break
            if not block.ended:
                if block.progress is Progress.CLOSED:
                    if self._cross_check.holds(block):
                        break
                    self._messages.put_block_end(block, self._quarantine.held_back(block) if block.unpublished else 0)
                block.end()
            self.safe_number = self._stats.safe_number = block.number
            self._messages.end_backfill(block.number)
            ended += 1
        if ended:
            self._move_cursor(self.safe_number + 1)

    def _move_cursor(self, number: int) -> None:
        self._cursor = number
        self._window = self.chain.upwards(number)

    def _ask_for_states(self, head: Block) -> None:
        """Once the newest blocks are complete, ask what the pools hold of which readers know nothing, or no more."""
        for row in self._events.take_introduced():
            self._snapshots.want(row)
            self._tick_maps.want(row)
        newest = self.safe_block
        if self._connected and newest is not None and newest.number >= head.number - NEARLY_HEAD:
            self._snapshots.pump(newest)
            self._tick_maps.pump(newest)

    def count(self) -> None:
        """Bring the counters that others keep into the statistics."""
        stats = self._stats
        stats.events_by_type = self._outbox.events_by_type
        stats.refused = {reason.name.lower(): number for reason, number in self._outbox.refused.items()}
        stats.rejected = {str(reason): number for reason, number in self._rpc.rejected.items()}
        stats.cross_check_rejected = {str(reason): number for reason, number in self._cross_check.rejected.items()}
        stats.held_logs = self._quarantine.held
        stats.lookalikes = self._quarantine.counts[Standing.FALSE]
        stats.unsupported_logs = self._quarantine.counts[Standing.UNSUPPORTED]
        stats.quarantined_logs = self._quarantine.counts[Standing.UNKNOWN]
