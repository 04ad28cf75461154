"""The collector's shell: one node, one ring, real sockets and real clocks around `producers.feed`.

Owns connections, reconnects, the writer, and when files are written; `producers.disk` writes them, since the loop waits
for no disk.  It must never interpret a message: that is the feed's.

    connect --failed--> pause (full jitter, next endpoint, circuit breaker) --> connect
       |
       +--> frames --(in the socket's own callback)--> feed.receive --> ring      nothing is queued in between
            every 20 ms at most: feed.tick, requests out, watchdog, statistics    at once if the feed is `unfinished`

A connection ends when the node closes it (1000 and 1001 too), when it is silent for longer than the block watchdog
allows, when it breaks the error budget, or when the collector is told to stop.  A URL may hold a key: hosts are shown.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
from websockets.exceptions import ConnectionClosed

from producers.blocks.recovery import recover
from producers.blocks.state_file import load, save
from producers.chains.configuration import ChainConfig
from producers.decode.pool_table import PoolTable
from producers.decode.segment import Segment
from producers.disk import DiskThread, replace_file
from producers.feed import Feed, LogSelection, OutputRing
from producers.node.backoff import BlockWatchdog, Circuit, Reconnect
from producers.node.connection import UNREACHABLE, NodeConnection, open_connection, retry_after_of
from producers.node.errors import EndpointError, WrongChainError
from producers.node.redaction import host_of, reason_of, without_secrets
from producers.node.second_endpoint import keep_second_endpoint
from producers.output.event_filter import load_filter
from producers.output.tick_maps import TickWatch
from producers.pools.cache import PoolCache
from producers.pools.verification import Token
from producers.statistics import Statistics
from ringbuf import DEFAULT_CAPACITY, Reader, Status, Writer
from tlv.errors import UsageError
from tlv.layout import LAYOUT_DIGEST
from tlv.units import NS

TICK_S = 0.02
HEARTBEAT_S = 1.0
SHORT_LIVED_S = 5.0
"""A connection that ended before that counts as a failed attempt, whatever it delivered."""
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
    tick_watch: TickWatch = field(default_factory=TickWatch)
    """The pools whose tick maps are read from the node."""
    pool_cache: Path | None = None
    stats_file: Path | None = None
    """Rewritten every second."""
    state_file: Path | None = None
    """Where to resume if the ring is gone."""
    second_url: str | None = None
    """An endpoint that is asked for a second opinion."""
    cross_check_share: float = 0.0
    """Of the blocks, those that it is asked about."""
    until_idle_s: float | None = None
    open_timeout_s: float = 10.0
    watchdog_s: float = 10.0


class Collector:
    """Collects until it is stopped, or idle, or the node turns out to serve another chain."""

    def __init__(self, options: CollectorOptions) -> None:
        if not options.urls:
            raise EndpointError(f"expected at least one endpoint for chain {options.chain.name}, found none")
        began = time.monotonic()
        self._options = options
        self._writer = Writer.open_or_create(options.ring, capacity=options.capacity, layout_digest=LAYOUT_DIGEST)
        self._largest = options.capacity // LARGEST_COMMIT
        self._cache = PoolCache(options.pool_cache, options.chain) if options.pool_cache is not None else None
        table, tokens = PoolTable(), dict[bytes, Token]()
        if self._cache is not None:
            log.info("%d pools known", self._cache.load(table, tokens))
        ring = OutputRing(self._writer.uuid, self._writer.epoch, self._writer.next_sequence)
        if self._writer.epoch > 1:
            log.info("reading what an earlier collector left in ring %s", options.ring)
        recovered = recover(_frames(options.ring)) if self._writer.epoch > 1 else None
        if options.state_file is not None and not (recovered and recovered.blocks):
            recovered = load(options.state_file, options.chain.chain_id)
        share = options.cross_check_share if options.second_url is not None else 0.0
        self._feed = Feed(
            options.chain,
            ring,
            table,
            tokens,
            options.selection,
            recovered,
            share,
            options.tick_watch,
            **_clock(),
        )
        self._feed.filter_events(load_filter(options.filter_file) if options.filter_file is not None else None)
        log.info(
            "%d blocks are known; ready after %.1f s",
            len(recovered.blocks) if recovered else 0,
            time.monotonic() - began,
        )
        self._reconnect = Reconnect(options.urls)
        self._watchdog = BlockWatchdog(least_s=options.watchdog_s)
        self._disk = DiskThread()
        self._reloads: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._wake = asyncio.Event()
        self._heard_ns = time.monotonic_ns()
        self._headers = 0
        self._saved_ns = 0

    @property
    def statistics(self) -> Statistics:
        """The counters, up to date."""
        stats = self._feed.count()
        stats.reconnects = max(stats.connections - 1, 0)
        stats.disk_failures = self._disk.failures
        return stats

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
            self._feed.filter_events(await self._disk.read(partial(load_filter, path)))
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
        """
        second = None
        if (url := self._options.second_url) is not None:
            keeping = keep_second_endpoint(url, self._feed, self._receive_second, self._publish)
            second = asyncio.create_task(keeping)
            second.add_done_callback(lambda _: self.stop())  # it only ends when it is cancelled, or by a defect
        try:
            self._publish()
            while not self._stop.is_set():
                pause_s = await self._connect_once()
                if self._stop.is_set() or pause_s is None:
                    break
                await self._pause(pause_s)
        finally:
            if second is not None:
                second.cancel()
                await asyncio.wait([second])
            self.stop()
            try:
                self._save_pools()
                self._save()
                self._disk.close()
            finally:
                self._writer.close()
        if second is not None and not second.cancelled():
            second.result()
        return self.statistics

    async def _connect_once(self) -> float | None:
        """One connection, from its beginning to its end; returns the pause before the next, None for no next."""
        url = self._reconnect.endpoint
        self._reconnect.attempt()
        self._note_circuit()
        try:
            connection = await open_connection(url, self._receive, timeout_s=self._options.open_timeout_s)
        except UNREACHABLE as error:
            pause_s = self._failed(retry_after_of(error))
            log.warning("cannot connect to %s: %s; again in %.1f s", host_of(url), reason_of(error), pause_s)
            if self._options.until_idle_s is not None and self._idle_s() > self._options.until_idle_s:
                raise EndpointError(f"cannot connect to {host_of(url)}: {reason_of(error)}") from None
            return pause_s
        began = time.monotonic()
        log.info("connected to %s", host_of(url))
        finished = await self._converse(connection)
        if finished:
            return None
        if time.monotonic() - began < SHORT_LIVED_S or connection.crash:
            return self._failed()
        return random.random() * 0.25

    def _failed(self, retry_after_s: float = 0.0) -> float:
        """A connection failed; returns the pause before the next."""
        pause_s = self._reconnect.failed(random.random(), time.monotonic_ns(), retry_after_s)
        self._note_circuit()
        return pause_s

    def _note_circuit(self) -> None:
        circuit, stats = self._reconnect.circuit, self._feed.stats
        if circuit != stats.circuit:
            log.warning("the circuit is %s; %d failures in a row", circuit, self._reconnect.failures)
            stats.circuit_openings += circuit is Circuit.OPEN
            stats.circuit = circuit

    async def _converse(self, connection: NodeConnection) -> bool:
        """Talk until the connection ends; whether the collector is finished."""
        closed = asyncio.create_task(connection.wait_closed())
        closed.add_done_callback(lambda _: self._wake.set())
        self._heard_ns = time.monotonic_ns()
        self._watchdog.restart(self._heard_ns)
        self._feed.connected(**_clock())
        finished = False
        try:
            while not closed.done() and not self._stop.is_set():
                self._publish()
                for request in self._feed.requests():
                    await connection.send(request, text=True)
                await self._wait(0 if self._feed.unfinished else TICK_S)
                self._feed.tick(**_clock())
                self._housekeeping()
                finished = self._finished()
                if finished or self._unusable(connection):
                    break
        except (ConnectionError, ConnectionClosed):
            log.info("the connection broke while sending")
        finally:
            await connection.close()
            await closed
            while self._feed.unfinished:
                self._feed.tick(**_clock())
                self._publish()
                await asyncio.sleep(0)
            self._feed.disconnected(**_clock())
            self._publish()
        if connection.crash is not None:
            raise connection.crash
        if self._feed.wrong_chain is not None:
            raise WrongChainError(self._feed.wrong_chain)
        if not (finished or self._stop.is_set()):
            log.warning(
                "disconnected (%s)", self._printable(self._feed.broken) or f"close code {connection.close_code}"
            )
        return finished

    def _receive_second(self, frames: list[bytes]) -> None:
        """What the second endpoint answered."""
        self._feed.receive_second(frames, **_clock())
        self._publish()

    def _receive(self, frames: list[bytes]) -> None:
        """Everything the socket held, in the socket's own callback."""
        clock = _clock()
        self._feed.stats.bytes_received += sum(map(len, frames))
        self._feed.receive(frames, **clock)
        published = self._publish()
        if published:
            self._feed.stats.receive_to_ring.add(time.monotonic_ns() - clock["now_ns"], published)
        if self._feed.stats.headers > self._headers:
            self._headers = self._feed.stats.headers
            self._watchdog.block_arrived(clock["now_ns"])
            self._reconnect.proved()
            self._note_circuit()
        self._heard_ns = time.monotonic_ns()
        self._wake.set()

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
        if len(segment.buffer) + 64 * len(segment.offsets) <= self._largest or len(segment.offsets) == 1:
            self._writer.publish_many(*segment)
            return
        half = len(segment.offsets) // 2
        for part in (slice(None, half), slice(half, None)):
            offsets, lengths = segment.offsets[part], segment.lengths[part]
            first, last = int(offsets.min()), int((offsets + lengths).max())
            self._commit(Segment(segment.buffer[first:last], np.ascontiguousarray(offsets - first), lengths))

    def _unusable(self, connection: NodeConnection) -> bool:
        """Whether the node is silent or talks nonsense; then it is aborted, since a farewell could take for ever."""
        silent = self._options.until_idle_s is None and time.monotonic_ns() > self._watchdog.deadline_ns
        if silent:
            log.warning("no block since %.1f s", self._idle_s())
        elif self._feed.broken is not None:
            log.warning("giving up the connection: %s", self._printable(self._feed.broken))
        else:
            return False
        connection.transport.abort()
        return True

    def _printable(self, words: str | None) -> str | None:
        """Words that may be a node's own: printable, and without its key."""
        if words is None:
            return None
        visible = "".join(letter if letter.isprintable() else " " for letter in words)
        return without_secrets(visible, *self._options.urls)

    def _housekeeping(self) -> None:
        now_ns = time.monotonic_ns()
        due = now_ns - self._saved_ns > NS
        if due:
            self._saved_ns = now_ns
            self._writer.heartbeat()
        if not self._disk.busy:
            self._save_pools()
            if due:
                self._save()

    def _finished(self) -> bool:
        """Whether an idle collector may exit: nothing came for a while, and nothing is left to ask."""
        if self._options.until_idle_s is None or self._idle_s() < self._options.until_idle_s:
            return False
        self._feed.settle(**_clock())
        return self._feed.settled or self._idle_s() > self._options.until_idle_s + SETTLE_S

    def _idle_s(self) -> float:
        return (time.monotonic_ns() - self._heard_ns) / NS

    def _save_pools(self) -> None:
        verified = [finding for finding in self._feed.verified() if finding.settled]
        if verified and self._cache is not None:
            self._disk.write("pool cache", partial(self._cache.append, verified))

    def _save(self) -> None:
        """Have the state and the statistics written: what they are now, whenever the disk gets to it."""
        safe = self._feed.safe_block
        if self._options.state_file is not None and safe is not None:
            chain_id = self._options.chain.chain_id
            self._disk.write("state file", partial(save, self._options.state_file, chain_id, safe))
        if self._options.stats_file is not None:
            content = msgspec.json.encode(self.statistics.to_dict())
            self._disk.write("statistics", partial(replace_file, self._options.stats_file, content, durable=False))

    async def _pause(self, seconds: float) -> None:
        """Wait for the next attempt; readers see a heartbeat that says so."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._stop.is_set():
            self._feed.beat(**_clock(), circuit_open=self._reconnect.circuit is Circuit.OPEN)
            self._publish()
            self._housekeeping()
            await self._wait(min(left, HEARTBEAT_S))

    async def _wait(self, seconds: float) -> None:
        """Until something happened, at most `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        if not self._stop.is_set():
            self._wake.clear()


def _frames(ring: str) -> Iterator[memoryview]:
    """Everything that is still in a ring, oldest first."""
    with Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
        while True:
            poll = reader.poll()
            if poll.status not in (Status.OK, Status.EPOCH_CHANGED, Status.GAP):
                return
            yield from (frame.payload for frame in poll)


def _clock() -> dict[str, int]:
    return {"now_ns": time.monotonic_ns(), "wall_ns": time.time_ns()}
