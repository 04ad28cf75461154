"""Set-ups that are broken in one way each, as they stand on desks' machines, and what the doctor must say of each.

A row makes its fault of real files, sockets, processes, mounts and nodes, and returns what was found; `docs/doctor.md`
has the same rows.  Below a folder of its own stands what in life stands below `/`: files of `/sys` and `/etc`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import pickle
import resource
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from consumers.journal.segment import list_segments
from consumers.relay.counters import Counters
from consumers.relay.cursors import encode
from producers.chains.configuration import load_chain
from ringbuf import SharedCounters, Writer
from ringbuf.names import FOLDER, ring_object
from tests.consumers.journal_frames import append, open_writer
from tests.own_mounts import OWN_MOUNTS
from tlv.layout import LAYOUT_DIGEST
from tools.command.claims import Claim
from tools.doctor import delivery, machine, storage
from tools.doctor import node as nodes
from tools.doctor.asking import Asking
from tools.doctor.bounded import Check, look
from tools.doctor.configuration import Plan
from tools.doctor.finding import CheckResult
from tools.rig.endpoint import Endpoint
from tools.rig.evm.faults import WsRelay
from tools.rig.evm.node import Node
from tools.rig.nats_server import NatsServer
from tools.rig.processes import kill, reap, spawn
from tools.up.run_directory import RunDirectory, Supervised

NOBODY = 65534
POLYGON = load_chain("polygon")
COLLECTOR = '[collector]\nurl = "ws://127.0.0.1:1"\n'


class SetUp:
    """Where a row makes its fault; what it opens is closed behind it."""

    def __init__(self, folder: Path, environment: pytest.MonkeyPatch, stack: ExitStack, name: str) -> None:
        self.folder = folder
        self.environment = environment
        self.stack = stack
        self.ring = name
        """A ring that no other test has."""

    def file(self, name: str, text: str | bytes, mode: int = 0o600) -> Path:
        """A file below the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        path.chmod(mode)
        return path

    def open_folder(self) -> Path:
        """A folder that every user can enter, as pytest's own cannot be."""
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="ap")))
        folder.chmod(0o755)
        return folder

    def runtime(self) -> Path:
        """An XDG_RUNTIME_DIR of this test's own, with a short name."""
        folder = self.open_folder()
        self.environment.setenv("XDG_RUNTIME_DIR", str(folder))
        (folder / "alphapulse").mkdir(mode=0o700)
        return folder / "alphapulse"

    def plan(self, text: str, **files: str) -> list[CheckResult]:
        """What the doctor says of a configuration with this text."""
        for name, content in files.items():
            self.file(name, content)
        return planned(self.file("alphapulse.toml", text))


class Broken(NamedTuple):
    """A fault, and what must be said of it."""

    fault: str
    verdict: str
    check: str
    says: str
    remedy: str
    make: Callable[[SetUp], Iterable[CheckResult]]


BROKEN: list[Broken] = []


def broken(fault: str, verdict: str, check: str, says: str, remedy: str) -> Callable[[Any], Any]:
    """Make a row of the function that breaks a set-up and returns the findings."""

    def add(make: Callable[[SetUp], Iterable[CheckResult]]) -> Any:
        BROKEN.append(Broken(fault, verdict, check, says, remedy, make))
        return make

    return add


def planned(path: Path) -> list[CheckResult]:
    """Everything that is found of a configuration."""
    return [finding for name, check in Plan(path, os.environ).checks() for finding in look(name, check)]


def delivered(*journals: Path) -> list[CheckResult]:
    """Everything that is found of the delivery side."""
    return [finding for name, check in delivery.checks_of_delivery(journals) for finding in look(name, check)]


def as_nobody(check: Check) -> list[CheckResult]:
    """What a user without any right finds; it imports nothing any more."""
    if os.geteuid():
        return look("check", check)
    receiving, sending = os.pipe()

    def work() -> None:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        os.write(sending, pickle.dumps(look("check", check)))

    pid = spawn(work)
    os.close(sending)
    with open(receiving, "rb") as pipe:  # noqa: PTH123 - a pipe
        found: list[CheckResult] = pickle.loads(pipe.read())  # our own
    assert reap(pid) == 0
    return found


# ---- the machine


@broken("a Python that numba has no code for", "fail", "python", "3.10.4, expected 3.11 to 3.13", "python3.12 -m venv")
def _(at: SetUp) -> list[CheckResult]:
    return look("python", partial(machine.check_python, (3, 10, 4)))


def distribution(at: SetUp, requires: str) -> Distribution:
    """An installed package that requires this."""
    return Distribution.at(
        at.file("x-1.dist-info/METADATA", f"Name: x\nVersion: 1\nRequires-Dist: {requires}\n").parent
    )


@broken("a package that is missing", "fail", "packages", "no-such-package is missing", "--force-reinstall alphapulse")
def _(at: SetUp) -> list[CheckResult]:
    return look("packages", partial(machine.check_packages, distribution(at, "no-such-package[x]>=1")))


@broken("a package that is too old", "fail", "packages", "is older than 99.1", "pip install --upgrade")
def _(at: SetUp) -> list[CheckResult]:
    return look("packages", partial(machine.check_packages, distribution(at, "click>=99.1")))


@broken("an extra that nobody installed", "ok", "packages", "extras not installed: moon", "")
def _(at: SetUp) -> list[CheckResult]:
    return look("packages", partial(machine.check_packages, distribution(at, "no-such-package>=1; extra == 'moon'")))


@broken("one core", "warn", "cores", "1, expected 2 or more", "wait by futex")
def _(at: SetUp) -> list[CheckResult]:
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(ours)})
    try:
        return look("cores", partial(machine.check_cores, at.folder))
    finally:
        os.sched_setaffinity(0, ours)


