"""`alphapulse relay` as a process: ready line, waiting for a ring, SIGTERM, mistakes."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consumers.client import Farewell, Item, RelayClient
from ringbuf import Writer
from tlv.codes import Domain, FarewellReason, FeedReason, Source
from tlv.layout import LAYOUT_DIGEST, Heartbeat
from tlv.message import build

ROOT = Path(__file__).resolve().parents[2]
RELAY = [sys.executable, "-m", "tools.command.main", "relay"]


@contextmanager
def running(home: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """The command as a process, which does not outlive the block."""
    with subprocess.Popen(
        [*RELAY, "--cursors", str(home / "cursors"), "--json", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as relay:
        try:
            yield relay
        finally:
            relay.kill()


def publish(writer: Writer, count: int) -> None:
    """Publish heartbeats."""
    for _ in range(count):
        beat = Heartbeat(0, 0, writer.next_sequence, 0, 0, 0, 3, 0, FeedReason.OK)
        writer.publish(build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [beat], sequence=writer.next_sequence))


def test_relay_command_waits_for_its_ring_and_drains_on_sigterm(ring_name: str, home: Path) -> None:
    sock = home / "relay.sock"
    with running(home, "--ring", ring_name, "--socket", str(sock), "--wait-for-ring", "30") as relay:
        assert relay.stdout is not None
        time.sleep(0.3)
        with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST) as writer:
            publish(writer, 2000)
            ready = json.loads(relay.stdout.readline())
            assert ready == {"ready": True, "domain": "market_data", "socket": str(sock), "rings": [ring_name]}
            with RelayClient(sock, start="oldest", reconnect=False) as client:
                found: list[int] = []
                reason = []

                def read() -> None:
                    try:
                        found.extend(item.sequence for item in client if isinstance(item, Item))
                    except Farewell as farewell:
                        reason.append(farewell.reason)

                reader = threading.Thread(target=read)
                reader.start()
                while not found:
                    time.sleep(0.01)
                publish(writer, 500)
                relay.send_signal(signal.SIGTERM)
                reader.join(60)
            counts = json.loads(relay.stdout.readline())
            assert relay.wait(60) == 0
    assert found == list(range(1, 2501))
    assert reason == [FarewellReason.SHUTTING_DOWN]
    assert counts["accepted"] == 1
    assert not sock.exists()


def test_relay_command_without_a_ring_name_takes_up_rings_of_its_domain(home: Path) -> None:
    name = f"execution.test{os.getpid()}"
    with running(home, "--domain", "execution", "--socket", str(home / "s")) as relay:
        assert relay.stdout is not None
        assert json.loads(relay.stdout.readline())["rings"] == []
        writer = Writer.create(name, layout_digest=LAYOUT_DIGEST)
        try:
            publish(writer, 5)
            with RelayClient(home / "s", start="oldest", reconnect=False, max_silence_s=10) as client:
                # Other rings of the domain may be about on this machine.
                ours = (item.covers for item in client if isinstance(item, Item) and item.ring.name == name)
                assert list(itertools.islice(ours, 5)) == [1, 2, 3, 4, 5]
        finally:
            writer.close(unlink=True)
        relay.terminate()
        assert relay.wait(60) == 0


def test_relay_command_default_socket_is_in_a_private_directory(ring_name: str, home: Path) -> None:
    command = ("--ring", ring_name, "--instance", "2")
    with (
        Writer.create(ring_name, layout_digest=LAYOUT_DIGEST),
        running(home, *command, XDG_RUNTIME_DIR=str(home)) as relay,
    ):
        assert relay.stdout is not None
        assert json.loads(relay.stdout.readline())["socket"] == str(home / "alphapulse" / "market_data.2.sock")
        assert (home / "alphapulse").stat().st_mode & 0o777 == 0o700
        relay.send_signal(signal.SIGINT)
        assert relay.wait(60) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--ring", "no.such.ring", "--wait-for-ring", "0"], 1, "no.such.ring"),
        (["--ring", "x", "--socket", "/proc/relay/s"], 1, "/proc"),
        (["--domain", "nonsense"], 2, "--domain"),
        (["--journal", __file__], 2, "--journal"),
    ],
)
def test_relay_command_mistake_is_one_clear_line(home: Path, arguments: list[str], code: int, text: str) -> None:
    with running(home, *arguments, XDG_RUNTIME_DIR=str(home)) as relay:
        out, err = relay.communicate(timeout=60)
    assert (relay.returncode, out) == (code, "")
    assert text in err and "Traceback" not in err
