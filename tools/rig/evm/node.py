"""One process of a real node and its JSON-RPC.  Knows nothing of contracts.

What decides this file: each kind prints the port it got; anvil blocks for ever once a stdout pipe that nobody reads is
full, so the output goes to a file; each answers HTTP and WebSocket on the same port.
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
from tools.rig.evm.kinds import ANVIL, NodeKind

START_TIMEOUT_S = 60.0


class NodeRefusal(FeedError):
    """The node answered with an error."""


class Rpc:
    """JSON-RPC over HTTP: `rpc("eth_blockNumber")` returns the result.

    A connection for each call: on a kept one the node may hang up just as a transaction is sent, and then nobody knows
    whether it was taken.
    """

    def __init__(self, port: int, kind: NodeKind = ANVIL) -> None:
        self.port = port
        self.kind = kind

    def __call__(self, method: str, *params: Any) -> Any:
        return _result(method, self._post(_request(method, params)))

    def batch(self, method: str, calls: Sequence[Sequence[Any]]) -> list[Any]:
        """The results of one method for many parameters, in their order, asked in one go."""
        if not calls:
            return []  # the node calls an empty batch an invalid request
        answers = self._post([_request(method, params, number) for number, params in enumerate(calls)])
        return [_result(method, answer) for answer in sorted(answers, key=itemgetter("id"))]

    def _post(self, body: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
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

    def __init__(self, *options: str, kind: NodeKind = ANVIL, port: int = 0, chain_id: int = 137) -> None:
        self.kind, self._options, self._chain_id = kind, options, chain_id
        self.port = self._start(port)
        self.rpc = Rpc(self.port, kind)

    def _start(self, port: int) -> int:
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        self.process = subprocess.Popen(
            [*self.kind.command(port, self._chain_id), *self._options],
            cwd=self.kind.folder(),
            stdout=self._log,
            stderr=subprocess.STDOUT,
            preexec_fn=request_death_signal,  # noqa: PLW1509 - one prctl, no lock
        )
        return self._wait_for_port()

    def _output(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def _wait_for_port(self) -> int:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            found = re.search(r"(?:Listening on |server at http://)[^:]+:(\d+)", self._output())
            if found:
                return int(found[1])
            time.sleep(0.01)
        self.close()
        raise FeedError(
            f"{self.kind.name} did not listen within {START_TIMEOUT_S:.0f} s; its output: {self._output()[-500:]}"
        )

    def forget_output(self) -> None:
        """Empty the file of its output, which grows with every request."""
        self._log.seek(0)
        self._log.truncate()

    @property
    def url(self) -> str:
        """WebSocket address."""
        return f"ws://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start again, on the same port and with the same options, what was killed.

        Like every node it ends with the thread that started it.
        """
        self._log.close()
        self._start(self.port)

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