def group(at: SetUp, **files: str) -> Path:
    """A control group of ours, below another one."""
    at.file("proc/self/cgroup", "0::/system.slice/alphapulse.service\n")
    for name, text in files.items():
        at.file(f"sys/fs/cgroup/system.slice/{name.replace('_', '.')}", text)
    at.file("sys/fs/cgroup/system.slice/alphapulse.service/cpu.max", "max 100000\n")
    return at.folder


@broken("a control group with a CPU quota", "warn", "cores", "a quota of 0.5 cores", "CPUQuota= of the unit")
def _(at: SetUp) -> list[CheckResult]:
    return look("cores", partial(machine.check_cores, group(at, cpu_max="50000 100000\n")))


@broken("a control group with little memory left", "warn", "memory", "100 MiB left, expected 512 MiB", "MemoryMax=")
def _(at: SetUp) -> list[CheckResult]:
    sizes = {"memory_max": 256 << 20, "memory_current": 200 << 20}
    root = group(
        at, memory_stat=f"anon 1\ninactive_file {44 << 20}\n", **{key: str(size) for key, size in sizes.items()}
    )
    return look("memory", partial(machine.check_memory, root))


@broken("a machine whose memory is used up", "warn", "memory", "97 MiB left", "end what else takes it")
def _(at: SetUp) -> list[CheckResult]:
    at.file("proc/meminfo", "MemTotal:       16000000 kB\nMemAvailable:     100000 kB\n")
    return look("memory", partial(machine.check_memory, at.folder))


@broken("cores that clock down", "warn", "governor", "powersave, expected performance", "cpupower frequency-set")
def _(at: SetUp) -> list[CheckResult]:
    at.file("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n")
    return look("governor", partial(machine.check_governor, at.folder))


@broken("a low `ulimit -n`", "warn", "open files", "256 (hard limit", "ulimit -n 1024")
def _(at: SetUp) -> list[CheckResult]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        return look("open files", machine.check_open_files)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@broken("a clock that needs a system call", "warn", "clock source", "hpet, expected tsc", "dmesg | grep -i tsc")
def _(at: SetUp) -> list[CheckResult]:
    at.file("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n")
    return look("clock source", partial(machine.check_clock, at.folder))


@broken("a clock that nobody synchronises", "warn", "clock", "nobody synchronises it", "timedatectl set-ntp true")
def _(at: SetUp) -> list[CheckResult]:
    return look("clock", partial(machine.check_clock_synchronised, machine.STA_UNSYNC))


@broken("logind as it comes", "warn", "RemoveIPC", "yes (the default): rings vanish", "loginctl enable-linger")
def _(at: SetUp) -> list[CheckResult]:
    at.file("etc/systemd/logind.conf", "[Login]\n#RemoveIPC=no\n")
    return look("RemoveIPC", partial(machine.check_remove_ipc, at.folder, 1000))


@broken("logind told otherwise by a drop-in", "warn", "RemoveIPC", "10-ipc.conf", "RemoveIPC=no in logind.conf")
def _(at: SetUp) -> list[CheckResult]:
    at.file("etc/systemd/logind.conf", "[Login]\nRemoveIPC=no\n")
    at.file("etc/systemd/logind.conf.d/10-ipc.conf", "[Login]\nRemoveIPC = yes\n")
    return look("RemoveIPC", partial(machine.check_remove_ipc, at.folder, 1000))


# ---- storage: small file systems that only one process sees, looked at by it


MOUNTS = """
mkdir small full inodes readonly
mount -t tmpfs -o size=8m,mode=1777 tmpfs small
mount -t tmpfs -o size=66m,mode=1777 tmpfs full
head -c 40M /dev/zero > full/old
mount -t tmpfs -o size=66m,nr_inodes=5,mode=1777 tmpfs inodes
touch inodes/1 inodes/2 inodes/3
mount -t tmpfs -o size=66m,mode=1777 tmpfs readonly
mount -o remount,ro readonly
exec "$@"
"""
LOOK_AT_MOUNTS = """
import json, pathlib
from dataclasses import asdict
from tools.doctor.bounded import look
from tools.doctor.delivery import check_journal
from tools.doctor.storage import check_directory, check_private, check_shared_memory
here, found = pathlib.Path.cwd(), {}
for name in ("small", "full", "inodes", "readonly"):
    found[f"shm {name}"] = look("shm", lambda: check_shared_memory(here / name))
    found[f"journal {name}"] = look("journal", lambda: check_journal(here / name / "journal", "market.polygon", 128))
    found[f"state {name}"] = look("state", lambda: check_directory("state directory", here / name / "a" / "b", 16))
    found[f"cache {name}"] = look("cache", lambda: check_private("kernel cache", here / name / "c", "cache", 16))
print(json.dumps({key: [asdict(one) for one in value] for key, value in found.items()}))
"""


