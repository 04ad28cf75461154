"""The JSON object that a finished demo prints.

Owns its keys.  Every number was counted by the process concerned: the collector counts what it received and published,
the strategy its signals, the ring its frames.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tools.demo.home import Home
from tools.demo.plan import COLLECTOR, STRATEGY
from tools.ringstat import RingStat

COLLECTED = (
    "blocks",
    "logs_received",
    "events_published",
    "events_by_type",
    "reorgs",
    "removed_events",
    "duplicates",
    "quarantined_logs",
    "lookalikes",
    "gaps",
    "blocks_by_verdict",
    "backfills",
    "repairs",
)
NO_LATENCY = {"p50": None, "p99": None, "max": None}
"""A latency without a sample, because there was no signal."""


def report(home: Home, market: RingStat, recorded: dict[str, Any]) -> dict[str, Any]:
    """Put together what the processes left behind; `recorded` is the recorder's last line."""
    collected, decided = read(home.stats(COLLECTOR)), read(home.stats(STRATEGY))
    latencies = collected["latency_ns"] | decided["latency_ns"]
    return {
        **{key: collected[key] for key in COLLECTED},
        "signals": decided["signals"],
        "ring": {
            "frames": market.counters["frames"],
            "bytes": market.counters["bytes"],
            "lost": decided["lost"] + recorded["lost"],
        },
        "latency_ns": {
            name: three_of(latencies[name]) for name in ("receive_to_ring", "ring_to_signal", "receive_to_signal")
        },
    }


def read(path: Path) -> dict[str, Any]:
    """A statistics file."""
    values: dict[str, Any] = json.loads(path.read_text())
    return values


def three_of(latency: dict[str, int] | None) -> dict[str, int | None]:
    """Median, 99th percentile and maximum, in ns."""
    return {name: latency[name] for name in NO_LATENCY} if latency else dict(NO_LATENCY)
