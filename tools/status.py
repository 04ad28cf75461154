"""`alphapulse status`: what of the pipeline exists on this machine, and whether it is well.

Owns the summary: processes of each `alphapulse up`, rings as `ringstat` sees them, processes that count, and relays
that answer.  It starts, stops and changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import msgspec

from tlv.errors import SegmentError
from tools.command.config_option import config_option
from tools.command.places import places
from tools.process_stat import ProcessState, copies, process_states
from tools.ringstat import RingStat, feed_text, look_at_all
from tools.up.overview import as_dict, show, ups
from tools.up.run_directory import RunDirectory

CONNECT_S = 1.0


@dataclass(frozen=True)
class RelayState:
    """One relay socket."""

    path: str
    answers: bool
    pid: int
    """Of the process that listens there; 0 if none does."""
    counts: dict[str, int] | None
    """What the relay counts, not older than a second or two (`consumers.relay.counters`): of now its `clients` and
    those that catch up (`behind`), since it began what it `accepted`, `refused`, `evicted`, told as `lost` and more.
    None if it does not show its counts."""

    @property
    def sentence(self) -> str:
        """For people."""
        if not self.answers:
            return f"relay  {self.path}: does not answer"
        if self.counts is None:
            return f"relay  {self.path}: answers (pid {self.pid}), its counts cannot be read"
        text = "{clients:,} clients, {behind:,} catching up; so far {lost:,} messages lost, {refused:,} clients refused"
        text += ", {evicted:,} evicted"
        if self.counts["unreadable_rings"]:
            text += "; {unreadable_rings:,} rings cannot be read"
        return f"relay  {self.path}: {text.format(**self.counts)}"


def relays(sockets: Iterable[Path] | None = None) -> list[RelayState]:
    """The relays at these sockets, else all of this user, the demos' among them; a place without a file is none."""
    if sockets is None:
        sockets = places().rglob("*.sock")
    listening = {path: listener(path) for path in sorted(sockets) if path.exists()}
    counts = relay_counts() if any(listening.values()) else {}
    return [RelayState(str(path), pid > 0, pid, counts.get(pid)) for path, pid in listening.items()]


def listener(path: Path) -> int:
    """The pid of who accepts connections there, 0 if nobody does; a socket file outlives a killed relay."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_S)
        if probe.connect_ex(str(path)):
            return 0
        from consumers.relay.address import peer_pid

        return peer_pid(probe)


def relay_counts() -> dict[int, dict[str, int]]:
    """The counts of each relay that shows them, by pid."""
    from consumers.relay.counters import Counters

    found = {}
    for _, copy in copies():
        with contextlib.suppress(SegmentError):  # of another version
            if not isinstance(copy, SegmentError) and copy.role == "relay" and copy.alive:
                found[copy.pid] = copy.as_record(Counters).to_dict()
    return found


@click.command("status", epilog="Example:  alphapulse status --json")
@config_option(required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(config: Path | None, as_json: bool) -> int:
    """Say which processes, rings and relays exist and whether they are well.

    With -c FILE only what belongs to that configuration is shown, and it is unwell if it is down.  The exit code is 1
    if a process of an `alphapulse up` does not run or has begun only now, a ring's writer died without closing it, a
    collector's feed is dead whatever its process does, a process was killed or does nothing, or a relay's socket is
    left without its relay.  Of each relay its clients are shown, those that catch up, and what was lost and refused.
    """
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # as `ringstat`: loading machine code takes longer than the look
    from ringbuf import list_rings

    running, processes = ups(config), process_states()
    if config is None:
        rings, sockets = look_at_all((), {}, 0.0), relays()
    else:
        claims = RunDirectory.of(config).claims()
        named = {one.what for one in claims if one.kind == "ring"}
        there = named & set(list_rings())
        rings = look_at_all(tuple(sorted(there)), {}, 0.0, again=True) if there else {}
        sockets = relays(Path(one.what) for one in claims if one.kind == "socket")
        processes = [one for one in processes if any(one.process.startswith(f"{ring}-") for ring in named)]
    healthy = (
        all(one.healthy for one in running)
        and all(ring.healthy for ring in rings.values())
        and not any(one.problem for one in processes)
        and all(relay.answers for relay in sockets)
    )
    if as_json:
        found = {
            "healthy": healthy,
            "up": [as_dict(one) for one in running],
            "rings": [asdict(ring) | {"healthy": ring.healthy} for ring in rings.values()],
            "processes": [asdict(one) for one in processes],
            "relays": [asdict(relay) for relay in sockets],
        }
        click.echo(msgspec.json.encode(found))
    else:
        show(running)
        for line in sentences(rings, processes, sockets) if rings or processes or sockets or not running else ():
            click.echo(line)
    return 0 if healthy else 1


def sentences(rings: dict[str, RingStat], processes: list[ProcessState], sockets: list[RelayState]) -> list[str]:
    """Rings, processes and relays for people, a line each."""
    lines = [
        f"ring   {ring.name}: writer {ring.writer}, epoch {ring.epoch}, {ring.sequence:,} frames"
        + (f"; feed {feed_text(ring)}" if ring.feed is not None else "")
        + (f"; {ring.problem}" if ring.problem else "")
        for ring in rings.values()
    ]
    lines += [f"process {process.process}: {process.sentence}" for process in processes]
    lines += [relay.sentence for relay in sockets]
    return lines or ["nothing runs: no process, no ring and no relay"]
