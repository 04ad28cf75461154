"""`alphapulse relay`: serve rings to other processes over a Unix socket.

Owns the command line, the ready line and the counts at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import click
import msgspec

from consumers.journal import JournalReader
from consumers.relay import Relay
from consumers.relay.address import default_path
from consumers.relay.server import PREFIXES
from ringbuf import RingNotFound, RingNotReady
from tools.command.interrupt import Interrupt
from tools.command.say import say

RETRY_S = 0.05


@click.command("relay", epilog="Example:  alphapulse relay --domain market_data --journal journal/")
@click.option(
    "--domain", type=click.Choice(list(PREFIXES)), default="market_data", show_default=True, help="What to serve."
)
@click.option(
    "--ring", "rings", multiple=True, help="Ring to serve; may be repeated.  Default: every ring of the domain."
)
@click.option("--socket", "path", type=click.Path(path_type=Path), help="Path of the socket.  Default: one per domain.")
@click.option("--instance", default=0, type=click.IntRange(0, 99), help="Number of a further relay of the same domain.")
@click.option(
    "--journal",
    "journals",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Journal of a served ring, for clients that must miss nothing; may be repeated.",
)
@click.option("--cursors", type=click.Path(path_type=Path, file_okay=False), help="Where named clients are remembered.")
@click.option("--patience", default=5.0, show_default=True, type=click.FloatRange(0.1), help="Seconds before eviction.")
@click.option("--max-clients", default=256, show_default=True, type=click.IntRange(1), help="More are turned away.")
@click.option("--wait-for-ring", default=0.0, show_default=True, type=click.FloatRange(0), help="Seconds.")
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
    wait_for_ring: float,
    as_json: bool,
) -> None:
    """Serve the rings of a domain at a Unix socket of this user.

    Every client has its own position in the ring; one that is too slow loses messages, gets a Gap for them, and never
    slows the others.
    """
    socket = path or default_path(domain, instance)
    recorded = {ring_of(journal): journal for journal in journals}
    with Interrupt() as asked:
        relay = open_when_there(
            wait_for_ring,
            asked,
            lambda: Relay(
                domain,
                socket,
                rings=rings or None,
                journals=recorded,
                cursors=cursors,
                patience_s=patience,
                max_clients=max_clients,
            ),
        )
        with relay:
            ready = {"ready": True, "domain": domain, "socket": str(socket), "rings": list(rings)}
            say(ready, f"serving {', '.join(rings) or f'every {domain} ring'} at {socket}", as_json)
            relay.run(asked)
        counts = msgspec.to_builtins(relay.counters)
        say(counts, "{accepted} clients, {bytes} bytes; {evicted} evicted, {refused} refused".format(**counts), as_json)


def ring_of(journal: Path) -> str:
    """The ring whose journal it is."""
    with JournalReader(journal) as reader:
        return reader.name


def open_when_there(patience_s: float, asked: Callable[[], bool], make: Callable[[], Relay]) -> Relay:
    """What `make` makes, as soon as its rings exist; its own error after `patience_s`."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return make()
        except (RingNotFound, RingNotReady):
            if asked() or time.monotonic() >= deadline:
                raise
            time.sleep(RETRY_S)


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "relay")
