"""The relay: messages a second to one and to four clients, and how long one message takes to a client.

Owns the processes: publisher, relay, clients.  Clients verify every checksum.  The baseline is a Unix socket that
carries the same bytes in the same portions and does nothing else.
"""

from __future__ import annotations

import multiprocessing
import os
import secrets
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from consumers.relay import Relay, protocol
from consumers.relay.address import connect
from consumers.relay.errors import RelayUnreachable
from consumers.relay.feed import CHUNK_BYTES
from consumers.relay.kernels import WHOLE, split_messages
from consumers.relay.warm import warm as warm_relay
from ringbuf import Writer
from ringbuf import warm as warm_ring
from tlv.codes import Domain, Source
from tlv.layout import HEADER_SIZE, LAYOUT_DIGEST, Heartbeat
from tlv.message import build
from tools.bench.journal import message
from tools.bench.result import BenchResult

MILLION = 1e6
SPAWN = multiprocessing.get_context("spawn")
RING_BYTES = 1 << 26
PORTION = 500
"""Messages per commit of the paced publisher."""
OFFERED = 2.0
"""Million messages a second published while throughput is measured: more than is asked of the relay."""
RATE = 10_000
"""Messages a second while latency is measured."""
BUFFER_BYTES = 1 << 19
BATCH_BYTES = 58


def run(seconds: float) -> list[BenchResult]:
    """One client, four clients, latency."""
    # So that no process compiles while it is measured.
    warm_ring()
    warm_relay()
    raw = raw_socket(seconds)
    one, four = throughput(1, seconds), throughput(4, seconds)
    relayed, direct = latency(seconds), ping(seconds)
    return [
        BenchResult("relay.one_client", one, "M messages/s", "bare Unix socket", raw, one / raw, 1.5),
        BenchResult("relay.four_clients", four, "M messages/s", "bare Unix socket", raw, four / raw, 1.0, "in total"),
        BenchResult(
            "relay.latency_p50",
            relayed,
            "us",
            "bare Unix socket, one way",
            direct,
            direct / relayed,
            60.0,
            f"ring to client at {RATE} messages/s",
        ),
    ]


@contextmanager
def relayed_ring() -> Iterator[tuple[str, Path]]:
    """(name of a ring, path of a relay's socket that serves it)."""
    name = f"bench.{os.getpid()}.{secrets.token_hex(3)}"
    with tempfile.TemporaryDirectory(prefix="bench-relay") as directory:
        path = Path(directory) / "relay.sock"
        with Writer.create(name, capacity=RING_BYTES, layout_digest=LAYOUT_DIGEST):
            pass
        relay = SPAWN.Process(target=serve, args=(name, path))
        relay.start()
        try:
            yield name, path
        finally:
            relay.terminate()
            relay.join()
            with Writer.open(name, layout_digest=LAYOUT_DIGEST) as writer:
                writer.close(unlink=True)


