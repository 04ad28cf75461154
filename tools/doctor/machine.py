"""Whether this machine can run the pipeline well.

Owns the list of checks.  Each looks at one fact of the machine, says what was expected and found, and changes nothing.
A check that fails is a reason why the pipeline would not work; one that warns costs speed or comfort.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from tools.doctor.finding import CheckResult, Verdict

MIB = 1 << 20
SHARED_MEMORY = Path("/dev/shm")
CLOCK_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
LOGIND = Path("/etc/systemd/logind.conf")
FIRST_LOGIN_UID = 1000


def check_python() -> CheckResult:
    """numba has compiled code for these versions."""
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return CheckResult(
        "python", Verdict.OK if good else Verdict.FAIL, platform.python_version(), "use Python 3.11 to 3.13"
    )


def check_platform() -> CheckResult:
    """The ring's ordering was proven on x86-64; futex and locks are Linux's."""
    found = f"{platform.system()} {platform.machine()}"
    if platform.system() != "Linux":
        return CheckResult("platform", Verdict.FAIL, found, "the ring needs Linux")
    good = platform.machine() == "x86_64"
    return CheckResult("platform", Verdict.OK if good else Verdict.WARN, found, "the ring was soaked on x86-64 only")


def check_cores() -> CheckResult:
    """A spinning reader wants a core of its own."""
    cores = len(os.sched_getaffinity(0))
    return CheckResult("cores", Verdict.OK if cores > 1 else Verdict.WARN, str(cores), "with one core, wait by futex")


def check_shared_memory() -> CheckResult:
    """Rings are allocated in full when they are created."""
    if not SHARED_MEMORY.is_dir():
        return CheckResult("shared memory", Verdict.FAIL, f"no {SHARED_MEMORY}", "mount a tmpfs there")
    free = shutil.disk_usage(SHARED_MEMORY).free // MIB
    return CheckResult(
        "shared memory",
        Verdict.OK if free >= 64 else Verdict.FAIL,
        f"{free} MiB free",
        "the default rings need 64 MiB; in a container: --shm-size=256m",
    )


def check_kernel_cache() -> CheckResult:
    """Importing a kernel refuses a cache that another user could write."""
    from tlv.errors import UnsafeCacheError

    try:
        from tlv.user_cache import cache_root
    except UnsafeCacheError as error:
        return CheckResult("kernel cache", Verdict.FAIL, str(error), "make the directory yours, mode 0700")
    return CheckResult("kernel cache", Verdict.OK, str(cache_root()))


def check_open_files() -> CheckResult:
    """Each relay client takes two descriptors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CheckResult("open files", Verdict.OK if soft >= 1024 else Verdict.WARN, str(soft), "ulimit -n 1024 or more")


def check_clock() -> CheckResult:
    """A clock that needs a system call costs some 200 ns a frame."""
    source = CLOCK_SOURCE.read_text().strip() if CLOCK_SOURCE.exists() else "unknown"
    good = source in {"tsc", "kvm-clock", "arch_sys_counter"}
    return CheckResult("clock source", Verdict.OK if good else Verdict.WARN, source, "tsc reads without a system call")


def check_remove_ipc() -> CheckResult:
    """systemd-logind removes a user's shared memory at logout unless told otherwise."""
    if os.getuid() < FIRST_LOGIN_UID or not LOGIND.exists():
        return CheckResult("RemoveIPC", Verdict.OK, "does not concern this user")
    lines = [line.strip().lower() for line in LOGIND.read_text().splitlines()]
    kept = "removeipc=no" in lines
    return CheckResult(
        "RemoveIPC",
        Verdict.OK if kept else Verdict.WARN,
        "no" if kept else "yes (the default)",
        "rings vanish when you log out: RemoveIPC=no in logind.conf, or loginctl enable-linger",
    )


CHECKS: tuple[Callable[[], CheckResult], ...] = (
    check_python,
    check_platform,
    check_cores,
    check_shared_memory,
    check_kernel_cache,
    check_open_files,
    check_clock,
    check_remove_ipc,
)
