"""Where the machine code of kernels is kept.

Owns the cache directory.  It must never know what a kernel computes.  It alone in `tlv` writes to the file system: the
cache has to be chosen before the first kernel is decorated, and `tlv` holds the first kernels.

numba keys its cache by the file a kernel stands in and does not notice an edited constant in another file.  So
the directory's name carries a digest of the code that a kernel can reach (the modules that hold kernels and what they
import, without comments and docstrings) and of the compiler's version: after an edit the old machine code is not found,
and an edit elsewhere compiles nothing.  A directory that another user could write is refused, since loading from it
would run their code.

numba numbers the files of machine code after an index that it read before, so two processes that compile two signatures
of one kernel at once would write to one file, and run the other's code: a signature holds constants (`mark=1`), so that
is another checksum or another mark.  Here every file of machine code has a name of its own.

numba makes its compiler ready before it looks for machine code that it need not compile.  Here it does so where there
is none: a process that makes, writes and reads a ring, and finds all its kernels, takes 0.6 s of processor time for
0.85 s.

Caches of other sources are removed when they are old, so that edits and updates do not accumulate them.  Every process
holds a shared lock on the directory that it uses, which the operating system frees when it dies, so a cache in use is
never removed.
"""

from __future__ import annotations

import ast
import contextlib
import fcntl
import gc
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core import caching, dispatcher

from tlv.errors import CacheUnusable, UnsafeCacheError
from tlv.user_cache import kernel_cache_root, make_private

KEPT_CACHES = 8
"""Caches of other sources that are kept, so that switching between a few versions compiles none anew.  One takes about
5 MB."""
KEPT_S = 30 * 86_400
"""How long a cache of other sources is kept after its last use."""
WARM = "warm"
"""A file in a cache that has every kernel."""
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
ROOT = Path(__file__).parent.parent
COMPILED = (
    b"\n@kernel\n",
    b" @kernel\n",
    b"@inline_kernel\n",
    b"@outline_kernel\n",
    b"@lower_builtin\x28",
    b"@overload\x28",
)
"""What a source has that says what is compiled.  The brackets are spelled so that this file, which compiles nothing,
has none: an edit of it compiles nothing anew."""
RUNTIME_SYMBOLS = (b"NRT_", b"_numba_hashsecret")
"""How symbols begin that machine code finds only once the compiler is ready: numba's own memory, and its hashes.  No
kernel of these packages has one."""
REMEDY = "let NUMBA_CACHE_DIR name a directory that you can write"
KERNEL_PACKAGES = ("tlv", "ringbuf", "producers", "consumers")


