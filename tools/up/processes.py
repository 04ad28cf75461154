"""The processes of an `up` as an operator sees them: state, restarts, how the last one ended, its last lines.

Owns the words for states, and which of them is well.  It asks supervisord and reads its files; it changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tools.up.control import Control, ProcessInfo
from tools.up.history import Life, read_lives
from tools.up.rotated import last_lines
from tools.up.run_directory import RunDirectory

STATES = {
    "STARTING": "starting",
    "RUNNING": "running",
    "BACKOFF": "backing off",
    "STOPPING": "ending",
    "EXITED": "ended",
    "STOPPED": "stopped",
    "FATAL": "failed",
}
FAILED = "failed"


@dataclass(frozen=True)
class SupervisedProcess:
    """One process at one moment."""

    name: str
    state: str
    """`running` has lived for `settle` seconds; `failed` is given up."""
    pid: int
    age_s: int
    restarts: int
    last_end: str
    last_lines: list[str]
    """Of its log, where it does not run."""

    @property
    def healthy(self) -> bool:
        """Whether it runs, or has ended as it was meant to."""
        return self.state == "running" or (self.state == "ended" and self.last_end == "exit status 0")

    @property
    def sentence(self) -> str:
        """The same for people, but its last lines."""
        parts = [self.state]
        if self.pid:
            parts.append(f"pid {self.pid}")
        if self.restarts:
            parts.append(f"restarted {self.restarts} time{'s' if self.restarts > 1 else ''}")
        if self.last_end and (self.restarts or not self.pid):
            parts.append(f"last end: {self.last_end}")
        return ", ".join(parts)


def look_at_processes(place: RunDirectory) -> list[SupervisedProcess]:
    """Every process of a place.

    Raises:
        NoAnswer: supervisord does not answer.
    """
    with Control(place) as control:
        found = control.processes()
    lives = read_lives(place)
    return [state_of(one, lives.get(one.name, Life()), place.log_of(one.name)) for one in found]


def state_of(info: ProcessInfo, life: Life, log: Path) -> SupervisedProcess:
    """One process."""
    state = STATES.get(info.state, info.state.lower())
    end = life.last_end or ("" if info.pid else info.problem)
    lines = [] if info.pid else last_lines(log)
    return SupervisedProcess(info.name, state, info.pid, info.age_s, max(life.starts - 1, 0), end, lines)
