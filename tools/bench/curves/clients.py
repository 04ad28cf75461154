"""What a relay's message costs with more clients.

Owns the processes: the relay, and one that reads as all clients.  A burst is published at once; the time until the last
client has all of it, and the relay's own time on its core meanwhile, are divided by messages and clients.  Nothing is
lost: a client counts each message, and the ring holds the burst.
"""

from __future__ import annotations

import os
import secrets
import selectors
import signal
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

import numpy as np

from consumers.relay.kernels import WHOLE, split_messages
from consumers.relay.warm import warm as warm_relay
from ringbuf import Writer
from ringbuf import warm as warm_ring
from tlv.layout import LAYOUT_DIGEST
from tools.bench.curves.fit import curve
from tools.bench.journal import message
from tools.bench.relay import RING_BYTES, serve, subscribed
from tools.bench.result import BenchResult
from tools.rig.processes import reap, spawn

CLIENTS = (1, 2, 4, 16, 64, 256)
MOST_BURST, LEAST_BURST, DELIVERED = 1 << 15, 1 << 9, 1 << 18
"""Messages of a burst: so many that all clients together get DELIVERED."""
PATIENCE_S = 600.0
BUFFER_BYTES = 1 << 16
BOUNDS = 1 << 10
SETTLE_S = 0.02
"""From a subscription's answer until it surely is at the ring's end."""
CPU_CLOCK_OF_PROCESS = 2
"""CPUCLOCK_SCHED, the clock that clock_getcpuclockid(3) makes: ~pid << 3 | 2."""


class ReadingClient:
    """One subscription, and how many messages it has got."""

    def __init__(self, path: Path) -> None:
        self.socket = subscribed(path)
        self.received = self._filled = 0
        self._buffer = np.zeros(BUFFER_BYTES, np.uint8)
        self.take(np.zeros(BOUNDS, np.int64), len(message()))  # the answer: it is subscribed

    def take(self, bounds: np.ndarray[tuple[int], np.dtype[np.int64]], size: int) -> None:
        """Receive once, verify, and count messages of `size`; the relay's own are shorter."""
        filled = self._filled + self.socket.recv_into(self._buffer[self._filled :].data)
        start, status = 0, WHOLE
        while status == WHOLE:
            status, found, _ = split_messages(self._buffer, start, filled, bounds)
            start = int(bounds[found])
            self.received += int((np.diff(bounds[: found + 1]) == size).sum())
        self._buffer[: filled - start] = self._buffer[start:filled].copy()
        self._filled = filled - start


def read_as_all(path: Path, orders: Connection) -> None:
    """The process of all clients: on an order (clients, messages) it says when each of them has so many more."""
    clients: list[ReadingClient] = []
    bounds, size = np.zeros(BOUNDS, np.int64), len(message())
    with selectors.DefaultSelector() as selector:
        while order := orders.recv():
            count, messages = order
            while len(clients) < count:
                clients.append(ReadingClient(path))
                selector.register(clients[-1].socket, selectors.EVENT_READ, clients[-1])
            goals = {client: client.received + messages for client in clients}
            orders.send("ready")
            while goals:
                for key, _ in selector.select():
                    client: ReadingClient = key.data
                    client.take(bounds, size)
                    if client.received >= goals.get(client, client.received + 1):
                        del goals[client]
            orders.send(time.perf_counter())


def run(seconds: float) -> Iterator[BenchResult]:
    """Two curves, in nanoseconds a message and client."""
    warm_ring()
    warm_relay()
    name = f"bench.{os.getpid()}.{secrets.token_hex(3)}"
    with (
        tempfile.TemporaryDirectory(prefix="bench-curves") as folder,
        Writer.create(name, capacity=RING_BYTES, layout_digest=LAYOUT_DIGEST) as writer,
    ):
        path = Path(folder) / "relay.sock"
        ours, theirs = Pipe()
        pids = [spawn(partial(serve, name, path, PATIENCE_S)), spawn(partial(read_as_all, path, theirs))]
        theirs.close()
        try:
            points = [(count, *burst_ns(writer, ours, pids[0], count, seconds)) for count in CLIENTS]
            ours.send(None)
            reap(pids.pop())
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGTERM)
                reap(pid)
            writer.close(unlink=True)
    bursts = "a burst to all clients, which are one process"
    whole = [(float(count), took) for count, took, _ in points]
    alone = [(float(count), cpu) for count, _, cpu in points]
    yield curve("clients: relay and clients", "ns", whole, f"until the last one has all, for each message; {bursts}")
    yield curve("clients: relay's own time", "ns", alone, f"on its core, for each message; {bursts}")


def burst_ns(writer: Writer, clients: Connection, relay: int, count: int, seconds: float) -> tuple[float, float]:
    """(time, the relay's time on its core), both for each message and client, in ns; the fastest of some bursts."""
    burst = min(max(DELIVERED // count, LEAST_BURST), MOST_BURST)
    payload = message()
    stride = len(payload) + 7 & -8
    buffer = np.frombuffer(payload.ljust(stride, b"\0") * burst, np.uint8)
    offsets, lengths = np.arange(burst, dtype=np.int64) * stride, np.full(burst, len(payload), np.int64)
    clock = ~relay << 3 | CPU_CLOCK_OF_PROCESS
    best, end = (float("inf"), float("inf")), time.perf_counter() + seconds
    while best[0] == float("inf") or time.perf_counter() < end:
        clients.send((count, burst))
        clients.recv()
        time.sleep(SETTLE_S)
        begin, spent = time.perf_counter(), time.clock_gettime(clock)
        writer.publish_many(buffer, offsets, lengths)
        took = clients.recv() - begin
        best = min(best, (took, time.clock_gettime(clock) - spent))
    return best[0] / burst / count * 1e9, best[1] / burst / count * 1e9
