"""Whether the directories that the pipeline writes to can be used: shared memory, caches, state, sockets and logs.

Owns these checks.  Each looks, and makes nothing: a directory that is not there yet is judged by where it would be.
"""

from __future__ import annotations

import os
from pathlib import Path

from tlv.errors import UnsafeCacheError
from tlv.user_cache import kernel_cache_root, require_private
from tools.command.places import PURPOSE, where
from tools.doctor.bounded import Named
from tools.doctor.finding import CheckResult, Verdict
from tools.doctor.machine import MIB, name_of

SHARED_MEMORY = Path("/dev/shm")
RINGS_MIB = 64
"""The default rings of a collector and its strategy, in full: they are allocated when they are created."""
CACHE_MIB, STATE_MIB, LOGS_MIB = 16, 16, 64
LEAST_INODES = 64
PRIVATE = "chown {user} {path} && chmod 700 {path}, or remove it"


def check_shared_memory(folder: Path = SHARED_MEMORY, need_mib: int = RINGS_MIB) -> CheckResult:
    """Rings are files in it that are mapped."""
    name, where_ = "shared memory", str(folder)
    if not folder.is_dir():
        remedy = f"mount -t tmpfs -o size=256m,mode=1777 tmpfs {folder}"
        return CheckResult(name, Verdict.FAIL, "no such directory", remedy, expected="a tmpfs", where=where_)
    finding = check_directory(name, folder, need_mib, f"mount -o remount,size={4 * need_mib}m {folder}")
    if finding.verdict is not Verdict.OK:
        remedy = finding.advice
        if "free" in finding.found:
            remedy += "; in a container: --shm-size=256m; `ringstat gc --closed` removes what ended processes left"
        return CheckResult(name, finding.verdict, finding.found, remedy, expected=finding.expected, where=where_)
    kind = file_system_of(folder)
    if kind not in ("tmpfs", "ramfs"):
        found = f"it is on {kind}: each publish may wait for a disk"
        remedy = f"mount -t tmpfs -o size=256m,mode=1777 tmpfs {folder}"
        return CheckResult(name, Verdict.WARN, found, remedy, expected="a tmpfs", where=where_)
    return finding


def check_kernel_cache(path: Path | None = None) -> CheckResult:
    """Code in it is run, so that nobody else may write there."""
    return check_private("kernel cache", path or kernel_cache_root(), "kernel cache", CACHE_MIB)


def check_compiled() -> CheckResult:
    """Processes that start cold each compile the same kernels, for up to a minute."""
    from tlv.kernel_cache import is_warm

    if is_warm():
        return CheckResult("kernels", Verdict.OK, "compiled")
    found = "not compiled for this version: the first start takes up to a minute"
    return CheckResult("kernels", Verdict.WARN, found, "alphapulse warm", where=str(kernel_cache_root()))


def check_runtime_directory() -> CheckResult:
    """Sockets, the settings and the logs of `alphapulse up`; whoever has another one does not see them."""
    from consumers.relay.address import LONGEST_PATH

    name, said = "run-time directory", os.environ.get("XDG_RUNTIME_DIR", "")
    place, runtime = where(), Path(said)
    remedy = "export XDG_RUNTIME_DIR=/run/user/$(id -u); without a login: loginctl enable-linger"
    if said and not (runtime.is_absolute() and runtime.is_dir()):
        found = f"XDG_RUNTIME_DIR names none: `up` takes {place}, while a relay makes {said}"
        return CheckResult(name, Verdict.WARN, found, remedy, expected="a directory", where=said)
    if said and (owner := runtime.stat().st_uid) != os.getuid():
        found = f"XDG_RUNTIME_DIR is {name_of(owner)}'s, as `sudo` and `su` leave it"
        expected = f"one of {name_of(os.getuid())}'s"
        return CheckResult(name, Verdict.FAIL, found, remedy, expected=expected, where=said)
    longest = len(os.fsencode(place)) + len("/up-0123456789ab/control.0000000000")
    if longest > LONGEST_PATH:
        found = f"{longest} bytes of path for the socket of `alphapulse up`"
        remedy = "export XDG_RUNTIME_DIR=/run/user/$(id -u), or a shorter TMPDIR"
        expected = f"at most {LONGEST_PATH}"
        return CheckResult(name, Verdict.FAIL, found, remedy, expected=expected, where=str(place))
    if place.is_dir() and (mode := place.lstat().st_mode & 0o777) & 0o077:
        found, remedy = f"expected mode 0700, found {mode:04o}: a relay refuses it", f"chmod 700 {place}"
        return CheckResult(name, Verdict.FAIL, found, remedy, where=str(place))
    return check_private(name, place, PURPOSE, LOGS_MIB)


