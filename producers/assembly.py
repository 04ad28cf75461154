"""Blocks and logs to an ordered, gap-free story: the part of the collector that knows what may be said, and when.

Owns the chain, the order of publication, and the judgement whether a block is complete.  It must never know frames or
subscriptions (`producers.feed`), nor sockets and clocks (`producers.collector`): heads, logs and times are given to it.

    head --announce--> queue --parents known?--> adopt --> Reorg, REMOVED copies, Gap, Block
    log  --take-----> its block, once ---------+
                                               v
    advance:  close what is complete  ->  publish, in block order, up to the first WANTED block  ->  BlockEnd, in order

A block is complete when
    TOMBSTONE       a log of a later block was pushed, and nothing looks missing (log indices without a hole, an event
                    for every topic in the bloom filter)
    BLOOM_NEGATIVE  the bloom filter holds none of our topics
    REFETCHED       eth_getLogs{blockHash} was merged and holds all that was pushed
    PUSHED          the node could not be asked, and what was pushed leaves no doubt
What looks incomplete, was not pushed at all, or is silent too long, is WANTED: `producers.backfill` fetches it, and
nothing after it is published meanwhile.  A log that comes after its block was closed is a repair: loud and counted.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from functools import partial
from itertools import zip_longest
from operator import itemgetter

from producers.backfill import LogFetcher, ParentFetcher
from producers.bloom import BLOOM_DIGITS, TopicBloom
from producers.chains import ChainConfig
from producers.events import EVENT_OF_TOPIC, Role
from producers.footing import Footing
from producers.hexcodec import HexError, read_quantity
from producers.jsonrpc import JsonRpc, Rejection
from producers.lifecycle import ZERO_HASH, Block, Chain, Missing, Progress, Switch
from producers.pool_table import Pool, PoolTable
from producers.pools import Held, PoolBook
from producers.publish import Outbox
from producers.recovery import Recovered, restore
from producers.rpc_types import Head, Log
from producers.statistics import Statistics
from producers.timers import Timers
from producers.verification import Finding, Standing, Token, Verifier
from tlv.codes import Completeness, Domain, Flag, GapScope, InvalidationScope, Reason
from tlv.layout import BackfillBegin, BackfillEnd, BlockEnd, Gap, PoolState, Reorg, StateInvalidation
from tlv.layout import Block as BlockRecord

NS = 1_000_000_000
DEEPEST_WALK = 4096
"""Parents fetched for one head: two hours of Polygon.  What is older becomes a Gap."""
AFTER_CHILD_NS = NS // 2
"""How long after the next head a block may stay without a tombstone."""
HOLE_NS = 3 * NS // 10
"""How long a hole in the log indices of the newest block may keep the logs behind it waiting."""
SILENCE_NS = 4 * NS
"""How long the newest block may stay open without one."""
MAX_FETCHES = 3
"""Answers that contradict what was pushed, before the union is accepted."""
MAX_STRAYS = 1 << 15
"""Logs held for blocks that nobody announced."""
STRAY_PATIENCE_NS = NS
EMPTY_BLOOM = "0x" + "0" * BLOOM_DIGITS

MARKET, SYSTEM = Domain.MARKET_DATA, Domain.SYSTEM


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
    ) -> None:
        self.chain = Chain(config.finality_blocks)
        self.stats = stats
        self.now_ns = 0
        self.wall_ns = 0
        self.safe_number = -1
        """Everything up to here is closed and published."""
        self._config, self._rpc, self._timers, self._outbox = config, rpc, timers, outbox
        self._tokens = tokens
        self._book = PoolBook(config, Verifier(config, rpc, tokens), table, self._release)
        self._introduced: set[int] = set()
        self._verified: list[Finding] = []
        self._table = table
        self._unfiltered = not log_filter
        self._bloom = TopicBloom(EVENT_OF_TOPIC)
        self._bloom_speaks = "address" not in log_filter
        self._heads: deque[Block] = deque()
        self._strays: dict[str, list[Log]] = {}
        self._stray_count = 0
        self._seeking: Missing | None = None
        self._cursor = -1
        self._reason = Reason.STARTED
        self._backfill: BackfillBegin | None = None
        self._backfilled = 0
        self._logs = LogFetcher(rpc, timers, log_filter, self._is_empty, self._merge, self._give_up)
        self._parents = ParentFetcher(rpc, timers, self._parent_found, self._parent_missing)
        self._footing = Footing(rpc)

    def resume(self, recovered: Recovered) -> None:
        """Continue what an earlier collector told the same ring."""
        for segment in recovered.half_removed:
            self._outbox.put_copies(segment, self.wall_ns, removed=True)
            self.stats.removed_events += len(segment.offsets)
        if not recovered.blocks:
            return
        self.safe_number = self.stats.safe_number = restore(self.chain, recovered)
        self._cursor = self.safe_number + 1
        self.stats.head_number = recovered.blocks[-1].number
        self._reason = Reason.WRITER_RESTARTED

    # What the feed brings

    def announce(self, head: Head, *, live: bool) -> None:
        """A head: `live` if it was pushed while logs were being pushed too."""
        block = self.chain.blocks.get(head.hash)
        if block is None:
            try:
                block = self.chain.add(head, self.now_ns)
            except ValueError:
                self._rpc.reject(Rejection.BAD_HEAD)
                return
            block.live = live and not self._forgotten(block.hash)
            self._adopt_strays(block)
        else:
            newest = self._heads[-1] if self._heads else self.chain.head
            returns = newest is not None and block.number >= newest.number and not self.chain.is_canonical(block)
            if block in self._heads or not returns:
                self.stats.duplicate_heads += 1
                return
        self._heads.append(block)
        self._follow()

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
                self._distrust(log)
            elif block is None:
                self._keep_stray(log)
            else:
                self._put(block, log, pushed)

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
        for block in window:
            if block.progress is Progress.WANTED:
                break
            if block.waiting or block.to_replay:
                self._publish(block)
            if block.waiting:
                break  # behind a hole
        self._book.judge()
        self._end(window)
        self._logs.pump(self.chain)

    def tick(self) -> None:
        """Time passed: refetch what stays open too long, look for the heads of stray logs."""
        window = list(self.chain.upwards(self._cursor))
        for block, child in zip_longest(window, window[1:]):
            patience = self.now_ns - block.arrived_ns > SILENCE_NS
            overtaken = child is not None and self.now_ns - child.arrived_ns > AFTER_CHILD_NS
            holed = bool(block.waiting) and self.now_ns - block.arrived_ns > HOLE_NS
            if block.progress is Progress.OPEN and (patience or overtaken or holed):
                self._doubt_closed_or_want(block)
        self.advance()

    def settle(self) -> None:
        """Nothing more will be pushed: close what is open by asking."""
        for block in self.chain.upwards(self._cursor):
            if block.progress is Progress.OPEN:
                self._doubt_closed_or_want(block)
        self.advance()

    @property
    def settled(self) -> bool:
        """Whether everything that came is published and ended."""
        head = self.chain.head
        return not self._heads and not self._book.held and (head is None or self.safe_number >= head.number)

    def disconnected(self) -> None:
        """Nothing is pushed any more, and what was being pushed may have lost its end."""
        for block in self.chain.blocks.values():
            block.live = False
            if block.progress is Progress.OPEN:
                block.progress = Progress.WANTED
        self._seeking = None
        self._heads.clear()  # what the node stands on by then, it will say
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
        self._follow()
        self.advance()

    def doubt_open_blocks(self) -> None:
        """A frame could not be read: it may have been a log of any block that is open."""
        for block in self.chain.upwards(self._cursor):
            block.doubt = block.doubt or block.progress is Progress.OPEN

    # Heads

    def _follow(self) -> None:
        """Adopt the announced heads, each once its parents are known."""
        while self._heads:
            head = self._heads[0]
            if not self.chain.is_canonical(head):
                branch = self.chain.branch(head, DEEPEST_WALK)
                if isinstance(branch, Missing):
                    self._seek(branch)
                    return
                self._switch(self.chain.adopt(branch))
            self._heads.popleft()

    def _seek(self, missing: Missing) -> None:
        if self._seeking is None or self._seeking.hash != missing.hash:
            self._seeking = missing
            top = self.chain.head.number if self.chain.head is not None else None
            self._parents.seek(missing.hash, missing.child.number - 1, top)

    def _parent_found(self, head: Head) -> None:
        try:
            block = self.chain.add(head, self.now_ns)
        except ValueError:
            self._rpc.reject(Rejection.BAD_HEAD)
            return
        self._adopt_strays(block)
        if self._seeking is None or self._seeking.hash == head.hash:
            self._seeking = None
            head_hash = self.chain.head.hash if self.chain.head is not None else None
            if block.pushed and block.parent_hash == head_hash and not self._heads:
                self._heads.append(block)  # its logs were pushed, so the node stands on it
            self._follow()

    def _parent_missing(self, block_hash: str) -> None:
        missing = self._seeking
        if missing is not None and missing.hash == block_hash:
            self._footing.ask(self._heads[0], partial(self._judge_hole, missing))

    def _judge_hole(self, missing: Missing, stands: bool) -> None:
        """A parent cannot be had: below a head that the node left behind nothing is missing."""
        if self._seeking is not missing:
            return
        self._seeking = None
        if stands:
            missing.child.root = True
        else:
            self._heads.popleft()
        self._follow()

    def _switch(self, switch: Switch) -> None:
        """Publish what the adoption of a head changes."""
        old_head, new_head = (switch.dropped[0] if switch.dropped else None), switch.adopted[-1]
        if old_head is not None:
            self._undo(switch, old_head, new_head)
        if switch.hole is not None:
            self._gap(*switch.hole, Reason.NODE_HAS_NO_BLOCK)
        elif switch.dropped and switch.fork is None:
            self._invalidate(switch.adopted[0].number, Reason.CHAIN_BROKEN)
        missed = [block for block in switch.adopted if not (block.live or block.verdict)]
        if missed and self._backfill is None:
            reason = self._reason if not switch.dropped else Reason.REORG
            self._backfill = BackfillBegin(missed[0].number, missed[-1].number, reason)
            self._backfilled = 0
            self._say(self._backfill)
        for block in switch.adopted:
            self._open(block)
        if self._cursor < 0 or switch.adopted[0].number < self._cursor:
            self._cursor = switch.adopted[0].number
            self.safe_number = min(self.safe_number, self._cursor - 1)
        self.stats.head_number = new_head.number
        self.chain.forget()

    def _open(self, block: Block) -> None:
        """`block` became canonical."""
        head = block.head
        self.stats.blocks += 1
        record = BlockRecord(
            number=block.number,
            timestamp=block.timestamp,
            gas_used=_quantity(head.gas_used),
            gas_limit=_quantity(head.gas_limit),
            receive_time_ns=self.wall_ns,
            base_fee=_quantity(head.base_fee_per_gas),
            hash=_hash(block.hash),
            parent_hash=_hash(block.parent_hash),
        )
        self._outbox.put(MARKET, record, self.wall_ns)
        block.ended = False
        block.to_replay = bool(block.published)
        block.positives = self._bloom.positives(head.logs_bloom)
        if block.verdict:
            block.progress = Progress.CLOSED
        elif block.live:
            block.progress = Progress.OPEN
        else:
            self._want(block)

    def _undo(self, switch: Switch, old_head: Block, new_head: Block) -> None:
        """Say that blocks left the chain, and take back their events, newest first."""
        dropped, fork = switch.dropped, switch.fork
        removed = sum(block.events for block in dropped if not block.to_replay)
        record = Reorg(
            fork_number=fork.number if fork is not None else dropped[-1].number - 1,
            old_head_number=old_head.number,
            new_head_number=new_head.number,
            depth=len(dropped),
            removed_events=removed,
            fork_hash=_hash(fork.hash if fork is not None else ZERO_HASH),
            old_head_hash=_hash(old_head.hash),
            new_head_hash=_hash(new_head.hash),
        )
        self._say(record)
        self.stats.reorgs.append({"number": dropped[-1].number, "depth": len(dropped), "removed_events": removed})
        self.stats.removed_events += removed
        self._book.withdraw(dropped)
        for block in dropped:
            if not block.to_replay:
                for segment in reversed(block.published):
                    self._outbox.put_copies(segment, self.wall_ns, removed=True)
            block.to_replay = False
            block.live = False  # its logs may stop in the middle: fetched, should it come back
            block.progress = Progress.KNOWN

    # Logs

    def _put(self, block: Block, log: Log, pushed: bool) -> None:
        try:
            identity = log.transaction_hash + log.log_index  # type: ignore[operator]  # None is a bad log, below
            index = int(log.log_index, 16)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            if log.transaction_hash is None or log.log_index != "0x":
                self._rpc.reject(Rejection.BAD_LOG)
                block.doubt = True
                return
            identity, index = log.transaction_hash + "0x0", 0
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
        block.verdict = Completeness.UNKNOWN
        self._want(block)
        if block.ended:
            self._invalidate(block.number, Reason.LATE_LOGS)
            block.ended = False
            self._cursor = min(self._cursor, block.number)

    def _keep_stray(self, log: Log) -> None:
        """A log whose head did not come yet."""
        if log.block_hash is None:
            self._rpc.reject(Rejection.BAD_LOG)
            self.doubt_open_blocks()
            return
        waiting = self._strays.get(log.block_hash)
        if waiting is None:
            waiting = self._strays[log.block_hash] = []
            self._timers.at(self.now_ns + STRAY_PATIENCE_NS, partial(self._seek_stray, log.block_hash))
        if self._stray_count >= MAX_STRAYS:
            # The block is fetched whole if it is ever announced: an empty list is the mark.
            self._stray_count -= len(waiting)
            waiting.clear()
        else:
            waiting.append(log)
            self._stray_count += 1

    def _forgotten(self, block_hash: str) -> bool:
        return self._strays.get(block_hash) == []

    def _adopt_strays(self, block: Block) -> None:
        logs = self._strays.pop(block.hash, [])
        self._stray_count -= len(logs)
        for log in logs:
            self._put(block, log, True)

    def _seek_stray(self, block_hash: str) -> None:
        """Logs came for a block that was not announced: ask for it.  A block that nobody knows is forgotten."""
        if block_hash not in self._strays or self._seeking is not None:
            return
        number = next((log.block_number for log in self._strays[block_hash]), None)
        self._timers.at(self.now_ns + 30 * STRAY_PATIENCE_NS, partial(self._drop_strays, block_hash))
        self._parents.seek(block_hash, _quantity(number), None)

    def _drop_strays(self, block_hash: str) -> None:
        self._stray_count -= len(self._strays.pop(block_hash, []))

    def _distrust(self, log: Log) -> None:
        """`removed: true`: counted.  The reorg itself shows in the parents of the next head."""
        self.stats.removed_notices += 1

    # Completeness

    def _try_to_close(self, block: Block, tombstone: bool) -> None:
        positives = self._positives(block)
        if positives is not None and not positives and (tombstone or block.head.logs_bloom == EMPTY_BLOOM):
            self._close(block, Completeness.BLOOM_NEGATIVE)
        elif tombstone and self._doubtful(block):
            self.stats.refetches += 1
            self._want(block)
        elif tombstone:
            self._close(block, Completeness.TOMBSTONE)

    def _doubt_closed_or_want(self, block: Block) -> None:
        positives = self._positives(block)
        if positives is not None and not positives:
            self._close(block, Completeness.BLOOM_NEGATIVE)
        else:
            self.stats.refetches += 1
            self._want(block)

    def _positives(self, block: Block) -> set[str] | None:
        """Our topics in the block's bloom filter; None if it proves nothing."""
        return block.positives if self._config.bloom_proves(block.number) else None

    def _doubtful(self, block: Block) -> bool:
        """Whether a log of the block seems to be missing."""
        if block.doubt or (self._unfiltered and not block.contiguous):
            return True
        if block.positives is None or not self._bloom_speaks:
            return not block.seen  # an empty block is believed only if its bloom filter says so
        return not block.positives <= block.topics

    def _is_empty(self, block: Block) -> bool:
        positives = self._positives(block)
        return positives is not None and not positives

    def _close(self, block: Block, verdict: Completeness) -> None:
        block.progress = Progress.CLOSED
        block.verdict = verdict

    def _want(self, block: Block) -> None:
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
        if (short or self._doubtful(block)) and block.fetched < MAX_FETCHES:
            self._want(block)
            return
        self._backfilled += block.events + len(block.waiting) - before
        self._close(block, Completeness.PUSHED if short else Completeness.REFETCHED)
        block.fetched = 0

    def _give_up(self, block: Block) -> None:
        """The node cannot list the logs of the block: what was pushed must do, or it is a gap."""
        if block.progress is not Progress.WANTED or not self.chain.is_canonical(block):
            return
        if block.pushed and not self._doubtful(block):
            self._close(block, Completeness.PUSHED)
            return
        block.progress = Progress.LOST
        self._gap(block.number, block.number, Reason.RANGE_REFUSED)

    # Publication

    def _publish(self, block: Block) -> None:
        """Everything that waits in `block`, in the order of the log indices."""
        if block.to_replay:
            for segment in block.published:
                self._outbox.put_copies(segment, self.wall_ns, removed=False)
            self.stats.events_published += block.events
            block.to_replay = False
        waiting, block.waiting = block.waiting, []
        waiting.sort(key=itemgetter(0))
        if self._unfiltered and block.progress is Progress.OPEN:
            # Behind a hole in the indices nothing is published: what fills it would come out of order.
            ready = block.advance_to_hole(waiting)
            waiting, block.waiting = waiting[:ready], waiting[ready:]
        row_of, ours = self._table.row_of, EVENT_OF_TOPIC
        logs, rows, flags = [], [], []
        for index, log, fetched in waiting:
            if not log.topics or log.topics[0] not in ours:
                continue
            row = row_of.get(log.address)
            if row is None:
                self._book.meet(log, block, index, fetched)
                continue
            logs.append(log)
            rows.append(row)
            flags.append(Flag.BACKFILL if fetched else 0)
        if logs:
            self._emit(block, logs, rows, flags)

    def _emit(self, block: Block, logs: list[Log], rows: list[int], flags: list[int]) -> None:
        for row in set(rows).difference(self._introduced):
            self._introduce(row)
        segment = self._outbox.put_events(logs, rows, flags, block.timestamp, self.wall_ns)
        if segment is not None:
            block.published.append(segment)
            block.events += len(segment.offsets)
            self.stats.events_published += len(segment.offsets)

    def _introduce(self, row: int) -> None:
        """Say what a reader must know of a pool before its first event."""
        self._introduced.add(row)
        pool = Pool.unpack(self._table.rows[row].tobytes())
        if pool.role == Role.FACTORY:
            return
        nobody = Token()
        state = PoolState(
            pool=pool.pool,
            token0=pool.token0,
            token1=pool.token1,
            venue=pool.venue,
            decimals0=pool.decimals0,
            decimals1=pool.decimals1,
            reserve0=0,
            reserve1=0,
            sqrt_price_x96=0,
            liquidity=0,
            block_number=0,
            fee_pips=pool.fee_pips,
            tick=0,
            tick_spacing=pool.tick_spacing,
            protocol=pool.protocol,
            factory=pool.factory,
            symbol0=self._tokens.get(pool.token0, nobody).symbol,
            symbol1=self._tokens.get(pool.token1, nobody).symbol,
        )
        self._outbox.put(MARKET, state, self.wall_ns, Flag.SNAPSHOT)

    def introduce_again(self) -> None:
        """Let every pool's next event be preceded by its PoolState, for readers that joined late."""
        self._introduced.clear()

    def take_verified(self) -> list[Finding]:
        """The pools verified since the last call."""
        verified, self._verified = self._verified, []
        return verified

    def _release(self, finding: Finding, released: list[Held]) -> None:
        """A pool is verified: publish what waited for it, block by block."""
        pool = finding.pool
        if finding.standing is not Standing.VERIFIED or pool is None:
            return
        self.stats.pools += 1
        self._verified.append(finding)
        row = self._table.row_of[f"0x{pool.pool.hex()}"]
        by_block: dict[str, list[Held]] = defaultdict(list)
        for held in released:
            by_block[held.block.hash].append(held)
        for held_here in sorted(by_block.values(), key=lambda group: group[0].block.number):
            held_here.sort(key=lambda held: held.log_index)
            flags = [int(Flag.BACKFILL) if held.fetched else 0 for held in held_here]
            self._emit(held_here[0].block, [held.log for held in held_here], [row] * len(held_here), flags)

    def _end(self, window: list[Block]) -> None:
        """BlockEnd, in order, for what is complete; a quarantined log holds it back."""
        for block in window:
            if block.progress not in (Progress.CLOSED, Progress.LOST) or block.quarantined or block.waiting:
                break
            if not block.ended and block.progress is Progress.CLOSED:
                record = BlockEnd(block.number, len(block.seen), block.events, _hash(block.hash), block.verdict)
                self._say(record, Flag.LAST_IN_BLOCK)
                self.stats.blocks_by_verdict[block.verdict.name.lower()] += 1
            block.ended = True
            self.safe_number = self.stats.safe_number = block.number
            self._cursor = block.number + 1
            if self._backfill is not None and block.number >= self._backfill.last:
                self._say(BackfillEnd(self._backfill.first, self._backfill.last, self._backfilled, 1))
                self.stats.backfills += 1
                self._backfill = None

    def _gap(self, first: int, last: int, reason: Reason) -> None:
        self._say(Gap(first, last, GapScope.BLOCK_NUMBERS, reason))
        self.stats.gaps.append((first, last))
        self._invalidate(first, reason)

    def _invalidate(self, since_block: int, reason: Reason) -> None:
        self._say(StateInvalidation(since_block, InvalidationScope.ALL_POOLS, reason, bytes(20)))

    def _say(
        self, record: Reorg | Gap | BlockEnd | BackfillBegin | BackfillEnd | StateInvalidation, flags: int = 0
    ) -> None:
        self._outbox.put(SYSTEM, record, self.wall_ns, flags)

    def set_clock(self, now_ns: int, wall_ns: int) -> None:
        """What time it is: monotonic for every decision, wall time for what is only shown."""
        self.now_ns, self.wall_ns = now_ns, wall_ns
        self._book.now_ns = self._rpc.now_ns = now_ns

    def count(self) -> None:
        """Bring the counters that others keep into the statistics."""
        self.stats.events_by_type = self._outbox.events_by_type
        self.stats.refused = {reason.name.lower(): number for reason, number in self._outbox.refused.items()}
        self.stats.rejected = {str(reason): number for reason, number in self._rpc.rejected.items()}
        self.stats.lookalikes = self._book.counts[Standing.FALSE]
        self.stats.quarantined_logs = self._book.counts[Standing.UNKNOWN]


def _quantity(text: str | None) -> int:
    """A number of a header that is only passed on; 0 where it is missing or none."""
    try:
        return read_quantity(text) if text else 0
    except HexError:
        return 0


def _hash(text: str) -> bytes:
    return bytes.fromhex(text[2:])
