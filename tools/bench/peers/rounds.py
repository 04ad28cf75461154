"""Interleaved rounds: each peer has a short turn in each topology of each round, in an order that is rotated.

Owns who is when, and the samples.  A peer that ends keeps the samples of its rounds until then.
"""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from tlv.units import NS
from tools.bench.peers.ends import READERS, Transport
from tools.bench.peers.machine import GapWatch
from tools.bench.peers.team import PATIENCE_S, PeerEnded, Team, spins
from tools.bench.peers.worker import BATCHES, PING, STREAM, TurnOrder
from tools.command.needs import is_installed

ONE_WAY_P50, ONE_WAY_P99, ONE, THREE, IN_BATCHES = "one way p50", "one way p99", "one to one", "one to three", "batches"
TOPOLOGIES = ((PING, 1), (STREAM, 1), (STREAM, READERS), (BATCHES, 1))
MILLION = 1e6
NS_PER_US = 1e3


class Contest:
    """Peers, what was measured of each, and why one has ended."""

    def __init__(
        self,
        modules: tuple[str, ...],
        sizes: tuple[int, ...],
        folder: Path,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.transports: dict[str, Transport] = {
            module: importlib.import_module(module).TRANSPORT for module in modules
        }
        self.sizes = sizes
        self.samples: dict[tuple[str, str, int], list[float]] = defaultdict(list)
        """By (module, reading, payload size): us or M frames/s of each round."""
        self.ended: dict[str, str] = {}
        self.pinned = True
        self.watch = GapWatch()
        self._folder = folder
        self._patience_s = patience_s

    def missing(self, module: str) -> bool:
        """Whether the peer's library is not installed."""
        library = self.transports[module].library
        return bool(library) and not is_installed(library)

    def play(self, rounds: int, turn_s: float) -> None:
        """All rounds; whatever ends it, no process is left."""
        with ExitStack() as ends:
            teams = self._teams(ends)
            for number in range(rounds):
                for kind, readers in TOPOLOGIES:
                    for module in rotated(list(teams), number):
                        if kind != BATCHES or self.transports[module].batches:
                            self._turn(
                                teams, module, TurnOrder(kind, self.sizes, readers, turn_s, spins(kind, readers))
                            )

    def _teams(self, ends: ExitStack) -> dict[str, Team]:
        """Start everybody's processes together, then wait for them."""
        teams = {}
        for number, module in enumerate(self.transports):
            if not self.missing(module):
                folder = self._folder / f"{number}"
                folder.mkdir(mode=0o700)
                try:
                    teams[module] = Team(self.transports[module], module, folder, self._patience_s)
                except Exception as error:  # noqa: BLE001 - a foreign library that cannot even be set up
                    self.ended[module] = f"{type(error).__name__}: {error}"
                    continue
                ends.push(ending(teams[module]))
        for module in list(teams):
            try:
                teams[module].greet()
            except PeerEnded as error:
                self.ended[module] = str(error)
                del teams[module]
                continue
            self.pinned = self.pinned and teams[module].pinned
        return teams

    def _turn(self, teams: dict[str, Team], module: str, order: TurnOrder) -> None:
        self.watch.look()
        try:
            played = teams[module].play(order)
            for size, sent, received in zip(order.sizes, played.sent, played.received, strict=True):
                for reading, value in readings_of(order, sent, received):
                    self.samples[module, reading, size].append(value)
        except PeerEnded as error:
            self.ended[module] = f"{error} ({order.kind} to {order.readers})"
            del teams[module]


def ending(team: Team) -> Callable[[type[BaseException] | None, object, object], None]:
    """For an ExitStack: end a team, at once if it may be in the middle of a turn."""
    return lambda kind, error, trace: team.end(at_once=kind is not None)


def readings_of(order: TurnOrder, sent: Any, received: list[Any]) -> Iterator[tuple[str, float]]:
    """What a turn gave at one payload size: ns of round trips, or (frames, when) of the sender and of each receiver.

    Raises:
        PeerEnded: frames were lost.
    """
    if order.kind == PING:
        one_way = np.asarray(sent, dtype=np.int64) / 2 / NS_PER_US
        yield ONE_WAY_P50, float(np.percentile(one_way, 50))
        yield ONE_WAY_P99, float(np.percentile(one_way, 99))
        return
    frames, begin = sent
    lost = max(frames - got for got, _ in received)
    if lost:
        raise PeerEnded(f"{lost} of {frames} frames lost")
    took_ns = max(end for _, end in received) - begin
    reading = IN_BATCHES if order.kind == BATCHES else ONE if order.readers == 1 else THREE
    yield reading, frames * NS / took_ns / MILLION


def rotated(names: list[str], by: int) -> list[str]:
    """The same names, begun elsewhere."""
    first = by % max(len(names), 1)
    return names[first:] + names[:first]
