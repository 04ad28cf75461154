"""One `anvil` process and its JSON-RPC.  Knows nothing of contracts.

anvil's peculiarities that decide this file: it prints the port it got; it blocks for ever once a stdout pipe that
nobody reads is full, so its output goes to a file; it answers HTTP and WebSocket on the same port.
"""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Self

from tlv.errors import FeedError
from tools.command.parent import request_death_signal
from tools.rig.evm.packages import ANVIL, path_of

START_TIMEOUT_S = 20.0


class NodeRefusal(FeedError):
    """The node answered with an error."""


class Rpc:
    """JSON-RPC over HTTP: `rpc("eth_blockNumber")` returns the result.

    A connection for each call: on a kept one the node may hang up just as a transaction is sent, and then nobody knows
    whether it was taken.
    """

    def __init__(self, port: int) -> None:
        self._port = port

    def __call__(self, method: str, *params: Any) -> Any:
        return _result(method, self._post(_request(method, params)))

    def batch(self, method: str, calls: Sequence[Sequence[Any]]) -> list[Any]:
        """The results of one method for many parameters, in their order, asked in one go."""
        if not calls:
            return []  # the node calls an empty batch an invalid request
        answers = self._post([_request(method, params, number) for number, params in enumerate(calls)])
        return [_result(method, answer) for answer in sorted(answers, key=itemgetter("id"))]

    def _post(self, body: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request("POST", "/", json.dumps(body), {"content-type": "application/json"})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


def _request(method: str, params: Sequence[Any], number: int = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}


def _result(method: str, answer: dict[str, Any]) -> Any:
    if "error" in answer:
        raise NodeRefusal(f"{method}: {answer['error']}")
    return answer["result"]


class Node:
    """A running node; a context manager."""

    def __init__(self, *options: str, port: int = 0, chain_id: int = 137) -> None:
        self._command = [
            str(path_of(ANVIL, "bin/anvil")),
            *("--chain-id", str(chain_id), "--port", str(port), "--host", "127.0.0.1", "--gas-limit", "45000000"),
            *options,
        ]
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the node
        self.process = subprocess.Popen(
            self._command,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            preexec_fn=request_death_signal,  # noqa: PLW1509 - one prctl, no lock
        )
        self.port = self._wait_for_port()
        self.rpc = Rpc(self.port)

    def _output(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def _wait_for_port(self) -> int:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            found = re.search(r"Listening on [^:]+:(\d+)", self._output())
            if found:
                return int(found[1])
            time.sleep(0.01)
        self.close()
        raise FeedError(f"anvil did not listen within {START_TIMEOUT_S:.0f} s; its output: {self._output()[-500:]}")

    @property
    def url(self) -> str:
        """WebSocket address."""
        return f"ws://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Stop the node and wait for it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._log.close()
