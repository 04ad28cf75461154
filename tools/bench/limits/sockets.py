"""A bare Unix socket, and the relay that stands on one.

Owns these rows: what a socket carries and how late, if nothing is done with the bytes; the relay's rows of the table.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from consumers.relay.warm import warm as warm_relay
from ringbuf import warm as warm_ring
from tools.bench import relay
from tools.bench.limits.rounds import (
    FEW_ROUNDS,
    NOT_BESIDE,
    ONE_CORE,
    QUICK_S,
    is_quick,
    middle,
    no_second_core,
    pinning,
    take_turns,
)
from tools.bench.limits.rows import RELAY_FOUR, RELAY_ONE, RELAY_P50
from tools.bench.result import BenchResult, unmeasured
from tools.bench.ring.setting import pin, pinned
from tools.rig.processes import kill, spawn

FRAME_BYTES = 128
PORTION_BYTES = 1 << 16
RATE_NAME = f"limit, Unix socket: {FRAME_BYTES}-byte frames in writes of 64 KiB"
DELAY_NAME = f"limit, Unix socket: {FRAME_BYTES} bytes, one way p50"
MILLION, US = 1e6, 1e3
BARE = "bare Unix socket"
QUICK = f"needs --seconds {QUICK_S}: its processes take longer to start than to be measured"


def run(seconds: float) -> Iterator[BenchResult]:
    """The relay's rows, then the socket's beside them."""
    if is_quick(seconds):
        for row in (RELAY_ONE, RELAY_FOUR, RELAY_P50):
            yield row.missing(QUICK)
        yield from bare(seconds, 0.0, 0.0)
        return
    # So that no process compiles while it is measured.
    warm_ring()
    warm_relay()
    measures: dict[str, Callable[[float], float]] = {
        "bare": relay.raw_socket,
        "one": partial(relay.throughput, 1),
        "four": partial(relay.throughput, 4),
        "delay": relay.latency,
        "bare delay": relay.ping,
    }
    found = take_turns(measures, seconds, FEW_ROUNDS)
    at = {name: middle(readings) for name, readings in found.items()}
    yield RELAY_ONE.reading(at["one"], f"{BARE}, same bytes", at["bare"], rounds=found["one"])
    yield RELAY_FOUR.reading(at["four"], f"{BARE}, same bytes", at["bare"], "in total", found["four"])
    note = f"at {relay.RATE} messages/s"
    yield RELAY_P50.reading(at["delay"], f"{BARE}, one way", at["bare delay"], note, found["delay"])
    yield from bare(seconds, at["one"], at["delay"])


def bare(seconds: float, relayed: float, late_us: float) -> Iterator[BenchResult]:
    """The limits, beside a relay of so many million messages a second that come so late."""
    if no_second_core():
        yield unmeasured(RATE_NAME, "M/s", ONE_CORE)
        yield unmeasured(DELAY_NAME, "us", ONE_CORE)
        return
    found = take_turns({"rate": carried, "delay": one_way_us}, seconds)
    rate, delay = middle(found["rate"]), middle(found["delay"])
    if not relayed:
        yield BenchResult(RATE_NAME, rate, "M/s", NOT_BESIDE, 0.0, 0.0, None, pinning(), rounds=found["rate"])
        yield BenchResult(DELAY_NAME, delay, "us", NOT_BESIDE, 0.0, 0.0, None, pinning(), rounds=found["delay"])
        return
    yield BenchResult(
        RATE_NAME, rate, "M/s", "relay, one client", relayed, rate / relayed, None, pinning(), rounds=found["rate"]
    )
    yield BenchResult(
        DELAY_NAME, delay, "us", "relay p50", late_us, late_us / delay, None, pinning(), rounds=found["delay"]
    )


@contextmanager
def far_end(work: partial[None]) -> Iterator[socket.socket]:
    """Our end of a pair of sockets; `work(other end)` runs in a process of its own, on the second core."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)

    def there() -> None:
        ours.close()
        pin(1)
        work(theirs)

    pid = spawn(there)
    theirs.close()
    try:
        with pinned(0):
            yield ours
    finally:
        ours.close()
        kill(pid)


def carried(seconds: float) -> float:
    """Million frames a second; neither side looks at them."""
    room = bytearray(PORTION_BYTES)
    with far_end(partial(send_portions)) as ours:
        ours.recv_into(room)
        begin, size = time.perf_counter(), 0
        while (took_s := time.perf_counter() - begin) < seconds:
            size += ours.recv_into(room)
    return size / FRAME_BYTES / took_s / MILLION


def send_portions(connection: socket.socket) -> None:
    """Send until the other end is closed."""
    portion = os.urandom(PORTION_BYTES)
    while True:
        connection.sendall(portion)


def one_way_us(seconds: float) -> float:
    """Microseconds of half a round trip; both sides block in `recv`."""
    data = bytes(FRAME_BYTES)
    took_ns: list[float] = []
    with far_end(partial(relay.echo_all)) as ours:
        end = time.perf_counter() + seconds
        while not took_ns or time.perf_counter() < end:
            begin = time.perf_counter_ns()
            ours.sendall(data)
            ours.recv(FRAME_BYTES)
            took_ns.append(time.perf_counter_ns() - begin)
    return middle(took_ns) / 2 / US
