"""What the bridge's tests share: messages, the bridge's processes, a broker of either version, and what a ring has."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from consumers.bridge.address import parse_access
from consumers.bridge.broker import Broker, BrokerConnection, connect
from ringbuf import Reader, RingNotFound, RingNotReady, Status, Writer
from tlv.codes import Domain, FeedReason, Source
from tlv.layout import LAYOUT_DIGEST, Heartbeat
from tlv.message import build, parse
from tools.rig.nats_server import NatsServer, current_server, packaged_server

STREAM, SUBJECT = "alphapulse", "alphapulse.test"
NOTICED_S = 5.0
"""Within so long a bridge says what is wrong, on a machine that is not overloaded."""
DEADLINE_S = 60.0
"""However slow the machine is."""
PROGRAMS = {"packaged": packaged_server, "current": current_server}


def message(sequence: int) -> bytes:
    """A heartbeat."""
    return build(
        Domain.SYSTEM,
        Source.POLYGON_COLLECTOR,
        [Heartbeat(sequence, 0, sequence, 0, 0, 0, 1, 0, FeedReason.OK)],
        sequence=sequence,
    )


def publish(writer: Writer, count: int) -> None:
    """So many of them."""
    for _ in range(count):
        writer.publish(message(writer.next_sequence))


class Bridge:
    """A process `alphapulse bridge out|in`, its words in a file."""

    def __init__(self, direction: str, ring: str, url: str, log: Path, *options: str, subject: str = SUBJECT) -> None:
        self.log = log
        with log.open("a") as words:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tools.command.main", "bridge", direction, "--ring", ring, "--server", url),
                    *("--subject", subject, "--json", *options),
                ],
                stdout=subprocess.PIPE,
                stderr=words,
                text=True,
            )

    @property
    def words(self) -> str:
        """What it wrote to stderr."""
        return self.log.read_text()

    def until_says(self, *texts: str) -> None:
        """Wait for one of these texts."""
        until(lambda: any(text in self.words for text in texts), lambda: f"{texts} in {self.words!r}")

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.communicate()

    def stop(self) -> dict[str, int]:
        """SIGTERM; its counts."""
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, self.words
        counts: dict[str, int] = json.loads(out)
        return counts

    def end(self) -> int:
        """Wait until it ends by itself; its exit code."""
        self.process.communicate(timeout=DEADLINE_S)
        return int(self.process.returncode)


@contextlib.contextmanager
def bridges(folder: Path) -> Iterator[Callable[..., Bridge]]:
    """Starts bridges; those that still run are killed at the end."""
    started: list[Bridge] = []

    def start(direction: str, ring: str, url: str, *options: str, subject: str = SUBJECT) -> Bridge:
        log = folder / f"bridge-{len(started)}.log"
        started.append(Bridge(direction, ring, url, log, *options, subject=subject))
        return started[-1]

    try:
        yield start
    finally:
        for bridge in started:
            if bridge.process.poll() is None:
                bridge.kill()


def until(condition: Callable[[], object], what: Callable[[], str]) -> None:
    """Wait for a fact."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S:.0f} s: {what()}"
        time.sleep(0.05)


def sequences(ring: str) -> list[int]:
    """The header sequences of every frame of a ring; none if there is no such ring."""
    try:
        reader = Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST)
    except (RingNotFound, RingNotReady):
        return []
    found: list[int] = []
    with reader:
        while (poll := reader.poll()).status in (Status.OK, Status.EPOCH_CHANGED):
            found += [parse(frame.payload).header.sequence for frame in poll]
    return found


def read_sequences(ring: str, last: int) -> list[int]:
    """The same, once the frame with `last` is there."""
    found: list[int] = []

    def has_last() -> bool:
        found[:] = sequences(ring)
        return bool(found) and found[-1] >= last

    until(has_last, lambda: f"{len(found)} frames, the last {found[-1:]} of {last}")
    return found


def on_broker(server: NatsServer, act: Callable[[BrokerConnection], Any], *, url: str | None = None) -> Any:
    """What `act`, a coroutine function, returns of a connection to the server."""

    async def connected() -> Any:
        connection = await connect(Broker(parse_access(url or server.url), STREAM, SUBJECT))
        try:
            return await act(connection)
        finally:
            await connection.close()

    return asyncio.run(connected())


def api(server: NatsServer, operation: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One request to JetStream."""

    async def ask(connection: BrokerConnection) -> dict[str, Any]:
        return await connection.api(operation, body)

    answer: dict[str, Any] = on_broker(server, ask)
    return answer
