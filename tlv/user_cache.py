"""Where a user's caches of this project are (compiled kernels, verified pools, packages of the proofs), and how a
directory is made that nobody else may write.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from tlv.errors import CacheUnusable, UnsafeCacheError


def cache_root() -> Path:
    """`$XDG_CACHE_HOME/alphapulse`, or `~/.cache/alphapulse`.

    Raises:
        CacheUnusable: the user has no home, and no variable names one.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (base if base.is_absolute() else Path.home() / ".cache") / "alphapulse"
    except RuntimeError:  # a uid without an entry in passwd, as in many containers
        text = f"user {os.getuid()} has no home: set HOME, or XDG_CACHE_HOME to a directory that can be written"
        raise CacheUnusable(text) from None


def kernel_cache_root() -> Path:
    """Where compiled kernels are: `$NUMBA_CACHE_DIR/alphapulse`, or with the other caches."""
    own = Path(os.environ.get("NUMBA_CACHE_DIR", ""))
    return own / "alphapulse" if own.is_absolute() else cache_root()


def make_private(path: Path, what: str = "kernel cache") -> Path:
    """Create `path` with mode 0700, or take it as it is if it is ours alone; `what` names it in errors.

    Raises:
        UnsafeCacheError: it is a symbolic link, no directory, another user's, or writable by others.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    require_private(path, what)
    return path


def require_private(path: Path, what: str) -> None:
    """Raise UnsafeCacheError unless `path` is a directory that is ours alone."""
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise UnsafeCacheError(f"{what} {path}: expected a directory, found {stat.filemode(found.st_mode)}")
    if found.st_uid != os.getuid():
        raise UnsafeCacheError(f"{what} {path}: expected owner {os.getuid()}, found {found.st_uid}")
    if stat.S_IMODE(found.st_mode) & 0o022:
        raise UnsafeCacheError(f"{what} {path}: expected mode 0700, found {stat.S_IMODE(found.st_mode):04o}")