def read_sources(root: Path) -> dict[str, bytes]:
    """Every Python source of the packages that hold kernels below `root`, by its dotted name."""
    sources = {}
    for package in KERNEL_PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            sources[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_bytes()
    return sources


def source_digest(sources: dict[str, bytes]) -> str:
    """Digest of every byte of `sources`, of the versions of what compiles them, and of whether bounds are checked."""
    compiler = f"{numba.__version__} {llvmlite.__version__} {np.__version__} {numba.config.BOUNDSCHECK}"
    digest = hashlib.sha256(compiler.encode())
    for name, source in sources.items():
        digest.update(f"{name} {len(source)}\0".encode() + source)
    return digest.hexdigest()[:16]


def imported(tree: ast.Module) -> Iterator[str]:
    """Names that a module imports at its top; `from a import b` counts as `a` and `a.b`."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


STATEMENTS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Where statements are within statements."""


def without_docstrings(tree: ast.Module) -> ast.Module:
    """The module without the strings that stand alone as statements; comments are in no tree."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [
                line for line in node.body if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
            ]
        for part in STATEMENTS:  # what else a tree has, nine tenths of it, has no statements
            if isinstance(below := getattr(node, part, None), list):
                waiting += below
    return tree


def kernel_digest(sources: dict[str, bytes]) -> str:
    """Digest of the code of the modules that hold kernels, or instructions that numba makes of a function, and of all
    they import, and of the compiler's version."""
    codes: dict[str, bytes] = {}
    waiting = [name for name, source in sources.items() if any(mark in source for mark in COMPILED)]
    collects = gc.isenabled()
    gc.disable()  # which would look through a million nodes again and again, half of the time that this takes
    try:
        while waiting:
            name = waiting.pop()
            if name in sources and name not in codes:
                tree = ast.parse(sources[name])
                waiting += imported(tree)
                codes[name] = ast.dump(without_docstrings(tree)).encode()
    finally:
        (gc.enable if collects else gc.disable)()
    return source_digest({name: codes[name] for name in sorted(codes)})


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


def use_private_cache(root: Path) -> Path:
    """Make numba use the cache of the kernels below `root`, remove old ones, and return its directory.

    Parsing what the kernels can reach takes some 0.3 s, so a cache holds a marker file for each set of sources that it
    was found to fit.

    Raises:
        UnsafeCacheError, CacheUnusable: with what to do about it.
    """
    try:
        caches, sources = make_private(kernel_cache_root()), read_sources(root)
        known_by = f"sources-{source_digest(sources)}"
        directory = cache_known_by(known_by) or caches / f"kernels-{kernel_digest(sources)}"
        hold(directory)
        (directory / known_by).touch()
    except UnsafeCacheError as error:
        raise UnsafeCacheError(f"{error}; {REMEDY}") from None
    except OSError as error:
        raise CacheUnusable(f"kernel cache {error.filename}: {error.strerror}; {REMEDY}") from None
    remove_old_caches(directory)
    numba.config.CACHE_DIR = str(directory)
    numba.config.CACHE_LOCATOR_CLASSES = "tlv.kernel_cache.KernelLocator,InTreeCacheLocator,UserWideCacheLocator"
    caching.IndexDataCacheFile = KernelFiles
    dispatcher.FunctionCache = KernelCache  # type: ignore[attr-defined]
    KernelLocator.sources = known_by
    return directory


def cache_known_by(marker: str) -> Path | None:
    """The cache with this marker file, if there is one."""
    return next((path.parent for path in kernel_cache_root().glob(f"kernels-*/{marker}")), None)


def is_warm(root: Path = ROOT) -> bool:
    """Whether `mark_warm` was called with the sources below `root`."""
    cache = cache_known_by(f"sources-{source_digest(read_sources(root))}")
    return cache is not None and (cache / WARM).exists()


def mark_warm() -> None:
    """Note that every kernel is in the cache that this process uses."""
    if KernelLocator.sources:
        (Path(numba.config.CACHE_DIR) / WARM).touch()


def digest_beside(file: str) -> str:
    """Digest of a source and of those in its folder, and below it, that it imports, over any number of steps."""
    folder, digest, seen = Path(file).parent, hashlib.sha256(), set()
    waiting = [Path(file)]
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        source = path.read_bytes()
        digest.update(f"{path} {len(source)}\0".encode() + source)
        with contextlib.suppress(SyntaxError):  # whatever imports it says so
            for name in imported(ast.parse(source)):
                module = folder
                for part in name.split("."):
                    waiting += [module / f"{part}.py", module / part / "__init__.py"]
                    module /= part
    return digest.hexdigest()


@cache
def folders_in(root: Path) -> tuple[str, ...]:
    """How the paths of files begin that have kernels."""
    return tuple(os.path.join(root, package, "") for package in KERNEL_PACKAGES)  # noqa: PTH118 - keeps the last "/"


@cache
def cache_path_of(package: str, caches: str) -> str:
    """Where the machine code of a folder's kernels is."""
    return str(Path(caches) / ".".join(Path(package).relative_to(ROOT).parts))


class KernelLocator(caching.UserProvidedCacheLocator):  # type: ignore[misc]
    """Decides for numba whether cached machine code is valid: for a kernel of these packages the directory suffices.

    Any other kernel (a strategy of yours) is valid while no file changes of these packages, of its own, and of those
    beside it that it imports: constants that these hold are in its machine code.
    """

    sources = ""

    def get_cache_path(self) -> str:
        """Where the machine code is: of ours by package, so that two checkouts of the same code have one."""
        if not self.is_ours():
            return str(super().get_cache_path())
        return cache_path_of(os.path.dirname(self._py_file), numba.config.CACHE_DIR)  # noqa: PTH120

    def is_ours(self) -> bool:
        """Whether the directory's digest covers the file that the kernel stands in."""
        return str(self._py_file).startswith(folders_in(ROOT))

    def get_source_stamp(self) -> object:
        """The value that must be equal to that at compilation for the cached code to be used."""
        return None if self.is_ours() else (super().get_source_stamp(), self.sources, digest_beside(self._py_file))

    def get_disambiguator(self) -> str:
        """What distinguishes kernels of one name in one file: not the line number, which a comment above changes."""
        return "" if self.is_ours() else str(super().get_disambiguator())


class KernelFiles(caching.IndexDataCacheFile):  # type: ignore[misc]
    """The files of one kernel: an index of its signatures, and for each its machine code."""

    def _data_name(self, number: int) -> str:
        """A name that no other process gives."""
        return str(super()._data_name(secrets.randbits(63)))


class KernelCache(caching.FunctionCache):  # type: ignore[misc]
    """What a dispatcher asks for the machine code of a signature."""

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The machine code as it was compiled, or None."""
        found = self._cache_file.load(self._index_key(signature, target.codegen())) if self._enabled else None
        if found is None:
            return None
        _, _, (code, _) = found[0]
        if any(symbol in code for symbol in RUNTIME_SYMBOLS):
            target.refresh()
        return self._impl.rebuild(target, found)
