"""`alphapulse status`: what of the pipeline exists on this machine, and whether it is well.

Owns the summary: processes of each `alphapulse up`, rings as `ringstat` sees them, and relays that answer.  It starts,
stops and changes nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import msgspec

from tools.command.config_option import config_option
from tools.command.places import places
from tools.ringstat import RingStat, feed_text, look_at_all
from tools.up.overview import as_dict, show, ups
from tools.up.run_directory import RunDirectory

CONNECT_S = 1.0


@dataclass(frozen=True)
class RelayState:
    """One relay socket."""

    path: str
    answers: bool


def relays(sockets: Iterable[Path]) -> list[RelayState]:
    """The relays at these sockets; a place without a file is none."""
    return [RelayState(str(path), answers(path)) for path in sorted(sockets) if path.exists()]


def answers(path: Path) -> bool:
    """Whether somebody accepts connections there; a socket file outlives a killed relay."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_S)
        return probe.connect_ex(str(path)) == 0


@click.command("status", epilog="Example:  alphapulse status --json")
@config_option(required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(config: Path | None, as_json: bool) -> int:
    """Say which processes, rings and relays exist and whether they are well.

    With -c FILE only what belongs to that configuration is shown, and it is unwell if it is down.  The exit code is 1
    if a process of an `alphapulse up` does not run or has begun only now, a ring's writer died without closing it, a
    collector's feed is dead whatever its process does, or a relay's socket is left without its relay.
    """
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # as `ringstat`: loading machine code takes longer than the look
    from ringbuf import list_rings

    running = ups(config)
    if config is None:
        rings, sockets = look_at_all((), {}, 0.0), relays(places().rglob("*.sock"))  # the demos' among them
    else:
        claims = RunDirectory.of(config).claims()
        named = {one.what for one in claims if one.kind == "ring"} & set(list_rings())
        rings = look_at_all(tuple(sorted(named)), {}, 0.0, again=True) if named else {}
        sockets = relays(Path(one.what) for one in claims if one.kind == "socket")
    healthy = (
        all(one.healthy for one in running)
        and all(ring.healthy for ring in rings.values())
        and all(relay.answers for relay in sockets)
    )
    if as_json:
        found = [asdict(ring) | {"healthy": ring.healthy} for ring in rings.values()]
        up = [as_dict(one) for one in running]
        relayed = [asdict(relay) for relay in sockets]
        click.echo(msgspec.json.encode({"healthy": healthy, "up": up, "rings": found, "relays": relayed}))
    else:
        show(running)
        for line in sentences(rings, sockets) if rings or sockets or not running else ():
            click.echo(line)
    return 0 if healthy else 1


def sentences(rings: dict[str, RingStat], sockets: list[RelayState]) -> list[str]:
    """Rings and relays for people, a line each."""
    lines = [
        f"ring   {ring.name}: writer {ring.writer}, epoch {ring.epoch}, {ring.sequence:,} frames"
        + (f"; feed {feed_text(ring)}" if ring.feed is not None else "")
        + (f"; {ring.problem}" if ring.problem else "")
        for ring in rings.values()
    ]
    lines += [f"relay  {relay.path}: {'answers' if relay.answers else 'does not answer'}" for relay in sockets]
    return lines or ["nothing runs: no process, no ring and no relay"]
