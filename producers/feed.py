"""The collector without I/O: frames in, requests and finished messages out.

Owns what belongs to one connection: subscriptions, the fast path of log notifications, the error budget.  It must never
import asyncio, sockets, clocks or randomness; `producers.collector` is the shell that has them.  Which heads count is
the business of `producers.heads`, what blocks and logs mean that of `producers.assembly`.

    connected ---> chain id, early block; subscribe logs, newHeads --all answered--> ask the latest block --> live
        receive(frames)  log notification --1 decode--> assembly      everything else --> jsonrpc --> answers, heads
        tick             time-outs, retries, refetches, heartbeat
    disconnected: everything open becomes WANTED; state stays, so the next connection only fills what was missed

Nothing that a node says counts before it said that it serves our chain (`producers.node.identity`): what is pushed
before waits.
"""

from __future__ import annotations

from collections.abc import Sequence

from producers.assembly import Assembly
from producers.blocks.arrivals import Arrivals
from producers.blocks.block import Block
from producers.blocks.cross_check import CrossCheck
from producers.blocks.recovery import Recovered
from producers.chains.configuration import ChainConfig
from producers.context import Context
from producers.decode.pool_table import PoolTable
from producers.decode.segment import Segment
from producers.heads import Heads
from producers.kinds.selection import ALL_LOGS, LogSelection
from producers.node.early_block import UNKNOWN, EarlyBlockCheck
from producers.node.health import FeedCounts
from producers.node.identity import ChainIdentity
from producers.node.jsonrpc import (
    ERROR_BUDGET,
    HEAD_NOTICE,
    LOG,
    LOG_NOTICE,
    UNREADABLE,
    LogParams,
    Notice,
    Rejection,
    Remark,
)
from producers.node.newest import NewestNumber
from producers.node.probing import Probing
from producers.node.rpc_types import Log, has_capitals, in_lower_case, is_well_spelt
from producers.node.subscriptions import Subscriptions
from producers.node.timers import OVERSLEPT_NS, Clock
from producers.output.epoch import Epoch, OutputRing
from producers.output.event_filter import EventFilter
from producers.output.heartbeats import Heartbeats
from producers.output.outbox import Outbox
from producers.output.pool_readings import NOTHING_WATCHED, PoolWatch
from producers.pools.cache import NO_POOLS, CachedPools
from producers.pools.inquiry import Finding, Token
from producers.statistics import Statistics
from tlv.codes import FeedReason, FeedState
from tlv.units import NS

HEARTBEAT_NS = NS
INTRODUCTION_NS = 30 * NS
STATES_NS = 300 * NS
"""How often the state of every pool is asked from the node for readers that joined late: one to two calls a pool."""


