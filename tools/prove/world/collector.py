"""The shell of `producers.collector` without I/O: drives a real feed, keeps ring and state file, dies, comes back.

Owns what the real shell does around `producers.feed`: connections and their choice, ticks, health, publication.
What a kill leaves is what the real one would leave: the ring up to any message, and the state of a second ago.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from random import Random
from typing import Concatenate, ParamSpec

import msgspec

from producers.blocks.recovery import Recovered
from producers.blocks.resume import resume
from producers.blocks.state_file import Position, load, save
from producers.chains.configuration import ChainConfig
from producers.decode.pool_table import PoolTable
from producers.decode.segment import Segment
from producers.feed import Feed
from producers.kinds.selection import LogSelection
from producers.node.backoff import Circuit
from producers.node.endpoints import RETURN_S, Candidate, Endpoints
from producers.node.errors import WrongChainError
from producers.node.health import FeedHealth
from producers.node.identity import CONDEMNED_NS
from producers.output.epoch import OutputRing
from producers.pools.cache import CachedPools, PoolCache
from producers.pools.inquiry import Finding
from tlv.codes import FeedReason
from tlv.units import MS, NS
from tools.prove.world.clock import Agenda
from tools.prove.world.network import Wire
from tools.prove.world.node import WorldNode

P = ParamSpec("P")
SHORT_LIVED_NS = 5 * NS
WATCHDOG_S = 10.0
BROKE_OVER_SIZE = 1009
MOST_REQUESTS = 1500
BUSY_NS = 10 * NS
"""In so short a time there may not be more than `MOST_REQUESTS`, in a world of a few pools."""
MOST_UNFINISHED = 1000
"""Ticks in a row that say there is more to publish, and publish nothing."""


class Spinning(AssertionError):
    """The feed works without getting anywhere."""


def when_awake(
    method: Callable[Concatenate[CollectorModel, P], None],
) -> Callable[Concatenate[CollectorModel, P], None]:
    """Called while it sleeps, it is called again when it wakes."""

    @wraps(method)
    def call(model: CollectorModel, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if not model.sleeps(partial(call, model, *args, **kwargs)):
            method(model, *args, **kwargs)

    return call


class CollectorModel:
    """One collector, over all of its lives."""

    def __init__(
        self,
        agenda: Agenda,
        chain: ChainConfig,
        endpoints: dict[str, WorldNode],
        second: WorldNode | None,
        rng: Random,
        publish: Callable[[bytes], None],
        tell: Callable[[str], None],
        ring_size: int | None,
        publish_unproven: bool,
    ) -> None:
        self._agenda, self._chain, self._nodes, self._second = agenda, chain, endpoints, second
        self._rng, self._put, self._tell = rng, publish, tell
        self._publish_unproven = publish_unproven
        self._asked_ns: deque[int] = deque(maxlen=MOST_REQUESTS)
        self._tick_ns = rng.choice((50, 100, 200, 250)) * MS
        self._ring: deque[bytes] = deque(maxlen=ring_size)
        self._uuid, self._epoch, self._next = bytes(16), 1, 1
        self._return_s = rng.choice((20.0, RETURN_S))
        self._pools: list[tuple[Finding, bytes]] = []
        """What goes into the pool cache, and the early block of its chain."""
        self._keeps_pools = rng.random() < 0.5
        self._position: Position | None = None
        """The content of the state file."""
        self._life = 0
        self._dying: int | None = None
        self._wakes_ns = 0
        """Until then nothing of it runs: a suspended machine, a stopped process."""
        self._postponed: list[Callable[[], None]] = []
        self._begin(None)

    @property
    def feed(self) -> Feed:
        """The feed of the present life."""
        return self._feed

    def forget_ring(self) -> None:
        """Let the ring be empty, in a world that kills nobody."""
        self._ring.clear()

    # Lives

    def _begin(self, recovered: Recovered | None) -> None:
        self._life += 1
        self._dying = None
        ring = OutputRing(self._uuid, self._epoch, self._next)
        self._feed = Feed(
            self._chain,
            ring,
            PoolTable(),
            {},
            LogSelection(),
            recovered,
            0.5 if self._second is not None else 0.0,
            cached=self._cached(),
            endpoints=len(self._nodes),
            publish_unproven=self._publish_unproven,
            now_ns=self._agenda.now_ns,
            wall_ns=self._agenda.wall_ns,
        )
        self._endpoints = Endpoints(list(self._nodes), bound_s=WATCHDOG_S, return_s=self._return_s)
        self._health = FeedHealth(self._chain.block_time_s, WATCHDOG_S)
        self._returning: Candidate | None = None
        """The first endpoint, which is back."""
        self._wire: Wire | None = None
        self._second_wire: Wire | None = None
        self._next_tick_ns = 0
        self._saved_ns = 0
        self._publish()
        self._agenda.after(0, partial(self._connect, self._life))
        if self._second is not None:
            self._agenda.after(0, partial(self._connect_second, self._life))

    def sleep(self, length_ns: int) -> None:
        """Do nothing for so long; what comes meanwhile waits."""
        self._tell(f"asleep for {length_ns / NS:.0f} s")
        self._wakes_ns = max(self._wakes_ns, self._agenda.now_ns + length_ns)

    def sleeps(self, then: Callable[[], None]) -> bool:
        """Whether it is asleep; `then` is called when it wakes, in order."""
        if self._agenda.now_ns >= self._wakes_ns:
            return False
        if not self._postponed:
            self._agenda.at(self._wakes_ns, self._wake)
        self._postponed.append(then)
        return True

    def _wake(self) -> None:
        if self._agenda.now_ns < self._wakes_ns:
            self._agenda.at(self._wakes_ns, self._wake)
            return
        postponed, self._postponed = self._postponed, []
        for then in postponed:
            then()

    def kill(self, how: str) -> None:
        """Die soon, in the middle of whatever is published next, and come back as `how` says."""
        if self._dying is None:
            self._dying = self._rng.randrange(40)
            self._how = how
            self._agenda.after(self._rng.randrange(1000) * MS, partial(self._die, self._life))

    def _die(self, life: int) -> None:
        if life != self._life:
            return
        self._life += 1
        for wire in (self._wire, self._second_wire):
            if wire is not None:
                wire.hang_up()
        self._tell(f"killed, {len(self._ring)} messages in the ring; restart from {self._how[5:]}")
        self._agenda.after(self._rng.choice((100, 1000, 20_000)) * MS, partial(self._restart, self._how))

    def _restart(self, how: str) -> None:
        position = self._state() if how in ("kill_ring", "kill_state") else None
        messages = None
        if how == "kill_ring":
            self._epoch += 1
            messages = self._ring
        else:
            self._uuid, self._epoch, self._next = self._rng.randbytes(16), 1, 1
        recovered = resume(self._chain, "world", self._uuid, messages, position)
        if messages is None:
            self._ring.clear()
        self._begin(recovered)

    def _state(self) -> Position | None:
        """What the state file says, through a real file."""
        if self._position is None:
            return None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "state.json"
            save(path, self._position)
            return load(path, self._chain.chain_id, self._chain.genesis)

    def _cached(self) -> CachedPools:
        """What the pool cache says, through a real file."""
        if not (self._keeps_pools and self._pools):
            return CachedPools()
        with tempfile.TemporaryDirectory() as folder:
            cache = PoolCache(Path(folder) / "pools.jsonl", self._chain)
            for finding, genesis in self._pools:
                cache.append([finding], genesis)
            return cache.load()

    # Connections

    @when_awake
    def _connect(self, life: int) -> None:
        if life != self._life:
            return
        name = self._endpoints.current.url
        self._feed.endpoint = self._endpoints.index
        self._endpoints.attempt()
        wire = self._nodes[name].connect(partial(self._receive, life), partial(self._on_close, life))
        if wire is None:
            self._pause(self._failed(FeedReason.UNREACHABLE, "refused"))
            return
        self._tell(f"connected to {name}")
        self._wire, self._began_ns = wire, self._agenda.now_ns
        self._returning = None
        self._feed.connected(**self._agenda.clocks)
        self._health.connected(self._began_ns, self._feed.counts())
        self._flush()
        self._tick_at(life, self._agenda.now_ns + self._tick_ns)

    def _failed(self, reason: FeedReason, words: str, *, useless: bool = False) -> float:
        return self._endpoints.failed(reason, words, self._rng.random(), self._agenda.now_ns, useless=useless)

    def _pause(self, seconds: float) -> None:
        circuit_open = self._endpoints.circuit is Circuit.OPEN
        for second in range(1, int(seconds) + 1):
            self._agenda.after(second * NS, partial(self._beat, self._life, circuit_open))
        self._agenda.after(int(seconds * NS) + MS, partial(self._connect, self._life))

    @when_awake
    def _beat(self, life: int, circuit_open: bool) -> None:
        if life == self._life:
            self._feed.beat(**self._agenda.clocks, circuit_open=circuit_open)
            self._publish()
            self._ask_excluded()

    @when_awake
    def _on_close(self, life: int, code: int) -> None:
        if life == self._life and self._wire is not None:
            reason = FeedReason.CLOSED
            if code == BROKE_OVER_SIZE:
                reason = FeedReason.TOO_LARGE
                self._feed.answer_was_too_large()
            self._end_connection(reason, f"close code {code}")

    def _end_connection(self, reason: FeedReason, words: str) -> None:
        wire, self._wire = self._wire, None
        assert wire is not None, "a connection that ended ends once"
        wire.hang_up()
        self._tell(f"disconnected: {words}")
        for _ in range(MOST_UNFINISHED):
            if not self._feed.unfinished:
                break
            self._feed.tick(**self._agenda.clocks)
            self._publish()
        self._feed.disconnected(**self._agenda.clocks)
        self._publish()
        self._pause(self._disconnected(reason, words))

    def _disconnected(self, reason: FeedReason, words: str) -> float:
        """What follows from the end of a connection; returns the pause before the next."""
        now_ns = self._agenda.now_ns
        if self._feed.wrong_chain is not None:
            self._exclude(self._endpoints.current, self._feed.wrong_chain, for_good=self._feed.replaced)
            return 0.0
        if self._returning is not None:
            self._endpoints.ended(FeedReason.OK, "", self._rng.random(), now_ns)
            self._endpoints.prefer(self._returning)
            return 0.0
        if reason is FeedReason.CLOSED and self._health.proven and now_ns - self._began_ns >= SHORT_LIVED_NS:
            return self._endpoints.ended(reason, words, self._rng.random(), now_ns)
        return self._failed(reason, words, useless=reason is not FeedReason.CLOSED)

    def _exclude(self, candidate: Candidate, words: str, *, for_good: bool = False) -> None:
        if not candidate.wrong_chain:
            self._tell(f"{candidate.url} is not used: {words}")
            self._endpoints.exclude(candidate, words, self._agenda.now_ns, for_good=for_good)
        if not self._endpoints.usable:
            raise WrongChainError(words)

    def _ask_excluded(self) -> None:
        excluded = self._endpoints.asks_excluded(self._agenda.now_ns)
        if excluded is not None:
            self._inquire(excluded, partial(self._readmit, excluded))

    def _readmit(self, candidate: Candidate, newest: int) -> None:
        self._tell(f"{candidate.url} is used again at {newest}")
        self._endpoints.readmit(candidate, self._agenda.now_ns)

    def _inquire(self, candidate: Candidate, heard: Callable[[int], None], doubted: bool = False) -> None:
        """Ask an endpoint over a connection of its own which chain it serves, and its newest number; another chain's
        once more, some seconds later."""
        said: dict[int, int] = {}
        life = self._life

        def take(frames: list[bytes]) -> None:
            for frame in frames:
                try:
                    answer = msgspec.json.decode(frame)
                    said[answer["id"]] = int(answer["result"], 16)
                except (msgspec.DecodeError, KeyError, TypeError, ValueError):
                    continue
            if len(said) < 2 or life != self._life or wire is None:
                return
            wire.hang_up()
            chain_id, newest = said.get(1), said.get(2, -1)
            if chain_id == self._chain.chain_id:
                heard(newest)
            elif not doubted:
                self._agenda.after(CONDEMNED_NS, partial(self._inquire_again, life, candidate, heard))
            elif candidate is not self._endpoints.current:
                self._exclude(candidate, f"chain {chain_id}")

        node = self._nodes[candidate.url]
        wire = node.connect(take, lambda _: None)
        for number, method in ((1, "eth_chainId"), (2, "eth_blockNumber")):
            if wire is not None:
                request = {"jsonrpc": "2.0", "id": number, "method": method, "params": []}
                node.receive(wire, msgspec.json.encode(request))

    def _inquire_again(self, life: int, candidate: Candidate, heard: Callable[[int], None]) -> None:
        if life == self._life:
            self._inquire(candidate, heard, doubted=True)

    def _heard_of_first(self, candidate: Candidate, newest: int) -> None:
        if newest >= self._feed.head_number - 1:
            self._returning = candidate

    @when_awake
    def _connect_second(self, life: int) -> None:
        if life != self._life or self._second is None:
            return
        wire = self._second.connect(partial(self._receive_second, life), partial(self._on_second_close, life))
        if wire is None:
            self._agenda.after(NS, partial(self._connect_second, life))
            return
        self._second_wire = wire
        self._feed.second_connected()
        self._flush()

    @when_awake
    def _on_second_close(self, life: int, _: int) -> None:
        if life == self._life:
            self._second_wire = None
            self._feed.second_disconnected()
            self._flush()
            self._agenda.after(NS, partial(self._connect_second, life))

    # Frames and time

    @when_awake
    def _receive(self, life: int, frames: list[bytes]) -> None:
        if life != self._life:
            return
        self._feed.receive(frames, **self._agenda.clocks)
        self._flush()
        if life == self._life:
            self._tick_at(life, self._agenda.now_ns + self._tick_ns)

    @when_awake
    def _receive_second(self, life: int, frames: list[bytes]) -> None:
        if life == self._life:
            self._feed.receive_second(frames, **self._agenda.clocks)
            self._flush()

    def _tick_at(self, life: int, due_ns: int) -> None:
        """The next tick is due then, or earlier."""
        if self._next_tick_ns <= self._agenda.now_ns or due_ns < self._next_tick_ns:
            self._next_tick_ns = due_ns
            self._agenda.at(due_ns, partial(self._tick, life, due_ns))

    @when_awake
    def _tick(self, life: int, due_ns: int) -> None:
        if life != self._life or due_ns != self._next_tick_ns or self._wire is None:
            return
        for _ in range(MOST_UNFINISHED):
            self._feed.tick(**self._agenda.clocks)
            self._flush()
            if life != self._life or not self._feed.unfinished:
                break
        else:
            raise Spinning("there is always more to publish")
        if life != self._life or self._wire is None:
            return
        self._house_keeping()
        now_ns = self._agenda.now_ns
        left = self._judge()
        self._flush()
        if left is not None:
            self._end_connection(*left)
        elif self._returning is not None and self._feed.settled:
            self._end_connection(FeedReason.OK, f"{self._returning.url} is back")
        elif self._feed.settled:
            deadline_ns = self._feed.deadline_ns or now_ns + NS
            self._tick_at(life, min(max(deadline_ns, now_ns + self._tick_ns), now_ns + NS))
        else:
            self._tick_at(life, now_ns + self._tick_ns)

    def _judge(self) -> tuple[FeedReason, str] | None:
        """Why the connection is to be left now; None while it is worth keeping."""
        now_ns, health, feed, endpoints = self._agenda.now_ns, self._health, self._feed, self._endpoints
        verdict = health.look(now_ns, feed.counts(), alone=endpoints.usable == 1)
        feed.reason = health.health()
        if feed.broken is not None:
            return FeedReason.UNUSABLE, feed.broken
        if feed.exhausted is not None and endpoints.usable > 1:
            return FeedReason.REFUSED, f"its quota is used up: {feed.exhausted}"
        if verdict is not FeedReason.OK:
            return verdict, f"{verdict.name.lower()}: no progress for {health.quiet_s:.1f} s"
        if health.asks():
            feed.ask_newest()
        other = endpoints.fallback
        if other is not None and health.asks_elsewhere():
            self._inquire(other, health.heard_elsewhere)
        first = endpoints.asks_first(now_ns) if health.proven else None
        if first is not None:
            self._inquire(first, partial(self._heard_of_first, first))
        self._ask_excluded()
        if health.proven and endpoints.failures:
            endpoints.proved()
        return None

    def _house_keeping(self) -> None:
        feed, now_ns = self._feed, self._agenda.now_ns
        self._pools += [(finding, feed.genesis) for finding in feed.verified()]
        if now_ns - self._saved_ns > NS:
            self._saved_ns = now_ns
            safe = feed.safe_block
            if safe is not None:
                self._position = Position.of(self._chain.chain_id, safe, feed.genesis, self._uuid)
        if self._second_wire is not None and self._feed.second_broken is not None:
            self._second_wire.close()

    def _flush(self) -> None:
        """Messages into the ring, requests to the nodes."""
        self._publish()
        if self._wire is not None:
            requests = self._feed.requests()
            if requests:
                self._count(len(requests))
            node = self._nodes[self._endpoints.current.url]
            for request in requests:
                if self._wire is not None:
                    node.receive(self._wire, request)
        if self._second_wire is not None and self._second is not None:
            for request in self._feed.second_requests():
                self._second.receive(self._second_wire, request)

    def _count(self, requests: int) -> None:
        """Bound the requests over some seconds; a burst of a cold start is shorter."""
        now_ns = self._agenda.now_ns
        self._asked_ns.extend([now_ns] * requests)
        if len(self._asked_ns) == MOST_REQUESTS and now_ns - self._asked_ns[0] < BUSY_NS:
            raise Spinning(f"{MOST_REQUESTS} requests in {(now_ns - self._asked_ns[0]) / NS:.1f} s")

    def _publish(self) -> None:
        for item in self._feed.messages():
            if isinstance(item, Segment):
                for payload in item.messages():
                    self._publish_one(payload)
            else:
                self._publish_one(item)
            if self._dying == -1:
                self._dying = -2
                self._die(self._life)
                return

    def _publish_one(self, message: bytes) -> None:
        if self._dying is not None:
            if self._dying <= 0:
                self._dying = -1
                return
            self._dying -= 1
        self._next += 1
        self._ring.append(message)
        self._put(message)
