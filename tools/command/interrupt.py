"""Ctrl-C and SIGTERM as a flag that a loop polls, not as an exception between two instructions.

Owns the two signals' handlers for the length of a `with` block.  Code that owns processes or segments needs this: an
exception that comes while a child is being started loses the child.
"""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Self

from tools.command.service import SERVICE_MANAGER

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupt:
    """A callable: True once SIGINT, SIGTERM or SIGHUP came since the block began.

    A loop calls it each time that it turns, which is what systemd wants to know.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        SERVICE_MANAGER.turned()
        return self.asked

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
