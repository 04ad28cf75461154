"""The demo's configuration: which processes it is made of, and what they are told beside it.

Owns the settings, which a user could write into alphapulse.toml, and the options of a run that has an end.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.command.ports import free_port
from tools.demo.home import Home
from tools.obs.command import PORT as DASHBOARD_PORT

WAIT_FOR_RING_S = 60.0
"""All processes start at once; each waits for the ring it reads."""
IDLE_AT_MAX_S = 3.0
"""Silence after which a recording at speed max is over: its messages follow each other without pauses."""
IDLE_S = 20.0
"""The same at the recorded pace: the longest silence within the recording is 6 s."""
EVENTFUL_BLOCK = 13522166
"""Of the bundled recording: within 85 recorded seconds come a gap, a reorg that takes events back, and a signal."""
SPEED = "5"
"""At which these 85 seconds are 17."""
RETAINED = {"segment_mib": 8, "retain_mib": 64}
"""Of the journal of a demo that goes on; its directory may be in memory."""
NODE, COLLECTOR, STRATEGY, EXECUTE, RECORDER, OBS = "node", "collector", "strategy", "execute", "recorder", "obs"
READERS = (STRATEGY, EXECUTE, RECORDER)
"""Processes that end by themselves when the collector has closed the ring and they have read it to its end."""


@dataclass(frozen=True)
class Run:
    """What a demo was asked for."""

    recording: Path | None
    speed: str
    first_block: int | None
    leave: bool
    """Whether it ends with the recording."""
    dashboard: bool

    @property
    def begins_at(self) -> int | None:
        """The first block; None is the recording's own."""
        if self.first_block is not None or self.recording is not None or self.speed == "max":
            return self.first_block
        return EVENTFUL_BLOCK

    @property
    def goes_on(self) -> bool:
        """Whether the recording begins again where it ends.  Without pauses that would only take up two cores."""
        return not self.leave and self.speed != "max"

    @property
    def idle_s(self) -> float:
        """Silence after which the recording is over."""
        return IDLE_AT_MAX_S if self.speed == "max" else max(IDLE_AT_MAX_S, IDLE_S / float(self.speed))


def settings(home: Home, run: Run) -> dict[str, dict[str, Any]]:
    """Every process with its keys.  The pool cache is the demo's own, so that every demo verifies alike."""
    ring, signals, wait = home.market, home.signals, {"wait_for_ring": WAIT_FOR_RING_S}
    port = free_port()
    node = {"port": port, "speed": run.speed, "at_end": "loop" if run.goes_on else "stay"}
    found: dict[str, dict[str, Any]] = {
        NODE: node | ({} if run.begins_at is None else {"first_block": run.begins_at}),
        COLLECTOR: {
            "url": f"ws://127.0.0.1:{port}",
            "ring": ring,
            "pool_cache": str(home.directory / "pools.jsonl"),
        },
        STRATEGY: {"ring": ring, "signals": signals, **wait},
        EXECUTE: {"ring": ring, "signals": [signals], "execution": home.executions, **wait},
        RECORDER: {"ring": ring, "out": str(home.journal), **wait} | (RETAINED if run.goes_on else {}),
        "relay.market_data": relay(home, "market_data", ring) | wait,
        "relay.signal": relay(home, "signal", signals) | wait,
    }
    if run.dashboard:
        found[OBS] = {"port": free_port(DASHBOARD_PORT), "ring": [*home.rings], "journal": [str(home.journal)]}
    return found


def relay(home: Home, domain: str, ring: str) -> dict[str, Any]:
    """From a ring to a Unix socket."""
    return {"domain": domain, "ring": [ring], "socket": str(home.socket(domain))}


def arguments(home: Home, run: Run) -> dict[str, list[str]]:
    """What each process is told beside its settings.

    With `leave` the collector ends some time after the last message, and the readers when they have read all there is.
    """
    found = {
        NODE: ["--json", *([str(run.recording)] if run.recording else [])],
        COLLECTOR: ["--json", *statistics(home, COLLECTOR), *(["--until-idle", str(run.idle_s)] if run.leave else [])],
        STRATEGY: ["--json", *statistics(home, STRATEGY), "--until-closed"],
        EXECUTE: ["--json", *statistics(home, EXECUTE), "--until-closed"],
        RECORDER: ["--json", "--until-closed"],
        "relay.market_data": ["--json"],
        "relay.signal": ["--json"],
    }
    return found | ({OBS: ["--json"]} if run.dashboard else {})


def statistics(home: Home, process: str) -> list[str]:
    """The option for the file that `report` reads."""
    return ["--stats-json", str(home.stats(process))]
