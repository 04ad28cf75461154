"""A real NATS server with JetStream, on loopback, for the bridge's proofs.

Owns starting, killing and restarting it on the same storage.  It must never know what is sent through it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Self

from tlv.errors import UsageError
from tools.command.parent import request_death_signal

START_TIMEOUT_S = 10.0
PACKAGED = "/usr/sbin/nats-server"
"""Where Debian puts it; not always on a user's PATH."""


class NatsServer:
    """One server; its storage is in `directory` and outlives it.  A context manager."""

    def __init__(self, directory: Path) -> None:
        found = shutil.which("nats-server") or shutil.which(PACKAGED)
        if found is None:
            raise UsageError("nats-server is needed and was not found; Debian's package nats-server has it")
        self._program = found
        self._directory = directory
        self._port = -1
        self.process = self._start()

    @property
    def url(self) -> str:
        """Where clients connect; the same after a restart."""
        return f"nats://127.0.0.1:{self._port}"

    def _start(self) -> subprocess.Popen[bytes]:
        ports = self._directory / "ports"
        shutil.rmtree(ports, ignore_errors=True)
        ports.mkdir(parents=True)
        process = subprocess.Popen(
            [
                *(self._program, "--jetstream", "--store_dir", str(self._directory / "store")),
                *("--addr", "127.0.0.1", "--port", str(self._port), "--ports_file_dir", str(ports)),
                *("--log", str(self._directory / "server.log")),
            ],
            preexec_fn=request_death_signal,  # noqa: PLW1509 - one prctl, no lock
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and process.poll() is None:
            for file in ports.glob("*.ports"):
                text = file.read_text()
                if text:
                    self._port = int(json.loads(text)["nats"][0].rsplit(":", 1)[1])
                    return process
            time.sleep(0.02)
        process.kill()
        process.wait()
        raise UsageError(f"nats-server did not start within {START_TIMEOUT_S:.0f} s: see {self._directory}/server.log")

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start again on the same port and storage."""
        self.kill()
        self.process = self._start()

    def close(self) -> None:
        """Stop it and wait."""
        self.process.terminate()
        self.process.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
