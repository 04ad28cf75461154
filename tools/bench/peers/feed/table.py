"""Logs a second of each client of the feed, from recording nodes of their own, in rotated order.

Owns the turns: each is a process with a time limit, beside a node that serves the same blocks from its first one on.
What the clients decoded is compared with ours, block by block; a client that decoded something else has no rate.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from itertools import cycle
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from consumers.extras import installing
from tools.bench.collector.load import Blocks, event_blocks, served
from tools.bench.peers.feed.client import FEWEST, KEPT, TOPICS, Amounts, FeedClient, FeedOutcome, LogPlace, Task
from tools.bench.peers.feed.ours import ring_of
from tools.bench.peers.machine import GapWatch
from tools.bench.peers.rounds import rotated
from tools.bench.peers.team import LEAVE_S, PeerEnded
from tools.bench.peers.worker import PeerFailure, leave_signals_to_parent
from tools.bench.processes import SPAWN
from tools.bench.result import BenchResult, unmeasured
from tools.command.needs import is_installed

OURS = "tools.bench.peers.feed.ours"
BARE = "tools.bench.peers.feed.bare"
CLIENTS = (OURS, BARE, "tools.bench.peers.feed.json_abi", "tools.bench.peers.feed.web3_logs")
ROUNDS = 3
FULL_S = 0.2
PATIENCE_S = 60.0
"""For imports and the node, beyond a turn's own length."""
FIRST_PATIENCE_S = 600.0
"""For ours: in its first turn kernels that were never compiled are."""


def run(seconds: float, *, clients: tuple[str, ...] = CLIENTS, patience_s: float = PATIENCE_S) -> Iterator[BenchResult]:
    """A row of each client; after an interrupt of what was measured until then."""
    rounds = ROUNDS if seconds >= FULL_S else 1
    interrupted: BaseException | None = None
    with tempfile.TemporaryDirectory(prefix="bench-feed") as folder:
        turns = FeedTurns(clients, Path(folder), patience_s)
        try:
            turns.play(rounds, seconds / rounds)
        except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 - raised again behind the rows
            interrupted = error
    yield from turns.rows()
    if interrupted is not None:
        raise interrupted


class FeedTurns:
    """The clients, their rates, and what they decoded in their first turn."""

    def __init__(self, clients: tuple[str, ...], folder: Path, patience_s: float) -> None:
        self._folder = folder
        self._blocks = event_blocks()
        self._clients: dict[str, FeedClient] = {module: importlib.import_module(module).CLIENT for module in clients}
        self._patience_s = patience_s
        self._rates: dict[str, list[float]] = defaultdict(list)
        self._decoded: dict[str, dict[LogPlace, Amounts]] = {}
        self._reasons = {
            module: f"not installed: {installing('peers')}"
            for module, client in self._clients.items()
            if client.library and not is_installed(client.library)
        }
        self._watch = GapWatch()

    def play(self, rounds: int, seconds: float) -> None:
        """All rounds; a short turn of ours before them, in which it gets to know the pools.

        Not before a look so short that all of its events are compared, in whatever order they were published.
        """
        if OURS in self._clients and seconds * self._clients[OURS].most_per_s > KEPT:
            self._tried(OURS, 0.0)
        for number in range(rounds):
            for module in rotated([module for module in self._clients if module not in self._reasons], number):
                self._watch.look()
                followed = self._tried(module, seconds)
                if followed is not None:
                    self._rates[module].append(followed.logs / followed.seconds)
                    self._decoded.setdefault(module, followed.decoded)

    def _tried(self, module: str, seconds: float) -> FeedOutcome | None:
        """A turn; None if it came to nothing, of which the reason is kept."""
        try:
            return self._turn(module, seconds)
        except PeerEnded as error:
            self._reasons[module] = str(error)
            return None

    def _turn(self, module: str, seconds: float) -> FeedOutcome:
        """Raises PeerEnded."""
        client = self._clients[module]
        patience_s = seconds + (FIRST_PATIENCE_S if module == OURS else self._patience_s)
        logs, events = load_of(self._blocks, max(int(seconds * client.most_per_s), FEWEST))
        with served(lambda: self._blocks, logs) as url:
            task = Task(url, logs, events, seconds, self._folder)
            ours, theirs = SPAWN.Pipe()
            process = SPAWN.Process(target=follow_in, args=(theirs, module, task), daemon=True)
            process.start()
            theirs.close()
            try:
                if not ours.poll(patience_s):
                    raise PeerEnded(f"no answer within {patience_s:g} s; its process was killed")
                followed = ours.recv()
                process.join(LEAVE_S)
            except EOFError:
                process.join(LEAVE_S)
                raise PeerEnded(f"its process died, exit code {process.exitcode}") from None
            finally:
                process.kill()
                process.join()
                ours.close()
                if module == OURS and process.pid is not None:
                    remove_ring(ring_of(process.pid))
        if isinstance(followed, PeerFailure):
            raise PeerEnded(followed.reason)
        assert isinstance(followed, FeedOutcome)
        if followed.logs < FEWEST or followed.seconds <= 0:
            raise PeerEnded(f"only {followed.logs} of {logs} logs came")
        return followed

    def rows(self) -> Iterator[BenchResult]:
        """One of each client."""
        medians = {module: float(np.median(rates)) for module, rates in self._rates.items()}
        for module, client in self._clients.items():
            name = f"peers, feed, logs to events: {client.name}"
            equal, difference = compared(self._decoded.get(OURS, {}), self._decoded.get(module, {}))
            if module not in medians or difference:
                reason = difference or self._reasons.get(module, "interrupted before its first turn")
                yield unmeasured(name, "logs/s", reason)
                continue
            rates = self._rates[module]
            other, baseline = baseline_of(module, medians, self._clients)
            parts = [client.how]
            if len(rates) > 1:
                parts.append(f"{len(rates)} rounds, {min(rates):,.0f} to {max(rates):,.0f}")
            if module != OURS and self._decoded[module]:
                parts.append(f"{equal} events equal to ours")
            if module in self._reasons:
                parts.append(f"then ended: {self._reasons[module]}")
            if self._watch.disturbed:
                parts.append(f"disturbed: {self._watch}")
            value = medians[module]
            yield BenchResult(
                name,
                value,
                "logs/s",
                other,
                baseline,
                value / baseline if baseline else 0.0,
                None,
                "; ".join(parts),
                rounds=tuple(rates),
                disturbed=self._watch.disturbed,
            )


