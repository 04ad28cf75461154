"""The relay: messages a second to one and to four clients, latency, and latency beside clients that never read.

Owns the processes: publisher, relay, clients.  Clients verify every checksum.  The baseline is a Unix socket that
carries the same bytes in the same portions and does nothing else.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

from consumers.relay import Relay, protocol
from consumers.relay.address import connect
from consumers.relay.errors import RelayUnreachable
from consumers.relay.feed import CHUNK_BYTES
from consumers.relay.kernels import BATCH_BYTES, BATCH_TYPE, WHOLE, split_messages
from consumers.relay.warm import warm as warm_relay
from ringbuf import Reader, Writer
from ringbuf import warm as warm_ring
from tlv.buffers import Longs
from tlv.codes import StreamStart
from tlv.layout import HEADER_SIZE, LAYOUT_DIGEST
from tools.bench.journal import message
from tools.bench.processes import SPAWN
from tools.bench.result import BenchResult

MILLION = 1e6
RING_BYTES = 1 << 26
PORTION = 500
"""Messages per commit of the paced publisher."""
OFFERED = {1: 6.0, 4: 2.0}
"""Million messages a second published while throughput is measured, by clients: more than is asked of the relay.
Twice as many would show how it copes with being lapped."""
RATE = 10_000
"""Messages a second while latency is measured."""
BUFFER_BYTES = 1 << 19
POLL_FRAMES = 4096
TYPE_AT, VALUE_AT = HEADER_SIZE, HEADER_SIZE + 2
NS_PER_US = 1e3
READERS, STUCK = 48, 16
MOST_GROWTH = 1.1
STUCK_PATIENCE_S = 3600.0
"""Never evicted, so that their effect on the others lasts for the whole measurement."""
STEADY_RATE = 200
"""Messages a second, each to READERS clients: some 10,000 sends, a fraction of what the relay can do."""
TURNS = 5
SHORTEST_TURN_S = 0.1
SETTLE_S = 0.3
CHUNKS_HELD = 4
"""Of CHUNK_BYTES, that a socket buffer and the relay together hold for one client, at most."""
WITHOUT_WAITING_LONG = np.array([0, 50_000], np.int64).tobytes()
"""A timeval."""
Arrivals = Longs


def run(seconds: float) -> list[BenchResult]:
    """One client, four clients, latency, latency beside clients that never read."""
    # So that no process compiles while it is measured.
    warm_ring()
    warm_relay()
    raw = raw_socket(seconds)
    one, four = throughput(1, seconds), throughput(4, seconds)
    relayed, direct = latency(seconds), ping(seconds)
    growth, beside, without = beside_stuck(seconds)
    return [
        BenchResult("relay.one_client", one, "M messages/s", "bare Unix socket", raw, one / raw, 4.0),
        BenchResult("relay.four_clients", four, "M messages/s", "bare Unix socket", raw, four / raw, 6.0, "in total"),
        BenchResult(
            "relay.latency_p50",
            relayed,
            "us",
            "bare Unix socket, one way",
            direct,
            direct / relayed,
            15.0,
            f"ring to client at {RATE} messages/s",
        ),
        BenchResult(
            "relay.p99_beside_stuck",
            growth,
            "x",
            "p99 of as many clients of a relay without them, us",
            without,
            1 / growth,
            MOST_GROWTH,
            f"{STUCK} of {READERS + STUCK} clients never read: p99 {beside:,.0f} us; median of {TURNS} turns",
        ),
    ]


@contextmanager
def relayed_ring(patience_s: float = 5.0) -> Iterator[tuple[str, Path]]:
    """A ring's name, and the path of the socket of a relay that serves it."""
    name = f"bench.{os.getpid()}.{secrets.token_hex(3)}"
    with tempfile.TemporaryDirectory(prefix="bench-relay") as directory:
        path = Path(directory) / "relay.sock"
        with Writer.create(name, capacity=RING_BYTES, layout_digest=LAYOUT_DIGEST):
            pass
        relay = SPAWN.Process(target=serve, args=(name, path, patience_s))
        relay.start()
        try:
            yield name, path
        finally:
            relay.terminate()
            relay.join()
            with Writer.open(name, layout_digest=LAYOUT_DIGEST) as writer:
                writer.close(unlink=True)


