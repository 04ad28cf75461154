"""An anomaly for people and programs: as a line, as JSON, and with a link to its block.

Owns the wording.  Links are made of the chain files' `explorer`, by the chain's id; of a chain without one there is no
link.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from producers.chains.configuration import BUNDLED, ChainConfig, load_chain
from tlv.codes import AnomalyKind, AnomalyState
from tlv.instrument import pool_text
from tlv.layout import SystemHealth
from tlv.units import MS
from tools.command.printable import printable
from tools.command.utc import utc

UNITS = {
    AnomalyKind.RATE: "percent of usual",
    AnomalyKind.SILENCE: "ms",
    AnomalyKind.GAP: "missing",
    AnomalyKind.REORG_DEPTH: "blocks",
    AnomalyKind.PRICE_JUMP: "bps",
    AnomalyKind.LIQUIDITY_DROP: "bps",
    AnomalyKind.LATENCY_DRIFT: "ms",
    AnomalyKind.UNPROVEN_SHARE: "bps",
}
"""Of value and threshold, as people read them."""


class Explorers:
    """The explorers of the bundled chains, and of others that are given."""

    def __init__(self, others: Iterable[ChainConfig] = ()) -> None:
        self._by_chain = {
            chain.chain_id: chain.explorer.rstrip("/")
            for chain in (*map(load_chain, BUNDLED), *others)
            if chain.explorer is not None
        }

    def block_link(self, health: SystemHealth) -> str | None:
        """The page of an anomaly's block; by hash where that is known, so that a block that left the chain is meant."""
        explorer = self._by_chain.get(health.chain_id)
        if explorer is None or health.block_number < 0:
            return None
        block = "0x" + health.block_hash.hex() if any(health.block_hash) else str(health.block_number)
        return f"{explorer}/block/{block}"


def subject_of(health: SystemHealth) -> str:
    """What an anomaly is of: a pool, or a chain."""
    return pool_text(health.venue, health.pool) if any(health.pool) else f"chain {health.chain_id}"


def anomaly_to_dict(health: SystemHealth, explorers: Explorers) -> dict[str, Any]:
    """All of it, for JSON; what does not apply is null."""
    kind = AnomalyKind(health.kind)
    return {
        "kind": kind.name.lower(),
        "state": AnomalyState(health.state).name.lower(),
        "value": health.value,
        "threshold": health.threshold,
        "unit": UNITS[kind],
        "evidence": health.evidence,
        "time": utc(health.time_ns // MS),
        "ring": health.ring.hex(),
        "first_sequence": health.first_sequence,
        "last_sequence": health.last_sequence,
        "chain_id": health.chain_id or None,
        "block": health.block_number if health.block_number >= 0 else None,
        "block_hash": "0x" + health.block_hash.hex() if any(health.block_hash) else None,
        "pool": pool_text(health.venue, health.pool) if any(health.pool) else None,
        "link": explorers.block_link(health),
    }


def anomaly_line(health: SystemHealth, explorers: Explorers) -> str:
    """The same as one line."""
    said = anomaly_to_dict(health, explorers)
    parts = [
        said["time"],
        f"{said['kind']} {said['state']}",
        f"{said['value']} {said['unit']} (threshold {said['threshold']})",
        said["evidence"],
        f"sequences {said['first_sequence']} to {said['last_sequence']}",
        said["pool"],
        f"block {said['block']}" if said["block"] is not None else None,
        said["link"],
    ]
    return printable("  ".join(part for part in parts if part))