def compared(ours: dict[LogPlace, Amounts], theirs: dict[LogPlace, Amounts]) -> tuple[int, str]:
    """(how many events are equal in the blocks that both have, the first difference if there is one)."""
    if not ours or not theirs:
        return 0, ""
    both = whole_blocks(ours) & whole_blocks(theirs)
    sides = [{place: event for place, event in side.items() if place[0] in both} for side in (ours, theirs)]
    for place in sorted(sides[0].keys() | sides[1].keys()):
        expected, found = (side.get(place) for side in sides)
        if expected != found:
            return 0, f"log {place[1]} of block {place[0]}: expected {expected}, found {found}"
    return len(sides[0]), "" if both else "it decoded no block that we have too"


def whole_blocks(decoded: dict[LogPlace, Amounts]) -> set[str]:
    """Blocks of which everything was decoded: all but the first, which a ring may hold in part, and the last."""
    return set(list(dict.fromkeys(block for block, _ in decoded))[1:-1])


def baseline_of(module: str, medians: dict[str, float], clients: dict[str, FeedClient]) -> tuple[str, float]:
    """Ours for another client, the best that decodes for ours."""
    if module != OURS:
        return clients[OURS].name, medians.get(OURS, 0.0)
    others = {clients[other].name: rate for other, rate in medians.items() if other not in {OURS, BARE}}
    if not others:
        return "no peer", 0.0
    best = max(others, key=lambda other: others[other])
    return f"best peer: {best}", others[best]


def remove_ring(name: str) -> None:
    """A ring that a killed process left, if it did."""
    from ringbuf import unlink
    from ringbuf.errors import RingNotFound

    with contextlib.suppress(RingNotFound):
        unlink(name)


def load_of(blocks: Blocks, fewest: int) -> tuple[int, int]:
    """(logs, events among them) of the whole blocks that hold `fewest` logs."""
    logs = events = 0
    for block in cycle(blocks):
        if logs >= fewest:
            break
        logs += len(block)
        events += sum(bool(row["topics"]) and row["topics"][0] in TOPICS for row in block)
    return logs, events


def follow_in(connection: Connection, module: str, task: Task) -> None:
    """In a process of its own: sends what its client made of the feed."""
    leave_signals_to_parent()
    logging.getLogger().addHandler(logging.NullHandler())
    client: FeedClient = importlib.import_module(module).CLIENT
    try:
        connection.send(asyncio.run(client.follow(task)))
    except Exception as error:  # noqa: BLE001 - foreign libraries: whatever it is becomes the client's reason
        connection.send(PeerFailure(f"{type(error).__name__}: {error}"))
