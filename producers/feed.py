"""The collector without I/O: frames in, requests and finished messages out.

Owns what belongs to one connection: subscriptions, the fast path of log notifications, the error budget.  It must never
import asyncio, sockets, clocks or randomness; `producers.collector` is the shell that has them.  What blocks and logs
mean is `producers.assembly`'s business.

    connected ---> subscribe logs, newHeads; ask chain id --> ask the latest block --> (heads are live) ...
        receive(frames)  log notification --1 decode--> assembly      everything else --> jsonrpc --> answers, heads
        tick             time-outs, retries, refetches, heartbeat
    disconnected: everything open becomes WANTED; state stays, so the next connection only fills what was missed

A head counts as live, that is, its logs are trusted to be pushed, only if the log subscription was confirmed before it
came, and never the first one of a connection: heads and logs of one block arrive in either order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import msgspec

from producers.assembly import Assembly
from producers.blocks.arrivals import Arrivals
from producers.blocks.block import Block
from producers.blocks.cross_check import CrossCheck
from producers.blocks.recovery import Recovered
from producers.chains.configuration import ChainConfig
from producers.context import Context
from producers.decode.pool_table import PoolTable
from producers.decode.segment import Segment
from producers.kinds.events import EVENT_OF_TOPIC
from producers.node.jsonrpc import (
    DISCONNECTED,
    ERROR_BUDGET,
    HEAD,
    HEAD_OR_NULL,
    LOG,
    LOG_NOTICE,
    TEXT,
    UNREADABLE,
    Failure,
    LogParams,
    Notice,
    Rejection,
)
from producers.node.rpc_types import Head, Log
from producers.node.timers import Clock
from producers.output.event_filter import EventFilter
from producers.output.outbox import Outbox
from producers.output.tick_maps import NOTHING_WATCHED, TickWatch
from producers.pools.verification import Finding, Token
from producers.statistics import Statistics
from tlv.codes import Domain, FeedState, InvalidationScope, Reason
from tlv.layout import LAYOUT_DIGEST, Heartbeat, Session, StateInvalidation, VenueName
from tlv.units import NS
from tlv.venues import VENUES

HEARTBEAT_NS = NS
INTRODUCTION_NS = 30 * NS
STATES_NS = 300 * NS
"""How often the state of every pool is asked from the node for readers that joined late: one to two calls a pool."""
MAX_EARLY_SIZE = 16 << 20
"""Bytes kept of notifications that came before the answer to their eth_subscribe, and `EARLY_OVERHEAD` for each."""
EARLY_OVERHEAD = 1 << 9
OVERSLEPT_NS = NS
"""After such a pause (a suspended machine, a stopped process) answers may lie in the socket: read before judging."""


@dataclass(frozen=True, slots=True)
class OutputRing:
    """The ring that the messages go into, as its Session record has it."""

    ring_uuid: bytes
    epoch: int
    next_sequence: int


@dataclass(frozen=True, slots=True)
class LogSelection:
    """Which logs are subscribed to.  Without limits all logs are: then a hole in the indices shows a loss."""

    addresses: tuple[str, ...] = ()
    events_only: bool = False

    def as_filter(self) -> dict[str, object]:
        """The members of an eth_subscribe or eth_getLogs filter."""
        members: dict[str, object] = {}
        if self.addresses:
            members["address"] = list(self.addresses)
        if self.events_only:
            members["topics"] = [sorted(EVENT_OF_TOPIC)]
        return members


class Feed:
    """One chain from one node at a time into one outbox."""

    def __init__(
        self,
        chain: ChainConfig,
        ring: OutputRing,
        pools: PoolTable,
        tokens: dict[bytes, Token],
        selection: LogSelection = LogSelection(),
        recovered: Recovered | None = None,
        cross_check_share: float = 0.0,
        tick_watch: TickWatch = NOTHING_WATCHED,
        *,
        now_ns: int,
        wall_ns: int,
    ) -> None:
        self._clock = Clock(now_ns, wall_ns)
        """Set here, once per call from outside, and read by every part."""
        self._filter = selection.as_filter()
        context = Context.of(chain, self._clock, self._filter)
        self._rpc, self._timers, self.stats = context.rpc, context.timers, context.stats
        self.state = FeedState.CONNECTING
        self.broken: str | None = None
        """Why this connection should be given up; None while it is fine."""
        self.wrong_chain: str | None = None
        self._config = chain
        self._outbox = Outbox(chain.source_code, self._clock, pools, ring.next_sequence)
        arrivals: Arrivals = []
        self._cross_check = CrossCheck(context, arrivals, cross_check_share)
        self._assembly = Assembly(context, self._outbox, pools, tokens, self._cross_check, arrivals, tick_watch)
        self._logs_id: str | None = None
        self._heads_id: str | None = None
        self._early: list[Notice] = []
        self._early_size = 0
        self._settled_heads = False
        self._rejected_before = 0
        self._ended_before = 0
        self._newest_live = -1
        session = Session(ring.ring_uuid, ring.epoch, ring.next_sequence, chain.chain_id, LAYOUT_DIGEST)
        self._outbox.put(Domain.SYSTEM, session)
        for code in sorted({factory.venue_code for factory in chain.factories}):
            self._outbox.put(Domain.SYSTEM, VenueName(code, VENUES.name_of(code) or ""))
        if ring.epoch > 1:
            record = StateInvalidation(0, InvalidationScope.ALL_POOLS, Reason.WRITER_RESTARTED, bytes(20))
            self._outbox.put(Domain.SYSTEM, record)
        if recovered is not None:
            self._assembly.resume(recovered)
        self._beat()
        self._introduce_again()
        self._timers.after(STATES_NS, self._want_states_again)

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
    def settled(self) -> bool:
        """Whether everything that the node sent is published, its blocks ended, and nothing is being asked."""
        return self._assembly.settled and not self._rpc.unanswered

    def connected(self, now_ns: int, wall_ns: int) -> None:
        """A connection is open."""
        self._set_clock(now_ns, wall_ns)
        self.stats.connections += 1
        self.broken = None
        self.state = FeedState.BACKFILLING
        self._logs_id = self._heads_id = None
        self._early.clear()
        self._early_size = 0
        self._settled_heads = False
        self._newest_live = -1
        self._rejected_before = self._rpc.rejected.total()
        self._ended_before = self._rpc.rejected[Rejection.SUBSCRIPTION_ENDED]
        self._rpc.ask("eth_subscribe", ["logs", self._filter] if self._filter else ["logs", {}], self._on_logs_id)
        self._rpc.ask("eth_subscribe", ["newHeads"], self._on_heads_id)
        self._rpc.ask("eth_chainId", [], self._on_chain_id)
        self._assembly.reconnected()

    def disconnected(self, now_ns: int, wall_ns: int) -> None:
        """The connection is gone, however it ended."""
        self._set_clock(now_ns, wall_ns)
        self.state = FeedState.DISCONNECTED
        self._assembly.disconnected()
        self._rpc.abandon()

    def receive(self, frames: Iterable[bytes], now_ns: int, wall_ns: int) -> None:
        """Take everything that the socket held."""
        self._set_clock(now_ns, wall_ns)
        decode, logs_id = LOG_NOTICE.decode, self._logs_id
        logs: list[Log] = []
        for frame in frames:
            try:
                params: LogParams = decode(frame).params
            except UNREADABLE:
                # No log notification.  What came before it is taken first: order matters between heads and logs.
                self._assembly.take(logs)
                logs = []
                self._read(frame)
                logs_id = self._logs_id
                continue
            if params.subscription == logs_id:
                logs.append(params.result)
            else:
                self._read(frame)
        self._assembly.take(logs)
        self._assembly.advance()

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

    def receive_second(self, frames: Iterable[bytes], now_ns: int, wall_ns: int) -> None:
        """Take what the second endpoint answers; it subscribed to nothing."""
        self._set_clock(now_ns, wall_ns)
        for frame in frames:
            self._cross_check.receive(frame)
            self._assembly.act()
        self._assembly.advance()

    def tick(self, now_ns: int, wall_ns: int) -> None:
        """Time passed."""
        overslept = now_ns - self._clock.now_ns > OVERSLEPT_NS
        self._set_clock(now_ns, wall_ns)
        if not overslept:
            self._rpc.expire()
            self._cross_check.expire()
        self._timers.run()
        self._assembly.act()
        self._assembly.tick()

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
        return self._rpc.outgoing() if self.state is not FeedState.DISCONNECTED else []

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
        return min(due, default=None)

    def count(self) -> Statistics:
        """The statistics, brought up to date."""
        self._assembly.count()
        return self.stats

    def _set_clock(self, now_ns: int, wall_ns: int) -> None:
        self._clock.now_ns, self._clock.wall_ns = now_ns, wall_ns

    def _read(self, frame: bytes) -> None:
        """Anything that is no log notification of ours."""
        before = self._rpc.rejected.total()
        notices = self._rpc.read(frame)
        self._assembly.act()
        for notice in notices:
            self._notify(notice)
        rejected = self._rpc.rejected.total()
        if rejected > before:
            self._assembly.doubt_open_blocks()
            if self._rpc.rejected[Rejection.SUBSCRIPTION_ENDED] > self._ended_before:
                self._break("the node ended a subscription")
            if rejected - self._rejected_before > ERROR_BUDGET:
                self._break(f"more than {ERROR_BUDGET} unusable messages")

    def _notify(self, notice: Notice) -> None:
        if notice.subscription == self._heads_id:
            self._take_head(notice.result)
        elif notice.subscription == self._logs_id:
            try:
                self._assembly.take([LOG.decode(notice.result)])
            except UNREADABLE:
                self._rpc.reject(Rejection.BAD_LOG)
        elif None in (self._heads_id, self._logs_id) and self._early_size + len(notice.result) <= MAX_EARLY_SIZE:
            self._early.append(notice)
            self._early_size += len(notice.result) + EARLY_OVERHEAD
        else:
            self._rpc.reject(Rejection.UNKNOWN_SUBSCRIPTION)

    def _take_head(self, result: msgspec.Raw) -> None:
        try:
            head = HEAD.decode(result)
        except UNREADABLE:
            self._rpc.reject(Rejection.BAD_HEAD)
            return
        live = self._logs_id is not None and self._settled_heads
        self._settled_heads = self._settled_heads or self._logs_id is not None
        self._announce(head, live=live)
        self._newest_live = max(self._newest_live, self.head_number)

    def _announce(self, head: Head, *, live: bool) -> None:
        self.state = FeedState.LIVE
        self._assembly.announce(head, live=live)

    def _on_logs_id(self, result: msgspec.Raw | None, failure: Failure | None) -> None:
        self._logs_id = self._subscription(result, failure)
        self._replay_early()

    def _on_heads_id(self, result: msgspec.Raw | None, failure: Failure | None) -> None:
        self._heads_id = self._subscription(result, failure)
        self._replay_early()
        if self._heads_id is not None:
            # Asked only now: a head that comes between this answer and the first push cannot be lost.
            self._rpc.ask("eth_getBlockByNumber", ["latest", False], self._on_latest)

    def _subscription(self, result: msgspec.Raw | None, failure: Failure | None) -> str | None:
        if failure is not None:
            if failure is not DISCONNECTED:
                self._break(f"eth_subscribe was refused: {failure.message[:200]}")
            return None
        try:
            name: str = TEXT.decode(result or b"")
        except UNREADABLE:
            self._break("eth_subscribe was answered without an id")
            return None
        return name

    def _replay_early(self) -> None:
        if self._logs_id is not None and self._heads_id is not None:
            early, self._early = self._early, []
            for notice in early:
                self._notify(notice)

    def _on_latest(self, result: msgspec.Raw | None, failure: Failure | None) -> None:
        head = _head(result)
        if head is None:
            if failure is not DISCONNECTED:
                self._timers.after(NS, partial(self._ask_latest, self.stats.connections))
            return
        # A block announced live wins: this answer may be older than it.
        if self._newest_live < 0:
            self._announce(head, live=False)

    def _ask_latest(self, connection: int) -> None:
        if connection == self.stats.connections and self._newest_live < 0:
            self._rpc.ask("eth_getBlockByNumber", ["latest", False], self._on_latest)

    def _on_chain_id(self, result: msgspec.Raw | None, failure: Failure | None) -> None:
        if failure is not None:
            return
        try:
            found = int(TEXT.decode(result or b""), 16)
        except (*UNREADABLE, ValueError):
            self._break("eth_chainId was answered without a number")
            return
        if found != self._config.chain_id:
            self.wrong_chain = f"expected chain {self._config.chain_id} ({self._config.name}), found {found}"
            self._break(self.wrong_chain)

    def _break(self, reason: str) -> None:
        self.broken = self.broken or reason

    def beat(self, now_ns: int, wall_ns: int, *, circuit_open: bool = False) -> None:
        """A heartbeat now: for the time between two connections, when nothing ticks."""
        self._set_clock(now_ns, wall_ns)
        if circuit_open:
            self.state = FeedState.CIRCUIT_OPEN
        self._put_heartbeat()

    def _beat(self) -> None:
        """A heartbeat now, and one later."""
        self._put_heartbeat()
        self._timers.after(HEARTBEAT_NS, self._beat)

    def _put_heartbeat(self) -> None:
        record = Heartbeat(self.head_number, self._assembly.safe_number, self._outbox.next_sequence - 1, self.state)
        self._outbox.put(Domain.SYSTEM, record)

    def _introduce_again(self) -> None:
        """From time to time, for readers that joined late: the next event of each pool brings its PoolState along."""
        self._assembly.introduce_again()
        self._timers.after(INTRODUCTION_NS, self._introduce_again)

    def _want_states_again(self) -> None:
        self._assembly.want_states()
        self._timers.after(STATES_NS, self._want_states_again)


def _head(result: msgspec.Raw | None) -> Head | None:
    try:
        head: Head | None = HEAD_OR_NULL.decode(result) if result is not None else None
    except UNREADABLE:
        return None
    return head
