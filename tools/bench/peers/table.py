"""The rows of `alphapulse bench --only peers`.

Owns how long everything takes, and what a row says.  A peer's row stands beside ours of the same rounds, ours beside
the best peer; the three targets of the Python face come first.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from consumers.extras import installing
from tools.bench.peers.ends import BATCH
from tools.bench.peers.feed import table as feed
from tools.bench.peers.rounds import IN_BATCHES, ONE, ONE_WAY_P50, ONE_WAY_P99, THREE, Contest
from tools.bench.peers.team import PATIENCE_S
from tools.bench.peers.transports import OURS, PEERS
from tools.bench.result import BenchResult, unmeasured

SIZES = (64, 128, 256, 1024)
ROUNDS, QUICK_ROUNDS = 5, 1
FULL_S = 0.2
"""From so many seconds a reading on there are all rounds."""
SHORTEST_TURN_S = 0.005
USUAL = 128
READINGS = {
    ONE_WAY_P50: "us",
    ONE_WAY_P99: "us",
    ONE: "M frames/s",
    THREE: "M frames/s",
    IN_BATCHES: "M frames/s",
}
TARGETS = (
    ("Python to Python, one way p50", ONE_WAY_P50, 0.7),
    ("Python to Python, one call per frame", ONE, 5.0),
    ("Python to Python, in batches", IN_BATCHES, 20.0),
)


def run(
    seconds: float,
    *,
    peers: tuple[str, ...] = PEERS,
    clients: tuple[str, ...] = feed.CLIENTS,
    sizes: tuple[int, ...] = SIZES,
    patience_s: float = PATIENCE_S,
) -> Iterator[BenchResult]:
    """Every reading over some `seconds` in all; after an interrupt the rows of what was measured until then."""
    rounds = ROUNDS if seconds >= FULL_S else QUICK_ROUNDS
    interrupted: BaseException | None = None
    with tempfile.TemporaryDirectory(prefix="bench-peers") as folder:
        contest = Contest((OURS, *peers), sizes, Path(folder), patience_s)
        try:
            contest.play(rounds, max(seconds / rounds, SHORTEST_TURN_S))
        except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 - raised again behind the rows
            interrupted = error
        yield from Rows(contest).all()
    if interrupted is not None:
        raise interrupted
    yield from feed.run(seconds, clients=clients)


class Rows:
    """What a contest says."""

    def __init__(self, contest: Contest) -> None:
        self._contest = contest
        self._medians = {what: float(np.median(values)) for what, values in contest.samples.items()}
        self._circumstances = circumstances(contest.pinned)

    def all(self) -> Iterator[BenchResult]:
        """Targets, readings, the machine."""
        for name, reading, target in TARGETS:
            if USUAL in self._contest.sizes:
                yield self._row(name, OURS, reading, USUAL, target)
        for reading in READINGS:
            for size in self._contest.sizes:
                for module, transport in self._contest.transports.items():
                    if reading != IN_BATCHES or transport.batches:
                        yield self._row(f"peers, {reading}, {size} B: {transport.name}", module, reading, size)
        yield from machine_rows(self._contest)

    def _row(self, name: str, module: str, reading: str, size: int, target: float | None = None) -> BenchResult:
        unit = READINGS[reading]
        values = self._contest.samples.get((module, reading, size))
        if not values:
            return unmeasured(name, unit, self._reason(module), target)
        value = self._medians[module, reading, size]
        baseline_name, baseline = self._baseline(module, reading, size)
        ratio = 0.0 if not baseline else baseline / value if unit == "us" else value / baseline
        return BenchResult(
            name,
            value,
            unit,
            baseline_name,
            baseline,
            ratio,
            target,
            self._note(module, reading, size, values),
            rounds=tuple(values),
            disturbed=self._contest.watch.disturbed,
        )

    def _reason(self, module: str) -> str:
        """Why there is no reading."""
        if self._contest.missing(module):
            return f"not installed: {installing('peers')}"
        return self._contest.ended.get(module, "interrupted before its first turn")

    def _baseline(self, module: str, reading: str, size: int) -> tuple[str, float]:
        """Ours for a peer, the best peer for ours."""
        if module != OURS:
            return self._contest.transports[OURS].name, self._medians.get((OURS, reading, size), 0.0)
        others = {
            transport.name: self._medians[other, reading, size]
            for other, transport in self._contest.transports.items()
            if other != OURS and (other, reading, size) in self._medians
        }
        if not others:
            return "no peer", 0.0
        best = min if READINGS[reading] == "us" else max
        name = best(others, key=lambda other: others[other])
        return f"best peer: {name}", others[name]

    def _note(self, module: str, reading: str, size: int, values: list[float]) -> str:
        transport = self._contest.transports[module]
        how = {
            THREE: transport.three,
            IN_BATCHES: f"{transport.batches}; {BATCH} frames sent at a time",
        }.get(reading, transport.how)
        parts = [how, spread(values), self._circumstances]
        if reading in {ONE_WAY_P50, ONE_WAY_P99}:
            parts.insert(1, "half a round trip")
        if module in self._contest.ended:
            parts.append(f"then ended: {self._contest.ended[module]}")
        if self._contest.watch.disturbed:
            parts.append(f"disturbed: {self._contest.watch}")
        return "; ".join(part for part in parts if part)


def spread(values: list[float]) -> str:
    """How far the rounds lie apart."""
    return "1 round" if len(values) == 1 else f"{len(values)} rounds, {min(values):.3g} to {max(values):.3g}"


def circumstances(pinned: bool) -> str:
    """What every reading suffers from, if anything."""
    cores = len(os.sched_getaffinity(0))
    if cores == 1:
        return "one core for all, unpinned"
    if not pinned:
        return "pinning is not permitted"
    return f"pinned to {cores} cores" if cores < 4 else "pinned, a core each"


def machine_rows(contest: Contest) -> Iterator[BenchResult]:
    """What the machine did beside it."""
    watch = contest.watch
    note = f"a process that reads its clock between the turns, {watch.looks} looks"
    for name, value, unit in (
        ("peers, the machine: longest gap", watch.longest_ns / 1e6, "ms"),
        ("peers, the machine: gaps over 10 us", watch.gaps_per_second, "per s"),
        ("peers, the machine: stolen", 100 * watch.stolen_share, "%"),
    ):
        yield BenchResult(name, value, unit, "none", 0.0, 0.0, None, note, False, disturbed=watch.disturbed)
