"""`ringstat` against real rings: what it says of a living, a closed and a killed writer, and with which exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from ringbuf import Reader, RingInfo, Writer
from tools.command.supervisor import child_environment
from tools.ringstat import look

PUBLISHER = """
import sys, time
from ringbuf import Writer
writer = Writer.create(sys.argv[1], capacity=1 << 16)
for n in range(1000):
    writer.publish(b"x" * 100)
print("ready", flush=True)
time.sleep(60)
"""


def ringstat(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.ringstat", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def one(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    (ring,) = json.loads(ended.stdout)["rings"]
    assert isinstance(ring, dict)
    return ring


def test_ringstat_of_a_living_writer_is_healthy(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=1 << 16) as writer:
        for _ in range(10):
            writer.publish(bytes(32))
        ended = ringstat(ring_name, "--once", "--json")
        assert ended.returncode == 0, ended.stderr
        ring = one(ended)
        assert (ring["name"], ring["writer"], ring["epoch"], ring["sequence"]) == (ring_name, "alive", 1, 10)
        assert ring["writer_pid"] == os.getpid()
        assert ring["counters"]["frames"] == 10
        assert ring["counters"]["bytes"] == 640  # with descriptors, to whole lines
        assert 0 < ring["occupancy"] < 0.1


def test_ringstat_of_a_closed_ring_is_healthy(ring_name: str) -> None:
    Writer.create(ring_name, capacity=1 << 16).close()
    ended = ringstat(ring_name, "--once", "--json")
    assert ended.returncode == 0
    assert one(ended)["writer"] == "closed"


def test_ringstat_of_a_killed_writer_exits_1_and_names_it(ring_name: str) -> None:
    publisher = subprocess.Popen(
        [sys.executable, "-c", PUBLISHER, ring_name], stdout=subprocess.PIPE, env=child_environment({})
    )
    assert publisher.stdout is not None
    publisher.stdout.readline()
    publisher.send_signal(signal.SIGKILL)
    publisher.wait()
    ended = ringstat(ring_name, "--once")
    assert ended.returncode == 1
    assert f"{ring_name}: writer (pid {publisher.pid}) died without closing the ring" in ended.stdout
    ring = one(ringstat(ring_name, "--once", "--json"))
    assert (ring["writer"], ring["sequence"], ring["healthy"]) == ("dead", 1000, False)


def test_ringstat_of_a_missing_ring_is_one_clear_line(ring_name: str) -> None:
    ended = ringstat(ring_name, "--once")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"ringstat: error: no ring '{ring_name}'")
    assert ended.stderr.count("\n") == 1


def test_ringstat_of_no_ring_name_is_a_usage_error() -> None:
    ended = ringstat("Not/A/Ring", "--once")
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr


def test_ringstat_without_a_name_lists_every_ring(new_ring_name: Callable[[], str]) -> None:
    names = {new_ring_name(), new_ring_name()}
    writers = [Writer.create(name, capacity=1 << 16) for name in names]
    listed = json.loads(ringstat("--once", "--json").stdout)["rings"]
    for writer in writers:
        writer.close()
    assert names <= {ring["name"] for ring in listed}


def test_ringstat_watch_prints_one_object_per_look_with_a_rate(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=1 << 16) as writer:
        command = [sys.executable, "-m", "tools.ringstat", ring_name, "--json", "--watch", "0.1"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        rates = []
        deadline = time.monotonic() + 60
        while not any(rates) and time.monotonic() < deadline:
            writer.publish(b"")
            rates.append(json.loads(process.stdout.readline())["rings"][0]["frames_per_s"])
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[1].strip() == ""
        assert process.returncode == 130
        assert any(rates)


def test_ringstat_shows_how_far_a_reliable_consumer_is_behind(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=1 << 16) as writer, Reader.attach(ring_name, reliable=True):
        for _ in range(16):
            writer.publish(bytes(32))
        (consumer,) = look(ring_name).consumers
        assert (consumer.alive, consumer.evicted, consumer.lag_bytes) == (True, False, 16 * 64)
        assert consumer.lag_share == 16 * 64 / (1 << 16)


def test_ringstat_does_not_change_a_ring(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=1 << 16) as writer:
        writer.publish(b"payload")
        before = RingInfo.read(ring_name)
        assert ringstat(ring_name, "--once").returncode == 0
        after = RingInfo.read(ring_name)
        assert (before.tail, before.intent, before.counters) == (after.tail, after.intent, after.counters)


def test_gc_removes_closed_rings_only_when_asked_and_never_a_living_one(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=1 << 16):
        living = ringstat("gc", "--closed", "--prefix", ring_name, "--json")
        assert (living.returncode, json.loads(living.stdout)) == (0, {"removed": []})
    kept = ringstat("gc", "--prefix", ring_name)
    assert (kept.returncode, kept.stdout) == (0, "nothing to remove\n")
    removed = ringstat("gc", "--closed", "--prefix", ring_name)
    assert (removed.returncode, removed.stdout) == (0, f"removed {ring_name}\n")
    assert ringstat(ring_name, "--once").returncode == 1
