"""What an `up` leaves behind, and its removal: rings, sockets, the directory; journals only if they are named.

It must never remove a ring that has a writer, a socket on which somebody listens, a journal that is being recorded, or
anything that another `up` has.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from consumers.lockfile import LockFile, LockHeld
from tlv.errors import AlphaPulseError
from tools.command.claims import Claim
from tools.up.claimed import claimed_by_others
from tools.up.run_directory import RunDirectory

LEAVE_S = 5.0
"""Processes whose supervisor was killed a moment ago may still be ending."""
RETRY_S = 0.05
REMOVABLE = ("ring", "socket", "journal")


class FolderHolds(AlphaPulseError):
    """A journal's folder has other files, too."""


def remove_all(place: RunDirectory, claims: list[Claim], journals: list[Path]) -> tuple[list[str], list[str]]:
    """Remove everything of a configuration that is down; returns what was removed, and what could not be."""
    removed, problems = [], []
    others = claimed_by_others(place)
    for claim in claims:
        if claim.kind not in REMOVABLE or (claim.kind == "journal" and Path(claim.what) not in journals):
            continue
        if claim in others:
            problems.append(f"{claim.kind} {claim.what} stays: it is that of {others[claim]}")
            continue
        try:
            if remove(claim):
                removed.append(f"{claim.kind} {claim.what}")
        except AlphaPulseError as error:
            problems.append(str(error))
    if place.directory.is_dir():
        shutil.rmtree(place.directory)
        removed.append(f"directory {place.directory}")
    return removed, problems


def remove(claim: Claim) -> bool:
    """Remove one thing of a kind in REMOVABLE that nobody has any more; returns whether there was one.

    Raises:
        NotOwner, LockHeld: somebody has it.
        FolderHolds: of a journal the folder stays.
    """
    if claim.kind == "ring":
        return remove_ring(claim.what)
    return remove_socket(Path(claim.what)) if claim.kind == "socket" else remove_journal(Path(claim.what))


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
    with free_lock(lock_path):
        path.unlink(missing_ok=True)
        lock_path.unlink(missing_ok=True)
    return True


def remove_journal(directory: Path) -> bool:
    """Remove the files of a journal that nobody records, and the folder unless it holds others.

    Raises:
        LockHeld: a recorder writes it.
        FolderHolds: the folder stays.
    """
    lock_path = directory / "journal.lock"
    with free_lock(lock_path):
        for path in directory.glob("segment-*"):
            if not path.is_dir():
                path.unlink()
        lock_path.unlink()
    others = sorted(path.name for path in directory.iterdir())
    if others:
        raise FolderHolds(f"journal {directory}: its files were removed; the folder stays, it holds {others[0]}")
    directory.rmdir()
    return True


def free_lock(path: Path) -> LockFile:
    """The lock at `path`, once whoever ends has left it.

    Raises:
        LockHeld: somebody stays.
    """
    deadline = time.monotonic() + LEAVE_S
    while True:
        try:
            return LockFile(path)
        except LockHeld:
            if time.monotonic() > deadline:
                raise
            time.sleep(RETRY_S)
