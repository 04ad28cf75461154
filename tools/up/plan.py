"""The supervisord configuration of an `up`, from its options and its processes.

Owns what supervisord is told; writes no file and starts nothing.  Each process is a command that a user could type.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tools.command.config import Settings
from tools.command.supervisor import command_line
from tools.up.run_directory import RunDirectory

GROUP = "alphapulse"
MIB = 1 << 20
MIN_DESCRIPTORS = 256
"""supervisord raises its own limit to this much and refuses to run below; a process takes three."""


@dataclass(frozen=True)
class UpOptions:
    """How processes are started again, ended, and how much of their output is kept."""

    restarts: int
    """Starts in a row that may fail."""
    settle_s: int
    """A process that lives so long has started."""
    grace_s: int
    """From SIGTERM to SIGKILL."""
    log_bytes: int
    log_files: int


def supervisord_conf(
    place: RunDirectory,
    processes: Mapping[str, Settings],
    limits: UpOptions,
    arguments: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> str:
    """The whole file; its relative names are in the run directory, which supervisord works in.

    They are one group, so that supervisord ends them all at once; it waits 1 s more before each new start of one that
    did not settle, and gives up behind the last.  A process with `arguments`, which no configuration has, may end by
    itself, and is started only when asked for.
    """
    logs = {"maxbytes": limits.log_bytes, "backups": limits.log_files - 1}
    sections: list[tuple[str, dict[str, Any]]] = [
        (
            "supervisord",
            {
                "logfile": f"{place.supervisord_log.name}",
                **{f"logfile_{key}": value for key, value in logs.items()},
                "pidfile": "supervisord.pid",
                "nodaemon": "true",
                "silent": "true",
                "nocleanup": "true",
                "umask": "077",
                "minfds": MIN_DESCRIPTORS,
                "minprocs": 1,
            },
        ),
        ("unix_http_server", {"file": f"{place.control.name}", "chmod": "0600"}),
        (
            "rpcinterface:supervisor",
            {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
        ),
        (f"group:{GROUP}", {"programs": ",".join(processes)}),
    ]
    for name, one in processes.items():
        settings = [f"--config={place.settings}", f"--process={name}"]
        sections.append(
            (
                f"program:{name}",
                {
                    "command": quoted(command_line([*settings, *one.command.split(), *arguments.get(name, ())])),
                    "autostart": "false" if name in arguments else "true",
                    "autorestart": "unexpected" if name in arguments or may_end(one) else "true",
                    "exitcodes": 0,
                    "startsecs": limits.settle_s,
                    "startretries": limits.restarts,
                    "stopwaitsecs": limits.grace_s,
                    "redirect_stderr": "true",
                    "stdout_logfile": f"{place.logs.name}/{place.log_of(name).name}",
                    **{f"stdout_logfile_{key}": value for key, value in logs.items()},
                },
            )
        )
    return "\n".join(
        line for name, values in sections for line in [f"[{name}]", *(f"{k} = {v}" for k, v in values.items()), ""]
    )


def may_end(settings: Settings) -> bool:
    """Whether the process is meant to end by itself; every other one is started again however it ended."""
    values = settings.values
    reads_to_an_end = settings.section == "strategy" and "journal" in values and not values.get("follow")
    return reads_to_an_end or values.get("at_end") == "close"


def quoted(words: Sequence[str]) -> str:
    """A command line as supervisord reads it: `%` doubled, and no `;` or `#` behind a space, which begins a comment."""
    line = shlex.join(words).replace("%", "%%")
    return line.replace(" ;", " '';").replace(" #", " ''#")
