"""A lock that fails is not held, whatever the disk does."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.lockfile import LockFile, LockHeld


@contextlib.contextmanager
def no_byte_to_be_written() -> Iterator[None]:
    """As on a full disk: files can be made, and nothing be written to them."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def descriptors_of(folder: Path) -> list[str]:
    """The files below a folder that this process has open."""
    targets = map(target_of, Path("/proc/self/fd").iterdir())
    return [target for target in targets if target.startswith(str(folder))]


def target_of(link: Path) -> str:
    """Where a link leads; nowhere once it is gone."""
    try:
        return str(link.readlink())
    except OSError:
        return ""


def test_lock_on_a_full_disk_is_taken_and_given_back(tmp_path: Path) -> None:
    with no_byte_to_be_written():
        lock = LockFile(tmp_path / "lock")
    with pytest.raises(LockHeld, match=f"by process {os.getpid()} "):
        LockFile(tmp_path / "lock")
    lock.close()
    with LockFile(tmp_path / "lock"), pytest.raises(LockHeld, match=f"by process {os.getpid()}"):
        LockFile(tmp_path / "lock")


def test_lock_that_is_refused_leaves_no_descriptor(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        LockFile(tmp_path / "no folder" / "lock")
    with LockFile(tmp_path / "lock"), pytest.raises(LockHeld):
        LockFile(tmp_path / "lock")
    assert descriptors_of(tmp_path) == []
