"""Blocks and logs to an ordered, gap-free story: the part of the collector that knows what may be said, and when.

Owns what happens to a block from its announcement to its end.  It must never know frames or subscriptions
(`producers.feed`), nor sockets and clocks (`producers.collector`): heads, logs and times are given to it.

    head --announce--> succession --adopted--> Reorg, REMOVED copies, Gap, Block
    log  --take-----> its block, once ---------+
                                               v
    advance:  close what is complete  ->  publish, in block order, up to the first WANTED block  ->  BlockEnd, in order

A block is complete when
    TOMBSTONE       a log of a later block was pushed, and nothing looks missing (`producers.blocks.completeness`)
    BLOOM_NEGATIVE  the bloom filter holds none of our topics
    REFETCHED       eth_getLogs{blockHash} was merged and holds all that was pushed
    PUSHED          the node could not be asked, and what was pushed leaves no doubt
and CROSS_CHECKED, instead of any of these, where a second endpoint lists nothing else.
What looks incomplete, was not pushed at all, or is silent too long, is WANTED: `producers.blocks.backfill` fetches it,
and nothing after it is published meanwhile.  A log that comes after its block was closed is a repair: loud and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from producers.blocks.backfill import LogFetcher
from producers.blocks.chain import Block, Chain, Progress, Switch, identify
from producers.blocks.completeness import Evidence
from producers.blocks.cross_check import CrossCheck
from producers.blocks.early_logs import Strays
from producers.blocks.head_queue import Succession
from producers.blocks.recovery import Recovered, restore
from producers.chains.configuration import ChainConfig
from producers.decode.pool_table import PoolTable
from producers.kinds.events import EVENT_OF_TOPIC
from producers.node.jsonrpc import JsonRpc, Rejection
from producers.node.rpc_types import Head, Log
from producers.node.timers import Timers
from producers.output.block_events import Publication
from producers.output.block_messages import Chronicle
from producers.output.event_filter import EventFilter
from producers.output.outbox import Outbox
from producers.output.snapshots import Snapshots
from producers.output.tick_maps import NOTHING_WATCHED, TickMaps, TickWatch
from producers.pools.verification import Finding, Standing, Token
from producers.statistics import Statistics
from tlv.codes import Completeness, Reason

NS = 1_000_000_000
AFTER_CHILD_NS = NS // 2
"""How long after the next head a block may stay without a tombstone."""
HOLE_NS = 3 * NS // 10
"""How long a hole in the log indices of the newest block may keep the logs behind it waiting."""
SILENCE_NS = 4 * NS
"""How long the newest block may stay open without one."""
NEARLY_HEAD = 2
"""The newest block is complete only when the next one comes, so states are asked a little below the head."""
LARGEST_STEP = 2_048
"""Logs that are published in one step, so that nothing keeps the event loop away for long: 3 us each (`alphapulse bench
--only collector`), and 30 where each is the first of its pool."""
MOST_ENDS = 512
"""Blocks that are ended in one step, 12 us each: quiet ones, behind a block that was missing."""
MAX_FETCHES = 3
"""Answers that contradict what was pushed, before the union is accepted."""


class Assembly:
    """The story of one chain, told to one outbox."""

    def __init__(
        self,
        config: ChainConfig,
        rpc: JsonRpc,
        timers: Timers,
        outbox: Outbox,
        table: PoolTable,
        tokens: dict[bytes, Token],
        stats: Statistics,
        log_filter: dict[str, object],
        cross_check_share: float = 0.0,
        tick_watch: TickWatch = NOTHING_WATCHED,
    ) -> None:
        self.chain = Chain(config.finality_blocks)
        self.stats = stats
        self.now_ns = 0
        self.safe_number = -1
        """Everything up to here is closed and published."""
        self.unfinished = False
        """`advance` has more to publish, and left it for its next call."""
        self._rpc, self._outbox = rpc, outbox
        self._evidence = Evidence(config, log_filter)
        self._chronicle = Chronicle(outbox, stats)
        self._publication = Publication(
            *(config, rpc, outbox, table, tokens, stats, self._refetch), sees_all=self._evidence.sees_all
        )
        self._book = self._publication.book
        introductions = self._publication.introductions
        self._snapshots = Snapshots(rpc, introductions, self.chain.is_canonical)
        self._tick_maps = TickMaps(rpc, introductions, outbox, self.chain.is_canonical, tick_watch, stats)
        self._succession = Succession(self.chain, rpc, timers, self._meet, self._switch)
        self._strays = Strays(timers, self._succession.seek_stray)
        self._logs = LogFetcher(rpc, timers, log_filter, self._evidence.proves_empty, self._merge, self._give_up)
        self.cross_check = CrossCheck(
            config.chain_id, cross_check_share, log_filter, stats, self._take_findings, self._want_again
        )
        self._cursor = -1
        """The lowest block that may still have something to say."""
        self._reason = Reason.STARTED
        """Why blocks that were not pushed had to be fetched."""

    def resume(self, recovered: Recovered) -> None:
        """Continue what an earlier collector told the same ring."""
        for segment in recovered.half_removed:
            self._publication.take_back_segment(segment)
        if not recovered.blocks:
            return
        self.safe_number = self.stats.safe_number = restore(self.chain, recovered)
        self._cursor = self.safe_number + 1
        self.stats.head_number = recovered.blocks[-1].number
        self._reason = Reason.WRITER_RESTARTED

    # What the feed brings

    def announce(self, head: Head, *, live: bool) -> None:
        """A head: `live` if it was pushed while logs were being pushed too."""
        if not self._succession.announce(head, live=live):
            self.stats.duplicate_heads += 1

    def take(self, logs: Sequence[Log], *, pushed: bool = True) -> None:
        """Logs, in any order.  What came before is dropped and counted."""
        blocks = self.chain.blocks
        self.stats.logs_received += len(logs)
        block_hash, block = None, None
        for log in logs:
            if log.block_hash != block_hash or block is None:
                block_hash = log.block_hash
                block = blocks.get(block_hash or "")
            if log.removed:
                self.stats.removed_notices += 1  # the reorg itself shows in the parents of the next head
            elif block is not None:
                self._put(block, log, pushed)
            elif block_hash is not None:
                self._strays.keep(block_hash, log, self.now_ns)
            else:
                self._rpc.reject(Rejection.BAD_LOG)
                self.doubt_open_blocks()

    def advance(self) -> None:
        """Close, publish and end what can be.  Call it after every batch of frames, and on a timer."""
        if self.chain.head is None:
            return
        window = list(self.chain.upwards(self._cursor))
        tombstone = False
        for block in reversed(window):
            if block.progress is Progress.OPEN:
                self._try_to_close(block, tombstone)
            tombstone = tombstone or block.pushed > 0
        left, told = LARGEST_STEP, 0
        for block in window:
            if left <= 0 or block.wanted:
                break
            if block.waiting or block.to_replay:
                left -= self._publication.publish(block, left)
            if block.waiting or block.wanted:
                break  # behind a hole, for the next step, or asked for again
            told += 1
        self.unfinished = left <= 0
        self._book.judge()
        self._declare_unanswered()
        self._end(window[:told])
        if self._book.connected:
            self._logs.pump(self.chain)
        self._tell_states(self.chain.head)

    def _declare_unanswered(self) -> None:
        """Blocks without the events of emitters that the node did not tell of; what is known of others holds."""
        for number in sorted(self._book.undeclared):
            self._chronicle.tell_gap(number, number, Reason.RANGE_REFUSED)
        self._book.undeclared.clear()

    def tick(self) -> None:
        """Time passed: refetch what stays open too long."""
        window = list(self.chain.upwards(self._cursor))
        for block, child in zip_longest(window, window[1:]):
            patience = self.now_ns - block.arrived_ns > SILENCE_NS
            overtaken = child is not None and self.now_ns - child.arrived_ns > AFTER_CHILD_NS
            holed = bool(block.waiting) and self.now_ns - block.arrived_ns > HOLE_NS
            if block.progress is Progress.OPEN and (patience or overtaken or holed):
                self._close_or_refetch(block)
        self.advance()

    def settle(self) -> None:
        """Nothing more will be pushed: close what is open by asking."""
        for block in self.chain.upwards(self._cursor):
            if block.progress is Progress.OPEN:
                self._close_or_refetch(block)
        self.advance()

    @property
    def settled(self) -> bool:
        """Whether everything that came is published and ended."""
        head = self.chain.head
        return not self._succession and not self._book.held and (head is None or self.safe_number >= head.number)

    def disconnected(self) -> None:
        """Nothing is pushed any more, and what was being pushed may have lost its end."""
        for block in self.chain.blocks.values():
            block.live = False
            if block.progress is Progress.OPEN:
                block.progress = Progress.WANTED
        self._succession.disconnected()
        self._book.connected = False
        self._reason = Reason.DISCONNECTED
        if self.chain.head is not None:
            self._invalidate(self.safe_number + 1, Reason.DISCONNECTED)

    def reconnected(self) -> None:
        """Requests can be answered again."""
        self._logs.reconnected()
        for block in self.chain.upwards(self._cursor):
            if block.progress is Progress.WANTED:
                self._want(block)
        self._book.reconnected()
        self._succession.follow()
        self.advance()

    def doubt_open_blocks(self) -> None:
        """A frame could not be read: it may have been a log of any block that is open."""
        for block in self.chain.upwards(self._cursor):
            block.doubt = block.doubt or block.progress is Progress.OPEN

    def introduce_again(self) -> None:
        """Let every pool's next event be preceded by its PoolState, for readers that joined late."""
        self._publication.introductions.forget()

    def filter_events(self, wanted: EventFilter | None) -> None:
        """Publish only these events from now on; what was published stays, and is taken back if its block is.

        What readers derived from the events before does not continue with those after, so they are told to forget it.
        """
        before, self._publication.event_filter = self._publication.event_filter, wanted
        self._tick_maps.is_followed = wanted.shows_liquidity if wanted is not None else lambda _: True
        if self.chain.head is not None and wanted != before:
            self._invalidate(self.safe_number + 1, Reason.FILTER_CHANGED)

    def want_states(self) -> None:
        """Tell what every pool holds, for readers that joined late."""
        self._snapshots.want_all()
        self._tick_maps.want_all()

    def take_verified(self) -> list[Finding]:
        """The pools verified since the last call."""
        return self._publication.take_verified()

    # Heads

    def _meet(self, block: Block) -> None:
        """The header of a block came: look at its bloom filter, and at the logs that came before it."""
        self.stats.headers += 1
        self._evidence.read_header(block)
        block.live = block.live and not self._strays.overflowed(block.hash, self.now_ns)
        for log in self._strays.adopt(block.hash):
            self._put(block, log, True)

    def _switch(self, switch: Switch) -> None:
        """Say what the adoption of a head changes."""
        if switch.dropped:
            self._chronicle.tell_reorg(switch)
            self._publication.take_back(switch.dropped)
            self._tick_maps.reorganise(switch.dropped[-1].number)
            for block in switch.dropped:
                block.live = False  # its logs may stop in the middle: fetched, should it come back
                block.progress = Progress.KNOWN
        lowest = switch.adopted[0].number
        if switch.hole is not None:
            self._lose(*switch.hole, Reason.NODE_HAS_NO_BLOCK)
        elif switch.dropped and switch.fork is None:
            self._invalidate(lowest, Reason.CHAIN_BROKEN)
        missed = [block for block in switch.adopted if not (block.live or block.verdict)]
        self._chronicle.begin_backfill(missed, Reason.REORG if switch.dropped else self._reason)
        for block in switch.adopted:
            self._open(block)
        if self._cursor < 0 or lowest < self._cursor:
            self._cursor = lowest
            self.safe_number = min(self.safe_number, lowest - 1)
        self.stats.head_number = switch.adopted[-1].number
        self.chain.forget(self._cursor)

    def _open(self, block: Block) -> None:
        """`block` became canonical."""
        self._chronicle.tell_block(block)
        block.ended = False
        block.to_replay = bool(block.published)
        if block.verdict:
            block.progress = Progress.CLOSED
        elif block.live:
            block.progress = Progress.OPEN
        else:
            self._want(block)

    def _tell_states(self, head: Block) -> None:
        """Once the newest blocks are complete, ask what the pools hold of which readers know nothing, or no more."""
        for row in self._publication.take_introduced():
            self._snapshots.want(row)
            self._tick_maps.want(row)
        newest = self.chain.canonical.get(self.safe_number)
        if self._book.connected and newest is not None and newest.number >= head.number - NEARLY_HEAD:
            self._snapshots.pump(newest)
            self._tick_maps.pump(newest)

    def _invalidate(self, since_block: int, reason: Reason) -> None:
        """Readers forget what they know; ask the node instead of waiting for the next event of each pool.

        Events of blocks up to the head may be in the ring already, and stand: a state from before them is of no use.
        """
        self._chronicle.tell_invalidation(since_block, reason)
        self._snapshots.want_all(max(since_block, self.chain.head.number if self.chain.head is not None else 0))
        self._tick_maps.want_all(since_block)

    def _lose(self, first: int, last: int, reason: Reason) -> None:
        self._chronicle.tell_gap(first, last, reason)
        self._invalidate(first, reason)

    # Logs

    def _put(self, block: Block, log: Log, pushed: bool) -> None:
        place = identify(log)
        if place is None:
            self._rpc.reject(Rejection.BAD_LOG)
            block.doubt = True
            return
        identity, index = place
        if identity in block.seen:
            self.stats.duplicates += pushed
            return
        block.seen.add(identity)
        block.highest_index = max(block.highest_index, index)
        block.topics.add(log.topics[0] if log.topics else None)
        block.pushed += pushed
        block.waiting.append((index, log, not pushed))
        if block.progress is Progress.CLOSED and pushed and self.chain.is_canonical(block):
            self._repair(block)

    def _repair(self, block: Block) -> None:
        """A log of a closed block: nothing that was said about it holds until it was fetched again."""
        self.stats.repairs += 1
        self._invalidate(block.number, Reason.LATE_LOGS)  # it will stand behind the events of later blocks
        self._reopen(block)
        self._want_again(block)

    def _take_findings(self, block: Block, logs: list[Log]) -> None:
        """Logs that only the second endpoint lists: as loud as a repair, if an event is among them."""
        self.take(logs, pushed=False)
        if block.progress is Progress.CLOSED and self.chain.is_canonical(block):
            if any(log.topics and log.topics[0] in EVENT_OF_TOPIC for log in logs):
                self._invalidate(block.number, Reason.LATE_LOGS)
            self._reopen(block)

    def _reopen(self, block: Block) -> None:
        """The end of a closed block is told anew, if it was told."""
        block.ended = False
        self._cursor = min(self._cursor, block.number)
        self.safe_number = self.stats.safe_number = min(self.safe_number, block.number - 1)

    def _want_again(self, block: Block) -> None:
        """What was thought to be known of a closed block is not all: the node has the last word."""
        if block.progress is Progress.CLOSED and self.chain.is_canonical(block):
            self._want(block)

    # Completeness

    def _try_to_close(self, block: Block, tombstone: bool) -> None:
        if self._evidence.proves_empty_at_once(block) or (tombstone and self._evidence.proves_empty(block)):
            _close(block, Completeness.BLOOM_NEGATIVE)
        elif tombstone and self._evidence.is_doubtful(block):
            self._refetch(block)
        elif tombstone:
            _close(block, Completeness.TOMBSTONE)

    def _close_or_refetch(self, block: Block) -> None:
        if self._evidence.proves_empty(block):
            _close(block, Completeness.BLOOM_NEGATIVE)
        else:
            self._refetch(block)

    def _refetch(self, block: Block) -> None:
        """What was pushed of a block cannot be all, or not right: the node is asked, before anything later is told."""
        self.stats.refetches += 1
        self._want(block)

    def _want(self, block: Block) -> None:
        block.verdict = Completeness.UNKNOWN
        block.progress = Progress.WANTED
        self._logs.want(block)

    def _merge(self, block: Block, logs: list[Log]) -> None:
        """The node's own list of the block's logs."""
        pushed, before = len(block.seen), block.events + len(block.waiting)
        self.take([log for log in logs if not log.removed], pushed=False)
        block.fetched += 1
        block.doubt = False
        short = len(logs) < pushed
        if block.progress is not Progress.WANTED:
            return
        if (short or self._evidence.is_doubtful(block)) and block.fetched < MAX_FETCHES:
            self._want(block)
            return
        self._chronicle.count_backfilled(block.events + len(block.waiting) - before)
        _close(block, Completeness.PUSHED if short else Completeness.REFETCHED)
        block.fetched = 0

    def _give_up(self, block: Block) -> None:
        """The node cannot list the logs of the block: what was pushed must do, or it is a gap."""
        if block.progress is not Progress.WANTED or not self.chain.is_canonical(block):
            return
        if block.pushed and not self._evidence.is_doubtful(block):
            _close(block, Completeness.PUSHED)
            return
        block.progress = Progress.LOST
        self._lose(block.number, block.number, Reason.RANGE_REFUSED)

    def _end(self, window: list[Block]) -> None:
        """BlockEnd, in order, for what is complete; a quarantined log holds it back, a second opinion for a moment."""
        for block in window:
            if block.progress is Progress.CLOSED and not block.ended:
                self.cross_check.ask(block)
        for ends, block in enumerate(window):
            if ends == MOST_ENDS:
                self.unfinished = True
                break
            if block.progress not in (Progress.CLOSED, Progress.LOST) or block.quarantined or block.waiting:
                break
            if not block.ended and block.progress is Progress.CLOSED:
                if self.cross_check.holds(block):
                    break
                self._chronicle.tell_block_end(block)
            block.ended = True
            self.safe_number = self.stats.safe_number = block.number
            self._cursor = block.number + 1
            self._chronicle.end_backfill(block.number)

    def set_clock(self, now_ns: int, wall_ns: int) -> None:
        """What time it is: monotonic for every decision, wall time for what is only shown."""
        self._outbox.wall_ns = wall_ns
        self.now_ns = self._book.now_ns = self._rpc.now_ns = self.cross_check.rpc.now_ns = now_ns

    def count(self) -> None:
        """Bring the counters that others keep into the statistics."""
        self.stats.events_by_type = self._outbox.events_by_type
        self.stats.refused = {reason.name.lower(): number for reason, number in self._outbox.refused.items()}
        self.stats.rejected = {str(reason): number for reason, number in self._rpc.rejected.items()}
        second = self.cross_check.rpc.rejected
        self.stats.cross_check_rejected = {str(reason): number for reason, number in second.items()}
        self.stats.lookalikes = self._book.counts[Standing.FALSE]
        self.stats.quarantined_logs = self._book.counts[Standing.UNKNOWN]


def _close(block: Block, verdict: Completeness) -> None:
    block.progress = Progress.CLOSED
    block.verdict = verdict
