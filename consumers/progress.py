"""How far something is that takes a while: a bar on a terminal, a line now and then where there is none.

Owns when that is shown: from the first second on, and only on stderr.  A terminal gets rich's bar, with rate and time
left where the end is known; other streams get nothing, unless the caller has somebody to tell lines to.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import ProgressColumn, TaskID

SHOW_AFTER_S = 1.0
LINE_EVERY_S = 10.0
BYTES = "bytes"
MIB = 1 << 20

T = TypeVar("T")


class WorkProgress:
    """Of one piece of work, for the length of a `with` block.

    Args:
        what: what is done, for people.
        total: how much there is to do; None if nobody knows.
        unit: of what; `bytes` are shown as MiB.
        show: True = a bar at once, False = nothing, None = as this file says.
        say: takes a line each 10 s where stderr is no terminal.
    """

    def __init__(
        self,
        what: str,
        total: int | None,
        unit: str = BYTES,
        show: bool | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.total = total
        self._what, self._unit, self._show, self._say = what, unit, show, say
        self._done = 0
        self._began = time.monotonic()
        self._due = self._began + (0.0 if show else SHOW_AFTER_S)
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def advance(self, more: int) -> None:
        """So much more is done."""
        self.to(self._done + more)

    def to(self, done: int) -> None:
        """So much is done by now."""
        self._done = done
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=self.total)
        elif self._show is not False and time.monotonic() >= self._due:
            self._appear()

    def _appear(self) -> None:
        if self._show or (sys.stderr.isatty() and os.environ.get("TERM") != "dumb"):
            from rich.console import Console
            from rich.progress import Progress as Bar

            # What is printed meanwhile goes above the bar, unless it goes elsewhere: there it must stay what it is.
            apart = not sys.stdout.isatty()
            console = Console(stderr=True)
            self._bar = Bar(*self._columns(), console=console, transient=True, redirect_stdout=not apart)
            self._task = self._bar.add_task(self._what, total=self.total, completed=self._done)
            self._bar.start()
            return
        now = time.monotonic()
        if now - self._began >= LINE_EVERY_S and self._say is not None:
            self._say(self.line(now - self._began))
        self._due = now + LINE_EVERY_S

    def _columns(self) -> list[ProgressColumn]:
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        counts: list[ProgressColumn] = [DownloadColumn(binary_units=True), TransferSpeedColumn()]
        if self._unit != BYTES:
            counts = [MofNCompleteColumn(), TextColumn(self._unit)]
        return [TextColumn("{task.description}"), BarColumn(), *counts, TimeRemainingColumn()]

    def line(self, seconds: float) -> str:
        """The same in words: `verify: 120.0 of 500.0 MiB (24 %), 12.0 MiB/s, 32 s left`."""
        scale, unit, digits = (MIB, "MiB", 1) if self._unit == BYTES else (1, self._unit, 0)
        rate = self._done / seconds
        of_all = f" of {self.total / scale:,.{digits}f}" if self.total else ""
        text = f"{self._what}: {self._done / scale:,.{digits}f}{of_all} {unit}"
        if self.total:
            text += f" ({min(self._done / self.total, 1):.0%})"
        text += f", {rate / scale:,.1f} {unit}/s"
        if self.total and rate:
            text += f", {max(self.total - self._done, 0) / rate:,.0f} s left"
        return text

    def __enter__(self) -> Self:
        if self._show:
            self._appear()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def watched(steps: Iterable[tuple[T, int]], progress: WorkProgress) -> Iterator[T]:
    """Yield the result of each (result, how much was done for it), and advance by that."""
    with progress:
        for step, size in steps:
            yield step
            progress.advance(size)
