"""The name, directory and rings of one demo, made at the start and removed at the end.

Owns the names.  Two demos at once must not share any, and a killed demo must not block the next one: the name is held
by a lock that the kernel frees, so rings and files under the name of a free lock are left over and are removed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tlv.user_cache import make_private
from tools.command.places import PURPOSE, places
from tools.up.run_directory import RunDirectory

DEFAULT_NAME = "demo"
LEAVE_S = 5.0
RING_OF_A_DEMO = re.compile(rf"({DEFAULT_NAME}\d*)\.(?:market|signal|execution)\..+")


@dataclass(frozen=True)
class Home:
    """Names and places of one running demo."""

    name: str
    directory: Path

    @property
    def market(self) -> str:
        """Ring of the collector."""
        return f"{self.name}.market.polygon"

    @property
    def signals(self) -> str:
        """Ring of the strategy."""
        return f"{self.name}.signal.flash_arbitrage"

    @property
    def executions(self) -> str:
        """Ring of the executor."""
        return f"{self.name}.execution.paper"

    @property
    def rings(self) -> tuple[str, str, str]:
        """Every ring of the demo."""
        return (self.market, self.signals, self.executions)

    @property
    def journal(self) -> Path:
        """Directory of the recorder."""
        return self.directory / "journal"

    @property
    def config(self) -> Path:
        """The configuration that the demo is an `up` of."""
        return self.directory / "alphapulse.toml"

    @property
    def output(self) -> Path:
        """Directory of the processes' statistics."""
        return self.directory / "output"

    def socket(self, domain: str) -> Path:
        """Socket of the relay of `domain`."""
        return self.directory / f"{domain}.sock"

    def stats(self, process: str) -> Path:
        """File in which a process writes its statistics."""
        return self.output / f"{process}.json"


@contextlib.contextmanager
def move_in(*, keep: bool) -> Iterator[Home]:
    """Take a free name, remove what killed demos left, and clean up when done unless `keep`."""
    with contextlib.ExitStack() as stack:
        name = next(name for name in (DEFAULT_NAME, f"{DEFAULT_NAME}{os.getpid()}") if hold(stack, name))
        home = Home(name, places() / name)
        clean(home)
        clean_after_the_dead()
        make_private(home.directory, PURPOSE)
        home.output.mkdir()
        try:
            yield home
        finally:
            if not keep:
                clean(home)


def hold(stack: contextlib.ExitStack, name: str) -> bool:
    """Try to take the name for this user.

    The lock is an abstract socket address: like the ring names it guards it belongs to no directory, and the kernel
    frees it with the process.
    """
    lock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    try:
        lock.bind(f"\0alphapulse-{os.getuid()}-{name}")
    except OSError:
        return False
    return True


def clean_after_the_dead() -> None:
    """Remove what demos left whose names are no longer locked."""
    from ringbuf import list_rings

    names = {found[1] for ring in list_rings() if (found := RING_OF_A_DEMO.fullmatch(ring))}
    for name in names:
        with contextlib.ExitStack() as stack:
            if hold(stack, name):
                clean(Home(name, places() / name))


def clean(home: Home) -> None:
    """Remove the demo's rings, the counters beside them, files, and what its `up` kept.

    Processes of a demo that was killed a moment ago may still be ending; they get `LEAVE_S` for it.
    """
    from ringbuf import NotOwner, list_rings, unlink
    from ringbuf.counters import remove_dead_counters
    from ringbuf.names import list_counters

    deadline = time.monotonic() + LEAVE_S
    while left := set(home.rings) & set(list_rings()):
        try:
            unlink(left.pop())
        except NotOwner:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    while any(f"-{home.name}." in name for name in list_counters()) and time.monotonic() < deadline:
        remove_dead_counters(f"{home.name}.")
        time.sleep(0.01)
    place = RunDirectory.of(home.config)
    while place.is_held() and time.monotonic() < deadline:
        time.sleep(0.01)
    shutil.rmtree(place.directory, ignore_errors=True)
    shutil.rmtree(home.directory, ignore_errors=True)
