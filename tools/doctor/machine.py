"""Whether this machine can run the pipeline well: interpreter, packages, processor, clock, limits.

Owns these checks.  Each looks at one fact of the machine, says what was expected and found, and changes nothing.  A
check that fails is a reason why the pipeline would not work; one that warns costs speed or comfort.  What stands in
files of the system is looked for below `root`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import pwd
import re
import resource
import sys
from importlib import metadata
from pathlib import Path

from tools.doctor.bounded import Named
from tools.doctor.finding import CheckResult, Verdict

ROOT = Path("/")
MIB = 1 << 20
FIRST_LOGIN_UID = 1000
LEAST_MEMORY_MIB = 512
"""A collector with 5,000 pools takes some 300 MB (bench `collector`), a strategy 100."""
DESCRIPTORS = 1024
HARD_DESCRIPTORS = 256
"""What supervisord insists on (`tools.up.plan`)."""
STA_UNSYNC = 0x40
"""Of `status` in struct timex: nobody disciplines the clock (adjtimex(2))."""
TIMEX_BYTES, STATUS_AT = 208, 40
REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[^]]*\])?(?:>=([\d.]+))?(?:.*extra == ['\"]([\w-]+)['\"])?", re.ASCII)
UNTESTED = ("dev",)


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> CheckResult:
    """numba has compiled code for these versions."""
    good = (3, 11) <= version[:2] <= (3, 13)
    return CheckResult(
        "python",
        Verdict.OK if good else Verdict.FAIL,
        ".".join(map(str, version)),
        "python3.12 -m venv .venv && .venv/bin/pip install alphapulse",
        expected="3.11 to 3.13",
        where=sys.executable,
    )


def check_packages(ours: metadata.Distribution | None = None) -> list[CheckResult]:
    """Each package that ours needs, in a version that it can use; of an extra that nobody installed, that it is not."""
    try:
        ours = ours or metadata.distribution("alphapulse")
    except metadata.PackageNotFoundError:
        return [CheckResult("packages", Verdict.UNKNOWN, "alphapulse is run and not installed", "pip install .")]
    wrong = missing_packages(ours)
    lacking = sorted({extra for extra, _ in wrong} - {"", *UNTESTED})
    core = [text for extra, text in wrong if not extra]
    found = ", ".join(core) or ("all there" + (f"; extras not installed: {', '.join(lacking)}" if lacking else ""))
    remedy = "pip install --upgrade --force-reinstall alphapulse"
    verdict = Verdict.FAIL if core else Verdict.OK
    return [CheckResult("packages", verdict, found, remedy, where=sys.prefix)]


def missing_packages(ours: metadata.Distribution) -> list[tuple[str, str]]:
    """Extra (empty: none) and what is wrong, of every required package that is missing or too old."""
    wrong = []
    for line in ours.requires or []:
        match = REQUIREMENT.match(line)
        assert match is not None, line
        name, least, extra = match[1], match[2] or "0", match[3] or ""
        try:
            there = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append((extra, f"{name} is missing"))
            continue
        if numbers(there) < numbers(least):
            wrong.append((extra, f"{name} {there} is older than {least}"))
    return wrong


def numbers(version: str) -> tuple[int, ...]:
    """The release of a version, for comparison: 2.10 is above 2.9."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


def check_platform() -> CheckResult:
    """The ring's ordering was proven on x86-64; futex and locks are Linux's."""
    found = f"{platform.system()} {platform.machine()}"
    if platform.system() != "Linux":
        return CheckResult("platform", Verdict.FAIL, found, "the ring needs Linux")
    good = platform.machine() == "x86_64"
    return CheckResult("platform", Verdict.OK if good else Verdict.WARN, found, "the ring was soaked on x86-64 only")


def control_groups(root: Path) -> list[Path]:
    """Our control group and those above it, the innermost first; none where they are not of version 2."""
    top = root / "sys/fs/cgroup"
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::/"):
                own = top / line[4:]
                return [place for place in (own, *own.parents) if place.is_relative_to(top) and place.is_dir()]
    return []


def check_cores(root: Path = ROOT) -> CheckResult:
    """A spinning reader wants a core of its own; a quota stops every thread of the group until its period ends."""
    cores = len(os.sched_getaffinity(0))
    for group in control_groups(root):
        quota, _, period = read(group / "cpu.max").partition(" ")
        if quota.isdecimal() and int(quota) < cores * int(period):
            share = int(quota) / int(period)
            remedy = "raise it: CPUQuota= of the unit, or docker run --cpus"
            found = f"a quota of {share:g} cores"
            return CheckResult("cores", Verdict.WARN, found, remedy, expected="no quota", where=str(group / "cpu.max"))
    good = cores > 1
    remedy = "with one core, wait by futex; taskset -pc shows the cores that we may use"
    return CheckResult("cores", Verdict.OK if good else Verdict.WARN, str(cores), remedy, expected="2 or more")


