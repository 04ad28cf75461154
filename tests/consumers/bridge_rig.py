"""What the bridge's tests share: messages, the bridge's processes, a broker of either version, and what a ring has."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from consumers.bridge.address import parse_access
from consumers.bridge.broker import Broker, BrokerConnection, connect
from ringbuf import Reader, RingNotFound, RingNotReady, Status, Writer
from tlv.codes import Domain, FeedReason, Source
from tlv.layout import LAYOUT_DIGEST, Heartbeat
from tlv.message import build, parse
from tools.command.main import main
from tools.rig.nats_server import NatsServer, current_server, packaged_server
from tools.rig.processes import kill, reap_within, spawn

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
    """`alphapulse bridge out|in`, forked from this process, which has imported everything; its words are in a file.

    It shares what this process has open: a journal's lock that was held then lasts as long as it runs.
    """

    def __init__(self, direction: str, ring: str, url: str, log: Path, *options: str, subject: str = SUBJECT) -> None:
        self.log = log
        self._printed = log.with_suffix(".printed")
        where = ("--ring", ring, "--server", url, "--subject", subject)
        self.pid = spawn(partial(self._run, "bridge", direction, *where, "--json", *options))
        self.is_reaped = False

    def _run(self, *arguments: str) -> None:
        for standard, file in ((1, self._printed), (2, self.log)):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), standard)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
        sys.argv = ["alphapulse", *arguments]
        try:
            main()
        except SystemExit as ending:
            sys.stdout.flush()
            os._exit(int(ending.code or 0))

    @property
    def words(self) -> str:
        """What it wrote to stderr."""
        return self.log.read_text() if self.log.exists() else ""

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def until_says(self, *texts: str) -> None:
        """Wait for one of these texts."""
        until(lambda: any(text in self.words for text in texts), lambda: f"{texts} in {self.words!r}")

    def kill(self) -> None:
        """SIGKILL."""
        kill(self.pid)
        self.is_reaped = True

    def stop(self) -> dict[str, int]:
        """SIGTERM; its counts."""
        os.kill(self.pid, signal.SIGTERM)
        assert self.end() == 0, self.words
        counts: dict[str, int] = json.loads(self._printed.read_text())
        return counts

    def end(self) -> int:
        """Wait until it ends; its exit code."""
        self.is_reaped = True
        return reap_within(self.pid, DEADLINE_S)


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
            if not bridge.is_reaped:
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
