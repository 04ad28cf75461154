"""How a kernel is compiled, and where its machine code is kept.

Owns the one numba decorator of the project (`kernel`) and the cache directory behind it.  It must never know
what a kernel computes.  This is the only file of `tlv` that touches the file system and the environment:
the cache has to be chosen before the first kernel is decorated, and `tlv` holds the first kernels.

numba keys its cache by the file a kernel stands in and does not notice an edited constant in another file.  So
the directory's name carries a digest of the sources that hold kernels, of all that these import, and of numba's
version: after an edit the old machine code is simply not found, and an edit elsewhere recompiles nothing.  A directory
that another user could write is refused, since loading from it would run their code.

Caches of other sources are removed when they are old, so that edits and updates do not pile them up.  Every process
holds a shared lock on the directory that it uses, which the kernel frees when it dies; one that is in use, by however
old a process, is never removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

from tlv.errors import UnsafeCacheError

F = TypeVar("F", bound=Callable[..., Any])

KEPT_CACHES = 8
"""Of other sources: who goes back and forth between a few versions finds each compiled.  One takes about 5 MB."""
KEPT_S = 30 * 86_400
"""How long a cache of other sources is kept after its last use."""
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
KERNEL_PACKAGES = ("tlv", "ringbuf", "producers", "consumers")
KERNEL = re.compile(rb"^@(?:kernel|intrinsic)\b", re.MULTILINE)
IMPORT = re.compile(rb"^[ \t]*(?:from[ ]+([\w.]+)[ ]+import[ ]+(\([^)]*\)|[^\n]*)|import[ ]+([\w.]+))", re.MULTILINE)
"""Module and names of a `from` import, or the module of a plain one."""


def source_digest(root: Path) -> str:
    """Digest of the sources below `root` that hold kernels, of the project's sources that these import, directly or
    not, and of numba's version.

    Text and not syntax trees, at 20 ms against 300 ms for each start: a comment in these files counts as an edit.
    """
    paths = {
        module_name(path.relative_to(root)): path
        for package in KERNEL_PACKAGES
        for path in (root / package).rglob("*.py")
    }
    texts = {module: path.read_bytes() for module, path in paths.items()}
    left = [module for module, text in texts.items() if KERNEL.search(text)]
    reached: set[str] = set()
    while left:
        module = left.pop()
        if module not in reached:
            reached.add(module)
            left += texts.keys() & imported_names(texts[module])
    digest = hashlib.sha256(numba.__version__.encode())
    for module in sorted(reached):
        digest.update(module.encode() + b"\0" + texts[module] + b"\0")
    return digest.hexdigest()[:16]


def module_name(path: Path) -> str:
    """The dotted name of a source, given its path below the root."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imported_names(text: bytes) -> set[str]:
    """Every dotted name that a source may import as a module, and the packages above it: `from a.b import c` gives
    `a`, `a.b` and `a.b.c`."""
    found = set()
    for source, names, module in IMPORT.findall(text):
        base = (source or module).decode()
        parts = base.split(".")
        found |= {".".join(parts[: length + 1]) for length in range(len(parts))}
        found |= {f"{base}.{name.decode()}" for name in re.findall(rb"\w+", names)}
    return found


def cache_root() -> Path:
    """The directory that holds one cache per source digest: `$XDG_CACHE_HOME/alphapulse`, or `~/.cache/alphapulse`."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "alphapulse"


def make_private(path: Path) -> Path:
    """Create `path` with mode 0700, or take it as it is if it is ours alone.

    Raises:
        UnsafeCacheError: it is a symbolic link, no directory, another user's, or writable by others.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise UnsafeCacheError(f"kernel cache {path}: expected a directory, found {stat.filemode(found.st_mode)}")
    if found.st_uid != os.getuid():
        raise UnsafeCacheError(f"kernel cache {path}: expected owner {os.getuid()}, found {found.st_uid}")
    if stat.S_IMODE(found.st_mode) & 0o022:
        raise UnsafeCacheError(f"kernel cache {path}: expected mode 0700, found {stat.S_IMODE(found.st_mode):04o}")
    return path


def hold(path: Path) -> int:
    """Make `path` private, mark it as used now, and share its lock for the life of this process; returns the lock.

    Raises:
        UnsafeCacheError: what `make_private` raises.
    """
    while True:
        with contextlib.suppress(FileNotFoundError):  # removed as old, just now: make it anew
            make_private(path)
            fd = os.open(path, DIRECTORY)
            fcntl.flock(fd, fcntl.LOCK_SH)
            if os.fstat(fd).st_nlink > 0:
                os.utime(fd)
                return fd
            os.close(fd)


def remove_if_unused(path: Path) -> None:
    """Remove a cache, unless a living process holds it."""
    try:
        fd = os.open(path, DIRECTORY)
    except OSError:  # another process was faster, or it is no directory and none of ours
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        shutil.rmtree(path, ignore_errors=True)  # what cannot be removed is tried again at the next start
    finally:
        os.close(fd)


def remove_old_caches(used: Path) -> None:
    """Remove the caches beside `used` that are neither among the newest nor younger than a month, counted from now."""
    now = used.stat().st_mtime
    others = []
    for path in set(used.parent.glob("kernels-*")) - {used}:
        with contextlib.suppress(FileNotFoundError):  # another process does the same at this moment
            others.append((path.lstat().st_mtime, path))
    for rank, (last_used, path) in enumerate(sorted(others, reverse=True)):
        if rank >= KEPT_CACHES or now - last_used > KEPT_S:
            remove_if_unused(path)


def use_private_cache() -> Path:
    """Point numba at the cache of exactly these sources and return its directory; others that are old go."""
    directory = make_private(cache_root()) / f"kernels-{source_digest(Path(__file__).parent.parent)}"
    hold(directory)
    remove_old_caches(directory)
    numba.config.CACHE_DIR = str(directory)
    return directory


if not numba.config.DISABLE_JIT:
    use_private_cache()


def kernel(function: F) -> F:
    """Compile `function` on its first call: no GIL, cached, division as numpy does it (a kernel never raises).

    A kernel allocates nothing, so it is compiled without reference counting: the atomic counts of the arrays passed
    from one kernel to the next had taken 80 of 95 ns of a ring publish.
    """
    compiled: F = numba.njit(nogil=True, cache=True, error_model="numpy", _nrt=False)(function)
    return compiled
