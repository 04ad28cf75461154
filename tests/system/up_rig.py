"""An `alphapulse up` of the test's own: its file, its run-time directory, its ring names; and waiting for facts."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.command.ports import free_port
from tools.command.supervisor import child_environment
from tools.up.processes import SupervisedProcess, look_at_processes
from tools.up.rotated import last_lines
from tools.up.run_directory import RunDirectory

SHARED_MEMORY = Path("/dev/shm")
ALPHAPULSE = [sys.executable, "-m", "tools.command.main"]
PATIENCE_S = 120.0
COMPILING_S = 300.0
"""For a command that may have to compile every kernel first, on a busy machine."""

PIPELINE = """
[up]
settle = 2
restarts = 20
[relay.signal]
domain = "signal"
ring = ["{name}.signal"]
socket = "run/signal.sock"
[recorder]
ring = "{name}.market"
out = "journal"
[strategy]
ring = "{name}.market"
signals = "{name}.signal"
[execute]
ring = "{name}.market"
signals = ["{name}.signal"]
execution = "{name}.execution"
[anomalies]
ring = "{name}.market"
health = "{name}.system"
[relay.market]
ring = ["{name}.market"]
socket = "run/market.sock"
journal = ["journal"]
[collector]
url = "ws://127.0.0.1:{port}"
ring = "{name}.market"
pool_cache = "none"
[node]
port = {port}
speed = 20
at_end = "loop"
"""
"""Readers before writers: the order must not matter."""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(fact: Callable[[], Any], what: str) -> Any:
    """What `fact` returns, once that is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := fact()):
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:.0f} s for {what}"
        time.sleep(0.02)
    return found


class UpRig:
    """One configuration, and the commands on it."""

    def __init__(self, folder: Path, text: str) -> None:
        self.folder = folder
        self.name = f"test{os.getpid()}.{secrets.token_hex(3)}"
        self.port = free_port()
        self.file = folder / "alphapulse.toml"
        self.file.write_text(text.format(name=self.name, port=self.port))
        (folder / "x").mkdir(mode=0o700)
        self.environment = child_environment({"XDG_RUNTIME_DIR": str(folder / "x")})
        del self.environment["ALPHAPULSE_PARENT_PID"]

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A command to its end; `-c FILE` behind it."""
        return subprocess.run(
            [*ALPHAPULSE, arguments[0], "-c", str(self.file), *arguments[1:]],
            capture_output=True,
            text=True,
            timeout=COMPILING_S,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
        )

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """`up` in the foreground; returns when it says that it is up."""
        process = subprocess.Popen(
            [*ALPHAPULSE, "up", "-c", str(self.file), "--json", *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "up said nothing"
        assert json.loads(line)["ready"]
        return process

    def up(self) -> dict[str, Any]:
        """`up --detach`; returns its line."""
        ended = self.run("up", "--detach", "--json")
        assert ended.returncode == 0, ended.stderr
        line: dict[str, Any] = json.loads(ended.stdout)
        return line

    def status(self) -> dict[str, Any]:
        """What `status -c FILE` says, its exit code among it."""
        ended = self.run("status", "--json")
        found: dict[str, Any] = json.loads(ended.stdout)
        assert ended.returncode == (0 if found["healthy"] else 1)
        return found

    @property
    def directory(self) -> RunDirectory:
        """Where it is up."""
        (directory,) = (self.folder / "x" / "alphapulse").glob("up-*")
        return RunDirectory(directory)

    def log(self, name: str) -> list[str]:
        """The last lines that a process of this name printed, in this `up` or in one before."""
        return last_lines(self.directory.log_of(name))

    def processes(self) -> dict[str, SupervisedProcess]:
        """The processes by name, asked without a command in between."""
        return {one.name: one for one in look_at_processes(self.directory)}

    def pids(self) -> dict[str, int]:
        return {name: one.pid for name, one in self.processes().items()}

    def wait_until_healthy(self) -> None:
        """Until every process runs, whatever the feed does."""
        wait_for(lambda: all(one.healthy for one in self.processes().values()), "every process to run")

    def segments(self) -> list[str]:
        return [path.name for path in SHARED_MEMORY.glob(f"alphapulse-{os.getuid()}-{self.name}.*")]

    def end(self) -> None:
        """Whatever the test did: nothing runs, and nothing is left."""
        if (self.folder / "x" / "alphapulse").exists():
            self.run("down")
        for left in self.segments():
            (SHARED_MEMORY / left).unlink()

    def left_running(self) -> list[str]:
        """Command lines of processes of this configuration."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes()
            except OSError:
                continue
            if str(self.folder).encode() in line and alive(int(path.parent.name)):
                found.append(line.replace(b"\0", b" ").decode())
        return found


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
