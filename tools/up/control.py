"""Questions and orders to a running supervisord, over its Unix socket.

Owns the socket and its time-out.  Names are the configuration's; supervisord has them within one group.
"""

from __future__ import annotations

import http.client
import socket
import xmlrpc.client
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from supervisor.xmlrpc import Faults, SupervisorTransport

from tlv.errors import AlphaPulseError
from tools.up.plan import GROUP
from tools.up.run_directory import RunDirectory

TIMEOUT_S = 5.0
"""supervisord answers between two looks at its processes; one that is stopped never does."""
HARMLESS = (Faults.NOT_RUNNING, Faults.ALREADY_STARTED, Faults.SHUTDOWN_STATE)
"""What was wanted is so already."""

T = TypeVar("T")


class NoAnswer(AlphaPulseError):
    """supervisord does not answer, or refuses."""


class ProcessInfo(NamedTuple):
    """One process at one moment, in supervisord's words."""

    name: str
    state: str  # STARTING, RUNNING, BACKOFF, STOPPING, EXITED, STOPPED, FATAL
    pid: int  # 0 if there is none
    age_s: int  # of the state
    problem: str  # why it could not be spawned


class Control:
    """A connection to the supervisord of a place, from construction to `close`."""

    def __init__(self, place: RunDirectory) -> None:
        self._transport = _Transport(str(place.control))
        self._place = place
        proxy: Any = xmlrpc.client.ServerProxy("http://supervisord", transport=self._transport)
        self._supervisor = proxy.supervisor

    def processes(self) -> list[ProcessInfo]:
        """Every process, by name.

        Raises:
            NoAnswer: supervisord is not there or does not answer.
        """
        return [_info(found) for found in self._ask(self._supervisor.getAllProcessInfo) or []]

    def stop(self, name: str) -> None:
        """Send a process SIGTERM, and SIGKILL after the grace; does not wait."""
        self._ask(lambda: self._supervisor.stopProcess(f"{GROUP}:{name}", False))

    def start(self, name: str) -> None:
        """Start a process that does not run; does not wait."""
        self._ask(lambda: self._supervisor.startProcess(f"{GROUP}:{name}", False))

    def shut_down(self) -> None:
        """Have supervisord end, with everything that still runs."""
        self._ask(self._supervisor.shutdown)

    def _ask(self, question: Callable[[], T]) -> T | None:
        try:
            return question()
        except xmlrpc.client.Fault as fault:
            if fault.faultCode in HARMLESS:
                return None
            raise NoAnswer(f"supervisord refuses: {fault.faultString}") from None
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            self._transport.close()
            who = self._place.who()
            raise NoAnswer(f"supervisord (pid {who.pid if who else 'unknown'}) does not answer: {error}") from None

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def __enter__(self) -> Control:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _info(found: dict[str, Any]) -> ProcessInfo:
    since = found["start"] if found["statename"] in {"STARTING", "RUNNING"} else found["stop"]
    age_s = max(found["now"] - since, 0) if since else 0
    return ProcessInfo(found["name"], found["statename"], found["pid"], age_s, found["spawnerr"])


class _Transport(SupervisorTransport):  # type: ignore[misc]
    """supervisord's transport with a time-out."""

    def __init__(self, path: str) -> None:
        super().__init__(None, None, f"unix://{path}")
        self._get_connection = lambda: _Connection(path)


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's file instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(self._path)
