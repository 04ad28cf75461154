"""Who takes part in a validation: a collector in its own process, a ring of its own, and this process as its reader.

Owns their beginning and their end.  Nothing of them is left afterwards, and what a killed validation left is removed
by the next one.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from producers.chains.configuration import ChainConfig
from ringbuf import NotOwner, Reader, RingNotFound, list_rings, unlink
from tlv.layout import LAYOUT_DIGEST
from tools.command.interrupt import Interrupt
from tools.command.supervisor import Supervisor
from tools.validate.session import ValidationRun
from tools.validate.witness import NodeWitness
from tools.warm import warm_collector, warm_ring

RINGS = "validate."


@dataclass(frozen=True)
class Setup:
    """What is validated."""

    chain: ChainConfig
    chain_argument: str
    """As the command line names it."""
    urls: tuple[str, ...]
    pool_cache: str | None = None


@contextlib.contextmanager
def running(setup: Setup, say: Callable[[str], None]) -> Iterator[ValidationRun]:
    """A collector on a ring of its own, and a session that reads it; all of it is gone afterwards."""
    remove_leftovers()
    ring = f"{RINGS}{os.getpid()}"
    with (
        tempfile.TemporaryDirectory(prefix="alphapulse-validate-") as name,
        Interrupt() as interrupt,
        ring_removed(ring),
        Supervisor(Path(name), interrupt) as supervisor,
    ):
        say("compiling kernels, unless they are cached ...")
        warm_ring()
        warm_collector()
        stats = Path(name) / "stats.json"
        collector = supervisor.start(
            "collector", collector_arguments(setup, ring, stats), environment=secrets_of(setup)
        )
        reader = Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST)
        session = ValidationRun(NodeWitness(setup.urls, setup.chain), supervisor, collector, reader, stats)
        with contextlib.closing(session):
            yield session


def collector_arguments(setup: Setup, ring: str, stats: Path) -> list[str]:
    """How the collector is started; a user could type it, but for the endpoints."""
    cache = [] if setup.pool_cache is None else ["--pool-cache", setup.pool_cache]
    return ["collect", "--chain", setup.chain_argument, "--ring", ring, "--stats-json", str(stats), *cache, "--json"]


def secrets_of(setup: Setup) -> dict[str, str]:
    """The endpoints, by environment: a command line can be read by every user of the machine."""
    first, *others = setup.urls
    values = {"ALPHAPULSE__COLLECTOR__URL": first}
    return values | ({"ALPHAPULSE__COLLECTOR__FALLBACK": ",".join(others)} if others else {})


@contextlib.contextmanager
def ring_removed(ring: str) -> Iterator[None]:
    """Remove the ring at the end, whatever happened."""
    try:
        yield
    finally:
        with contextlib.suppress(RingNotFound):
            unlink(ring)


def remove_leftovers() -> None:
    """Remove the rings of validations that were killed; a living one holds its ring's lock."""
    for name in list_rings():
        if name.startswith(RINGS):
            with contextlib.suppress(NotOwner, RingNotFound):
                unlink(name)