def serve(name: str, path: Path, patience_s: float) -> None:
    """In a process of its own: the relay."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    with Relay("market_data", path, rings=[name], cursors=path.parent, patience_s=patience_s) as relay:
        relay.run(lambda: bool(asked))


def subscribed(path: Path, start: StreamStart = StreamStart.LATEST) -> socket.socket:
    """A subscription; waits for the relay to be there."""
    while True:
        try:
            connection = connect(path, 30.0)
            break
        except RelayUnreachable:
            time.sleep(0.02)
    connection.sendall(protocol.subscribe(start=start))
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
        publisher = SPAWN.Process(target=publish_paced, args=(name, OFFERED[clients], seconds + 1.0))
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
            # By its length: the relay's own messages are shorter.
            received += int((np.diff(bounds[: found + 1]) == size).sum())
        buffer[: filled - start] = buffer[start:filled].copy()
        filled -= start
        if received and not begin:
            begin, received = time.perf_counter(), 0
    pipe.send(received / (time.perf_counter() - begin) / MILLION)


def publish_paced(name: str, offered: float, seconds: float) -> None:
    """In a process of its own: publish `offered` million messages a second in small commits."""
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
            if published > elapsed * offered * MILLION:
                time.sleep(PORTION / offered / MILLION)
                continue
            writer.publish_many(buffer, offsets, lengths)
            published += PORTION


def latency(seconds: float) -> float:
    """Median microseconds from a message's publish time in the ring to a client that has it."""
    with relayed_ring() as (name, path):
        end, other = SPAWN.Pipe()
        reader = SPAWN.Process(target=note_arrivals, args=(path, 1, other))
        reader.start()
        end.recv()
        with Writer.open(name, layout_digest=LAYOUT_DIGEST) as writer:
            publish_steadily(writer, RATE, seconds)
        arrivals = collect_arrivals(end)
        reader.join()
        return float(np.median(delays(name, arrivals)[:, 1])) / NS_PER_US


def publish_steadily(writer: Writer, rate: float, seconds: float) -> None:
    """Publish one message at a time, `rate` a second."""
    payload = message()
    begin = due = time.perf_counter()
    while due - begin < seconds:
        writer.publish(payload)
        due += 1 / rate
        time.sleep(max(due - time.perf_counter(), 0))


def collect_arrivals(end: Connection) -> Arrivals:
    """End `note_arrivals`, and get its rows."""
    end.send("enough")
    arrivals: Arrivals = end.recv()
    return arrivals


def note_arrivals(path: Path, clients: int, pipe: Connection) -> None:
    """In a process of its own: read as so many clients; sends rows of (sequence, CLOCK_MONOTONIC in ns).

    A row is the oldest message of what one `recv` brought, which mostly is all of it.
    """
    if clients == 1:
        note_alone(subscribed(path), pipe)
        return
    found: list[tuple[int, int]] = []
    room = bytearray(BUFFER_BYTES)
    with selectors.DefaultSelector() as selector:
        for _ in range(clients):
            connection = subscribed(path)
            # The relay's answer: from here on, whatever is published reaches us.
            connection.recv_into(room)
            selector.register(connection, selectors.EVENT_READ)
        selector.register(pipe, selectors.EVENT_READ)
        pipe.send("ready")
        while True:
            for key, _ in selector.select():
                if key.fileobj is pipe:
                    pipe.recv()
                    pipe.send(np.array(found, np.int64))
                    return
                key.fileobj.recv_into(room)  # type: ignore[union-attr]
                now = time.monotonic_ns()
                if room[TYPE_AT] == BATCH_TYPE:
                    found.append((int.from_bytes(room[VALUE_AT : VALUE_AT + 8], "little"), now))


