"""What a process has for itself: the ring that it writes, its journal, its state file, its socket, its port.

Owns the answer by command, from the options' values.  Two processes cannot have the same; and what a pipeline leaves
behind is what its processes had.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Claim(NamedTuple):
    """One thing that one process has."""

    kind: str  # ring, state file, journal, socket, port
    what: str


def claims_of(command: str, options: Mapping[str, Any]) -> list[Claim]:
    """What a process of this command has.

    Raises:
        UsageError: its chain cannot be read, or its strategy cannot be loaded.
    """
    if command == "collect":
        ring = Claim("ring", options["ring"] or chain_ring(options["chain"]))
        return [ring, Claim("state file", str(options["state"].absolute()))] if options["state"] else [ring]
    if command == "bridge in":
        return [Claim("ring", options["ring"])]
    if command == "strategy":
        return [Claim("ring", ring) for ring in strategy_rings(options)]
    if command == "execute":
        return [Claim("ring", options["execution"])]
    if command == "anomalies":
        return [Claim("ring", options["health"])]
    if command == "record":
        return [Claim("journal", str(Path(options["out"]).absolute()))]
    if command == "relay":
        return [Claim("socket", str(relay_socket(options)))]
    if command in ("node", "obs") and options["port"]:
        return [Claim("port", f"{options['host']}:{options['port']}")]
    return []


def strategy_rings(options: Mapping[str, Any]) -> list[str]:
    """The rings that a process of strategies publishes into; strategies of one's own are loaded for their names."""
    from tools.strategy import rings_of

    return rings_of(options["run"], options["signals"])


def chain_ring(chain: str) -> str:
    """The ring of a collector that names none."""
    from producers.chains.configuration import load_chain

    return load_chain(chain).ring


def relay_socket(options: Mapping[str, Any]) -> Path:
    """Where a relay listens."""
    from consumers.relay.address import default_path

    return (options["socket"] or default_path(options["domain"], options["instance"])).absolute()