@cache
def on_small_disks() -> dict[str, list[CheckResult]]:
    """What is found on each, by check and disk; one process looks at all of them."""
    with tempfile.TemporaryDirectory(prefix="ap") as folder:
        command = [*OWN_MOUNTS, "sh", "-ec", MOUNTS, "sh", sys.executable, "-c", LOOK_AT_MOUNTS]
        sources = str(Path(__file__).parents[2])
        ended = subprocess.run(
            command, cwd=folder, env=os.environ | {"PYTHONPATH": sources}, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
    return {key: [CheckResult(**one) for one in value] for key, value in json.loads(ended.stdout).items()}


@broken("a small /dev/shm", "fail", "shared memory", "8 MiB free, expected 64 MiB", "remount,size=256m")
def _(at: SetUp) -> list[CheckResult]:
    return on_small_disks()["shm small"]


@broken("a full /dev/shm", "fail", "shared memory", "26 MiB free, expected 64 MiB", "`ringstat gc --closed`")
def _(at: SetUp) -> list[CheckResult]:
    return on_small_disks()["shm full"]


@broken("a /dev/shm without inodes", "fail", "shared memory", "no inode is free", "nr_inodes=100k")
def _(at: SetUp) -> list[CheckResult]:
    return on_small_disks()["shm inodes"]


@broken("a /dev/shm mounted read-only", "fail", "shared memory", "readonly is mounted read-only", "remount,rw")
def _(at: SetUp) -> list[CheckResult]:
    return on_small_disks()["shm readonly"]


@broken("no /dev/shm", "fail", "shared memory", "no such directory, expected a tmpfs", "mount -t tmpfs")
def _(at: SetUp) -> list[CheckResult]:
    return look("shared memory", partial(storage.check_shared_memory, at.folder / "shm"))


@broken(
    "a /dev/shm that is no file system of its own", "warn", "shared memory", "each publish may wait", "mount -t tmpfs"
)
def _(at: SetUp) -> list[CheckResult]:
    return look("shared memory", partial(storage.check_shared_memory, at.folder, 1))


@broken("a /dev/shm that its user may not write to", "fail", "shared memory", "may not write there", "chown")
def _(at: SetUp) -> list[CheckResult]:
    folder = at.open_folder()
    folder.chmod(0o555)
    return as_nobody(partial(storage.check_shared_memory, folder))


@broken("a full disk for journals", "fail", "journal", "8 MiB free, expected 128 MiB", "du -xsh")
def _(at: SetUp) -> list[CheckResult]:
    return on_small_disks()["journal small"]


@broken("a read-only disk for journals", "fail", "journal", "is mounted read-only", "ReadWritePaths=")
def _(at: SetUp) -> list[CheckResult]:
    return on_small_disks()["journal readonly"]


@broken("a full disk for cursors", "fail", "state directory", "8 MiB free, expected 16 MiB", "du -xsh")
def _(at: SetUp) -> list[CheckResult]:
    return on_small_disks()["state small"]


@broken("a disk for cursors without inodes", "fail", "state directory", "no inode is free", "df -i")
def _(at: SetUp) -> list[CheckResult]:
    return on_small_disks()["state inodes"]


@broken("a read-only disk for kernels", "fail", "kernel cache", "is mounted read-only", "remount,rw")
def _(at: SetUp) -> list[CheckResult]:
    return on_small_disks()["cache readonly"]


@broken(
    "a kernel cache that is a link", "fail", "kernel cache", "expected a directory, found lrwxrwxrwx", "or remove it"
)
def _(at: SetUp) -> list[CheckResult]:
    (at.folder / "cache").symlink_to("/tmp")
    return look("kernel cache", partial(storage.check_kernel_cache, at.folder / "cache"))


@broken("a kernel cache that others can write", "fail", "kernel cache", "expected mode 0700, found 0777", "chmod 700")
def _(at: SetUp) -> list[CheckResult]:
    (at.folder / "cache").mkdir()
    (at.folder / "cache").chmod(0o777)
    return look("kernel cache", partial(storage.check_kernel_cache, at.folder / "cache"))


@broken("a kernel cache of another user", "fail", "kernel cache", "expected owner", "chown")
def _(at: SetUp) -> list[CheckResult]:
    theirs = Path("/usr")
    if not os.geteuid():
        theirs = at.folder / "cache"
        theirs.mkdir()
        os.chown(theirs, NOBODY, NOBODY)
    return look("kernel cache", partial(storage.check_kernel_cache, theirs))


@broken("kernels of another version only", "warn", "kernels", "not compiled for this version", "alphapulse warm")
def _(at: SetUp) -> list[CheckResult]:
    at.file("alphapulse/kernels-old/sources-0", b"")
    at.environment.setenv("XDG_CACHE_HOME", str(at.folder))
    return look("kernels", storage.check_compiled)


@broken("an XDG_RUNTIME_DIR that is gone", "warn", "run-time directory", "names none:", "export XDG_RUNTIME_DIR=")
def _(at: SetUp) -> list[CheckResult]:
    at.environment.setenv("XDG_RUNTIME_DIR", str(at.folder / "gone"))
    return look("run-time directory", storage.check_runtime_directory)


@broken(
    "an XDG_RUNTIME_DIR of another user", "fail", "run-time directory", "as `sudo` and `su` leave it", "/run/user/$(id"
)
def _(at: SetUp) -> list[CheckResult]:
    folder = at.open_folder()
    if os.geteuid():
        folder = Path("/usr")
    else:
        os.chown(folder, NOBODY, NOBODY)
    at.environment.setenv("XDG_RUNTIME_DIR", str(folder))
    return look("run-time directory", storage.check_runtime_directory)


@broken(
    "an XDG_RUNTIME_DIR that is too long for sockets", "fail", "run-time directory", "expected at most 107", "TMPDIR"
)
def _(at: SetUp) -> list[CheckResult]:
    (at.folder / ("x" * 90)).mkdir()
    at.environment.setenv("XDG_RUNTIME_DIR", str(at.folder / ("x" * 90)))
    return look("run-time directory", storage.check_runtime_directory)


@broken("a relay's directory that others can write", "fail", "run-time directory", "found 0777", "chmod 700")
def _(at: SetUp) -> list[CheckResult]:
    at.runtime().chmod(0o777)
    return look("run-time directory", storage.check_runtime_directory)


@broken("a relay's directory that others can read", "fail", "run-time directory", "found 0755", "chmod 700")
def _(at: SetUp) -> list[CheckResult]:
    at.runtime().chmod(0o755)
    return look("run-time directory", storage.check_runtime_directory)


@broken(
    "a file where a relay's directory belongs", "fail", "run-time directory", "expected a directory", "or remove it"
)
def _(at: SetUp) -> list[CheckResult]:
    at.runtime().rmdir()
    (Path(os.environ["XDG_RUNTIME_DIR"]) / "alphapulse").write_text("")
    return look("run-time directory", storage.check_runtime_directory)


@broken("a file where the state directory belongs", "fail", "state directory", "is no directory", "mv ")
def _(at: SetUp) -> list[CheckResult]:
    at.environment.setenv("XDG_STATE_HOME", str(at.file("state", "")))
    return look("state directory", storage.check_state_directory)


@broken("a state directory of another user", "fail", "state directory", "may not write there", "chown nobody")
def _(at: SetUp) -> list[CheckResult]:
    folder = at.open_folder()
    if os.geteuid():
        folder.chmod(0o555)
    return as_nobody(partial(storage.check_directory, "state directory", folder / "cursors", 1))


# ---- the delivery side


@broken("a ring of another layout", "warn", "rings", "has layout 0x7, this version", "start its producer again")
def _(at: SetUp) -> list[CheckResult]:
    at.stack.enter_context(Writer.create(at.ring, capacity=1 << 16, layout_digest=7))
    return delivered()


@broken("a damaged ring", "warn", "rings", "{ring}", "`ringstat` shows it")
def _(at: SetUp) -> list[CheckResult]:
    with Writer.create(at.ring, capacity=1 << 16, layout_digest=LAYOUT_DIGEST):
        pass
    path = FOLDER / ring_object(at.ring).removeprefix("/")
    with path.open("r+b") as file:
        file.write(os.urandom(64))
    return delivered()


def begin_and_kill(begin: Callable[[], object]) -> None:
    """A process that began something and was killed in the midst of it."""
    receiving, sending = os.pipe()

    def work() -> None:
        begun = begin()
        os.write(sending, b"x")
        signal.pause()
        del begun

    pid = spawn(work)
    os.close(sending)
    assert os.read(receiving, 1) == b"x", "it failed to begin"
    os.close(receiving)
    kill(pid)


@broken("a ring whose writer was killed", "warn", "writers", "died without closing it", "start its producer again")
def _(at: SetUp) -> list[CheckResult]:
    begin_and_kill(lambda: Writer.create(at.ring, capacity=1 << 16, layout_digest=LAYOUT_DIGEST))
    return delivered()


@broken("counts that a killed process left", "warn", "processes", "has ended without leaving", "ringstat gc")
def _(at: SetUp) -> list[CheckResult]:
    begin_and_kill(lambda: SharedCounters.create(Counters, at.ring, "relay"))
    return delivered()


@broken("a socket whose relay was killed", "warn", "relay sockets", "signal.sock does not answer", "takes its place")
def _(at: SetUp) -> list[CheckResult]:
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(at.runtime() / "signal.sock"))
    return delivered()


