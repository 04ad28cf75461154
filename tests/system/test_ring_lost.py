"""A writer whose ring lost its name in /dev/shm notices at its heartbeat, says so, and stops or makes it anew."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from ringbuf import Reader, RingNotFound, RingNotReady, RingOrphaned, Writer
from ringbuf.names import FOLDER, ring_object
from tlv.layout import LAYOUT_DIGEST, Heartbeat, Session
from tlv.message import parse
from tools.rig.victims import END_TIMEOUT_S

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0


def take_name_away(ring: str) -> None:
    """What `rm` or logind's RemoveIPC does under a living writer."""
    for path in FOLDER.glob(ring_object(ring).removeprefix("/") + "*"):
        path.unlink()


def test_writer_whose_ring_lost_its_name_says_so_at_its_heartbeat(ring_name: str) -> None:
    with Writer.create(ring_name) as writer:
        writer.heartbeat()
        take_name_away(ring_name)
        writer.publish(b"into nothing")
        with pytest.raises(RingOrphaned, match=f"ring {ring_name}: expected /alphapulse-.* gone or means another one"):
            writer.heartbeat()
        with Writer.create(ring_name), pytest.raises(RingOrphaned):
            writer.heartbeat()


def messages(ring: str) -> Iterator[object]:
    """The first record of each message of the ring that has this name now."""
    with contextlib.suppress(RingNotFound, RingNotReady), Reader.attach(ring, start="oldest") as reader:
        while len(poll := reader.poll()):
            for frame in poll:
                yield from parse(frame.payload).records[:1]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_collector_whose_ring_lost_its_name_while_it_connects_leaves_nothing_behind(
    ring_name: str,
) -> None:
    async def lose() -> None:
        # It is never listened to, so the connection is still being opened when the writer's heartbeat is due.
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
            collector = Collector(CollectorOptions(chain=load_chain("polygon"), urls=(url,), ring=ring_name))
            asyncio.get_running_loop().call_later(0.1, take_name_away, ring_name)
            with pytest.raises(RingOrphaned):
                await collector.run()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(lose())


@pytest.mark.parametrize("option", ["remake", "stop"])
def test_collector_whose_ring_lost_its_name_makes_it_anew_or_stops(
    ring_name: str, tell: Callable[[str], None], option: str
) -> None:
    command = [sys.executable, "-m", "tools.command.main", "collect", "--json", "--ring", ring_name]
    with subprocess.Popen(
        # Nobody listens there: its heartbeats say so, and are all that this test needs.
        [*command, "--url", "ws://127.0.0.1:9", "--pool-cache", "none", "--ring-lost", option],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as collector:
        try:
            until(lambda: any(isinstance(record, Heartbeat) for record in messages(ring_name)))
            with Reader.attach(ring_name, layout_digest=LAYOUT_DIGEST) as reader:
                take_name_away(ring_name)
                began = time.monotonic()
                if option == "stop":
                    collector.wait(PATIENCE_S)
                    took = time.monotonic() - began
                    assert collector.returncode == 1
                    assert reader.abandoned
                else:
                    until(lambda: any(isinstance(record, Session) for record in messages(ring_name)))
                    took = time.monotonic() - began
                    assert collector.poll() is None
        finally:
            if collector.poll() is None:
                collector.send_signal(signal.SIGTERM)
            _, errors = collector.communicate(timeout=END_TIMEOUT_S)
    assert f"ring {ring_name}: expected" in errors
    assert "Traceback" not in errors
    tell(f"row 49, collector whose ring lost its name: {option} after {took:.1f} s, and says so")
