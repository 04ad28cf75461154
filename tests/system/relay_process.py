"""`alphapulse relay` as a process, for tests that take something away from it or damage what it reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from consumers.client import RelayClient

ROOT = Path(__file__).resolve().parents[2]
GOODBYE_S = 20.0
START_S = 120.0


class RelayProcess:
    """A relay whose socket, cursors, counts and log are in one folder."""

    def __init__(self, process: subprocess.Popen[str], home: Path) -> None:
        self.process = process
        self.path = home / "relay.sock"
        self.cursors = home / "cursors" / "market_data"
        self._home = home

    @property
    def pid(self) -> int:
        """Of the relay itself, also where other commands led to it: they `exec`."""
        return self.process.pid

    @property
    def counts(self) -> dict[str, int]:
        """What it counted up to the last second."""
        counts: dict[str, int] = json.loads((self._home / "counts.json").read_bytes())
        return counts

    @property
    def log(self) -> str:
        """What it wrote to stderr."""
        return (self._home / "log").read_text()

    def memory(self, field: str) -> int:
        """Bytes that /proc tells of it: VmRSS now, VmHWM at most."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{field}:"))

    def client(self, **options: Any) -> RelayClient:
        """A client that waits as long as a busy machine needs."""
        return RelayClient(self.path, **{"max_silence_s": 60.0, **options})


@contextmanager
def relay_process(home: Path, *options: str, below: Sequence[str] = ()) -> Iterator[RelayProcess]:
    """A relay that serves; `below` are the words of a command that executes it."""
    places = (
        f"--socket={home / 'relay.sock'}",
        f"--cursors={home / 'cursors'}",
        f"--stats-json={home / 'counts.json'}",
    )
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [*below, sys.executable, "-m", "tools.command.main", "relay", "--json", *places, *options],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line and json.loads(line)["ready"], (home / "log").read_text()
        yield RelayProcess(process, home)
    finally:
        process.terminate()  # it takes its counters along; one that a test stopped cannot
        with suppress(subprocess.TimeoutExpired):
            process.wait(GOODBYE_S)
        process.kill()
        process.communicate()