class Feed:
    """One chain from one node at a time into one outbox."""

    def __init__(
        self,
        chain: ChainConfig,
        ring: OutputRing,
        pools: PoolTable,
        tokens: dict[bytes, Token],
        selection: LogSelection = ALL_LOGS,
        recovered: Recovered | None = None,
        cross_check_share: float = 0.0,
        tick_watch: PoolWatch = NOTHING_WATCHED,
        cached: CachedPools = NO_POOLS,
        *,
        endpoints: int = 1,
        publish_unproven: bool = False,
        now_ns: int,
        wall_ns: int,
    ) -> None:
        self._clock = Clock(now_ns, wall_ns)
        """Set here, once per call from outside, and read by every part."""
        self._filter = selection.as_filter()
        context = Context.of(chain, self._clock, self._filter, publishes_unproven=publish_unproven)
        self._rpc, self._timers, self.stats = context.rpc, context.timers, context.stats
        self._state = FeedState.CONNECTING
        self.broken: str | None = None
        """Why this connection should be given up; None while it is fine."""
        self._endpoints = endpoints
        self._outbox = Outbox(chain.source_code, self._clock, pools, ring.next_sequence)
        arrivals: Arrivals = []
        self._cross_check = CrossCheck(context, arrivals, cross_check_share)
        self._assembly = Assembly(context, self._outbox, pools, tokens, self._cross_check, arrivals, tick_watch)
        self._identity = ChainIdentity(context.rpc, context.timers, chain.chain_id, chain.name, self._ask_early_block)
        self._probing = Probing(context.rpc, context.timers, context.capabilities, chain.wrapped_native)
        self._subscriptions = Subscriptions(context.rpc, self._filter, self._begin, self._break)
        self._newest = NewestNumber(context.rpc)
        self._heartbeats = Heartbeats(context, self._outbox)
        self._last_pushed: Log | None = None
        """Since the last tick."""
        self._too_large = False
        self._rejected_before = 0
        self._ended_before = 0
        self._frames = 0
        self.endpoint = 0
        """Which of the configured endpoints is in use."""
        self.reason = FeedReason.CONNECTING
        """How its owner judges it (`producers.node.health`); both stand in the heartbeats."""
        self._cached, self._pools, self._tokens = cached, pools, tokens
        learned = recovered.genesis if recovered is not None else UNKNOWN
        self._early_block = EarlyBlockCheck(
            self._rpc,
            self._timers,
            f"{chain.chain_id} ({chain.name})",
            chain.identity.number if chain.identity is not None else 0,
            chain.genesis if chain.identity is not None else learned,
        )
        self._heads = Heads(context, self._assembly, self._subscriptions, self._early_block, self._probing)
        if self.genesis != UNKNOWN:
            cached.add_to(pools, tokens, self.genesis)
        self._epoch = Epoch(chain, ring, self._outbox)
        self._epoch.open(self.genesis)
        if recovered is not None:
            self._assembly.resume(recovered)
        self._beat()
        self._introduce_again()
        self._timers.after(STATES_NS, self._want_states_again)

    @property
    def genesis(self) -> bytes:
        """Hash of the chain's early block; zeros as long as it is unknown."""
        return self._early_block.genesis

    @property
    def unproven_identity(self) -> str | None:
        """Why this connection's node is known by its chain id only."""
        return self._early_block.what_is_missing if self._early_block.silence is not None else None

    @property
    def head_number(self) -> int:
        """The newest canonical block; -1 before the first."""
        return self._assembly.head_number

    @property
    def safe_block(self) -> Block | None:
        """The newest block up to which everything is closed and published."""
        return self._assembly.safe_block

    @property
    def unfinished(self) -> bool:
        """Whether there is more to publish: `tick` goes on with it."""
        return self._assembly.unfinished

    @property
    def told(self) -> bool:
        """Whether everything that the node sent is published, and its blocks ended."""
        return self._assembly.settled

    @property
    def settled(self) -> bool:
        """The same, and nothing is being asked."""
        return self.told and not self._rpc.unanswered

    def connected(self, now_ns: int, wall_ns: int) -> None:
        """A connection is open."""
        self._set_clock(now_ns, wall_ns)
        self.stats.connections += 1
        self.broken = None
        self._state = FeedState.BACKFILLING
        self._rejected_before = self._rpc.rejected.total()
        self._ended_before = self._rpc.rejected[Rejection.SUBSCRIPTION_ENDED]
        self._early_block.reset()
        self._heads.connected()
        self._newest.connected()
        self._identity.ask()
        self._subscriptions.open()
        self._last_pushed = None
        self._probing.connected()

    def answer_was_too_large(self) -> None:
        """The connection ends over a message that is larger than one may be: it is asked for in parts next time."""
        self._too_large = True

    def disconnected(self, now_ns: int, wall_ns: int) -> None:
        """The connection is gone, however it ended."""
        self._set_clock(now_ns, wall_ns)
        self._state = FeedState.DISCONNECTED
        if self._early_block.settled:
            self._assembly.disconnected()
        self._rpc.abandon(too_large=self._too_large)
        self._too_large = False

    def receive(self, frames: Sequence[bytes], now_ns: int, wall_ns: int) -> None:
        """Take everything that the socket held."""
        self.take(frames, now_ns, wall_ns)
        self.finish()

    def finish(self) -> None:
        """End the blocks that are complete, and ask; after every `take`, whose events need not wait for it."""
        self._assembly.end()

    def take(self, frames: Sequence[bytes], now_ns: int, wall_ns: int) -> None:
        """The part of `receive` that brings events about."""
        self._set_clock(now_ns, wall_ns)
        # One search of all: 0.1 us a frame of a burst, 0.04 of it for the copy; each by itself takes 0.17.  One frame
        # alone is not copied.
        shouting = has_capitals(b"".join(frames))
        decode, logs_id = LOG_NOTICE.decode, self._known_logs_id
        logs: list[Log] = []
        self._frames += 1
        for frame in frames:
            try:
                params: LogParams = decode(frame).params
            except UNREADABLE:
                # No log notification.  What came before it is taken first: order matters between heads and logs.
                self._take_logs(logs, shouting=shouting)
                logs = []
                if not self._take_head(frame):
                    self._read(frame)
                logs_id = self._known_logs_id
                continue
            if params.subscription == logs_id:
                logs.append(params.result)
            else:
                self._read(frame)
        self._take_logs(logs, shouting=shouting)
        self._assembly.publish()

    @property
    def _known_logs_id(self) -> str | None:
        """The subscription whose logs may be taken."""
        return self._subscriptions.logs if self._early_block.settled else None

    def _take_logs(self, logs: list[Log], *, shouting: bool) -> None:
        """Pushed logs; `shouting` if hex digits in capitals may be among them."""
        if not logs:
            return
        if shouting:
            logs = list(map(in_lower_case, logs))
        self._last_pushed = logs[-1]
        self._assembly.take(logs)

    def second_connected(self) -> None:
        """The second endpoint can be asked."""
        self._cross_check.connected()

    def second_disconnected(self) -> None:
        """The second endpoint is gone: no end waits for it any more."""
        self._cross_check.disconnected()
        self._assembly.advance()

    @property
    def second_broken(self) -> str | None:
        """Why the second endpoint's connection should be given up."""
        return self._cross_check.broken

    @property
    def second_answers(self) -> int:
        """Usable answers of the second endpoint."""
        return self._cross_check.answers

    def second_requests(self) -> list[bytes]:
        """The frames to send to the second endpoint now."""
        return self._cross_check.requests()

    def receive_second(self, frames: Sequence[bytes], now_ns: int, wall_ns: int) -> None:
        """Take what the second endpoint answers; it subscribed to nothing."""
        self._set_clock(now_ns, wall_ns)
        for frame in frames:
            self._cross_check.receive(frame)
            self._assembly.act()
        self._assembly.advance()

    def tick(self, now_ns: int, wall_ns: int) -> None:
        """Time passed."""
        self._set_clock(now_ns, wall_ns)
        self._rpc.expire()
        self._cross_check.expire()
        self._timers.run()
        self._assembly.act()
        self._judge_connection()
        self._assembly.tick()
        distrust = self._assembly.take_distrust()
        if distrust is not None and self._endpoints > 1:
            self._break(distrust)

    def _judge_connection(self) -> None:
        if self._identity.unanswered is not None:
            self._break(self._identity.unanswered)
        if self._early_block.settled:
            last, self._last_pushed = self._last_pushed, None
            number = last.block_number or "0x0" if last is not None else None
            self._subscriptions.judge(number, self.head_number, self._newest.said)

    def settle(self, now_ns: int, wall_ns: int) -> None:
        """The node will push nothing more: close what is open by asking."""
        self._set_clock(now_ns, wall_ns)
        self._assembly.settle()

    def filter_events(self, wanted: EventFilter | None) -> None:
        """Publish only these events from now on."""
        self._assembly.filter_events(wanted)

    def want_states(self) -> None:
        """Somebody asks for a PoolState of every pool that was introduced."""
        self._assembly.want_states()

    def requests(self) -> list[bytes]:
        """The frames to send now."""
        return self._rpc.outgoing() if self._state is not FeedState.DISCONNECTED else []

    def messages(self) -> list[bytes | Segment]:
        """The messages to publish now, in order."""
        return self._outbox.take()

    def verified(self) -> list[Finding]:
        """The pools that were verified since the last call, for the cache."""
        return self._assembly.take_verified()

    @property
    def deadline_ns(self) -> int | None:
        """When `tick` has something to do at the latest."""
        due = [at for at in (self._timers.deadline_ns, self._rpc.deadline_ns) if at is not None]
        return min(due) + self._clock.skipped_ns if due else None

    def count(self) -> Statistics:
        """The statistics, brought up to date."""
        self._assembly.count()
        self.stats.refusals = dict(sorted(self._rpc.refused.items()))
        self.stats.renewed_subscriptions = self._subscriptions.renewed
        self.stats.unfit_members = dict(sorted(self._rpc.unfit.items()))
        return self.stats

    def _set_clock(self, now_ns: int, wall_ns: int) -> None:
        """Time in which nobody looked counts for nothing, here and in every part: no patience ends in it."""
        clock = self._clock
        if now_ns - clock.skipped_ns - clock.now_ns > OVERSLEPT_NS:
            clock.skipped_ns = now_ns - clock.now_ns
        clock.now_ns, clock.wall_ns = now_ns - clock.skipped_ns, wall_ns

    def _read(self, frame: bytes) -> None:
        """Anything that is no log notification of ours."""
        before = self._rpc.rejected.total()
        notices = self._rpc.read(frame)
        self._assembly.act()
        for notice in notices:
            self._notify(notice)
        self._look_at_rejections(before)

    def _take_head(self, frame: bytes) -> bool:
        """A notification of a head that is spelt as usual; False for anything else, of which nothing is done."""
        try:
            params = HEAD_NOTICE.decode(frame).params
        except UNREADABLE:
            return False
        ours = self._early_block.settled and params.subscription == self._subscriptions.heads
        if not (ours and is_well_spelt(params.result)):
            return False
        before = self._rpc.rejected.total()
        self._assembly.act()
        if self._heads.take_read(params.result):
            self._ask_early_block()
        self._look_at_rejections(before)
        return True

    def _look_at_rejections(self, before: int) -> None:
        """What follows from what could not be used of a frame."""
        rejected = self._rpc.rejected.total()
        if self._identity.wrong is not None:
            self._break(self._identity.wrong)
        if rejected > before:
            self._assembly.doubt_open_blocks()
            if self._rpc.rejected[Rejection.SUBSCRIPTION_ENDED] > self._ended_before:
                self._break("the node ended a subscription")
            if rejected - self._rejected_before > ERROR_BUDGET:
                self._break(f"more than {ERROR_BUDGET} unusable messages")

    def _notify(self, notice: Notice) -> None:
        known, subscriptions = self._early_block.settled, self._subscriptions
        if known and notice.subscription == subscriptions.heads:
            if self._heads.take(notice.result):
                self._ask_early_block()
        elif known and notice.subscription == subscriptions.logs:
            try:
                self._take_logs([LOG.decode(notice.result)], shouting=False)
            except UNREADABLE as error:
                self._rpc.reject(Rejection.BAD_LOG, error)
        elif not subscriptions.is_retired(notice.subscription):
            awaited = not (known and subscriptions.heads and subscriptions.logs)
            if not (awaited and subscriptions.keep(notice)):
                self._rpc.reject(Rejection.UNKNOWN_SUBSCRIPTION)

    def _identified(self) -> None:
        """The node serves our chain: what it says counts from now on."""
        self._cached.add_to(self._pools, self._tokens, self.genesis)
        self._epoch.learn(self.genesis)
        self._assembly.reconnected()
        self._begin()

    def _begin(self) -> None:
        """Once the chain is known and both subscriptions are confirmed: take what was pushed, ask for the latest."""
        if not (self._early_block.settled and self._subscriptions.logs and self._subscriptions.heads):
            return
        if self._rpc.rejected.total() > self._rejected_before:
            self._assembly.doubt_open_blocks()  # what could not be read may have been among what was kept
        for notice in self._subscriptions.take_kept():
            self._notify(notice)
        self._heads.ask_latest()

    @property
    def wrong_chain(self) -> str | None:
        """Which other chain the node of this connection serves."""
        return self._identity.wrong or self._early_block.wrong

    @property
    def replaced(self) -> bool:
        """Whether that chain has our id, and another early block."""
        return self._early_block.wrong is not None

    @property
    def exhausted(self) -> str | None:
        """The words of an endpoint whose quota is used up: another should be tried, if there is one."""
        return self._rpc.exhausted

    def take_remarks(self) -> list[Remark]:
        """What a person should know of this connection, since the last call; the words may be the node's own."""
        return self._rpc.take_remarks()

    def _ask_early_block(self) -> None:
        """The chain's id is right or was, and ids are shared."""
        self._early_block.ask(self._on_early_block)

    def _on_early_block(self) -> None:
        """The node showed it, or will not.  Asked at connect, and for a head that continues nothing."""
        if self._early_block.wrong is not None:
            self._break(self._early_block.wrong)
            self._heads.drop()
            return
        self._heads.release()
        if not self._early_block.settled:
            self._early_block.settle()
            self._identified()

    def _break(self, reason: str) -> None:
        self.broken = self.broken or reason

    def ask_newest(self) -> None:
        """Ask the node for its newest number: nothing has come for a while."""
        self._newest.ask()

    def counts(self) -> FeedCounts:
        """What `producers.node.health` judges the endpoint by."""
        stats, rpc = self.stats, self._rpc
        return FeedCounts(
            ends=stats.blocks_by_verdict.total(),
            gaps=stats.gap_count,
            headers=stats.headers,
            heads=self._heads.pushed,
            pools=stats.pools,
            frames=self._frames,
            answers=rpc.answers,
            refusals=rpc.refusals,
            timeouts=rpc.timeouts,
            limited=rpc.limited,
            owed=rpc.unanswered,
            head=self.head_number,
            safe=self._assembly.safe_number,
            said=self._newest.said,
            times_said=self._newest.times_said,
        )

    def beat(self, now_ns: int, wall_ns: int, *, circuit_open: bool = False) -> None:
        """A heartbeat now: for the time between two connections, when nothing ticks."""
        self._set_clock(now_ns, wall_ns)
        if circuit_open:
            self._state = FeedState.CIRCUIT_OPEN
        self._put_heartbeat()

    def _beat(self) -> None:
        """A heartbeat now, and one later."""
        self._put_heartbeat()
        self._timers.after(HEARTBEAT_NS, self._beat)

    def _put_heartbeat(self) -> None:
        self._heartbeats.put(
            self.head_number,
            self._assembly.safe_number,
            self._assembly.held_back,
            state=FeedState.LIVE if self._state is FeedState.BACKFILLING and self._heads.follows else self._state,
            endpoint=self.endpoint,
            reason=self.reason,
        )

    def _introduce_again(self) -> None:
        """From time to time, for readers that joined late: the next event of each pool brings its PoolState along."""
        self._assembly.introduce_again()
        self._timers.after(INTRODUCTION_NS, self._introduce_again)

    def _want_states_again(self) -> None:
        self._assembly.want_states()
        self._timers.after(STATES_NS, self._want_states_again)
