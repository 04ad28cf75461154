"""A PostgreSQL server that is ours alone: a new cluster in a directory of its own, with a Unix socket and no port."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tools.command.parent import request_death_signal

PROGRAMS = Path("/usr/lib/postgresql")
"""Debian keeps the servers here, each version in a directory of its name."""
UNPRIVILEGED = "postgres"
"""Whom the server runs as if we are root, which it refuses to be."""
START_TIMEOUT_S = 120.0

Place = dict[str, str]


def newest_server() -> Path:
    """The directory of the newest server's programs."""
    found = sorted(PROGRAMS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    assert found, "PostgreSQL's server is needed and was not found: Debian's package postgresql has it"
    return found[-1].parent


@contextmanager
def running_server() -> Iterator[Place]:
    """Where libpq finds a server, as the variables of its environment.  Nothing is forced to the disk."""
    user = UNPRIVILEGED if os.getuid() == 0 else None
    # Not in a directory of pytest's, which nobody else may enter.
    with tempfile.TemporaryDirectory(prefix="alphapulse-postgres-") as name:
        if user:
            shutil.chown(name, user, user)
        data, programs = f"{name}/data", newest_server()
        initdb = [*("-D", data), "--username=alphapulse", "--auth=trust", "--no-locale", "--encoding=UTF8", "--no-sync"]
        asked = {"user": user, "group": user, "extra_groups": [] if user else None, "cwd": name}
        done = subprocess.run([programs / "initdb", *initdb], capture_output=True, text=True, **asked)
        assert done.returncode == 0, done.stderr
        settings = ("listen_addresses=", f"unix_socket_directories={name}", "fsync=off", "jit=off")
        command = [programs / "postgres", "-D", data, *(part for one in settings for part in ("-c", one))]
        with Path(name, "log").open("w") as log:
            server = subprocess.Popen(command, stderr=log, preexec_fn=request_death_signal, **asked)  # noqa: PLW1509
        place = {"PGHOST": name, "PGUSER": "alphapulse", "PGDATABASE": "postgres"}
        try:
            wait_for(server, place, Path(name, "log"))
            yield place
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def wait_for(server: subprocess.Popen[bytes], place: Place, log: Path) -> None:
    """Return once the server accepts connections."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(host=place["PGHOST"], user=place["PGUSER"], dbname=place["PGDATABASE"]).close()
            return
        except psycopg.OperationalError:
            time.sleep(0.02)
    raise AssertionError(log.read_text())
