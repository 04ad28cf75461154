"""`alphapulse relay`: serve rings to other processes over a Unix socket.

Owns the command line, the ready line and the counts at the end.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import msgspec

from consumers.journal import JournalReader
from consumers.journal.segment import list_segments
from consumers.relay import Relay
from consumers.relay.address import default_path
from consumers.relay.counters import Counters
from consumers.relay.server import PREFIXES
from ringbuf import RingNotFound
from ringbuf.ring import absent
from tools.command.config_option import config_option
from tools.command.counting import counters_beside
from tools.command.given import refuse_without_effect
from tools.command.interrupt import Interrupt
from tools.command.say import say
from tools.command.stderr_log import complain
from tools.command.waiting import wait_for_ring_option

SWITCH_S = 0.0001
"""How long the thread that reads journals may keep the interpreter from the one that serves clients."""
TROUBLES = (
    *("malformed_frames", "unreadable_rings", "damaged_rings", "damaged_journals", "damaged_cursors"),
    *("failed_cursor_saves", "shortages", "renewed_sockets"),
)
"""Counts of what should not happen."""


@click.command("relay", epilog="Example:  alphapulse relay --domain market_data --journal journal/")
@config_option(required=False, handed_over=False)
@click.option(
    "--domain", type=click.Choice(list(PREFIXES)), default="market_data", show_default=True, help="What to serve."
)
@click.option(
    "--ring",
    "rings",
    multiple=True,
    help="Ring to serve; may be repeated.  Default: every ring of the domain.",
)
@click.option("--socket", "path", type=click.Path(path_type=Path), help="Path of the socket.  Default: one per domain.")
@click.option("--instance", default=0, type=click.IntRange(0, 99), help="Number of a further relay of the same domain.")
@click.option(
    "--journal",
    "journals",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Journal of a served ring, for clients that must miss nothing; may be repeated, and may be begun later.",
)
@click.option("--cursors", type=click.Path(path_type=Path, file_okay=False), help="Where named clients are remembered.")
@click.option(
    "--patience",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0.1),
    metavar="SECONDS",
    help="How long a client may take no byte before it is evicted.",
)
@click.option("--max-clients", default=256, show_default=True, type=click.IntRange(1), help="More are turned away.")
@wait_for_ring_option
@click.option(
    "--stats-json",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Counts: clients, bytes, what is damaged, what was lacking.  Rewritten every second.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def command(
    domain: str,
    rings: tuple[str, ...],
    path: Path | None,
    instance: int,
    journals: tuple[Path, ...],
    cursors: Path | None,
    patience: float,
    max_clients: int,
    wait_for_ring: float | None,
    stats_json: Path | None,
    as_json: bool,
) -> None:
    """Serve the rings of a domain at a Unix socket of this user.

    Every client has its own position in the ring; one that is too slow loses messages, gets a Gap for them, and never
    slows the others.  A ring that is not there yet is served as soon as it is; one that is replaced is followed, the
    rest of the old one first.
    """
    if path is not None:
        refuse_without_effect("with --socket", "--instance")
    sys.setswitchinterval(SWITCH_S)
    socket = path or default_path(domain, instance)
    recorded = {name: journal for journal in journals if (name := ring_of(journal))}
    with (
        Interrupt() as asked,
        counters_beside(Counters, rings[0] if len(rings) == 1 else domain, "relay") as shared,
        Relay(
            domain,
            socket,
            rings=rings or None,
            journals=recorded,
            recorded_in=[journal for journal in journals if journal not in recorded.values()],
            cursors=cursors,
            patience_s=patience,
            max_clients=max_clients,
            shared=shared,
        ) as relay,
    ):
        stop = partial(over, asked, relay, wait_for_ring, time.monotonic())
        stop()
        ready = {"ready": True, "domain": domain, "socket": str(socket), "rings": list(rings)}
        say(ready, f"serving {', '.join(rings) or f'every {domain} ring'} at {socket}", as_json)
        for name in relay.missing:
            complain("relay", f"waiting for ring {name}: its producer has not made it yet", ring=name)
        for journal in relay.unrecorded:
            text = f"waiting for journal {journal}: `alphapulse record` has written nothing there yet"
            complain("relay", text, journal=journal)
        relay.run(stop, partial(write_counts, stats_json) if stats_json else None)
        counts = relay.counters.to_dict()
        say(counts, sentence(counts), as_json)


def sentence(counts: dict[str, int]) -> str:
    """The counts for people: of what can go wrong, only what did."""
    usual = "{accepted} clients, {bytes} bytes; {evicted} evicted, {refused} refused".format(**counts)
    wrong = (f"; {counts[name]} {name.replace('_', ' ')}" for name in TROUBLES if counts[name])
    return usual + "".join(wrong)


def write_counts(path: Path, counters: Counters) -> None:
    """Replace the file of counts.  A disk that refuses costs this one."""
    fresh = path.with_name(path.name + ".new")
    with contextlib.suppress(OSError):
        fresh.write_bytes(msgspec.json.encode(counters.to_dict()))
        fresh.replace(path)


def ring_of(journal: Path) -> str:
    """The ring whose journal it is; empty while nothing is recorded there."""
    if not journal.is_dir() or not list_segments(journal):
        return ""
    with JournalReader(journal) as reader:
        return reader.name


def over(asked: Callable[[], bool], relay: Relay, limit_s: float | None, began: float) -> bool:
    """Whether the relay is to end.

    Raises:
        RingNotFound: a ring that was named is not there after `limit_s`.
    """
    if limit_s is not None and relay.missing and time.monotonic() - began >= limit_s:
        raise RingNotFound(f"after {limit_s} s: {absent(relay.missing[0], None)}")
    return asked()


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "relay")