def check_memory(root: Path = ROOT) -> CheckResult:
    """Where the limit of a control group is met, the kernel kills a process of it."""
    available = re.search(r"^MemAvailable: +(\d+) kB", read(root / "proc/meminfo"), re.M)
    left, where, remedy = int(available[1]) << 10 if available else 1 << 62, "/proc/meminfo", "end what else takes it"
    for group in control_groups(root):
        most, used = read(group / "memory.max"), read(group / "memory.current")
        cached = re.search(r"^inactive_file (\d+)", read(group / "memory.stat"), re.M)
        if not (most.isdecimal() and used.isdecimal()):
            continue
        free = int(most) - int(used) + (int(cached[1]) if cached else 0)
        if free < left:
            left, where = free, str(group / "memory.max")
            remedy = "raise it: MemoryMax= of the unit, or docker run --memory; rings count too"
    good = left >= LEAST_MEMORY_MIB * MIB
    found, expected = f"{left // MIB} MiB left", f"{LEAST_MEMORY_MIB} MiB"
    return CheckResult("memory", Verdict.OK if good else Verdict.WARN, found, remedy, expected=expected, where=where)


def check_governor(root: Path = ROOT) -> CheckResult:
    """A core that has clocked down takes up to a millisecond to come back."""
    found = {read(path) for path in root.glob("sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")}
    good = "powersave" not in found
    return CheckResult(
        "governor",
        Verdict.OK if good else Verdict.WARN,
        ", ".join(sorted(found)) or "none: the machine decides",
        "cpupower frequency-set -g performance",
        expected="performance",
        where="/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
    )


def check_open_files() -> CheckResult:
    """Each relay client takes two descriptors."""
    soft, hard = (
        1 << 62 if one == resource.RLIM_INFINITY else one for one in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    verdict = Verdict.OK if soft >= DESCRIPTORS else Verdict.WARN if hard >= HARD_DESCRIPTORS else Verdict.FAIL
    remedy = f"ulimit -n {DESCRIPTORS}, or LimitNOFILE= of the unit; above the hard limit: /etc/security/limits.conf"
    found = f"{soft} (hard limit {hard})" if soft < DESCRIPTORS else str(soft)
    return CheckResult("open files", verdict, found, remedy, expected=f"{DESCRIPTORS} or more")


def check_clock(root: Path = ROOT) -> CheckResult:
    """A clock that needs a system call costs some 200 ns a frame."""
    path = root / "sys/devices/system/clocksource/clocksource0/current_clocksource"
    source = read(path) or "unknown"
    good = source in {"tsc", "kvm-clock", "arch_sys_counter"}
    return CheckResult(
        "clock source",
        Verdict.OK if good else Verdict.WARN,
        source,
        "the kernel distrusts tsc: `dmesg | grep -i tsc` says why; the host of a virtual machine decides",
        expected="tsc, which reads without a system call",
        where=str(path),
    )


def clock_status() -> int:
    """What the kernel says of its clock: `status` of adjtimex(2), asked without changing anything."""
    timex = ctypes.create_string_buffer(TIMEX_BYTES)
    if ctypes.CDLL(None, use_errno=True).adjtimex(timex) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return ctypes.c_int.from_buffer(timex, STATUS_AT).value


def check_clock_synchronised(status: int | None = None) -> CheckResult:
    """Ages of blocks, and of heads, are judged by this clock; latencies within the host are not."""
    good = not (clock_status() if status is None else status) & STA_UNSYNC
    return CheckResult(
        "clock",
        Verdict.OK if good else Verdict.WARN,
        "synchronised" if good else "nobody synchronises it, as the kernel says",
        "timedatectl set-ntp true, or install chrony",
        expected="a running NTP client",
    )


def check_remove_ipc(root: Path = ROOT, uid: int | None = None) -> CheckResult:
    """systemd-logind removes a user's shared memory at logout unless told otherwise."""
    uid = os.getuid() if uid is None else uid
    main = root / "etc/systemd/logind.conf"
    if uid < FIRST_LOGIN_UID or not (main.exists() or (root / "usr/lib/systemd/systemd-logind").exists()):
        return CheckResult("RemoveIPC", Verdict.OK, "does not concern this user")
    user = name_of(uid)
    if (root / "var/lib/systemd/linger" / user).exists():
        return CheckResult("RemoveIPC", Verdict.OK, "this user lingers")
    said, where = "", str(main)
    for path in (main, *sorted(root.glob("etc/systemd/logind.conf.d/*.conf"))):
        for line in path.read_text().splitlines() if path.exists() else ():
            key, _, value = line.partition("=")
            if key.strip() == "RemoveIPC":
                said, where = value.strip().lower(), str(path)
    kept = said in ("no", "false", "off", "0")
    return CheckResult(
        "RemoveIPC",
        Verdict.OK if kept else Verdict.WARN,
        "no" if kept else f"{said or 'yes (the default)'}: rings vanish when you log out",
        f"loginctl enable-linger {user}, or RemoveIPC=no in logind.conf",
        expected="no",
        where=where,
    )


def name_of(uid: int) -> str:
    """A user's name; the number where it has none, as in a container."""
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def read(path: Path) -> str:
    """A file of the system, without its line end; empty where there is none."""
    try:
        return path.read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""


CHECKS: tuple[Named, ...] = (
    ("python", check_python),
    ("packages", check_packages),
    ("platform", check_platform),
    ("cores", check_cores),
    ("memory", check_memory),
    ("governor", check_governor),
    ("open files", check_open_files),
    ("clock source", check_clock),
    ("clock", check_clock_synchronised),
    ("RemoveIPC", check_remove_ipc),
)
