"""The processes of one peer: started once, pinned, given orders, and ended within a bound, whatever they do.

    Team(transport) --> play(order) --> play(order) ... --> end()
                          |  a process died, failed or kept silent for too long: PeerEnded, and all of them are killed

Owns the processes and what they share.  It must never know what an order measures.
"""

from __future__ import annotations

import contextlib
import os
import time
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from tools.bench.peers.ends import READERS, Transport
from tools.bench.peers.worker import PING, PeerFailure, TurnOrder, serve
from tools.bench.processes import SPAWN

START_S = 60.0
"""A machine under load takes seconds for imports."""
PATIENCE_S = 15.0
"""Beyond a turn's own length, for each of its steps."""
LEAVE_S = 2.0


class PeerEnded(Exception):
    """A peer that was ended, and why."""


class Played(NamedTuple):
    """What processes said after each size of a turn."""

    sent: list[Any]
    received: list[list[Any]]


def cores_of(processes: int) -> list[int]:
    """The core of each process, -1 where they must share: one core to each, in turn, if there are two at least."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        return [-1] * processes
    return [allowed[index % len(allowed)] for index in range(processes)]


class Team:
    """One sender and `READERS` receivers of a peer."""

    def __init__(self, transport: Transport, module: str, folder: Path, patience_s: float = PATIENCE_S) -> None:
        self._transport = transport
        self._patience_s = patience_s
        self._made = transport.make(folder)
        self._processes: list[BaseProcess] = []
        self._connections: list[Connection] = []
        self.pinned = True
        try:
            for index, core in enumerate(cores_of(1 + READERS)):
                ours, theirs = SPAWN.Pipe()
                process = SPAWN.Process(target=serve, args=(theirs, module, self._made, index, core), daemon=True)
                process.start()
                theirs.close()
                self._processes.append(process)
                self._connections.append(ours)
        except BaseException:
            self.end()
            raise

    @property
    def pids(self) -> list[int]:
        """Of its processes, the sender's first."""
        return [process.pid or 0 for process in self._processes]

    def greet(self) -> None:
        """Wait until every process is there.

        Raises:
            PeerEnded.
        """
        self.pinned = all(self._heard(range(len(self._processes)), START_S))

    def play(self, order: TurnOrder) -> Played:
        """One turn.

        Raises:
            PeerEnded: the peer's processes are gone then.
        """
        receivers = range(1, 1 + order.readers)
        everyone = range(1 + order.readers)
        self._tell([0], order)
        self._heard([0], self._patience_s)
        self._tell(receivers, order)
        self._heard(receivers, self._patience_s)
        self._tell(everyone, "all are open")
        played = Played([], [])
        for _ in order.sizes:
            self._tell(everyone, "next size")
            self._heard(everyone, self._patience_s)
            self._tell([0], "go")
            sent, *received = self._heard(everyone, order.seconds + self._patience_s)
            played.sent.append(sent)
            played.received.append(received)
        self._heard(everyone, self._patience_s)
        return played

    def _tell(self, whom: range | list[int], what: object) -> None:
        for index in whom:
            with contextlib.suppress(OSError):  # it is dead: listening to it says so
                self._connections[index].send(what)

    def _heard(self, whom: range | list[int], seconds: float) -> list[Any]:
        """One message of each, within `seconds`."""
        deadline = time.monotonic() + seconds
        heard: dict[int, Any] = {}
        while missing := [index for index in whom if index not in heard]:
            left = deadline - time.monotonic()
            ready = wait([self._connections[index] for index in missing], max(left, 0))
            if not ready:
                self._give_up(f"no answer within {seconds:g} s; its processes were killed")
            for index in missing:
                if self._connections[index] in ready:
                    heard[index] = self._received(index)
        return [heard[index] for index in whom]

    def _received(self, index: int) -> Any:
        try:
            message = self._connections[index].recv()
        except (EOFError, OSError):
            self._processes[index].join(LEAVE_S)
            message = PeerFailure(f"process {index} died, exit code {self._processes[index].exitcode}")
        if isinstance(message, PeerFailure):
            self._give_up(message.reason)
        return message

    def _give_up(self, reason: str) -> None:
        self.end(at_once=True)
        raise PeerEnded(reason)

    def end(self, *, at_once: bool = False) -> None:
        """End the processes: they leave by themselves, or are killed; then what they share is removed."""
        if not at_once:
            self._tell(range(len(self._connections)), None)
        deadline = time.monotonic() + (0 if at_once else LEAVE_S)
        for process in self._processes:
            process.join(max(deadline - time.monotonic(), 0))
            process.kill()
            process.join()
        for connection in self._connections:
            connection.close()
        self._processes.clear()
        self._connections.clear()
        if self._made is not None:
            self._transport.clean(self._made)
            self._made = None


def spins(order_kind: str, readers: int) -> bool:
    """Whether each process of a turn has a core of its own."""
    processes = 2 if order_kind == PING else 1 + readers
    return processes <= len(os.sched_getaffinity(0))
