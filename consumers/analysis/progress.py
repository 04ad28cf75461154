"""A progress bar on stderr for conversions that take a while.

Owns when it is shown: on a terminal, from some 32 MiB of journal on, unless the caller decides.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

LONG_BYTES = 1 << 25

T = TypeVar("T")


def watched(steps: Iterable[tuple[T, int]], total_bytes: int, what: str, show: bool | None) -> Iterator[T]:
    """Yield the result of each (result, bytes of journal it was made of) and advance the bar by the bytes."""
    if show is None:
        show = sys.stderr.isatty() and total_bytes >= LONG_BYTES
    if not show:
        for step, _ in steps:
            yield step
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total_bytes)
        for step, size in steps:
            yield step
            bar.advance(task, size)
