"""`alphapulse status`: what of the pipeline exists on this machine, and whether it is well.

Owns the summary: rings as `ringstat` sees them, processes that live, and relays that answer.  It starts, stops and
changes nothing.
"""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import msgspec

from tools.demo.home import places
from tools.process_stat import ProcessState, process_states
from tools.ringstat import RingStat, feed_text, look_at_all

CONNECT_S = 1.0


@dataclass(frozen=True)
class RelayState:
    """One relay socket."""

    path: str
    answers: bool


def relays() -> list[RelayState]:
    """Every relay socket of this user, the demos' among them."""
    return [RelayState(str(path), answers(path)) for path in sorted(places().rglob("*.sock"))]


def answers(path: Path) -> bool:
    """Whether somebody accepts connections there; a socket file outlives a killed relay."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_S)
        return probe.connect_ex(str(path)) == 0


@click.command("status", epilog="Example:  alphapulse status --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(as_json: bool) -> int:
    """Say which rings, processes and relays exist and whether they are well.

    The exit code is 1 if a ring's writer died without closing it, a collector's feed is dead whatever its process does,
    a process was killed or does nothing, or a relay's socket is left without its relay.
    """
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # as `ringstat`: loading machine code takes longer than the look
    rings, processes, sockets = look_at_all((), {}, 0.0), process_states(), relays()
    healthy = (
        all(ring.healthy for ring in rings.values())
        and not any(process.problem for process in processes)
        and all(relay.answers for relay in sockets)
    )
    if as_json:
        found = [asdict(ring) | {"healthy": ring.healthy} for ring in rings.values()]
        click.echo(
            msgspec.json.encode(
                {
                    "healthy": healthy,
                    "rings": found,
                    "processes": [asdict(process) for process in processes],
                    "relays": [asdict(relay) for relay in sockets],
                }
            )
        )
    else:
        for line in sentences(rings, processes, sockets):
            click.echo(line)
    return 0 if healthy else 1


def sentences(rings: dict[str, RingStat], processes: list[ProcessState], sockets: list[RelayState]) -> list[str]:
    """The same for people, a line each."""
    lines = [
        f"ring   {ring.name}: writer {ring.writer}, epoch {ring.epoch}, {ring.sequence:,} frames"
        + (f"; feed {feed_text(ring)}" if ring.feed is not None else "")
        + (f"; {ring.problem}" if ring.problem else "")
        for ring in rings.values()
    ]
    lines += [f"process {process.process}: {process.problem or f'runs (pid {process.pid})'}" for process in processes]
    lines += [f"relay  {relay.path}: {'answers' if relay.answers else 'does not answer'}" for relay in sockets]
    return lines or ["nothing runs: no ring, no process and no relay"]
