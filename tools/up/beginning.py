"""The beginning of an `up`: what it needs is checked, then supervisord is started with everything it needs.

Owns the start.  Nothing runs before the whole configuration was found right.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from tlv.errors import AlphaPulseError, UsageError
from tools.command.config import Configuration, load_config
from tools.command.environment import settings_environment
from tools.command.parent import PARENT_VARIABLE
from tools.up.plan import MIN_DESCRIPTORS, UpOptions, supervisord_conf
from tools.up.run_directory import RunDirectory

ANSWER_S = 20.0
"""For supervisord to open its socket; on a busy machine it takes a second."""
POLL_S = 0.02


class NotStarted(AlphaPulseError):
    """supervisord ended before it answered."""


class Started(NamedTuple):
    """A running supervisord."""

    place: RunDirectory
    process: subprocess.Popen[bytes]


def checked_configuration(config: Path, environment: Mapping[str, str]) -> Configuration:
    """The configuration, if each of its processes could run.

    Raises:
        UsageError: a mistake in it; every one is named.
    """
    from tools.command.checking import mistakes

    configuration = load_config(config, settings_environment(environment))
    wrong = mistakes(configuration)
    if wrong:
        raise UsageError(f"config {config}: " + "\n  ".join(wrong))
    if not configuration.processes:
        raise UsageError(f"config {config}: it names no process: [collector], [relay], [recorder] ... are one each")
    return configuration


def begin(
    config: Path,
    configuration: Configuration,
    limits: UpOptions,
    environment: Mapping[str, str],
    *,
    detach: bool,
    arguments: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Started:
    """Start supervisord with the processes of a configuration, and wait until it answers.

    `environment` is that of its processes; those with `arguments` beside their settings wait to be asked for.  Without
    `detach` it ends when this process does.

    Raises:
        AlreadyUp: this configuration is up.
        NotStarted: supervisord could not begin; the message has what it said.
        SocketRefused: the directory's name is too long for a socket.
    """
    from consumers.relay.address import check_length
    from tools.command.checking import all_claims

    place = RunDirectory.of(config)
    check_length(place.control.with_name(f"{place.control.name}.{os.getpid()}0000"))
    require_descriptors()
    with place.hold() as lock:
        place.control.unlink(missing_ok=True)
        place.write_settings({name: one.values for name, one in configuration.processes.items()})
        place.add_claims(all_claims(configuration))
        conf = supervisord_conf(place, configuration.processes, limits, arguments)
        place.supervisord_conf.write_text(conf, encoding="utf-8")
        own = {name: value for name, value in environment.items() if not (detach and name == PARENT_VARIABLE)}
        with place.complaints.open("wb") as complaints:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tools.up.daemon", str(place.directory), str(config.resolve()), str(lock)],
                stdin=subprocess.DEVNULL,
                stdout=complaints,
                stderr=complaints,
                env=own,
                pass_fds=(lock,),
                start_new_session=True,
            )
    await_answer(place, process)
    return Started(place, process)


def await_answer(place: RunDirectory, process: subprocess.Popen[bytes]) -> None:
    """Wait until supervisord answers at its socket.

    Raises:
        NotStarted: it ended first, or takes too long.
    """
    deadline = time.monotonic() + ANSWER_S
    while not (place.who() is not None and answers(place)):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            said = place.complaints.read_text(errors="replace").strip().splitlines()[-5:]
            raise NotStarted("supervisord did not start: " + (" / ".join(said) or "it said nothing"))
        time.sleep(POLL_S)


def answers(place: RunDirectory) -> bool:
    """Whether supervisord takes orders; its socket has its name a moment before that."""
    from tools.up.control import Control, NoAnswer

    try:
        with Control(place) as control:
            control.processes()
    except NoAnswer:
        return False
    return True


def require_descriptors() -> None:
    """Raise UsageError where supervisord could not have the descriptors that it insists on."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < MIN_DESCRIPTORS:
        raise UsageError(f"`up` needs {MIN_DESCRIPTORS} descriptors, and `ulimit -Hn` allows {hard}")
