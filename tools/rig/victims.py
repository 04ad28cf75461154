"""Processes that are killed with SIGKILL and started again, many times.

Owns starting, killing and detecting an end without a kill.  It must never know what a process does.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from tools.command.parent import request_death_signal
from tools.command.stderr_log import set_up_logging, speak_from
from tools.rig.nats_server import NatsServer
from tools.rig.processes import kill, reap, reap_within, spawn

END_TIMEOUT_S = 15.0
FATAL = "Fatal Python error: Aborted"
"""How a stack that faulthandler prints begins."""


class Victim(ABC):
    """One of several of its `kind`."""

    def __init__(self, kind: str, name: str) -> None:
        self.kind = kind
        self.name = name
        self.running = False
        self.back_at = 0.0  # of the monotonic clock, while it is not running
        self.back_from = 0  # what must have been published before that

    @abstractmethod
    def start(self) -> None:
        """Start it, or start it again."""

    @abstractmethod
    def kill(self) -> None:
        """kill -9, and wait until it is gone."""

    @abstractmethod
    def ended(self) -> str:
        """How it ended without a kill; empty while it runs."""


class ForkedVictim(Victim):
    """A child of this process that runs `work`, its output in a log file."""

    def __init__(self, kind: str, name: str, work: Callable[[], object], log: Path) -> None:
        super().__init__(kind, name)
        self._work = work
        self._log = log
        self._pid = 0

    def start(self) -> None:
        self._pid = spawn(self._run)
        self.running = True

    def kill(self) -> None:
        self.running = False
        kill(self._pid)

    def ended(self) -> str:
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if not pid:
            return ""
        self.running = False
        return f"{self.name} ended by itself with {os.waitstatus_to_exitcode(status)}: {self._last_words()}"

    def terminate(self) -> str:
        """Send SIGTERM; what was wrong with its end, empty if it ended in time with code 0."""
        os.kill(self._pid, signal.SIGTERM)
        deadline = time.monotonic() + END_TIMEOUT_S
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self.running = False
                code = os.waitstatus_to_exitcode(status)
                return f"{self.name} answered SIGTERM with {code}: {self._last_words()}" if code else ""
            time.sleep(0.01)
        os.kill(self._pid, signal.SIGABRT)  # it says where it stands, and dies
        self.running = False
        reap_within(self._pid, END_TIMEOUT_S)
        stack = self._log.read_text().rpartition(FATAL)[2]
        return f"{self.name} did not end within {END_TIMEOUT_S:g} s of SIGTERM; it stood at{stack}"

    def wait(self) -> str:
        """Wait until it ends by itself; what was wrong with that, empty for code 0."""
        self.running = False
        code = reap(self._pid)
        return f"{self.name} ended with {code}: {self._last_words()}" if code else ""

    def _run(self) -> None:
        request_death_signal()
        sys.stdout = sys.stderr = self._log.open("a", buffering=1)
        faulthandler.enable(sys.stderr)
        set_up_logging(self.name)  # where the process that forked logs is none of a child's business
        speak_from(logging.WARNING)
        self._work()

    def _last_words(self) -> str:
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return lines[-1] if lines else "without a word"


class BrokerVictim(Victim):
    """The NATS server; its storage survives it."""

    def __init__(self, server: NatsServer) -> None:
        super().__init__("broker", "broker")
        self._server = server
        self.running = True

    def start(self) -> None:
        self._server.restart()
        self.running = True

    def kill(self) -> None:
        self.running = False
        self._server.kill()

    def ended(self) -> str:
        code = self._server.process.poll()
        return "" if code is None else f"the broker ended by itself with {code}"
