"""The pipeline on a market, as `alphapulse up` runs it from the market's own configuration.

Owns its start and its end.  What it prints goes to stderr, where who watches sees it.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tools.command.supervisor import ChildFailed, child_environment, command_line, signal_group

END_S = 60.0
"""`up` itself gives each process 10 s, and the readers a moment more."""


@contextlib.contextmanager
def pipeline_on(config: Path) -> Iterator[Callable[[], None]]:
    """Run it; the function raises if it has ended.  What the last such pipeline left in memory is removed first.

    Raises:
        ChildFailed: it ended by itself.
    """
    purge(config)
    process = subprocess.Popen(
        command_line(["--config", str(config), "up"]),
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
        env=child_environment({}),
        start_new_session=True,
    )

    def check() -> None:
        if process.poll() is not None:
            raise ChildFailed(f"the pipeline on the market has ended with {process.returncode}")

    try:
        yield check
    finally:
        signal_group(process, signal.SIGTERM)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            signal_group(process, signal.SIGKILL)
            process.wait()
        purge(config)


def purge(config: Path) -> None:
    """Remove rings, logs and sockets of a pipeline that is not up.

    Raises:
        ChildFailed: they could not be removed.
    """
    done = subprocess.run(
        command_line(["--config", str(config), "down", "--purge"]),
        env=child_environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ChildFailed(
            f"the rings of the market's pipeline are not free, end what has them or name others with --ring: "
            f"{done.stderr.strip()}"
        )
