"""The demo's configuration: which processes it is made of, and what they are told beside it.

Owns the settings, which a user could write into alphapulse.toml, and the options of a run that has an end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tools.demo.home import Home

WAIT_FOR_RING_S = 60.0
"""All processes start at once; each waits for the ring it reads."""
IDLE_AT_MAX_S = 3.0
"""Silence after which a recording at speed max is over: its messages follow each other without pauses."""
IDLE_S = 20.0
"""The same at a pace: the longest silence within the recording is 6 s."""
NODE, COLLECTOR, STRATEGY, RECORDER = "node", "collector", "strategy", "recorder"
READERS = (STRATEGY, RECORDER)
"""Processes that end by themselves when the collector has closed the ring and they have read it to its end."""


def settings(home: Home, port: int, speed: str) -> dict[str, dict[str, Any]]:
    """Every process with its keys.  The pool cache is the demo's own, so that every demo verifies alike."""
    ring, signals, wait = home.market, home.signals, {"wait_for_ring": WAIT_FOR_RING_S}
    return {
        NODE: {"port": port, "speed": speed},
        COLLECTOR: {
            "url": f"ws://127.0.0.1:{port}",
            "ring": ring,
            "pool_cache": str(home.directory / "pools.jsonl"),
        },
        STRATEGY: {"ring": ring, "signals": signals, **wait},
        RECORDER: {"ring": ring, "out": str(home.journal), **wait},
        "relay.market_data": relay(home, "market_data", ring) | wait,
        "relay.signal": relay(home, "signal", signals) | wait,
    }


def relay(home: Home, domain: str, ring: str) -> dict[str, Any]:
    """From a ring to a Unix socket."""
    return {"domain": domain, "ring": [ring], "socket": str(home.socket(domain))}


def arguments(home: Home, recording: Path | None, speed: str, *, leave: bool) -> dict[str, list[str]]:
    """What each process is told beside its settings.

    With `leave` the collector ends some time after the last message, and the readers when they have read all there is.
    """
    idle_s = IDLE_AT_MAX_S if speed == "max" else IDLE_S
    return {
        NODE: ["--json", *([str(recording)] if recording else [])],
        COLLECTOR: ["--json", *statistics(home, COLLECTOR), *(["--until-idle", str(idle_s)] if leave else [])],
        STRATEGY: ["--json", *statistics(home, STRATEGY), "--until-closed"],
        RECORDER: ["--json", "--until-closed"],
        "relay.market_data": ["--json"],
        "relay.signal": ["--json"],
    }


def statistics(home: Home, process: str) -> list[str]:
    """The option for the file that `report` reads."""
    return ["--stats-json", str(home.stats(process))]
