"""The JSON object that a finished demo prints.

Owns its keys.  Every number was counted by the process concerned: the collector counts what it received and published,
the strategy its signals, the executor what it filled, the ring its frames.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tlv.units import MS
from tools.demo.home import Home
from tools.demo.plan import COLLECTOR, EXECUTE, STRATEGY
from tools.ringstat import RingStat
from tools.wording import counted

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
EXECUTED = ("orders", "states", "reasons", "pnl", "breaker", "execution_hash")
"""Of the executor: amounts in wei of the chain's coin, as text; `net` as if every attempt had been included."""
COIN = 10**18
NO_LATENCY = {"p50": None, "p99": None, "max": None}
"""A latency without a sample, because there was no signal."""


def report(home: Home, market: RingStat, recorded: dict[str, Any]) -> dict[str, Any]:
    """Put together what the processes left behind; `recorded` is the recorder's last line."""
    collected, decided, executed = (read(home.stats(name)) for name in (COLLECTOR, STRATEGY, EXECUTE))
    latencies = collected["latency_ns"] | decided["latency_ns"]
    return {
        **{key: collected[key] for key in COLLECTED},
        "signals": decided["signals"] - decided["withdrawn"] - decided["orders"],
        "withdrawn": decided["withdrawn"],
        **{key: executed[key] for key in EXECUTED},
        "ring": {
            "frames": market.counters["frames"],
            "bytes": market.counters["bytes"],
            "lost": decided["lost"] + executed["lost"] + recorded["lost"],
        },
        "latency_ns": {
            name: three_of(latencies[name]) for name in ("receive_to_ring", "ring_to_signal", "receive_to_signal")
        },
    }


def summary(found: dict[str, Any]) -> str:
    """The same in a few lines for people."""
    kinds = ", ".join(counted(count, name) for name, count in found["events_by_type"].items())
    depths = ", ".join(str(reorg["depth"]) for reorg in found["reorgs"])
    missing = sum(gap["last"] - gap["first"] + 1 for gap in found["gaps"])
    events, ring, latency = found["events_published"], found["ring"], found["latency_ns"]
    lines = [
        f"{counted(found['blocks'], 'block')}, {counted(found['logs_received'], 'log')}",
        counted(events, "event") + (f": {kinds}" if events else ""),
        counted(len(found["reorgs"]), "reorg") + (f" of depth {depths}" if depths else ""),
        f"{counted(found['removed_events'], 'event')} taken back",
        counted(len(found["gaps"]), "gap") + (f" of {counted(missing, 'block')} in all" if missing else ""),
        counted(found["signals"], "signal") + f", {found['withdrawn']:,} withdrawn",
        paper_text(found),
        f"{counted(ring['frames'], 'frame')} in the ring, {ring['lost']:,} lost",
        f"from the node to the ring: {latency_text(latency['receive_to_ring'])}",
        f"from the node to a signal: {latency_text(latency['receive_to_signal'])}",
    ]
    return "\n".join(lines)


def paper_text(found: dict[str, Any]) -> str:
    """What the orders became, and what they earned on paper."""
    pnl = found["pnl"]
    states = ", ".join(f"{count} {name}" for name, count in found["states"].items())
    orders = counted(found["orders"], "order") + " on paper" + (f": {states}" if states else "")
    net, gas = (f"{int(pnl[name]) / COIN:,.6f}" for name in ("net", "gas"))
    return f"{orders}; net {net} coins if all are included, {gas} of gas paid"


def latency_text(latency: dict[str, int | None]) -> str:
    """Its percentiles."""
    if latency["p50"] is None:
        return "none measured"
    return ", ".join(f"{name} {(ns or 0) / MS:.1f} ms" for name, ns in latency.items())


def read(path: Path) -> dict[str, Any]:
    """A statistics file."""
    values: dict[str, Any] = json.loads(path.read_text())
    return values


def three_of(latency: dict[str, int] | None) -> dict[str, int | None]:
    """Median, 99th percentile and maximum, in ns."""
    return {name: latency[name] for name in NO_LATENCY} if latency else dict(NO_LATENCY)