@broken("a damaged cursor", "warn", "cursors", "desk.json is damaged, or of another version", "gets everything again")
def _(at: SetUp) -> list[CheckResult]:
    at.environment.setenv("XDG_STATE_HOME", str(at.folder))
    at.file("alphapulse/cursors/desk.json", encode({"00" * 16: 5})[:-4])
    return delivered()


@broken("a journal of another layout", "fail", "journal", "expected layout digest", "record into a new directory")
def _(at: SetUp) -> list[CheckResult]:
    with open_writer(at.folder / "journal", layout_digest=7) as writer:
        append(writer, [b"frame"], 1)
    return delivered(at.folder / "journal")


@broken("a damaged segment of a journal", "warn", "journal", "no segment header", "alphapulse journal verify")
def _(at: SetUp) -> list[CheckResult]:
    with open_writer(at.folder / "journal", pack=False, layout_digest=LAYOUT_DIGEST) as writer:
        append(writer, [b"frame"], 1)
    (segment,) = list_segments(at.folder / "journal")
    segment.path.write_bytes(b"\0\0" + segment.path.read_bytes()[2:])
    return delivered(at.folder / "journal")


@broken("a journal of another user", "fail", "journal", "a recorder could not write there", "chown nobody")
def _(at: SetUp) -> list[CheckResult]:
    folder = at.open_folder() / "journal"
    with open_writer(folder, layout_digest=LAYOUT_DIGEST) as writer:
        append(writer, [b"frame"], 1)
    for path in folder.iterdir():
        path.chmod(0o644)
    folder.chmod(0o555)
    look("journal", partial(delivery.check_journal, folder, "market.test", 1))  # imports what it needs
    return as_nobody(partial(delivery.check_journal, folder, "market.test", 1))


# ---- a configuration


@broken("a configuration that is not there", "fail", "configuration", "No such file or directory", "alphapulse init")
def _(at: SetUp) -> list[CheckResult]:
    return planned(at.folder / "alphapulse.toml")


@broken(
    "a folder in place of a configuration",
    "fail",
    "configuration",
    "it is no file, expected a TOML file",
    "config check",
)
def _(at: SetUp) -> list[CheckResult]:
    return planned(at.folder)


@broken("a configuration that is no TOML", "fail", "configuration", "no TOML: ", "alphapulse config check")
def _(at: SetUp) -> list[CheckResult]:
    return at.plan("[collector\n")


