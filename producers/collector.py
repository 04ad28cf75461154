"""The collector's shell: one node, one ring, real sockets and real clocks around `producers.feed`.

Owns the connection, reconnects and the writer.  It must never interpret a message: that is the feed's.  Endpoints that
are not connected are asked in `producers.other_endpoints`, files are kept in `producers.keeping`, and what the log says
is `producers.endpoint_log`'s.

    connect --failed--> pause, or at once the next endpoint (`producers.node.endpoints`) --> connect
       |
       +--> frames --(in the socket's own callback)--> feed.receive --> ring      nothing is queued in between
            every 20 ms: feed.tick, requests out, health, statistics              at once if the feed is `unfinished`

A connection ends when the node closes it (1000 and 1001 too), when `producers.node.health` finds it useless, when it
breaks the error budget, when the first endpoint is back, or when the collector is told to stop.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from websockets.exceptions import ConnectionClosed

from producers.blocks.recovery import Recovered
from producers.blocks.resume import refuse_other_chain, resume
from producers.blocks.state_file import Position, load
from producers.chains.configuration import ChainConfig
from producers.decode.pool_table import PoolTable
from producers.decode.segment import Segment
from producers.endpoint_log import EndpointLog
from producers.feed import Feed
from producers.keeping import Keeping
from producers.kinds.selection import LogSelection
from producers.node.backoff import Circuit
from producers.node.connection import (
    MAX_MESSAGE,
    UNREACHABLE,
    NodeConnection,
    open_connection,
    refusal_of,
    retry_after_of,
    words_of_close,
)
from producers.node.endpoints import Endpoints
from producers.node.errors import EndpointError
from producers.node.health import FeedHealth
from producers.node.redaction import host_of, printable
from producers.node.second_endpoint import keep_second_endpoint
from producers.other_endpoints import OtherEndpoints
from producers.output.epoch import OutputRing
from producers.output.event_filter import load_filter
from producers.output.pool_readings import PoolWatch
from producers.pools.inquiry import Token
from producers.ring_reading import RingReading
from producers.statistics import Statistics
from ringbuf import DEFAULT_CAPACITY, RingOrphaned, SharedCounters, Writer
from tlv.codes import FeedReason
from tlv.errors import UsageError
from tlv.layout import LAYOUT_DIGEST
from tlv.units import MS, NS

TICK_NS = 20 * MS
HEARTBEAT_S = 1.0
SHORT_LIVED_S = 5.0
"""A connection that ended before that counts as a failed attempt, whatever it delivered."""
LEAST_OPEN_S = 1.0
"""A handshake gets at least that, however short the bound."""
FINISHING_S = 5.0
"""How long a connection that is over may keep the collector busy with what it brought."""
SETTLE_S = 5.0
"""How long open questions may keep an idle collector from exiting."""
LARGEST_COMMIT = 8
"""A commit takes at most this share of the ring (1/8); the ring itself would refuse a quarter."""

log = logging.getLogger("alphapulse.collector")


@dataclass(frozen=True, kw_only=True)
class CollectorOptions:
    """What a collector is started with."""

    chain: ChainConfig
    urls: tuple[str, ...]
    ring: str
    capacity: int = DEFAULT_CAPACITY
    selection: LogSelection = field(default_factory=LogSelection)
    filter_file: Path | None = None
    """What is published of what is collected; see `producers.output.event_filter`."""
    tick_watch: PoolWatch = field(default_factory=PoolWatch)
    """The pools whose tick maps are read from the node."""
    publish_unproven: bool = False
    """Events of emitters that were declared unproven are published, flagged; else they are held back."""
    pool_cache: Path | None = None
    stats_file: Path | None = None
    """Rewritten every second."""
    state_file: Path | None = None
    """Where to resume if the ring is gone."""
    position: Position | None = None
    """The same, from a collector of this process whose ring is gone."""
    second_url: str | None = None
    """An endpoint that is asked for a second opinion."""
    cross_check_share: float = 0.0
    """Of the blocks, those that it is asked about."""
    until_idle_s: float | None = None
    open_timeout_s: float = 10.0
    watchdog_s: float = 10.0
    """The least bound of an endpoint without progress; eight block times if that is longer."""
    max_message: int = MAX_MESSAGE
    """Bytes of the largest message that a node may send."""
    remedy: str = ""
    """What to do when no endpoint can be reached, for the log."""


class Collector:
    """Collects until it is stopped, or idle, or the node turns out to serve another chain.

    What it counts is in `shared` too, if that is given: counters of `Statistics`.  `ahead` has read along in the ring,
    and is closed.
    """

    def __init__(
        self, options: CollectorOptions, shared: SharedCounters | None = None, ahead: RingReading | None = None
    ) -> None:
        if not options.urls:
            raise EndpointError(
                f"expected at least one endpoint for chain {options.chain.name}, found none: give one with --url"
            )
        began = time.monotonic()
        self._options = options
        event_filter = load_filter(options.filter_file) if options.filter_file is not None else None
        self._writer = Writer.open_or_create(options.ring, capacity=options.capacity, layout_digest=LAYOUT_DIGEST)
        self._largest = self._writer.identity.capacity // LARGEST_COMMIT
        self._keeping = Keeping(options.chain, options.pool_cache, options.state_file, options.stats_file)
        try:
            recovered = self._resume(ahead)
            self._feed = self._make_feed(recovered)
        except BaseException:  # SIGTERM among them
            self._writer.close()
            raise
        self._feed.filter_events(event_filter)
        log.info(
            "%d blocks are known; ready after %.1f s",
            len(recovered.blocks) if recovered else 0,
            time.monotonic() - began,
            extra={"ring": options.ring},
        )
        self._endpoints = Endpoints(options.urls, bound_s=options.watchdog_s)
        self._health = FeedHealth(options.chain.block_time_s, options.watchdog_s)
        self._said = EndpointLog(self._feed, self._endpoints, options.urls, options.remedy, time.monotonic_ns())
        self._others = OtherEndpoints(
            options.chain, self._feed, self._endpoints, self._health, self._said, options.open_timeout_s
        )
        self._reloads: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._wake = asyncio.Event()
        self._heard_ns = time.monotonic_ns()
        self._saved_ns = 0
        self._tick_due_ns = 0
        self._shared = shared
        if shared is not None:
            shared.bind(self._feed.stats)

    def _make_feed(self, recovered: Recovered | None) -> Feed:
        options = self._options
        return Feed(
            options.chain,
            OutputRing(self._writer.uuid, self._writer.epoch, self._writer.next_sequence),
            PoolTable(),
            dict[bytes, Token](),
            options.selection,
            recovered,
            options.cross_check_share if options.second_url is not None else 0.0,
            options.tick_watch,
            self._keeping.load_pools(),
            endpoints=len(options.urls),
            publish_unproven=options.publish_unproven,
            **_clock(),
        )

    def _resume(self, ahead: RingReading | None) -> Recovered | None:
        """What an earlier collector told, in this ring or as the state file says."""
        options, chain = self._options, self._options.chain
        position = options.position or self._keeping.load_position()
        recovered = None
        if self._writer.epoch > 1:
            log.info("reading what an earlier collector left in ring %(ring)s", {"ring": options.ring})
            if ahead is None or ahead.lapped or ahead.ring_uuid != self._writer.uuid:
                ahead = RingReading(options.ring)
            with closing(ahead) as reading:
                recovered = resume(chain, options.ring, self._writer.uuid, reading.rest(), position, reading.story)
        else:
            recovered = resume(chain, options.ring, self._writer.uuid, None, position)
        if recovered is not None and recovered.damaged:
            found = {"ring": options.ring, "count": recovered.damaged}
            log.warning("ring %(ring)s: %(count)d messages are damaged", found)
        for first, last in recovered.unsure if recovered is not None else ():
            log.warning(
                "blocks %(block)d to %(last_block)d may have been told in part, and are declared as a gap",
                {"block": first, "last_block": last},
            )
        return recovered

    @property
    def statistics(self) -> Statistics:
        """The counters, up to date."""
        stats = self._feed.count()
        stats.reconnects = max(stats.connections - 1, 0)
        stats.disk_failures = self._keeping.disk.failures
        stats.excluded_endpoints = len(self._endpoints) - self._endpoints.usable
        stats.endpoint_host = host_of(self._endpoints.current.url)
        return stats

    @property
    def next_sequence(self) -> int:
        """Of the next message in the ring: it grows as long as this collector publishes, its heartbeats among it."""
        return self._writer.next_sequence

    def stop(self) -> None:
        """End `run` soon; safe to call from a signal handler of the loop."""
        self._stop.set()
        self._wake.set()

    def reload_filter(self) -> None:
        """Read the filter file again soon; one that cannot be used changes nothing.

        Safe to call from a signal handler of the loop.
        """
        if self._options.filter_file is not None and not self._stop.is_set():
            reload = asyncio.get_running_loop().create_task(self._reload_filter(self._options.filter_file))
            self._reloads.add(reload)
            reload.add_done_callback(self._reloads.discard)

    async def _reload_filter(self, path: Path) -> None:
        try:
            self._feed.filter_events(await self._keeping.disk.read(partial(load_filter, path)))
        except UsageError as error:
            log.warning("the filter stays as it was: %s", error)
        else:
            log.info("the filter was read again")

    def want_states(self) -> None:
        """Publish the state of every known pool soon; safe to call from a signal handler of the loop."""
        self._feed.want_states()
        self._wake.set()

    async def run(self) -> Statistics:
        """Collect.

        Raises:
            WrongChainError: the node serves another chain.
            EndpointError: no endpoint was ever reached, and `until_idle_s` says not to wait for ever.
            RingOrphaned: its ring has lost its name, see `position`.
        """
        second = None
        if (url := self._options.second_url) is not None:
            keeping = keep_second_endpoint(
                url, self._feed, self._receive_second, self._publish, self._options.max_message
            )
            second = asyncio.create_task(keeping)
            second.add_done_callback(lambda _: self.stop())  # it only ends when it is cancelled, or by a defect
        try:
            self._publish()
            self._others.check_all()
            while not self._stop.is_set():
                pause_s = await self._connect_once()
                if self._stop.is_set() or pause_s is None:
                    break
                await self._pause(pause_s)
        finally:
            self._others.stop()
            if second is not None:
                second.cancel()
                await asyncio.wait([second])
            self.stop()
            try:
                self._keeping.save_pools(self._feed)
                self._save(ending=True)
                self._keeping.disk.close()
            finally:
                self._writer.close()
        if second is not None and not second.cancelled():
            second.result()
        return self.statistics

    async def _connect_once(self) -> float | None:
        """One connection, from its beginning to its end; returns the pause before the next, None for no next."""
        candidate = self._endpoints.current
        self._feed.endpoint = self._endpoints.index
        self._endpoints.attempt()
        self._said.note_circuit()
        opening = asyncio.create_task(self._open(candidate.url))
        opening.add_done_callback(lambda _: self._wake.set())
        try:
            await self._idle(opening.done)
        except BaseException:
            await _give_up(opening)
            raise
        if not opening.done():
            await _give_up(opening)
            return None
        try:
            connection = opening.result()
        except UNREACHABLE as error:
            reason, words = refusal_of(error)
            pause_s = self._failed(f"cannot connect to {host_of(candidate.url)}", reason, words, retry_after_of(error))
            if self._options.until_idle_s is not None and self._idle_s() > self._options.until_idle_s:
                words = printable(words, candidate.url)
                remedy = f"; {self._options.remedy}" if self._options.remedy else ""
                raise EndpointError(f"cannot connect to {host_of(candidate.url)}: {words}{remedy}") from None
            return pause_s
        log.info("connected to %(host)s", {"host": host_of(candidate.url)})
        return await self._converse(connection)

    async def _open(self, url: str) -> NodeConnection:
        timeout_s = min(self._options.open_timeout_s, max(self._options.watchdog_s, LEAST_OPEN_S))
        return await open_connection(url, self._receive, timeout_s=timeout_s, max_message=self._options.max_message)

    def _failed(
        self, what: str, reason: FeedReason, words: str, retry_after_s: float = 0.0, *, useless: bool = False
    ) -> float:
        """A connection failed; returns the pause before the next."""
        words = self._said.lost(what, reason, words, time.monotonic_ns())
        pause_s = self._endpoints.failed(
            reason, words, random.random(), time.monotonic_ns(), retry_after_s=retry_after_s, useless=useless
        )
        self._said.note_circuit()
        return pause_s

    async def _converse(self, connection: NodeConnection) -> float | None:
        """Talk until the connection ends; returns the pause before the next, None if the collector is finished."""
        closed = asyncio.create_task(connection.wait_closed())
        closed.add_done_callback(lambda _: self._wake.set())
        began_ns = self._heard_ns = time.monotonic_ns()
        self._tick_due_ns = began_ns + TICK_NS
        self._feed.connected(**_clock())
        self._health.connected(began_ns, self._feed.counts())
        self._others.returning, finished, headers = None, False, self._feed.stats.headers
        left: tuple[FeedReason, str] | None = None
        try:
            while not closed.done() and not self._stop.is_set():
                self._publish()
                for request in self._feed.requests():
                    await connection.send(request, text=True)
                await self._wait(0 if self._feed.unfinished else self._time_to_tick())
                self._note_lateness()
                self._feed.tick(**_clock())
                self._housekeeping()
                finished = self._finished()
                left = self._judge(connection)
                if finished or left or (self._others.returning and self._feed.settled):
                    break
        except (ConnectionError, ConnectionClosed):
            log.info("the connection broke while sending")
        finally:
            if left is not None:
                connection.transport.abort()  # a farewell could take for ever
            else:
                left = words_of_close(connection) if connection.close_code is not None else None
            await connection.close()
            await closed
            await self._finish()
            if connection.broke_over_size:
                self._feed.answer_was_too_large()
            self._feed.disconnected(**_clock())
            self._publish()
        if connection.crash is not None:
            raise connection.crash
        if finished or self._stop.is_set():
            return None
        if self._feed.stats.headers > headers and (left is None or left[0] is FeedReason.CLOSED):
            self._endpoints.served()
        return self._disconnected(left, (time.monotonic_ns() - began_ns) / NS)

    def _time_to_tick(self) -> float:
        return max(self._tick_due_ns - time.monotonic_ns(), 0) / NS

    def _note_lateness(self) -> None:
        """Count how late each tick that is due by now came: of a stall, every one that it held up."""
        late_ns = time.monotonic_ns() - self._tick_due_ns
        if late_ns >= 0:
            missed = np.arange(self._tick_due_ns, self._tick_due_ns + late_ns + 1, TICK_NS)
            self._feed.stats.loop_late.add_ages(missed, self._tick_due_ns + late_ns)
            self._tick_due_ns = int(missed[-1]) + TICK_NS

    async def _finish(self) -> None:
        """Publish what the connection brought, for as long as that may take."""
        until = time.monotonic() + FINISHING_S
        while self._feed.unfinished and time.monotonic() < until:
            self._feed.tick(**_clock())
            self._publish()
            await asyncio.sleep(0)

    def _disconnected(self, left: tuple[FeedReason, str] | None, lasted_s: float) -> float:
        """What follows from the end of a connection; returns the pause before the next."""
        now_ns, host = time.monotonic_ns(), host_of(self._endpoints.current.url)
        if self._feed.wrong_chain is not None:
            replaced = self._feed.replaced
            self._others.exclude(self._endpoints.current, self._feed.wrong_chain, for_good=replaced)
            return 0.0
        returning = self._others.returning
        if returning is not None:
            log.warning("leaving %(host)s: %(other)s is back", {"host": host, "other": host_of(returning.url)})
            self._endpoints.ended(FeedReason.OK, "", random.random(), now_ns)
            self._endpoints.prefer(returning)
            return 0.0
        reason, words = left or (FeedReason.CLOSED, "the connection broke")
        if reason is FeedReason.CLOSED and self._health.proven and lasted_s >= SHORT_LIVED_S:
            words = self._said.lost(f"disconnected from {host}", reason, words, now_ns)
            return self._endpoints.ended(reason, words, random.random(), now_ns)
        what = f"disconnected from {host}" if reason is FeedReason.CLOSED else f"giving up {host}"
        return self._failed(what, reason, words, useless=reason is not FeedReason.CLOSED)

    def _receive_second(self, frames: list[bytes]) -> None:
        """What the second endpoint answered."""
        self._feed.receive_second(frames, **_clock())
        self._publish()

    def _receive(self, frames: list[bytes]) -> None:
        """Everything the socket held, in the socket's own callback."""
        clock = _clock()
        self._feed.stats.bytes_received += sum(map(len, frames))
        self._feed.take(frames, **clock)
        published = self._publish_timed(clock["now_ns"])
        self._feed.finish()  # the end of a block takes as long as a log, which came first and is in the ring by now
        published += self._publish_timed(clock["now_ns"])
        if published or not self._feed.told:
            self._heard_ns = time.monotonic_ns()  # not for what emitters answer that stay unproven: they are asked on
        self._wake.set()

    def _publish_timed(self, since_ns: int) -> int:
        published = self._publish()
        if published:
            self._feed.stats.receive_to_ring.add(time.monotonic_ns() - since_ns, published)
        return published

    def _publish(self) -> int:
        """Put everything that is finished into the ring; returns how many messages that was."""
        published = 0
        for item in self._feed.messages():
            if isinstance(item, Segment):
                published += len(item.offsets)
                self._commit(item)
            else:
                published += 1
                self._writer.publish(item)
        return published

    def _commit(self, segment: Segment) -> None:
        """Publish a segment with one commit, or with as many as it takes to stay below the largest."""
        if len(segment.offsets) == 1:
            self._writer.publish(segment.buffer)  # the checks of a batch take 12 us
            return
        if len(segment.buffer) + 64 * len(segment.offsets) <= self._largest:
            self._writer.publish_many(*segment)
            return
        half = len(segment.offsets) // 2
        for part in (slice(None, half), slice(half, None)):
            offsets, lengths = segment.offsets[part], segment.lengths[part]
            first, last = int(offsets.min()), int((offsets + lengths).max())
            self._commit(Segment(segment.buffer[first:last], np.ascontiguousarray(offsets - first), lengths))

    def _judge(self, connection: NodeConnection) -> tuple[FeedReason, str] | None:
        """Why the connection is to be left now; None while it is worth keeping."""
        now_ns, health, feed = time.monotonic_ns(), self._health, self._feed
        verdict = health.look(now_ns, feed.counts(), alone=self._endpoints.usable == 1)
        # One that ends when it is idle asks the node nothing for its own sake, so silence says nothing of the node.
        self._show(health.health() if self._options.until_idle_s is None or not health.proven else FeedReason.OK)
        if feed.broken is not None:
            return FeedReason.UNUSABLE, feed.broken
        if feed.exhausted is not None and self._endpoints.usable > 1:
            return FeedReason.REFUSED, f"its quota is used up: {feed.exhausted}"
        if health.proven and self._endpoints.failures:
            self._endpoints.proved()
            self._said.note_circuit()
        if self._options.until_idle_s is not None:
            return None
        if verdict is not FeedReason.OK:
            return verdict, f"no progress for {health.quiet_s:.1f} s"
        if health.asks():
            feed.ask_newest()
        self._others.look_around(now_ns)
        return None

    def _show(self, reason: FeedReason) -> None:
        """Tell readers at once when the feed's health changes."""
        if reason is not self._feed.reason:
            self._feed.reason = reason
            self._feed.beat(**_clock(), circuit_open=False)

    def _housekeeping(self) -> None:
        now_ns = time.monotonic_ns()
        self._said.tell(now_ns)
        due = now_ns - self._saved_ns > NS
        if due:
            self._saved_ns = now_ns
            self._beat_writer()
            self._said.tell_declared(now_ns)
            self._others.ask_excluded(now_ns)
            if self._shared is not None:
                self._shared.put(self.statistics)
        if not self._keeping.disk.busy:
            self._keeping.save_pools(self._feed)
            if due:
                self._save()

    def _beat_writer(self) -> None:
        """The writer's heartbeat.

        Raises:
            RingOrphaned: the ring has lost its name; those who still read it are told why this was its last message.
        """
        try:
            self._writer.heartbeat()
        except RingOrphaned as error:
            self._feed.reason, self._feed.stats.last_trouble = FeedReason.RING_LOST, str(error)
            self._feed.beat(**_clock(), circuit_open=False)
            self._publish()
            raise

    @property
    def position(self) -> Position | None:
        """Where another collector can go on: the last block of which everything was published."""
        return self._keeping.position(self._feed, self._writer.uuid)

    def _finished(self) -> bool:
        """Whether an idle collector may exit: nothing came for a while, and nothing is left to ask."""
        if self._options.until_idle_s is None or self._idle_s() < self._options.until_idle_s:
            return False
        self._feed.settle(**_clock())
        return self._feed.settled or self._idle_s() > self._options.until_idle_s + SETTLE_S

    def _idle_s(self) -> float:
        return (time.monotonic_ns() - self._heard_ns) / NS

    def _save(self, *, ending: bool = False) -> None:
        self._keeping.save(self._feed, self._writer.uuid, self.statistics, ending=ending)

    async def _pause(self, seconds: float) -> None:
        """Wait for the next attempt."""
        until = time.monotonic() + seconds
        if seconds > 0:
            await self._idle(lambda: time.monotonic() >= until, until)

    async def _idle(self, over: Callable[[], bool], until: float = math.inf) -> None:
        """Wait without a connection; readers see heartbeats that say why there is none."""
        while not over() and not self._stop.is_set():
            opened = self._endpoints.circuit is Circuit.OPEN
            if opened:
                self._feed.reason = FeedReason.CIRCUIT_OPEN
            self._feed.beat(**_clock(), circuit_open=opened)
            self._publish()
            self._housekeeping()
            await self._wait(max(min(until - time.monotonic(), HEARTBEAT_S), 0))

    async def _wait(self, seconds: float) -> None:
        """Until something happened, at most `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        if not self._stop.is_set():
            self._wake.clear()


async def _give_up(opening: asyncio.Task[NodeConnection]) -> None:
    """End the opening of a connection, or the connection if it was opened meanwhile."""
    opening.cancel()
    (outcome,) = await asyncio.gather(opening, return_exceptions=True)
    if isinstance(outcome, NodeConnection):
        outcome.transport.abort()


def check_start(options: CollectorOptions, ahead: RingReading | None) -> None:
    """Raise now what would refuse a start later.  Changes nothing; `ahead` has read the ring, if there is one.

    Raises:
        UsageError, FeedError: as `Collector` does.
    """
    chain = options.chain
    if options.filter_file is not None:
        load_filter(options.filter_file)
    if options.state_file is not None:
        load(options.state_file, chain.chain_id, chain.genesis)
    if ahead is not None:
        refuse_other_chain(chain, options.ring, ahead.story.chain_id, ahead.story.genesis)


def _clock() -> dict[str, int]:
    return {"now_ns": time.monotonic_ns(), "wall_ns": time.time_ns()}
