"""FAULTS row 31, the relay's part: relay, recorder and clients are killed at random; named clients miss nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consumers.journal import JournalReader
from ringbuf import Gap, RingInfo, Writer
from tlv.codes import Domain, Source
from tlv.layout import LAYOUT_DIGEST, Heartbeat
from tlv.message import build

ROOT = Path(__file__).resolve().parents[2]
READER = Path(__file__).with_name("relay_reader.py")
KILLS = 20
NAMES = ("first", "second")
PER_S = 500
CAPACITY = 1 << 21
"""Half a minute of frames: far longer than a recorder takes to come back, on a busy machine too."""
BURST = 3 * CAPACITY // 128
"""Frames that lap the ring three times."""


def spawn(*command: str) -> subprocess.Popen[bytes]:
    """Start a process of the project; what it complains about is the test's output."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill and wait: a process on its way out still holds its locks, and its successor would be refused."""
    process.kill()
    process.wait()


def publish_one(writer: Writer) -> None:
    """Publish a message that tells its own sequence."""
    beat = Heartbeat(writer.next_sequence, 0, 0, 3)
    writer.publish(build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [beat], sequence=writer.next_sequence))


def recorded_up_to(journal: Path) -> int:
    """The sequence that the journal lacks next."""
    with JournalReader(journal, start="latest") as reader:
        return reader.sequence


@contextmanager
def publishing(writer: Writer) -> Iterator[None]:
    """Publish PER_S messages a second in the background."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(10 / PER_S):
            for _ in range(10):
                publish_one(writer)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def seen(log: Path) -> tuple[set[int], int]:
    """(sequences a client handled, how many lines it wrote); a line cut by a kill does not count."""
    lines = log.read_text().splitlines() if log.exists() else []
    assert not [line for line in lines if line.startswith("lost")], "a client was told of a loss"
    pairs = [line.split() for line in lines]
    assert all(len(pair) == 2 and pair[0] == pair[1] for pair in pairs)
    return {int(pair[0]) for pair in pairs}, len(pairs)


def test_named_clients_miss_nothing_while_everything_is_killed(ring_name: str, tmp_path: Path) -> None:
    seed = 20260722
    source = random.Random(seed)
    print(f"seed {seed}")
    home = Path("/tmp") / f"kills-{os.getpid()}"
    home.mkdir(mode=0o700)
    sock, journal, cursors = home / "relay.sock", tmp_path / "journal", tmp_path / "cursors"
    logs = {name: tmp_path / f"{name}.log" for name in NAMES}
    commands = {
        "recorder": ("-m", "tools.cli", "record", "--ring", ring_name, "--out", str(journal), "--fsync", "never"),
        "relay": (
            *("-m", "tools.cli", "relay", "--ring", ring_name, "--socket", str(sock)),
            *("--journal", str(journal), "--cursors", str(cursors)),
        ),
        **{name: (str(READER), str(sock), name, str(logs[name])) for name in NAMES},
    }
    running: dict[str, subprocess.Popen[bytes]] = {}
    absent_until: dict[str, float] = {}
    kills = dict.fromkeys(commands, 0)
    with Writer.create(ring_name, capacity=CAPACITY, layout_digest=LAYOUT_DIGEST, full_timeout_s=20.0) as writer:
        try:
            running["recorder"] = spawn(*commands["recorder"])
            with publishing(writer):
                wait_until(lambda: journal.exists() and any(journal.glob("*.journal")), 60)
                for name in ("relay", *NAMES):
                    running[name] = spawn(*commands[name])
                wait_until(lambda: all(len(seen(log)[0]) > 100 for log in logs.values()), 60)
                while sum(kills.values()) < KILLS:
                    time.sleep(source.uniform(0.05, 0.7))
                    now = time.monotonic()
                    victim = source.choice(list(commands))
                    if victim in running:
                        kill(running.pop(victim))
                        kills[victim] += 1
                        absent_until[victim] = now + source.uniform(0, 0.3)
                    for name, due in list(absent_until.items()):
                        if now >= due and name not in running:
                            running[name] = spawn(*commands[name])
            for name in NAMES:
                if name in running:
                    kill(running.pop(name))
            if "recorder" not in running:
                running["recorder"] = spawn(*commands["recorder"])
            # While the clients are away the ring is lapped; only the journal has what they miss.
            wait_until(lambda: any(slot.alive for slot in RingInfo.read(ring_name).slots), 60)
            wait_until(lambda: recorded_up_to(journal) == writer.next_sequence, 60)
            for _ in range(BURST):
                publish_one(writer)
            published = writer.next_sequence - 1
            for name, command in commands.items():
                if name not in running:
                    running[name] = spawn(*command)
            wait_until(lambda: all(published in seen(log)[0] for log in logs.values()), 90)
            for name in ("relay", "recorder"):
                running[name].send_signal(signal.SIGTERM)
                assert running[name].wait(10) == 0
        finally:
            for process in running.values():
                kill(process)
            for left in home.iterdir():
                left.unlink()
            home.rmdir()
    with JournalReader(journal) as reader:
        recorded = list(reader)
    assert not [item for item in recorded if isinstance(item, Gap)]
    assert [item.sequence for item in recorded if not isinstance(item, Gap)] == list(range(1, published + 1))
    repeats = {}
    for name, log in logs.items():
        sequences, lines = seen(log)
        first = min(sequences)
        assert sequences == set(range(first, published + 1))
        repeats[name] = lines - len(sequences)
    saved = [json.loads(path.read_text()) for path in (cursors / "market_data").glob("*.json")]
    assert len(saved) == len(NAMES)
    print(f"row 31, relay: {published} published, kills {kills}, nothing missed, repeated {repeats}")


def wait_until(condition: object, patience_s: float) -> None:
    """Return as soon as `condition()` holds."""
    deadline = time.monotonic() + patience_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