@broken("a configuration that names no process", "fail", "configuration", "it names no process", "alphapulse init")
def _(at: SetUp) -> list[CheckResult]:
    return at.plan("[up]\nrestarts = 3\n")


@broken("a misspelt section", "fail", "configuration", "unknown section; did you mean collector?", "config reference")
def _(at: SetUp) -> list[CheckResult]:
    return at.plan("[colector]\n")


@broken("a misspelt key", "fail", "configuration", "collector.ulr: unknown key; did you mean url?", "config reference")
def _(at: SetUp) -> list[CheckResult]:
    return at.plan('[collector]\nulr = "wss://node.example"\n')


@broken("a value of another type", "fail", "configuration", "recorder.segment_mib: Expected int", "config reference")
def _(at: SetUp) -> list[CheckResult]:
    return at.plan('[recorder]\nsegment_mib = "64"\n')


@broken("a value out of range", "fail", "configuration", "obs.port: 70000 is not in the range", "config reference")
def _(at: SetUp) -> list[CheckResult]:
    return at.plan("[obs]\nport = 70000\n")


@broken("two relays at one socket", "fail", "configuration", "is relay.a's already", "config check")
def _(at: SetUp) -> list[CheckResult]:
    at.runtime()
    return at.plan('[relay.a]\nring = ["x"]\n[relay.b]\nring = ["y"]\n')


@broken(
    "an environment variable that is misspelt",
    "fail",
    "configuration",
    "did you mean ALPHAPULSE__COLLECTOR__URL?",
    "config",
)
def _(at: SetUp) -> list[CheckResult]:
    at.environment.setenv("ALPHAPULSE__COLLECTOR__ULR", "wss://node.example")
    return at.plan(COLLECTOR)


@broken("http:// where ws:// belongs", "fail", "configuration", "expected a ws:// or wss:// URL", "config check")
def _(at: SetUp) -> list[CheckResult]:
    return at.plan('[collector]\nurl = "https://node.example/v2/abc"\n')


@broken("a URL without its scheme", "fail", "configuration", "expected a ws:// or wss:// URL", "config check")
def _(at: SetUp) -> list[CheckResult]:
    return at.plan('[collector]\nurl = "node.example/v2/abc"\n')


@broken("a line end in a URL", "fail", "configuration", "found one with a space or a line end in it", "config check")
def _(at: SetUp) -> list[CheckResult]:
    return at.plan('[collector]\nurl = "wss://node.example/v2/abc\\r\\n"\n')


@broken(
    "a provider's placeholder left in a URL", "fail", "configuration", "found the placeholder of an example", "config"
)
def _(at: SetUp) -> list[CheckResult]:
    return at.plan('[collector]\nurl = "wss://node.example/v2/YOUR-API-KEY"\n')


@broken(
    "an extra that a section needs", "fail", "extras", "no-such-client is missing", "pip install 'alphapulse[nats]'"
)
def _(at: SetUp) -> list[CheckResult]:
    requires = "Name: alphapulse\nVersion: 1\nRequires-Dist: no-such-client; extra == 'nats'\n"
    at.file("packages/alphapulse-1.dist-info/METADATA", requires)
    at.environment.syspath_prepend(str(at.folder / "packages"))
    return at.plan('[bridge_in]\nring = "far"\nserver = "nats://127.0.0.1:1"\n')


@broken("a configuration with keys that others can read", "warn", "configuration's mode", "may hold keys", "chmod 600")
def _(at: SetUp) -> list[CheckResult]:
    return planned(at.file("alphapulse.toml", COLLECTOR, mode=0o644))


@broken(
    "a configuration that others can change", "warn", "configuration's mode", "can change what `up` starts", "chmod 600"
)
def _(at: SetUp) -> list[CheckResult]:
    return planned(at.file("alphapulse.toml", '[relay]\nring = ["x"]\n', mode=0o666))


@broken("a ring that nobody writes", "warn", "rings that are read", "nobody writes market.polygn", "is it misspelt?")
def _(at: SetUp) -> list[CheckResult]:
    return at.plan(COLLECTOR + '[recorder]\nring = "market.polygn"\nout = "j"\n')


@broken("rings larger than /dev/shm", "fail", "room for rings", "MiB free, expected", "remount,size=")
def _(at: SetUp) -> list[CheckResult]:
    return at.plan(COLLECTOR + f'ring = "{at.ring}"\ncapacity = {1 << 45}\n')


@broken("a port that is taken", "fail", "obs: port", "Address already in use, expected a free port", "ss -ltnp")
def _(at: SetUp) -> list[CheckResult]:
    other = at.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    return at.plan(f"[obs]\nport = {other.getsockname()[1]}\n")


@broken("a host that is no address", "fail", "obs: port", "no-such-host.invalid is no address", "127.0.0.1")
def _(at: SetUp) -> list[CheckResult]:
    token = at.file("token", "0123456789abcdef0123456789abcdef\n")
    return at.plan(f'[obs]\nhost = "no-such-host.invalid"\ntoken_file = "{token}"\n')


@broken("an address of another machine", "fail", "obs: port", "Cannot assign requested address", "ip address")
def _(at: SetUp) -> list[CheckResult]:
    return at.plan('[obs]\nhost = "192.0.2.1"\n')


@broken("a token's file that is not there", "fail", "obs: token", "No such file or directory", "openssl rand -hex 32")
def _(at: SetUp) -> list[CheckResult]:
    return at.plan('[obs]\ntoken_file = "token"\n')


@broken("a token that others can read", "fail", "obs: token", "expected mode 0600, found 0644", "umask 077")
def _(at: SetUp) -> list[CheckResult]:
    at.file("token", "0123456789abcdef0123456789abcdef", mode=0o644)
    return at.plan('[obs]\ntoken_file = "token"\n')


