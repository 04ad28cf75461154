"""What an `up` leaves behind, and its removal: rings, sockets, the directory; journals only if they are named.

It must never remove a ring that has a writer,
or a socket on which somebody listens.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from consumers.lockfile import LockFile, LockHeld
from tlv.errors import AlphaPulseError
from tools.command.claims import Claim
from tools.up.run_directory import RunDirectory

LEAVE_S = 5.0
"""Processes whose supervisor was killed a moment ago may still be ending."""
RETRY_S = 0.05


def remove_all(place: RunDirectory, claims: list[Claim], journals: list[Path]) -> tuple[list[str], list[str]]:
    """Remove everything of a configuration that is down; returns what was removed, and what could not be."""
    removed, problems = [], []
    for claim in claims:
        try:
            if claim.kind == "ring" and remove_ring(claim.what):
                removed.append(f"ring {claim.what}")
            elif claim.kind == "socket" and remove_socket(Path(claim.what)):
                removed.append(f"socket {claim.what}")
        except AlphaPulseError as error:
            problems.append(str(error))
    for journal in journals:
        shutil.rmtree(journal)
        removed.append(f"journal {journal}")
    if place.directory.is_dir():
        shutil.rmtree(place.directory)
        removed.append(f"directory {place.directory}")
    return removed, problems


def remove_ring(name: str) -> bool:
    """Remove a ring without a writer; returns whether there was one.

    Raises:
        NotOwner: a process writes it.
    """
    from ringbuf import NotOwner, RingNotFound, unlink

    deadline = time.monotonic() + LEAVE_S
    while True:
        try:
            unlink(name)
        except RingNotFound:
            return False
        except NotOwner:
            if time.monotonic() > deadline:
                raise
            time.sleep(RETRY_S)
        else:
            return True


def remove_socket(path: Path) -> bool:
    """Remove a relay's socket and its lock, if no relay is there; returns whether there was one.

    Raises:
        LockHeld: a relay serves there.
    """
    lock_path = path.with_name(path.name + ".lock")
    if not lock_path.exists():
        return False
    deadline = time.monotonic() + LEAVE_S
    while True:
        try:
            lock = LockFile(lock_path)
            break
        except LockHeld:
            if time.monotonic() > deadline:
                raise
            time.sleep(RETRY_S)
    with lock:
        path.unlink(missing_ok=True)
        lock_path.unlink(missing_ok=True)
    return True