def serve(name: str, path: Path) -> None:
    """In a process of its own: the relay."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    with Relay("market_data", path, rings=[name], cursors=path.parent) as relay:
        relay.run(lambda: bool(asked))


def subscribed(path: Path) -> socket.socket:
    """A live subscription; waits for the relay to be there."""
    while True:
        try:
            connection = connect(path, 30.0)
            break
        except RelayUnreachable:
            time.sleep(0.02)
    connection.sendall(protocol.subscribe())
    return connection


def throughput(clients: int, seconds: float) -> float:
    """Million messages a second that all clients together receive."""
    with relayed_ring() as (name, path):
        ends = [SPAWN.Pipe() for _ in range(clients)]
        readers = [SPAWN.Process(target=count_messages, args=(path, seconds, end[1])) for end in ends]
        for reader in readers:
            reader.start()
        for end in ends:
            end[0].recv()
        publisher = SPAWN.Process(target=publish_paced, args=(name, seconds + 1.0))
        publisher.start()
        rates = [float(end[0].recv()) for end in ends]
        for process in (publisher, *readers):
            process.join()
    return sum(rates)


def count_messages(path: Path, seconds: float, pipe: Connection) -> None:
    """In a process of its own: receive, verify and count; sends the rate."""
    connection = subscribed(path)
    buffer = np.zeros(BUFFER_BYTES, np.uint8)
    bounds = np.zeros(4097, np.int64)
    split_messages(buffer, 0, 0, bounds)
    filled = received = 0
    size = len(message())
    begin = 0.0
    pipe.send("ready")
    while not begin or time.perf_counter() - begin < seconds:
        filled += connection.recv_into(buffer[filled:].data)
        start, status = 0, WHOLE
        while status == WHOLE:
            status, found, _ = split_messages(buffer, start, filled, bounds)
            start = int(bounds[found])
            # By its length: what the relay says itself is shorter.
            received += int((np.diff(bounds[: found + 1]) == size).sum())
        buffer[: filled - start] = buffer[start:filled].copy()
        filled -= start
        if received and not begin:
            begin, received = time.perf_counter(), 0
    pipe.send(received / (time.perf_counter() - begin) / MILLION)


def publish_paced(name: str, seconds: float) -> None:
    """In a process of its own: publish OFFERED million messages a second in small commits."""
    warm_ring()
    payload = message()
    stride = (len(payload) + 7) // 8 * 8
    buffer = np.frombuffer(payload.ljust(stride, b"\0") * PORTION, np.uint8).copy()
    offsets = np.arange(PORTION, dtype=np.int64) * stride
    lengths = np.full(PORTION, len(payload), np.int64)
    with Writer.open(name, layout_digest=LAYOUT_DIGEST) as writer:
        begin = time.perf_counter()
        published = 0
        while (elapsed := time.perf_counter() - begin) < seconds:
            if published > elapsed * OFFERED * MILLION:
                time.sleep(PORTION / OFFERED / MILLION)
                continue
            writer.publish_many(buffer, offsets, lengths)
            published += PORTION


def latency(seconds: float) -> float:
    """Median microseconds from publish to a client that has the message."""
    with relayed_ring() as (name, path):
        end, other = SPAWN.Pipe()
        reader = SPAWN.Process(target=time_messages, args=(path, int(RATE * seconds), other))
        reader.start()
        end.recv()
        with Writer.open(name, layout_digest=LAYOUT_DIGEST) as writer:
            due = time.perf_counter()
            while not end.poll():
                beat = Heartbeat(time.monotonic_ns(), 0, 0, 0)
                writer.publish(build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [beat], sequence=writer.next_sequence))
                due += 1 / RATE
                time.sleep(max(due - time.perf_counter(), 0))
        median = float(end.recv())
        reader.join()
    return median


def time_messages(path: Path, wanted: int, pipe: Connection) -> None:
    """In a process of its own: compare each message's clock with ours; sends the median."""
    connection = subscribed(path)
    buffer = bytearray(1 << 16)
    pipe.send("ready")
    found: list[int] = []
    size = len(build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [Heartbeat(0, 0, 0, 0)]))
    while len(found) < wanted:
        count = connection.recv_into(buffer)
        now = time.monotonic_ns()
        if count >= size + BATCH_BYTES:
            # The last message of the chunk, behind its Batch; at this rate mostly the only one.
            value = count - size + HEADER_SIZE + 2
            found.append(now - int.from_bytes(buffer[value : value + 8], "little"))
    pipe.send(float(np.median(found)) / 1e3)


def raw_socket(seconds: float) -> float:
    """Million messages a second through a Unix socket between two processes, nothing else done."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    sender = SPAWN.Process(target=send_flat_out, args=(theirs, seconds))
    sender.start()
    theirs.close()
    room = bytearray(BUFFER_BYTES)
    size = ours.recv_into(room)
    begin = time.perf_counter()
    while count := ours.recv_into(room):
        size += count
    elapsed = time.perf_counter() - begin
    sender.join()
    ours.close()
    return size / len(message()) / elapsed / MILLION


def send_flat_out(connection: socket.socket, seconds: float) -> None:
    """In a process of its own: send portions of a chunk's size."""
    chunk = bytes(CHUNK_BYTES)
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        connection.sendall(chunk)
    connection.close()


def ping(seconds: float) -> float:
    """Median one-way microseconds through a Unix socket, half a round trip."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    echo = SPAWN.Process(target=echo_all, args=(theirs,))
    echo.start()
    theirs.close()
    data = bytes(HEADER_SIZE + BATCH_BYTES)
    found = []
    ours.sendall(data)
    ours.recv(1 << 10)
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        begin = time.perf_counter_ns()
        ours.sendall(data)
        ours.recv(1 << 10)
        found.append(time.perf_counter_ns() - begin)
        time.sleep(1 / RATE)
    ours.close()
    echo.join()
    return float(np.median(found)) / 2e3


def echo_all(connection: socket.socket) -> None:
    """In a process of its own: send back what comes."""
    while data := connection.recv(1 << 10):
        connection.sendall(data)