@broken("two lines in a token's file", "fail", "obs: token", "expected one line of", "openssl rand -hex 32")
def _(at: SetUp) -> list[CheckResult]:
    return at.plan('[obs]\ntoken_file = "token"\n', token="0123456789abcdef\r\n0123456789abcdef\r\n")


@broken("a FIFO as token's file", "fail", "obs: token", "no file", "openssl rand -hex 32")
def _(at: SetUp) -> list[CheckResult]:
    os.mkfifo(at.folder / "token")
    return at.plan('[obs]\ntoken_file = "token"\n')


def credential(at: SetUp, data: bytes) -> list[CheckResult]:
    """What is found beside a credential with this content."""
    at.environment.setenv("CREDENTIALS_DIRECTORY", str(at.folder / "credentials"))
    at.file("credentials/ALPHAPULSE__COLLECTOR__URL", data)
    return at.plan(COLLECTOR)


@broken("an empty credential of systemd", "fail", "credentials", "it is empty, expected one line", "LoadCredential=")
def _(at: SetUp) -> list[CheckResult]:
    return credential(at, b"\n")


@broken("a credential of two lines", "fail", "credentials", "it has several lines", "LoadCredential=")
def _(at: SetUp) -> list[CheckResult]:
    return credential(at, b"ws://127.0.0.1:1\nws://127.0.0.1:2\n")


@broken("a credential in UTF-16", "fail", "credentials", "not UTF-8", "printf %s")
def _(at: SetUp) -> list[CheckResult]:
    return credential(at, "ws://127.0.0.1:1".encode("utf-16"))


@broken("a CREDENTIALS_DIRECTORY that is gone", "fail", "credentials", "names no directory", "unset it elsewhere")
def _(at: SetUp) -> list[CheckResult]:
    at.environment.setenv("CREDENTIALS_DIRECTORY", str(at.folder / "gone"))
    return at.plan(COLLECTOR)


@broken("a damaged state file", "fail", "collector: state file", "remove it to begin at the head", ".damaged")
def _(at: SetUp) -> list[CheckResult]:
    return at.plan(COLLECTOR + 'state = "state"\n', state='{"chain_id": 137, "number')


@broken("a state file of another chain", "fail", "collector: state file", "expected chain 137, found 1", ".damaged")
def _(at: SetUp) -> list[CheckResult]:
    zeros = "0x" + "0" * 64
    state = {"chain_id": 1, "number": 5, "hash": zeros, "parent_hash": zeros, "timestamp": 1}
    return at.plan(COLLECTOR + 'state = "state"\n', state=json.dumps(state))


@broken(
    "a damaged pool cache",
    "warn",
    "collector: pool cache",
    "1 lines are passed over, line 1:",
    "asked of the node again",
)
def _(at: SetUp) -> list[CheckResult]:
    return at.plan(COLLECTOR + 'pool_cache = "pools"\n', pools='{"chain_id": 137, "pool"\n')


@broken("a chain file that is not there", "fail", "configuration", "my.toml", "config check")
def _(at: SetUp) -> list[CheckResult]:
    return at.plan(COLLECTOR + 'chain = "my.toml"\n')


@broken(
    "a journal of another ring",
    "fail",
    "recorder: journal",
    "it is of market.test, expected market.polygon",
    "a directory of its own",
)
def _(at: SetUp) -> list[CheckResult]:
    with open_writer(at.folder / "j", layout_digest=LAYOUT_DIGEST) as writer:
        append(writer, [b"frame"], 1)
    return at.plan('[recorder]\nring = "market.polygon"\nout = "j"\n')


@broken("a relay's journal that nobody records", "warn", "relay: journal", "is no journal", "`alphapulse record`")
def _(at: SetUp) -> list[CheckResult]:
    at.runtime()
    return at.plan('[relay]\nring = ["x"]\njournal = ["j"]\n')


@broken("an `up` that was killed", "warn", "alphapulse up", "its supervisor (pid 7) was killed", "alphapulse up -c")
def _(at: SetUp) -> list[CheckResult]:
    at.runtime()
    an_up(at, "other.toml", held=False)
    return delivered()


@broken("another `up` that has the ring", "fail", "other `up`s", "which is up", "alphapulse down -c")
def _(at: SetUp) -> list[CheckResult]:
    at.runtime()
    an_up(at, "other.toml", held=True).add_claims([Claim("ring", at.ring)])
    return at.plan(COLLECTOR + f'ring = "{at.ring}"\n')


@broken(
    "a configuration edited while it is up",
    "warn",
    "this `up`",
    "with other settings than the file has",
    "alphapulse down -c",
)
def _(at: SetUp) -> list[CheckResult]:
    at.runtime()
    an_up(at, "alphapulse.toml", held=True).write_settings({"collector": {"url": "ws://127.0.0.1:2"}})
    return at.plan(COLLECTOR)


def an_up(at: SetUp, config: str, *, held: bool) -> RunDirectory:
    """The directory of an `up`, with its lock held by this process or not."""
    path = at.file(config, COLLECTOR)
    place = RunDirectory.of(path)
    place.make()
    place.introduce(Supervised(str(path), 7, "today"))
    lock = at.stack.enter_context((place.directory / "lock").open("w"))
    if held:
        fcntl.flock(lock, fcntl.LOCK_EX)
    return place


@broken("no NATS server", "fail", "bridge_out: server", "cannot connect (Connect call failed", "is nats-server running")
def _(at: SetUp) -> list[CheckResult]:
    return at.plan('[bridge_out]\nserver = "nats://127.0.0.1:1"\n')


