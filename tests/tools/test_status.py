"""`alphapulse status`: rings and relays that are there, and an exit code when something is not well."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from consumers.client import RelayClient
from consumers.execution.counts import ExecutionCounts
from consumers.recorder import Recorded
from consumers.relay.counters import Counters
from ringbuf import Loss, SharedCounters, Writer
from tests.consumers.relay_rig import publish_numbered
from tests.consumers.test_relay import wait_for
from tlv.codes import BreakerState
from tlv.layout import LAYOUT_DIGEST
from tools.rig.processes import reap, spawn


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A runtime directory of the test's own; short, since a socket's path has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="ap") as directory:
        yield Path(directory)


def status(runtime: Path, *, as_json: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.command.main", "status", *(["--json"] if as_json else [])],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"XDG_RUNTIME_DIR": str(runtime)},
    )


@contextmanager
def beating(writer: Writer) -> Iterator[None]:
    """The writer gives its heartbeat, however long the block takes."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(0.1):
            writer.heartbeat()

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_status_lists_a_ring_with_its_writer(runtime: Path, ring_name: str) -> None:
    with Writer.create(ring_name, capacity=1 << 16) as writer:
        writer.publish(b"")
        with beating(writer):
            rings = {ring["name"]: ring for ring in json.loads(status(runtime).stdout)["rings"]}
    found = rings[ring_name]
    assert (found["writer"], found["sequence"], found["feed"]) == ("alive", 1, None)


def test_status_tells_a_process_that_lives_from_one_that_was_killed(runtime: Path, ring_name: str) -> None:
    killed = spawn(lambda: (SharedCounters.create(Counters, ring_name, "relay"), os.kill(os.getpid(), signal.SIGKILL)))
    reap(killed)
    with contextlib.closing(SharedCounters.create(Recorded, ring_name, "recorder")) as shared:
        shared.put(Recorded())
        ended = status(runtime)
    found = {process["process"]: process for process in json.loads(ended.stdout)["processes"]}
    relay = found[f"{ring_name}-relay"]
    assert (relay["pid"], relay["problem"]) == (killed, f"pid {killed} has ended without leaving")
    recorder = found[f"{ring_name}-recorder"]
    assert recorder["pid"] == os.getpid() and "has ended" not in recorder["problem"]
    assert ended.returncode == 1


def test_status_says_what_became_of_orders_and_how_the_circuit_breaker_stands(runtime: Path, ring_name: str) -> None:
    with contextlib.closing(SharedCounters.create(ExecutionCounts, ring_name, "executor")) as shared:
        shared.put(ExecutionCounts(filled=1200, failed=3, refused=2, undone=1, breaker=BreakerState.OPEN))
        said = status(runtime, as_json=False).stdout
    assert (
        f"process {ring_name}-executor: runs (pid {os.getpid()}): 1,200 orders filled, 3 failed, 2 not attempted, "
        in said
    )
    assert "1 undone, circuit breaker open" in said


def test_status_tells_a_relay_that_answers_from_a_socket_left_behind(runtime: Path) -> None:
    directory = runtime / "alphapulse"
    directory.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as gone, socket.socket(socket.AF_UNIX) as listening:
        gone.bind(str(directory / "signal.sock"))
        listening.bind(str(directory / "market_data.sock"))
        listening.listen()
        ended = status(runtime)
    found = {Path(relay["path"]).name: relay["answers"] for relay in json.loads(ended.stdout)["relays"]}
    assert found == {"market_data.sock": True, "signal.sock": False}
    assert ended.returncode == 1


def test_status_shows_the_counts_of_a_relay_by_its_socket(runtime: Path, ring_name: str, tmp_path: Path) -> None:
    with Writer.create(ring_name, capacity=1 << 16, layout_digest=LAYOUT_DIGEST) as writer:
        publish_numbered(writer, 5000)
        path = runtime / "alphapulse" / "signal.sock"
        path.parent.mkdir(mode=0o700)
        command = ["relay", "--domain", "signal", "--ring", ring_name, f"--socket={path}", f"--cursors={tmp_path}"]
        relay = subprocess.Popen([sys.executable, "-m", "tools.command.main", *command], stderr=subprocess.PIPE)
        try:
            wait_for(path.exists)
            with RelayClient(path, start={writer.uuid: 1}) as client:
                item = next(iter(client))
                assert isinstance(item, Loss)
                client.receive()

                def shown() -> dict[str, Any]:
                    (found,) = json.loads(status(runtime).stdout)["relays"]
                    return dict(found)

                wait_for(lambda: (shown()["counts"] or {}).get("clients") == 1, 30.0)
                found = shown()
                text = status(runtime, as_json=False).stdout
        finally:
            relay.terminate()
            relay.communicate()
    assert (found["path"], found["answers"], found["pid"]) == (str(path), True, relay.pid)
    counts = found["counts"]
    assert (counts["lost"], counts["refused"], counts["evicted"]) == (item.count, 0, 0)
    assert {"clients", "behind", "accepted", "unreadable_rings"} <= counts.keys()
    (line,) = (line for line in text.splitlines() if str(path) in line)
    assert line.startswith(f"relay  {path}: ") and " clients, " in line
    assert f"so far {item.count:,} messages lost, 0 clients refused, " in line
