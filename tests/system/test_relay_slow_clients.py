"""FAULTS row 29 on a relay process of its own: sixteen of sixty-four clients never read, and only they pay for it."""

from __future__ import annotations

import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consumers.client import Loss, RelayClient
from consumers.relay import protocol
from consumers.relay.address import connect
from ringbuf import Writer
from tlv.codes import FarewellReason, StreamStart
from tlv.layout import LAYOUT_DIGEST, Farewell, Header
from tlv.message import parse
from tools.rig.numbered import is_genuine, numbered_message

ROOT = Path(__file__).resolve().parents[2]
STUCK, DRAINED = 16, 47
MESSAGES = 30_000
CAPACITY = 1 << 22
"""A third of what is published, so that whoever never reads is lapped as well."""
MOST_GROWTH = 32 << 20
PATIENCE_S = "1"
PATIENCE_MS = 30_000


def memory(pid: int, field: str) -> int:
    """Bytes that /proc tells of a process: VmRSS now, VmHWM at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{field}:"))


@contextmanager
def relay_process(ring: str, home: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A relay of `ring` that serves, and its socket."""
    path = home / "relay.sock"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tools.command.main", "relay", "--ring", ring, "--socket", str(path), "--json"),
            *("--patience", PATIENCE_S, "--cursors", str(home / "cursors")),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["ready"]
        yield process, path
    finally:
        process.kill()
        process.communicate()


def subscriber(path: Path) -> socket.socket:
    """A connection that has asked for everything."""
    sock = connect(path, 30)
    sock.sendall(protocol.subscribe(start=StreamStart.OLDEST))
    return sock


def publish_the_rest(writer: Writer) -> None:
    """As fast as it goes."""
    for sequence in range(2, MESSAGES + 1):
        writer.publish(numbered_message(sequence))


def drain(socks: list[socket.socket], done: threading.Event) -> None:
    """Read and throw away, as fast as it comes."""
    room = bytearray(1 << 18)
    with selectors.DefaultSelector() as selector:
        for sock in socks:
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_READ, sock)
        while not done.is_set():
            for key, _ in selector.select(0.1):
                key.data.recv_into(room)


def last_words(sock: socket.socket) -> Farewell:
    """The Farewell behind whatever else was sent; nothing is read before the relay has hung up."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    assert poll.poll(PATIENCE_MS), "the relay still waits for a client that never reads"
    data = b""
    while more := sock.recv(1 << 20):
        data += more
    at = size = 0
    while at < len(data):
        size = Header.layout.size + Header.unpack(data, at).payload_size
        at += size
    farewell = parse(data[at - size :]).first(Farewell)
    assert farewell is not None
    return farewell


def test_relay_with_clients_that_never_read_stays_small_and_serves_the_others(ring_name: str) -> None:
    done = threading.Event()
    with (
        tempfile.TemporaryDirectory(prefix="slow") as home,
        Writer.create(ring_name, capacity=CAPACITY, layout_digest=LAYOUT_DIGEST) as writer,
        relay_process(ring_name, Path(home)) as (process, path),
    ):
        before = memory(process.pid, "VmRSS")
        stuck = [subscriber(path) for _ in range(STUCK)]
        drained = [subscriber(path) for _ in range(DRAINED)]
        drainer = threading.Thread(target=drain, args=(drained, done))
        drainer.start()
        try:
            with RelayClient(path, start="oldest", reconnect=False) as client:
                writer.publish(numbered_message(1))
                assert next(iter(client)).covers == 1
                publisher = threading.Thread(target=publish_the_rest, args=(writer,))
                publisher.start()
                expected = 2
                for item in client:
                    if isinstance(item, Loss):
                        assert item.first == expected
                        expected = item.last + 1
                    else:
                        assert item.sequence == expected and is_genuine(expected, item.data)
                        expected += 1
                    if expected > MESSAGES:
                        break
                publisher.join()
            reasons = {last_words(sock).reason for sock in stuck}
        finally:
            done.set()
            drainer.join()
            for sock in (*stuck, *drained):
                sock.close()
        grown = memory(process.pid, "VmHWM") - before
        process.send_signal(signal.SIGTERM)
        counts = json.loads(process.communicate(timeout=30)[0])
    assert reasons == {FarewellReason.TOO_SLOW}
    assert counts["evicted"] == STUCK
    assert grown < MOST_GROWTH, f"the relay grew by {grown >> 20} MiB"
    print(f"row 29: {STUCK} of {STUCK + DRAINED + 1} clients evicted and told, the relay grew by {grown >> 10} KiB")
