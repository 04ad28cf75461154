"""`alphapulse node` as a process: what it prints, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from websockets.sync.client import connect

from tools.recording import bundled_recording

NODE = (sys.executable, "-m", "tools.node")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def node() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([*NODE, "--json", "--speed", "max"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def first_line(process: subprocess.Popen[str]) -> dict[str, object]:
    assert process.stdout is not None
    line: dict[str, object] = json.loads(process.stdout.readline())
    return line


def test_node_command_first_line_tells_urls_that_work(node: subprocess.Popen[str]) -> None:
    line = first_line(node)
    call = b'{"id":1,"method":"eth_chainId"}'
    with urlopen(Request(str(line["http"]), call), timeout=60) as response:
        assert json.load(response)["result"] == "0x89"
    with connect(str(line["ws"])) as client:
        client.send(call)
        assert json.loads(client.recv())["result"] == "0x89"
    assert (line["chain_id"], line["recording"]) == (137, "polygon")


def test_node_command_says_when_the_recording_has_ended(node: subprocess.Popen[str]) -> None:
    with connect(str(first_line(node)["ws"]), max_queue=None) as client:
        for kind in ("newHeads", "logs"):
            client.send(json.dumps({"id": 1, "method": "eth_subscribe", "params": [kind]}))
        for _ in range(2 + 5439):
            client.recv()
        assert first_line(node) == {
            "ended": True,
            "head": 13522298,
            "requests": 2,
            "notifications": 5439,
            "disconnects": 0,
            "steps": 353,
        }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_node_command_ends_on_a_signal_with_a_client_connected(
    node: subprocess.Popen[str], number: signal.Signals
) -> None:
    with connect(str(first_line(node)["ws"])) as client:
        client.send('{"id":1,"method":"eth_subscribe","params":["newHeads"]}')
        client.recv()
        node.send_signal(number)
        assert node.wait(timeout=60) == 0


def test_node_command_at_end_close_exits() -> None:
    arguments = ["--start", "now", "--speed", "max", "--at-end", "close", str(bundled_recording("ethereum"))]
    done = subprocess.run([*NODE, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "end of the recording: head 17686121, 0 notifications pushed"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--speed", "fast"], 2, "expected a number above 0 or max, found 'fast'"),
        (["--duplicate", "2"], 2, "--duplicate"),
        (["nowhere"], 2, "nowhere"),
        (["tests"], 1, "expected one recording"),
    ],
)
def test_node_command_mistake_is_one_line_without_a_traceback(arguments: list[str], code: int, message: str) -> None:
    done = subprocess.run([*NODE, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_node_command_port_in_use_is_one_line_without_a_traceback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run([*NODE, "--port", port], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert port in done.stderr


def test_node_command_help_has_an_example() -> None:
    done = subprocess.run([*NODE, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert "Example:  alphapulse node" in done.stdout
