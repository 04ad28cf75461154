"""`ringstat` against real rings: what it says of a living, a closed and a killed writer, and with which exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from ringbuf import Reader, RingInfo, Writer
from tests.tools.on_a_terminal import Terminal, on_a_terminal
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


# ---- on a terminal

COMMAND = [sys.executable, "-m", "tools.ringstat"]
COLOUR = re.compile(rb"\x1b\[[0-9;]*\b(3[0-7]|38|4[0-7]|48|9[0-7])[0-9;]*m")
SIZES = [(80, 24), (200, 50), (60, 20)]


def fits(shown: Terminal) -> None:
    assert (shown.screen.wrapped, shown.screen.scrolled) == (0, 0), shown.text


def row_of(shown: Terminal, name: str) -> str | None:
    """The line of a ring, also where its name is shortened; its writer says nothing, and is silent after a while."""
    return next((line for line in shown.lines if line[:6] == name[:6] and re.search("  (alive|silent)", line)), None)


def test_ringstat_watch_fits_every_terminal_and_a_resize_is_clean(new_ring_name: Callable[[], str]) -> None:
    name = new_ring_name()
    long = f"{name}.{'of.a.very.long.name.' * 3}"[:57].rstrip(".")
    others = [f"{name}.r{number:02d}" for number in range(30)]
    writers = [Writer.create(each, capacity=1 << 16) for each in [long, *others]]
    with on_a_terminal([*COMMAND, "--watch", "0.2", long, *others], *SIZES[0]) as shown:
        for columns, rows in [*SIZES, SIZES[0]]:
            shown.resize(columns, rows)
            shown.until(lambda shown: row_of(shown, long), "the ring")
            shown.until(lambda shown, rows=rows: (rows < 32) == ("more: name" in shown.text), "as many rings as fit")
            fits(shown)
            kept = str(row_of(shown, long)).split()[0]
            assert kept == long if columns == 200 else 20 < len(kept.replace("\u2026", "")) < len(long)
            assert "ringstat  31 rings, all well" in shown.lines[0]
            assert all(title in shown.lines[1] for title in ("writer", "frames/s"))
            assert ("epoch" in shown.lines[1]) == (columns == 200)
        assert shown.end() == 0
        assert shown.written.endswith(b"\x1b[?25h\x1b[?1049l"), "cursor and screen are given back"
    for writer in writers:
        writer.close(unlink=True)


def test_ringstat_watch_tells_what_is_wrong_first(new_ring_name: Callable[[], str]) -> None:
    names = sorted([new_ring_name() for _ in range(3)])
    publisher = subprocess.Popen(
        [sys.executable, "-c", PUBLISHER, names[-1]], stdout=subprocess.PIPE, env=child_environment({})
    )
    assert publisher.stdout is not None
    publisher.stdout.readline()
    writers = [Writer.create(name, capacity=1 << 16) for name in names[:-1]]
    with on_a_terminal([*COMMAND, "--watch", *names], 80, 24) as shown:
        shown.until(lambda shown: "3 rings, all well" in shown.text, "three rings")
        publisher.kill()
        publisher.wait()
        shown.until(lambda shown: "3 rings, 1 needs a look" in shown.text, "the death")
        assert shown.lines[2].startswith(names[-1][:8]) and "dead" in shown.lines[2]
        assert f"{names[-1]}: writer (pid {publisher.pid}) died without" in shown.text
        fits(shown)
        assert shown.end() == 1
    for writer in writers:
        writer.close(unlink=True)


def test_ringstat_on_a_dumb_terminal_prints_plain_lines(ring_name: str) -> None:
    with (
        Writer.create(ring_name, capacity=1 << 16),
        on_a_terminal([*COMMAND, ring_name, "--watch", "0.1"], 80, 24, {"TERM": "dumb"}) as shown,
    ):
        shown.until(lambda shown: shown.text.count(ring_name) > 2, "three looks")
        shown.end()
        assert b"\x1b" not in shown.written


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}])
def test_ringstat_has_colours_unless_they_are_not_wanted(
    new_ring_name: Callable[[], str], environment: dict[str, str]
) -> None:
    name = new_ring_name()
    publisher = subprocess.Popen(
        [sys.executable, "-c", PUBLISHER, name], stdout=subprocess.PIPE, env=child_environment({})
    )
    assert publisher.stdout is not None
    publisher.stdout.readline()
    publisher.kill()
    publisher.wait()
    with on_a_terminal([*COMMAND, name, "--watch"], 80, 24, environment) as shown:
        shown.until(lambda shown: "died without closing" in shown.text, "the death")
        shown.end()
        assert bool(COLOUR.search(shown.written)) != bool(environment)


def test_ringstat_in_a_pipe_prints_whole_names_and_no_escape_codes(new_ring_name: Callable[[], str]) -> None:
    long = f"{new_ring_name()}.{'of.a.very.long.name.' * 3}"[:57].rstrip(".")
    with Writer.create(long, capacity=1 << 16) as writer:
        ended = ringstat(long)
        assert ended.stdout.splitlines()[1].startswith(f"{long}  alive")
        assert ended.stdout.splitlines()[0].endswith("epoch")
        assert "\x1b" not in ended.stdout
        writer.close(unlink=True)


@pytest.mark.parametrize(
    "words", [["--watch", "0.1"], ["--watch=0.1"], ["--interval", "0.1"], ["--interval", "0.1", "--watch"]]
)
def test_ringstat_watch_is_a_flag_with_or_without_seconds(ring_name: str, words: list[str]) -> None:
    with Writer.create(ring_name, capacity=1 << 16):
        process = subprocess.Popen(
            [*COMMAND, *words, ring_name, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        looks = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert [look["rings"][0]["name"] for look in looks] == [ring_name] * 2


def test_ringstat_watch_of_too_short_an_interval_is_one_clear_line() -> None:
    ended = ringstat("--watch", "0")
    assert ended.returncode == 2
    assert "'--interval': 0.0 is not in the range x>=0.05" in ended.stderr
