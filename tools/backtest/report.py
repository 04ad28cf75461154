"""The folder of a report: made or found empty before anything runs, filled when all have run.

Owns when a folder is refused, and that a report that cannot be completed leaves nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from consumers.backtest.mapped_journal import JournalFacts
from consumers.backtest.run import RunResult
from consumers.execution.config import ExecutionConfig
from tlv.errors import UsageError
from tools.backtest.page import page
from tools.backtest.tables import write_tables

PAGE = "report.html"


def claim_directory(directory: Path, option: str) -> None:
    """Make the folder that an option names.

    Raises:
        UsageError: it is a file, holds something, or cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"{option} {directory}: expected a folder, found a file") from None
    except OSError as error:
        raise UsageError(f"{option} {directory}: cannot make it ({error.strerror})") from None
    there = next(directory.iterdir(), None)
    if there is not None:
        raise UsageError(f"{option} {directory}: expected an empty folder, found {there.name} in it")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise UsageError(f"{option} {directory}: this user may not write into it")


def write_report(
    directory: Path,
    journal: str,
    facts: JournalFacts,
    config: ExecutionConfig,
    results: Sequence[RunResult],
    failures: Sequence[str],
) -> dict[str, int]:
    """Write the page and the tables; returns the rows of each table.  If anything fails, the folder is empty again."""
    try:
        rows = write_tables(directory, results)
        text = page(journal, facts, config, results, failures)
        (directory / PAGE).write_bytes(text.encode("utf-8", "backslashreplace"))
    except BaseException:
        for path in directory.iterdir():
            path.unlink()
        raise
    return rows
