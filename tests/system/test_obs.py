"""`alphapulse obs` as a process, beside processes that come, are killed and come back; asked over real sockets."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.command.supervisor import child_environment, command_line
from tools.obs.api import ANSWERS

CANARY = "canary5e8c21d0"
TOKEN = "0123456789abcdef-token"
PATIENCE_S = 90.0
"""Longer than any machine is busy."""


@contextmanager
def running(place: Path, *arguments: str, **settings: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A command that is ready, and the line that it said so with; killed at the end."""
    process = subprocess.Popen(
        command_line(list(arguments)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment({"XDG_RUNTIME_DIR": str(place)} | settings),
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield process, json.loads(line)
    finally:
        process.kill()
        process.communicate()


class Asking:
    """Asks a server at one address."""

    def __init__(self, url: str) -> None:
        self._host, _, port = url.removeprefix("http://").rpartition(":")
        self.port = int(port)

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Status and body."""
        connection = http.client.HTTPConnection(self._host, self.port, timeout=PATIENCE_S)
        try:
            connection.request("GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def until(self, path: str, wanted: Callable[[int, Any], bool]) -> Any:
        """The first answer that is as wanted."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            status, body = self.get(path)
            if wanted(status, json.loads(body)):
                return json.loads(body)
            assert time.monotonic() < deadline, body
            time.sleep(0.1)


def unmet(answer: Any) -> dict[str, str]:
    """The text of each condition of /readyz that is not met."""
    return {condition["name"]: condition["text"] for condition in answer["conditions"] if not condition["ok"]}


def test_obs_sees_a_collector_come_be_killed_and_come_back_and_says_no_key(ring_name: str, tmp_path: Path) -> None:
    """Rows 34 and 58; the node of this collector is not there, so its feed is dead while its process lives."""
    collect = ("collect", "--ring", ring_name, "--capacity", "65536", "--pool-cache", "none", "--json")
    endpoint = {"ALPHAPULSE__COLLECTOR__URL": f"ws://user:{CANARY}@127.0.0.1:1/v2/{CANARY}?key={CANARY}"}
    process_name = f"{ring_name}-collector"
    with running(tmp_path, "obs", "--port", "0", "--ring", ring_name, "--json") as (obs, ready):
        asking = Asking(ready["url"])
        status, body = asking.get("/readyz")
        assert status == 503 and f"no ring '{ring_name}'" in unmet(json.loads(body))["ring"]
        with running(tmp_path, *collect, **endpoint) as (collector, _):
            told = asking.until("/healthz", lambda _, body: "unreachable" in str(body))
            ours = [one for one in told["problems"] if one["subject"].startswith(ring_name)]
            assert [one["subject"] for one in ours] == [ring_name]
            assert ours[0]["text"].startswith("feed is unreachable (endpoint 0")
            assert "process" not in unmet(asking.until("/readyz", lambda _, body: "process" in str(body)))
            said = [asking.get(path)[1] for path in ("/metrics", "/api/schema", *ANSWERS)]
            assert [text for text in said if CANARY in text or "ws://" in text] == []
            kept = [path.read_bytes() for path in Path("/dev/shm").glob(f"*-{ring_name}*")]
            assert len(kept) == 4 and not any(CANARY.encode() in content for content in kept)
            collector.send_signal(signal.SIGKILL)
            collector.wait()
            dead = asking.until("/readyz", lambda _, body: "process" in unmet(body) and "writer" in unmet(body))
            assert unmet(dead)["process"] == f"pid {collector.pid} has ended without leaving"
            assert process_name in asking.get("/healthz")[1]
        with running(tmp_path, *collect, **endpoint):
            asking.until("/readyz", lambda _, body: {"process", "writer"}.isdisjoint(unmet(body)))
        obs.send_signal(signal.SIGTERM)
        assert obs.wait(PATIENCE_S) == 0


def upgrade(port: int, host: str, **headers: str) -> str:
    """The first line of the answer to a WebSocket handshake."""
    lines = [
        *("GET / HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *(f"{name}: {text}" for name, text in headers.items()),
    ]
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        with connection.makefile() as answer:
            return answer.readline().strip()


def test_obs_for_other_machines_answers_to_the_token_and_its_own_names_only(tmp_path: Path) -> None:
    """Row 33, over a real socket at every address."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    options = ("--host", "0.0.0.0", "--port", "0", "--token-file", str(token), "--allow-host", "dash.example")
    with running(tmp_path, "obs", *options, "--json") as (obs, ready):
        asking = Asking(ready["url"].replace("0.0.0.0", "127.0.0.1"))
        right = f"Bearer {TOKEN}"
        assert asking.get("/api/schema")[0] == 401
        assert asking.get("/api/schema", Authorization="Bearer guess")[0] == 401
        assert asking.get("/api/schema", Authorization=right)[0] == 200
        assert asking.get("/api/schema", Authorization=right, Host="dash.example")[0] == 200
        assert asking.get("/api/schema", Authorization=right, Host="evil.example")[0] == 421
        assert asking.get("/api/schema", Authorization=right, Origin="https://evil.example")[0] == 403
        refused = upgrade(asking.port, f"127.0.0.1:{asking.port}", Origin="https://evil.example", Authorization=right)
        assert refused.startswith("HTTP/1.1 403")
        for junk in (b"\x00\xff" * 4000, b"GET /" + b"a" * 200_000, b"GET / HTTP/1.1\r\nHost"):
            with socket.create_connection(("127.0.0.1", asking.port), timeout=PATIENCE_S) as connection:
                with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                    connection.sendall(junk)
                assert asking.get("/api/schema", Authorization=right)[0] == 200
        obs.send_signal(signal.SIGINT)
        _, err = obs.communicate(timeout=PATIENCE_S)
        assert obs.returncode == 0 and TOKEN not in err
