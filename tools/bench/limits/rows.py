"""The table of targets: what each of its rows is called, in what it is measured, and what is asked of it.

Owns the names, by which the table is found in the JSON of `alphapulse bench --only peers --only limits --json`.  The
rows between Python processes are of `tools.bench.peers`.
"""

from __future__ import annotations

from typing import NamedTuple

from tools.bench.result import LOWER_IS_BETTER, BenchResult, unmeasured


class TargetRow(NamedTuple):
    """A row of the table."""

    name: str
    unit: str
    target: float
    of_baseline: bool = False
    """The target is so many times the baseline of the same run, in which rows without a baseline cannot be judged."""

    def reading(
        self, value: float, baseline_name: str, baseline: float, note: str = "", rounds: tuple[float, ...] = ()
    ) -> BenchResult:
        """The row with its reading; the baseline is in the row's unit."""
        better, worse = (baseline, value) if self.unit in LOWER_IS_BETTER else (value, baseline)
        ratio = better / worse if worse else 0.0
        target = self.target * baseline if self.of_baseline else self.target
        return BenchResult(self.name, value, self.unit, baseline_name, baseline, ratio, target, note, rounds=rounds)

    def missing(self, reason: str) -> BenchResult:
        """The row without one."""
        return unmeasured(self.name, self.unit, reason, None if self.of_baseline else self.target)


PUBLISH = TargetRow("Writer.publish alone", "M/s", 5.0)
PUBLISH_CALLS = TargetRow("Writer.publish alone, in empty compiled calls", "x", 3.0)
BUILD = TargetRow("typed build of a message", "M/s", 1.2)
PARSE = TargetRow("typed parse of a message", "M/s", 1.6)
# Beside the table: the message that a collector builds most.
BUILD_SWAP = TargetRow("typed build of a swap with its origin", "M/s", 1.2)
PARSE_SWAP = TargetRow("typed parse of a swap with its origin", "M/s", 1.6)
EVENTS = TargetRow("events of a Store, typed, one by one", "M/s", 1.0)
FRAME = TargetRow("plain strategy, a frame", "us", 4.0)
NATIVE_PUBLISH = TargetRow("native publish flat out, one reader", "M/s", 0.6, of_baseline=True)
NATIVE_PUBLISH_KEPT_UP = TargetRow("native publish flat out, one reader that keeps up", "M/s", 0.6, of_baseline=True)
NATIVE_READ = TargetRow("native read, one reader", "M/s", 1.0, of_baseline=True)
PUBLISH_IN_TURNS = TargetRow("native publish, in turns with one reader", "M/s", 0.6, of_baseline=True)
READ_IN_TURNS = TargetRow("native read, in turns with the writer", "M/s", 1.0, of_baseline=True)
CRC = TargetRow("CRC-32 of 64 KiB", "GB/s", 1.0, of_baseline=True)
COLLECTOR = TargetRow("collector, socket to ring", "logs/s", 0.9, of_baseline=True)
RECEIVE_TO_RING = TargetRow("receive to ring p99 at 1,000 logs/s", "ms", 0.15)
RELAY_ONE = TargetRow("relay, one client", "M/s", 4.0)
RELAY_FOUR = TargetRow("relay, four clients", "M/s", 6.0)
RELAY_P50 = TargetRow("relay, ring to client p50", "us", 15.0)
APPEND = TargetRow("journal append", "M/s", 5.0)
SCAN = TargetRow("journal scan", "M/s", 12.0)

TABLE = (
    *(PUBLISH, PUBLISH_CALLS, BUILD, PARSE, EVENTS, FRAME),
    *(NATIVE_PUBLISH, NATIVE_PUBLISH_KEPT_UP, NATIVE_READ, PUBLISH_IN_TURNS, READ_IN_TURNS),
    *(CRC, COLLECTOR, RECEIVE_TO_RING),
    *(RELAY_ONE, RELAY_FOUR, RELAY_P50, APPEND, SCAN),
)