@broken("a NATS server without JetStream", "fail", "bridge_out: stream", "JetStream is not enabled", "nats-server -js")
def _(at: SetUp) -> list[CheckResult]:
    server = at.stack.enter_context(NatsServer(at.folder / "nats", jetstream=False))
    return at.plan(f'[bridge_out]\nserver = "{server.url}"\n')


@broken("a NATS account that has no room", "fail", "bridge_out: room", "64 MiB left, expected 1,024 MiB", "max_file")
def _(at: SetUp) -> list[CheckResult]:
    settings = "accounts { A { jetstream: { max_file: 64MiB }, users: [{ user: u, password: p }] } }"
    server = at.stack.enter_context(NatsServer(at.folder / "nats", settings=settings))
    return at.plan(f'[bridge_out]\nserver = "nats://u:p@{server.place}"\nmax_mib = 1024\n')


@broken(
    "an nkey with something else in it", "fail", "bridge_out: broker", "expected an NKEY seed", "nsc generate creds"
)
def _(at: SetUp) -> list[CheckResult]:
    return at.plan('[bridge_out]\nnkey = "seed"\n', seed="SUnothing\r\n")


@broken(
    "a TLS certificate's file that holds none", "fail", "bridge_in: broker", "expected PEM certificates", "openssl x509"
)
def _(at: SetUp) -> list[CheckResult]:
    return at.plan('[bridge_in]\nring = "far"\ntls_ca = "ca.pem"\n', **{"ca.pem": "no certificate"})


# ---- checks that cannot be made


@broken(
    "a file that hangs whoever opens it", "fail", "pool cache", "could not be checked: no answer within 0.2 s", "a FIFO"
)
def _(at: SetUp) -> list[CheckResult]:
    os.mkfifo(at.folder / "fifo")
    found = look("pool cache", lambda: [CheckResult("x", *((at.folder / "fifo").read_text(),) * 2)], bound_s=0.2)  # type: ignore[arg-type]
    (at.folder / "fifo").write_text("")  # whoever waits goes on
    return found


