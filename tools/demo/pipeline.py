"""The demo's processes, run by `alphapulse up`'s supervisord from the demo's own configuration.

Owns their start in an order, and what is asked of them while they run.  supervisord starts again what dies.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tools.command.config import load_config
from tools.command.environment import PREFIX
from tools.command.supervisor import ChildFailed, Interrupted, child_environment
from tools.demo.home import Home
from tools.up.beginning import Started, begin
from tools.up.control import Control
from tools.up.ending import end_of_ours
from tools.up.plan import MIB, UpOptions
from tools.up.processes import FAILED, SupervisedProcess, look_at_processes
from tools.up.rotated import last_lines
from tools.up.run_directory import as_toml

LIMITS = UpOptions(restarts=2, settle_s=1, grace_s=2, log_bytes=8 * MIB, log_files=2)
POLL_S = 0.02
READY_S = 120.0
ENDED = "ended"


class Pipeline:
    """Processes that run, by their names in the configuration."""

    def __init__(self, started: Started, asked: Callable[[], bool]) -> None:
        self._supervisord, self.place = started.process, started.place
        self._asked = asked

    def start(self, *names: str) -> None:
        """Start processes and wait for the line that each prints when it is ready.

        Raises:
            ChildFailed: one ended instead, or said nothing for `READY_S`.
            Interrupted: the user asked to stop.
        """
        with Control(self.place) as control:
            for name in names:
                control.start(name)
        deadline = time.monotonic() + READY_S
        while silent := [name for name in names if not self.lines(name)]:
            self.pause()
            for one in self.look():
                if one.name in silent and one.last_end:
                    raise ChildFailed(self._told(f"{one.name} ended before it was ready", one))
            if time.monotonic() > deadline:
                raise ChildFailed(f"not ready after {READY_S:.0f} s: {', '.join(silent)}")

    def look(self) -> list[SupervisedProcess]:
        """Every process as it is.

        Raises:
            ChildFailed: one was started again and again, and is given up; with its last lines.
        """
        found = look_at_processes(self.place)
        for one in found:
            if one.state == FAILED:
                raise ChildFailed(self._told(f"{one.name} is given up", one))
        return found

    def has_ended(self, *names: str) -> bool:
        """Whether these have come to their end by themselves."""
        return all(one.state == ENDED for one in self.look() if one.name in names)

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The JSON objects that a process printed on stdout; lines of its log may stand between them."""
        found = []
        with contextlib.suppress(OSError):
            for line in self.place.log_of(name).read_text(errors="replace").splitlines(keepends=True):
                if line.startswith("{") and line.endswith("}\n"):
                    found.append(json.loads(line))
        return [line for line in found if "level" not in line]  # a log line in its JSON form has one

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process."""
        (pid,) = (one.pid for one in self.look() if one.name == name)
        os.kill(pid, number)

    def pause(self, seconds: float = POLL_S) -> None:
        """Let time pass.

        Raises:
            ChildFailed: supervisord ended, and every process with it.
            Interrupted: the user asked to stop.
        """
        time.sleep(seconds)
        if self._asked():
            raise Interrupted
        if self._supervisord.poll() is not None:
            raise ChildFailed(f"supervisord ended ({self._supervisord.returncode}), and every process with it")

    def _told(self, what: str, one: SupervisedProcess) -> str:
        """What became of a process, with the last lines of its log, also where it was started again meanwhile."""
        return "\n    ".join([f"{what} ({one.sentence}):", *last_lines(self.place.log_of(one.name))])


@contextlib.contextmanager
def running(
    home: Home,
    processes: Mapping[str, dict[str, Any]],
    arguments: Mapping[str, Sequence[str]],
    asked: Callable[[], bool],
) -> Iterator[Pipeline]:
    """The processes of the demo, not started yet; all of them have ended behind the block.

    Settings of the user's environment are for the user's own pipelines.
    """
    home.config.write_text(as_toml(dict(processes)), encoding="utf-8")
    environment = {name: value for name, value in child_environment({}).items() if not name.startswith(PREFIX)}
    configuration = load_config(home.config, {})
    started = begin(home.config, configuration, LIMITS, environment, detach=False, arguments=arguments)
    try:
        yield Pipeline(started, asked)
    finally:
        end_of_ours(started.place, started.process)