def check_state_directory() -> CheckResult:
    """Cursors of the relay's clients: what cannot be written there is sent again after a restart."""
    from consumers.relay.cursors import default_directory

    return check_directory("state directory", default_directory(), STATE_MIB)


def check_private(name: str, path: Path, what: str, need_mib: int) -> CheckResult:
    """A directory that must be ours alone, if it is there, and where it stands."""
    try:
        require_private(path, what)
    except FileNotFoundError:
        pass
    except UnsafeCacheError as error:
        remedy = PRIVATE.format(user=name_of(os.getuid()), path=path)
        return CheckResult(name, Verdict.FAIL, str(error), remedy, expected="a directory of ours", where=str(path))
    return check_directory(name, path, need_mib)


def check_directory(name: str, path: Path, need_mib: int, grow: str = "") -> CheckResult:
    """Whether files of `need_mib` MiB can be written to a directory, or to where it would be made."""
    place = path
    while not place.exists() and place != place.parent:
        place = place.parent
    at = str(path)
    if not place.is_dir():
        found, remedy = f"{place} is no directory", f"mv {place} elsewhere"
        return CheckResult(name, Verdict.FAIL, found, remedy, expected="a directory", where=at)
    disk = os.statvfs(place)
    if disk.f_flag & os.ST_RDONLY:
        found = f"{mount_of(place)} is mounted read-only"
        remedy = f"mount -o remount,rw {mount_of(place)}; of a unit: ReadWritePaths={path}; `dmesg` if the disk failed"
        return CheckResult(name, Verdict.FAIL, found, remedy, expected="one that can be written", where=at)
    if not os.access(place, os.W_OK | os.X_OK):
        owner, mode = name_of(place.stat().st_uid), place.stat().st_mode & 0o7777
        found = f"{place} is {owner}'s, mode {mode:04o}: {name_of(os.getuid())} may not write there"
        remedy = f"chown {name_of(os.getuid())} {place}, or another directory"
        return CheckResult(name, Verdict.FAIL, found, remedy, expected="one that can be written", where=at)
    free = disk.f_bavail * disk.f_frsize // MIB
    if free < need_mib:
        remedy = grow or f"free some: du -xsh {mount_of(place)}/* | sort -h"
        return CheckResult(name, Verdict.FAIL, f"{free} MiB free", remedy, expected=f"{need_mib} MiB", where=at)
    if disk.f_files and disk.f_favail < LEAST_INODES:
        found = f"{disk.f_favail} files can be made: no inode is free"
        remedy = grow.replace("size=", "nr_inodes=100k,size=") or f"df -i {mount_of(place)}; remove small files"
        return CheckResult(name, Verdict.FAIL, found, remedy, expected=f"{LEAST_INODES} inodes free", where=at)
    return CheckResult(name, Verdict.OK, f"{path}, {free} MiB free", where=at)


def mount_of(path: Path) -> Path:
    """Where the file system of `path` is mounted."""
    path = path.resolve()
    while not path.is_mount():
        path = path.parent
    return path


def file_system_of(path: Path) -> str:
    """The kind of the file system at `path`, as the kernel names it."""
    place, kind = str(mount_of(path)), "an unknown file system"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[4] == place:
            kind = fields[fields.index("-") + 1]
    return kind


CHECKS: tuple[Named, ...] = (
    ("shared memory", check_shared_memory),
    ("kernel cache", check_kernel_cache),
    ("kernels", check_compiled),
    ("run-time directory", check_runtime_directory),
    ("state directory", check_state_directory),
)
