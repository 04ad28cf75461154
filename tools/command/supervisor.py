"""Start, watch and stop child processes for the length of one command; `tools.up` runs pipelines that stay.

Owns a set of child processes, each a command of `alphapulse`.  It must never know what they do: no ring, no message, no
node.  It relies on three conventions: a command prints one line on stdout when it is ready, ends cleanly on SIGTERM,
and exits with a non-zero code when it could not do its work.

    declared --start--> starting --first line on stdout--> ready --SIGTERM / its own end--> ended
                            |                                |
                            +------- ends with a code -------+--> ChildFailed, with its last lines on stderr

Output goes to files in the supervisor's directory and not to pipes: a pipe that nobody drains stops its writer.  Each
child has a session of its own, so that Ctrl-C in a terminal reaches only the supervisor, which then stops the children
in its own order; `tools.command.parent` sees to it that none outlives a supervisor that was killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import tools
from tlv.errors import AlphaPulseError
from tools.command.parent import PARENT_VARIABLE

POLL_S = 0.01
"""How often a waiting supervisor polls; short, since a start waits for several children in a row."""
END_S = 1.0
"""From SIGTERM to SIGKILL."""
LAST_LINES = 12
OF_SYSTEMD = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""What systemd tells a process is not for that process's children."""


class ChildFailed(AlphaPulseError):
    """A process of the pipeline ended unasked, or did not get ready in time."""


class Interrupted(AlphaPulseError):
    """The user asked to stop while something was being waited for."""


@dataclass
class Child:
    """One running command and the files with its output."""

    name: str
    process: subprocess.Popen[bytes]
    out: Path
    log: Path
    ready: bool = False
    may_end: bool = False
    """Whether an end with code 0 is expected (a bounded replay, a warm-up)."""

    @property
    def state(self) -> str:
        """`starting`, `running`, `done`, or how it failed."""
        code = self.process.poll()
        if code is None:
            return "running" if self.ready else "starting"
        if code == 0:
            return "done"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit {code}"

    def lines(self) -> list[str]:
        """Whole lines printed on stdout so far."""
        text = self.out.read_text(errors="replace")
        return text[: text.rfind("\n") + 1].splitlines()

    def last_words(self) -> str:
        """The last lines of its stderr, indented for an error message."""
        lines = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return "".join(f"\n    {line}" for line in lines) or " (nothing on stderr)"


@dataclass
class Supervisor:
    """A set of children, stopped together when the `with` block ends."""

    directory: Path
    interrupted: Callable[[], bool] = lambda: False
    """Asked while waiting; True makes the wait raise `Interrupted`."""
    children: dict[str, Child] = field(default_factory=dict)

    def start(
        self,
        name: str,
        arguments: list[str],
        *,
        ready_s: float = 30.0,
        may_end: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> Child:
        """Start `alphapulse ARGUMENTS...` as the child `name` and wait for its first line on stdout.

        Raises:
            ChildFailed: it ended first, or printed nothing for `ready_s` seconds.
            Interrupted: the user asked to stop.
        """
        child = self.launch(name, arguments, may_end=may_end, environment=environment)
        self.await_ready(name, ready_s=ready_s)
        return child

    def await_ready(self, *names: str, ready_s: float = 30.0) -> None:
        """Wait until each of the named children has printed its first line.

        Raises:
            ChildFailed: one ended first, or printed nothing for `ready_s` seconds.
            Interrupted: the user asked to stop.
        """
        deadline = time.monotonic() + ready_s
        for child in (self.children[name] for name in names):
            while not child.lines():
                self.pause()
                if time.monotonic() > deadline:
                    raise ChildFailed(f"{child.name} was not ready after {ready_s:.0f} s:{child.last_words()}")
                if child.process.poll() is not None and not child.lines():
                    raise ChildFailed(f"{child.name} ended before it was ready ({child.state}):{child.last_words()}")
            child.ready = True

    def launch(
        self,
        name: str,
        arguments: list[str],
        *,
        may_end: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> Child:
        """Start a child without waiting for it."""
        out, log = self.directory / f"{name}.out", self.directory / f"{name}.log"
        with out.open("wb") as stdout, log.open("wb") as stderr:
            process = subprocess.Popen(
                command_line(arguments),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=child_environment(environment or {}),
                start_new_session=True,
            )
        self.children[name] = Child(name, process, out, log, may_end=may_end)
        return self.children[name]

    def pause(self, seconds: float = POLL_S) -> None:
        """Sleep a moment, then raise if the user asked to stop or a child died.

        Raises:
            ChildFailed: a child ended by itself.
            Interrupted: the user asked to stop.
        """
        deadline = time.monotonic() + seconds
        while True:
            if self.interrupted():
                raise Interrupted("interrupted")
            self.check()
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, POLL_S))

    def check(self) -> None:
        """Raise ChildFailed for a child that ended and should not have."""
        for child in self.children.values():
            code = child.process.poll()
            if code is None or (code == 0 and child.may_end):
                continue
            how = "ended by itself" if child.ready else "ended before it was ready"
            raise ChildFailed(f"{child.name} {how} ({child.state}):{child.last_words()}")

    def end(self, *names: str, timeout_s: float = END_S) -> None:
        """Ask the named children to end, and kill what has not ended after `timeout_s` seconds."""
        ending = [self.children[name] for name in names if name in self.children]
        for child in ending:
            child.may_end = True
            signal_group(child.process, signal.SIGTERM)
            signal_group(child.process, signal.SIGCONT)  # one that somebody stopped cannot end
        deadline = time.monotonic() + timeout_s
        for child in ending:
            try:
                child.process.wait(max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                signal_group(child.process, signal.SIGKILL)
                child.process.wait()

    def stop(self) -> None:
        """End every child, as `end` does."""
        self.end(*self.children)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal a child and whatever it started itself; its session makes them one process group."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def command_line(arguments: list[str]) -> list[str]:
    """The command of a child: this interpreter and these sources, whatever PATH and the working directory hold."""
    return [sys.executable, "-P", "-m", "tools.command.main", *arguments]


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: ours, the sources we run from, and our pid for `tools.command.parent`."""
    sources = str(Path(tools.__file__).parent.parent)
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([sources, inherited] if inherited else [sources])
    ours = {name: value for name, value in os.environ.items() if name not in OF_SYSTEMD}
    return ours | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", PARENT_VARIABLE: str(os.getpid())} | dict(extra)
