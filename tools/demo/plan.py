"""Which processes make up the demo, and with which arguments.

Owns the command lines; each is one that a user could type.  It starts nothing: `tools.supervisor` does.
"""

from __future__ import annotations

import json
from pathlib import Path

from tools.demo.home import Home
from tools.supervisor import Child, Supervisor

FIRST_TO_STOP = ("collector", "replay")
"""The writer of the market ring goes first, so that every consumer reads it to its close."""
DRAINING = ("strategy", "recorder")
"""They end by themselves when the ring is closed and read to its end."""


def node_arguments(recording: Path | None, speed: str) -> list[str]:
    """The recording as a node on a port of the kernel's choice."""
    return ["node", *([str(recording)] if recording else []), "--speed", speed, "--json"]


def collector_arguments(home: Home, url: str) -> list[str]:
    """From the node to the market ring; the pool cache is the demo's own, so that every demo starts alike."""
    return ["collect", "--url", url, "--ring", home.market, "--stats-json", str(home.stats("collector")), "--json"]


def strategy_arguments(home: Home) -> list[str]:
    """From the market ring to the signal ring."""
    stats = ["--stats-json", str(home.stats("strategy"))]
    return ["strategy", "--ring", home.market, "--signals", home.signals, "--until-closed", *stats, "--json"]


def recorder_arguments(home: Home) -> list[str]:
    """From the market ring to the journal."""
    return ["record", "--ring", home.market, "--out", str(home.journal), "--until-closed", "--json"]


def relay_arguments(home: Home, domain: str, ring: str) -> list[str]:
    """From a ring to a Unix socket."""
    return ["relay", "--domain", domain, "--ring", ring, "--socket", str(home.socket(domain)), "--json"]


def start_all(supervisor: Supervisor, home: Home, recording: Path | None, speed: str) -> None:
    """Start every process in the order of the data, each after the one it reads from is ready."""
    node = supervisor.start("node", node_arguments(recording, speed))
    supervisor.start("collector", collector_arguments(home, ready_line(node)["ws"]), may_end=True)
    supervisor.start("strategy", strategy_arguments(home), may_end=True)
    supervisor.start("recorder", recorder_arguments(home), may_end=True)
    supervisor.start("relay-market", relay_arguments(home, "market_data", home.market))
    supervisor.start("relay-signals", relay_arguments(home, "signal", home.signals))


def ready_line(child: Child) -> dict[str, str]:
    """What a child said about itself when it was ready."""
    line: dict[str, str] = json.loads(child.lines()[0])
    return line