def note_alone(connection: socket.socket, pipe: Connection) -> None:
    """`note_arrivals` of one client, which sleeps in `recv` as the bare socket's reader does."""
    found: list[tuple[int, int]] = []
    room = bytearray(BUFFER_BYTES)
    connection.recv_into(room)  # the relay's answer
    pipe.send("ready")
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, WITHOUT_WAITING_LONG)
    while not pipe.poll(0.0):
        count = BUFFER_BYTES
        while count:
            count = 0
            with contextlib.suppress(BlockingIOError):
                count = connection.recv_into(room)
            now = time.monotonic_ns()
            if count and room[TYPE_AT] == BATCH_TYPE:
                found.append((int.from_bytes(room[VALUE_AT : VALUE_AT + 8], "little"), now))
    pipe.recv()
    pipe.send(np.array(found, np.int64))


def delays(name: str, arrivals: Arrivals) -> Arrivals:
    """Rows of (sequence, ns from its publish time in the ring to its arrival), as far as the ring goes back."""
    published: list[Longs] = []
    with Reader.attach(name, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
        oldest = reader.sequence
        while len(poll := reader.poll(POLL_FRAMES)):
            published.append(poll.timestamps.copy())
    kept = arrivals[arrivals[:, 0] >= oldest]
    return np.column_stack([kept[:, 0], kept[:, 1] - np.concatenate(published)[kept[:, 0] - oldest]])


def beside_stuck(seconds: float) -> tuple[float, float, float]:
    """(how many times longer the p99 beside clients that never read is, that p99, the p99 without these), microseconds
    from ring to all the other clients.

    Two relays get messages in turns, a moment after each other, so that whatever else the machine does slows both
    alike; returns the medians over all turns.
    """
    with relayed_ring(STUCK_PATIENCE_S) as (beside, path), relayed_ring(STUCK_PATIENCE_S) as (alone, other_path):
        readers = [arrivals_noted(at) for at in (path, other_path)]
        with (
            Writer.open(beside, layout_digest=LAYOUT_DIGEST) as writer,
            Writer.open(alone, layout_digest=LAYOUT_DIGEST) as other,
        ):
            fill(writer)
            fill(other)
            stuck = [subscribed(path, StreamStart.OLDEST) for _ in range(STUCK)]
            time.sleep(SETTLE_S)
            turns = []
            for _ in range(TURNS):
                first = writer.next_sequence
                publish_in_turns((writer, other), STEADY_RATE, max(seconds, SHORTEST_TURN_S))
                turns.append((first, writer.next_sequence))
            for connection in stuck:
                connection.close()
        arrivals = [collect_arrivals(end) for _, end in readers]
        for reader, _ in readers:
            reader.join()
        found = [delays(name, rows) for name, rows in zip((beside, alone), arrivals, strict=True)]
    p99s = np.array([[p99_us(rows, *turn) for rows in found] for turn in turns])
    medians = np.median(p99s, axis=0)
    return float(np.median(p99s[:, 0] / p99s[:, 1])), float(medians[0]), float(medians[1])


def arrivals_noted(path: Path) -> tuple[BaseProcess, Connection]:
    """A process that reads as READERS clients, and its pipe."""
    end, other = SPAWN.Pipe()
    reader = SPAWN.Process(target=note_arrivals, args=(path, READERS, other))
    reader.start()
    end.recv()
    return reader, end


def publish_in_turns(writers: tuple[Writer, Writer], rate: float, seconds: float) -> None:
    """Publish `rate` messages a second into each of two rings; neither is always the first."""
    payload = message()
    begin = due = time.perf_counter()
    number = 0
    while due - begin < seconds:
        writers[(number + number // 2) % 2].publish(payload)
        number += 1
        due += 1 / (2 * rate)
        time.sleep(max(due - time.perf_counter(), 0))


def p99_us(found: Arrivals, first: int, behind: int) -> float:
    """p99 of the delays of the messages from `first` on, before `behind`."""
    inside = found[(found[:, 0] >= first) & (found[:, 0] < behind), 1]
    return float(np.percentile(inside, 99)) / NS_PER_US


def fill(writer: Writer) -> None:
    """Put more into the ring than the socket of a client that never reads can hold."""
    for _ in range(2 * CHUNK_BYTES * CHUNKS_HELD // len(message())):
        writer.publish(message())


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
