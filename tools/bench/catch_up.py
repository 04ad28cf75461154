"""The relay beside clients that are millions of messages behind: its memory, and what clients at the end still get.

Owns the processes: relay (the command itself), the clients behind, the clients at the end.  A million messages behind
for each second that is asked for, so `--seconds 10` is ten million.  Those behind want everything at least once, half
of them from the oldest message on, the others each from a place of its own; they read all the time and are niced,
since it is not their work that is measured.  Latency is from the publish time in the ring to `recv` in the client,
p99 of all clients at the end, as long as the others are behind; the same clients alone, in the same run, are the
baseline.
"""

from __future__ import annotations

import json
import os
import secrets
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from consumers.relay import protocol
from consumers.relay.address import connect
from consumers.relay.warm import warm as warm_relay
from ringbuf import Writer
from ringbuf import warm as warm_ring
from tlv.codes import StreamStart
from tlv.layout import LAYOUT_DIGEST, Resume
from tools.bench.journal import message
from tools.bench.processes import SPAWN
from tools.bench.relay import collect_arrivals, delays, note_arrivals, p99_us, publish_steadily
from tools.bench.result import BenchResult
from tools.rig.recorded_ring import fill_recorded

MILLION = 1e6
CLIENTS, AT_THE_END = 64, 4
RING_BYTES = 1 << 24
RATE = 500
"""Messages a second while latency is measured."""
SHORTEST_S, LONGEST_S = 0.5, 20.0
"""Of one measurement."""
BUFFER_BYTES = 1 << 19
NICE = 10
MOST_MIB = 300.0
MOST_US = 5000.0
READY_S = 120.0
PLACES = {"socket": "relay.sock", "journal": "journal", "cursors": "cursors"}
"""Options of the relay, and what in the bench's folder they are."""


class Readings(NamedTuple):
    """What one run found."""

    p99_us: float
    alone_us: float
    most_mib: float
    idle_mib: float
    rate: float  # million messages a second, to all that are behind
    behind: int  # messages


def run(seconds: float) -> list[BenchResult]:
    """Latency and memory."""
    found = measure(int(seconds * MILLION), CLIENTS, min(max(seconds, SHORTEST_S), LONGEST_S))
    note = f"{CLIENTS} clients {found.behind / MILLION:.1f} M behind, {found.rate:.2f} M messages/s to them"
    return [
        BenchResult(
            "relay.p99_beside_behind",
            found.p99_us,
            "us",
            f"the same {AT_THE_END} clients alone",
            found.alone_us,
            found.alone_us / found.p99_us,
            MOST_US,
            note,
        ),
        BenchResult(
            "relay.memory_behind",
            found.most_mib,
            "MB",
            "the same relay idle",
            found.idle_mib,
            found.idle_mib / found.most_mib,
            MOST_MIB,
            "resident at most (VmHWM), its map of the ring included",
        ),
    ]


def measure(messages: int, clients: int, seconds: float) -> Readings:
    """Readings beside `clients` that are so many messages behind."""
    warm_ring()
    warm_relay()
    name = f"bench.{os.getpid()}.{secrets.token_hex(3)}"
    with tempfile.TemporaryDirectory(prefix="catch-up") as folder:
        home = Path(folder)
        with Writer.create(name, capacity=RING_BYTES, layout_digest=LAYOUT_DIGEST) as writer:
            try:
                behind = fill_recorded(writer, home / "journal", message(), messages)
                with relay_process(name, home) as relay:
                    return beside(writer, relay, home / "relay.sock", behind, clients, seconds)
            finally:
                writer.close(unlink=True)


@contextmanager
def relay_process(name: str, home: Path) -> Iterator[int]:
    """The pid of `alphapulse relay` for the ring and its journal."""
    command = [
        sys.executable,
        "-m",
        "tools.command.main",
        "relay",
        "--ring",
        name,
        "--socket",
        str(home / "relay.sock"),
    ]
    options = ["--journal", str(home / "journal"), "--cursors", str(home / "cursors"), "--json"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["ready"]
            yield process.pid
        finally:
            process.terminate()  # killed, it would leave the segment of its counters
            process.wait()


def beside(writer: Writer, relay: int, path: Path, messages: int, clients: int, seconds: float) -> Readings:
    """Measure the clients at the end alone, and then beside the others."""
    end, other = SPAWN.Pipe()
    reader = SPAWN.Process(target=note_arrivals, args=(path, AT_THE_END, other))
    reader.start()
    end.recv()
    idle = memory_mib(relay, "VmRSS")
    first = writer.next_sequence
    publish_steadily(writer, RATE, seconds)
    between = writer.next_sequence
    wanted, theirs = SPAWN.Pipe()
    starts = [None if number % 2 else 1 + messages * number // clients for number in range(clients)]
    drainer = SPAWN.Process(target=drain, args=(path, writer.uuid, starts, theirs))
    drainer.start()
    wanted.recv()
    began, beginning = time.monotonic(), writer.next_sequence
    publish_steadily(writer, RATE, seconds)
    last, elapsed = writer.next_sequence, time.monotonic() - began
    wanted.send("enough")
    received = int(wanted.recv())
    arrivals = collect_arrivals(end)
    for process in (reader, drainer):
        process.join()
    found = delays(writer.name, arrivals)
    return Readings(
        p99_us(found, beginning, last),
        p99_us(found, first, between),
        memory_mib(relay, "VmHWM"),
        idle,
        received / len(message()) / elapsed / MILLION,
        messages,
    )


def drain(path: Path, uuid: bytes, starts: list[int | None], pipe: Connection) -> None:
    """In a process of its own: subscribe from each start on (None: the oldest) and throw away what comes; sends the
    bytes that came between the two messages of its pipe."""
    os.nice(NICE)
    room = bytearray(BUFFER_BYTES)
    received = 0
    with selectors.DefaultSelector() as selector:
        for sequence in starts:
            connection = connect(path, READY_S)
            resume = [] if sequence is None else [Resume(sequence, uuid, "")]
            start = StreamStart.OLDEST if sequence is None else StreamStart.SEQUENCE
            connection.sendall(protocol.subscribe(start=start, resume=resume, at_least_once=True))
            selector.register(connection, selectors.EVENT_READ)
        selector.register(pipe, selectors.EVENT_READ)
        pipe.send("ready")
        while True:
            for key, _ in selector.select():
                if key.fileobj is pipe:
                    pipe.recv()
                    pipe.send(received)
                    return
                received += key.fileobj.recv_into(room)  # type: ignore[union-attr]


def memory_mib(pid: int, field: str) -> float:
    """A line of /proc/<pid>/status, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024
