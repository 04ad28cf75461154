"""Which processes make up the demo, and with which arguments.

Owns the command lines; each is one that a user could type.  `tools.command.supervisor` runs them.
"""

from __future__ import annotations

import json
from pathlib import Path

from tools.command.supervisor import Child, Supervisor
from tools.demo.home import Home

PATIENTLY = ("--wait-for-ring", "60")
"""All processes start at once; each waits for the ring it reads."""
IDLE_AT_MAX_S = 3.0
"""Silence after which a recording at speed max is over: its messages follow each other without pauses."""
IDLE_S = 20.0
"""The same at a pace: the longest silence within the recording is 6 s."""
READY_S = 60.0
READERS = ("strategy", "recorder")
"""Children that end by themselves when the collector has closed the ring and they have read it to its end."""


def node_arguments(recording: Path | None, speed: str) -> list[str]:
    """The recording as a node on a port of the kernel's choice."""
    return ["node", *([str(recording)] if recording else []), "--speed", speed, "--json"]


def collector_arguments(home: Home, url: str, *, idle_s: float | None) -> list[str]:
    """From the node to the market ring.  Its pool cache is the demo's own, so that every demo verifies alike."""
    files = ["--stats-json", str(home.stats("collector")), "--pool-cache", str(home.directory / "pools.jsonl")]
    ending = ["--until-idle", str(idle_s)] if idle_s else []
    return ["collect", "--url", url, "--ring", home.market, *files, *ending, "--json"]


def strategy_arguments(home: Home) -> list[str]:
    """From the market ring to the signal ring."""
    rings = ["--ring", home.market, "--signals", home.signals]
    return ["strategy", *rings, "--until-closed", *PATIENTLY, "--stats-json", str(home.stats("strategy")), "--json"]


def recorder_arguments(home: Home) -> list[str]:
    """From the market ring to the journal."""
    return ["record", "--ring", home.market, "--out", str(home.journal), "--until-closed", *PATIENTLY, "--json"]


def relay_arguments(home: Home, domain: str, ring: str) -> list[str]:
    """From a ring to a Unix socket."""
    return ["relay", "--domain", domain, "--ring", ring, "--socket", str(home.socket(domain)), *PATIENTLY, "--json"]


def start_all(supervisor: Supervisor, home: Home, recording: Path | None, speed: str, *, leave: bool) -> None:
    """Start every process; the recording begins when all of them listen.

    The node's clock starts with the first subscription, so it is frozen until then: otherwise the first signals would
    measure how long the strategy took to start.  With `leave` the collector ends some time after the last message, and
    the readers when they have read all there is.
    """
    idle_s = (IDLE_AT_MAX_S if speed == "max" else IDLE_S) if leave else None
    url = ready_line(supervisor.start("node", node_arguments(recording, speed)))["ws"]
    supervisor.freeze("node")
    commands = {
        "collector": collector_arguments(home, url, idle_s=idle_s),
        "strategy": strategy_arguments(home),
        "recorder": recorder_arguments(home),
        "relay-market": relay_arguments(home, "market_data", home.market),
        "relay-signals": relay_arguments(home, "signal", home.signals),
    }
    for name, arguments in commands.items():
        supervisor.launch(name, arguments, may_end=leave and not name.startswith("relay"))
    supervisor.await_ready(*commands, ready_s=READY_S)
    supervisor.thaw("node")


def ready_line(child: Child) -> dict[str, str]:
    """The JSON object that a child printed when it was ready."""
    line: dict[str, str] = json.loads(child.lines()[0])
    return line
