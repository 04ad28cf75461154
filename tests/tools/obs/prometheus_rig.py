"""A real Prometheus and its promtool, for tests of what obs serves and of the rules that ship with it.

Owns the server's process, its configuration and its queries.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Self

from tlv.errors import UsageError
from tools.command.parent import request_death_signal
from tools.command.ports import free_port

START_TIMEOUT_S = 60.0
POLL_S = 0.1


def program(name: str) -> str:
    """The path of `prometheus` or `promtool`: the environment's, else the machine's.

    Raises:
        UsageError: there is none.
    """
    found = shutil.which(str(Path(sysconfig.get_path("scripts")) / name)) or shutil.which(name)
    if found is None:
        raise UsageError(f"{name} is needed and was not found; .ci/servers takes it from Debian's package prometheus")
    return found


class PrometheusServer:
    """One server with this configuration, in `directory`.  A context manager."""

    def __init__(self, directory: Path, configuration: str) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._directory = directory
        (directory / "prometheus.yml").write_text(configuration)

    def __enter__(self) -> Self:
        with (self._directory / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(program("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data"),
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                ],
                cwd=self._directory,
                stdout=log,
                stderr=log,
                preexec_fn=request_death_signal,  # noqa: PLW1509 - one thread at that moment
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self.ask("query", query="1")
            except (OSError, UsageError):  # nobody listens yet, or it says that it is not ready
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.__exit__()
                    raise UsageError(f"prometheus did not start: see {self._directory}/server.log") from None
                time.sleep(POLL_S)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def ask(self, what: str, **parameters: str) -> Any:
        """The data that /api/v1/`what` answers.

        Raises:
            UsageError: it refuses the question, with its words.
        """
        asked = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(asked, timeout=START_TIMEOUT_S) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise UsageError(f"prometheus: {what} {parameters}: {error.read().decode()}") from None