@broken(
    "a check that fails itself",
    "?",
    "anything",
    "could not be checked: ZeroDivisionError",
    "report it",
)
def _(at: SetUp) -> list[CheckResult]:
    return look("anything", lambda: [CheckResult(str(1 // 0), *("",) * 2)])  # type: ignore[arg-type]


# ---- nodes


class AnsweringRelay(WsRelay):
    """A real node, of which some answers are others: derived."""

    def __init__(self, upstream: str, answers: dict[str, Any]) -> None:
        super().__init__(upstream)
        self.answers = answers

    async def _to_node(self, down: ServerConnection, up: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in down:
                request = json.loads(message)
                name = request["method"] + (
                    f" {request['params'][0]}" if request["params"][:1] in (["newHeads"], ["0x0"]) else ""
                )
                if name in self.answers:
                    await down.send(json.dumps({"jsonrpc": "2.0", "id": request["id"]} | self.answers[name]))
                else:
                    await up.send(message)


@cache
def real_node() -> Node:
    """One for all rows; `stop_node` ends it."""
    return Node()


def stop_node() -> None:
    """End what `real_node` began."""
    if real_node.cache_info().currsize:
        real_node().__exit__(None, None, None)
        real_node.cache_clear()


async def answered(name: str, answers: dict[str, Any]) -> list[CheckResult]:
    """What one check finds at a node with these answers."""
    asking = Asking(lambda line: None, lambda finding: None)
    async with AnsweringRelay(real_node().url, answers) as relay, Endpoint(relay.url) as endpoint:
        await asking.find(name, nodes.CHECKS[name](endpoint, POLYGON))
    return asking.findings


async def examined(url: str, wait_s: float = 0.1) -> list[CheckResult]:
    """Everything that is found of an endpoint."""
    return await nodes.examine(url, "http://127.0.0.1:1", POLYGON, wait_s, lambda line: None)


async def refused_with(status: int) -> list[CheckResult]:
    """What is found at an endpoint that refuses the handshake so."""
    async with WsRelay("ws://127.0.0.1:1") as relay:
        relay.refuse_with = status
        return await examined(relay.url)


@broken(
    "a host name that does not resolve", "fail", "connection", "cannot connect to no-such-host.invalid", "getent hosts"
)
def _(at: SetUp) -> list[CheckResult]:
    return asyncio.run(examined("wss://no-such-host.invalid/v2/abc"))


@broken("a node that does not run", "fail", "connection", "Connect call failed", "is the node running")
def _(at: SetUp) -> list[CheckResult]:
    return asyncio.run(examined("ws://127.0.0.1:1"))


@contextmanager
def tls_server(at: SetUp) -> Iterator[ssl.SSLContext]:
    """A server's TLS with a certificate that nobody signed."""
    certificate, key = at.folder / "cert.pem", at.folder / "key.pem"
    options = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost")
    subprocess.run([*options, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    yield context


@broken(
    "a certificate that nobody signed", "fail", "connection", "certificate verify failed", "openssl s_client -connect"
)
def _(at: SetUp) -> list[CheckResult]:
    async def look_at_it(context: ssl.SSLContext) -> list[CheckResult]:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        async with server:
            return await examined(f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    with tls_server(at) as context:
        return asyncio.run(look_at_it(context))


@broken("wss:// at a port without TLS", "fail", "connection", "cannot connect to 127.0.0.1", "ws:// instead of wss://")
def _(at: SetUp) -> list[CheckResult]:
    return asyncio.run(examined(f"wss://127.0.0.1:{real_node().port}"))


@broken("a port that speaks no WebSocket", "fail", "connection", "cannot connect to 127.0.0.1", "8546, not 8545")
def _(at: SetUp) -> list[CheckResult]:
    async def look_at_it() -> list[CheckResult]:
        def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"SSH-2.0 x\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
            return await examined(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    return asyncio.run(look_at_it())


@broken("a key that is refused", "fail", "connection", "HTTP 401", "its key is missing, wrong")
def _(at: SetUp) -> list[CheckResult]:
    return asyncio.run(refused_with(401))


@broken("a key that is not for this chain", "fail", "connection", "HTTP 403", "not for this chain or address")
def _(at: SetUp) -> list[CheckResult]:
    return asyncio.run(refused_with(403))


@broken("a URL with another path", "fail", "connection", "HTTP 404", "the path of the URL is wrong")
def _(at: SetUp) -> list[CheckResult]:
    return asyncio.run(refused_with(404))


@broken("an account that has asked too much", "fail", "connection", "HTTP 429", "wait a minute")
def _(at: SetUp) -> list[CheckResult]:
    return asyncio.run(refused_with(429))


@broken("a provider that is down", "fail", "connection", "HTTP 503", "--fallback another endpoint")
def _(at: SetUp) -> list[CheckResult]:
    return asyncio.run(refused_with(503))


@broken("a web page in place of an endpoint", "fail", "connection", "HTTP 400", "is that its WebSocket endpoint?")
def _(at: SetUp) -> list[CheckResult]:
    return asyncio.run(refused_with(400))


def ask(name: str, answers: dict[str, Any]) -> list[CheckResult]:
    """The same, to its end."""
    question: Awaitable[list[CheckResult]] = answered(name, answers)
    return asyncio.run(question)  # type: ignore[arg-type]


def refusal(message: str, code: int = -32601) -> dict[str, Any]:
    """A node's error."""
    return {"error": {"code": code, "message": message}}


@broken(
    "a node of another chain", "fail", "chain", "expected 137 (polygon), found 1", "another --chain, or another URL"
)
def _(at: SetUp) -> list[CheckResult]:
    return ask("chain", {"eth_chainId": {"result": "0x1"}})


@broken(
    "a development chain with the same id", "fail", "early block", "block 0 is 0x", "another chain that has the id 137"
)
def _(at: SetUp) -> list[CheckResult]:
    return ask("early block", {})


@broken("a node without early blocks", "warn", "early block", "it does not show block 0: pruned?", "keeps history")
def _(at: SetUp) -> list[CheckResult]:
    return ask("early block", {"eth_getBlockByNumber 0x0": {"result": None}})


@broken(
    "a node that syncs", "fail", "sync", "the node is syncing, at block 0x10 of 0x20", "wait until it has caught up"
)
def _(at: SetUp) -> list[CheckResult]:
    return ask("sync", {"eth_syncing": {"result": {"currentBlock": "0x10", "highestBlock": "0x20"}}})


@broken(
    "a node that has stood still for long", "warn", "newest block", "s old, expected at most", "the node stands still"
)
def _(at: SetUp) -> list[CheckResult]:
    zeros = "0x" + "0" * 64
    head = {"number": "0x5", "hash": zeros, "parentHash": zeros, "timestamp": "0x5f5e1000"}
    return ask("newest block", {"eth_getBlockByNumber": {"result": head}})


@broken("this machine's clock is behind", "warn", "newest block", "ahead of this machine's clock", "timedatectl")
def _(at: SetUp) -> list[CheckResult]:
    zeros = "0x" + "0" * 64
    head = {"number": "0x5", "hash": zeros, "parentHash": zeros, "timestamp": hex(1 << 34)}
    return ask("newest block", {"eth_getBlockByNumber": {"result": head}})


@broken("a node that refuses logs", "warn", "logs of a block", "does not exist", "a collector then asks by number")
def _(at: SetUp) -> list[CheckResult]:
    return ask("logs of a block", {"eth_getLogs": refusal("the method eth_getLogs does not exist/is not available")})


@broken("a node that says no block", "fail", "newest block", "has another form than a node's", "use another endpoint")
def _(at: SetUp) -> list[CheckResult]:
    return ask("newest block", {"eth_getBlockByNumber": {"result": ["what"]}})


@broken("a node without newHeads", "fail", "subscription", "does not exist", "a collector needs eth_subscribe")
def _(at: SetUp) -> list[CheckResult]:
    async def look_at_it() -> list[CheckResult]:
        no_heads = {"eth_subscribe newHeads": refusal("the method newHeads does not exist/is not available")}
        async with AnsweringRelay(real_node().url, no_heads) as relay:
            return await examined(relay.url)

    return asyncio.run(look_at_it())


@broken(
    "a node whose subscription is dead",
    "fail",
    "subscription",
    "0 blocks pushed within 0.1 s",
    "the chain stands still",
)
def _(at: SetUp) -> list[CheckResult]:
    return asyncio.run(examined(real_node().url))


class Silence(AnsweringRelay):
    """Accepts, and passes no question on."""

    async def _to_node(self, down: ServerConnection, up: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for _ in down:
                pass


@broken("an endpoint that answers nothing", "fail", "chain", "no answer within 0.2 s", "use another endpoint")
def _(at: SetUp) -> list[CheckResult]:
    async def look_at_it() -> list[CheckResult]:
        asking = Asking(lambda line: None, lambda finding: None)
        async with Silence(real_node().url, {}) as relay, Endpoint(relay.url) as endpoint:
            await asking.find("chain", nodes.check_chain(endpoint, POLYGON), bound_s=0.2)
        return asking.findings

    return asyncio.run(look_at_it())
