"""What `alphapulse up` shows in the foreground: a line for each change of a process, until the user stops them all."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, replace

from tools.command.interrupt import Interrupt
from tools.command.say import say
from tools.command.stderr_log import tell_operator
from tools.up.beginning import Started
from tools.up.control import NoAnswer
from tools.up.ending import end_of_ours
from tools.up.processes import FAILED, SupervisedProcess, look_at_processes

LOOK_S = 0.5
POLL_S = 0.02


def follow(started: Started, asked: Interrupt, as_json: bool) -> int:
    """Tell what becomes of each process; the exit code is 1 if one had failed, or if supervisord did."""
    seen: dict[str, SupervisedProcess] = {}
    silent = False
    while not asked() and started.process.poll() is None:
        try:
            found, silent = look_at_processes(started.place), False
        except NoAnswer as error:
            if not silent and started.process.poll() is None:
                complain(str(error))
            found, silent = [], True
        for one in found:
            before = seen.get(one.name)
            if before is None or (before.state, before.pid) != (one.state, one.pid):
                tell(one, as_json)
            seen[one.name] = one
        due = time.monotonic() + LOOK_S
        while time.monotonic() < due and not asked() and started.process.poll() is None:
            time.sleep(POLL_S)
    if asked():
        complain("stopping ...")
        end_of_ours(started.place, started.process)
    code = started.process.wait()
    if code != 0 and not asked():
        complain(f"supervisord ended ({code}), and every process with it")
        return 1
    return 1 if any(one.state == FAILED for one in seen.values()) else 0


def tell(one: SupervisedProcess, as_json: bool) -> None:
    """A line about a process; one that failed with the last lines of its log."""
    lines = one.last_lines if one.state == FAILED else []
    say(asdict(replace(one, last_lines=lines)), "\n    ".join([f"{one.name}: {one.sentence}", *lines]), as_json)


def complain(line: str) -> None:
    """A line on stderr, for the operator."""
    tell_operator(f"up: {line}", line, logging.WARNING)
