"""The folders that a backtest fills: made or found empty before anything runs.

Owns when a folder is refused, what a report consists of, and that what cannot be completed leaves nothing, no folder
either that was made for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import permutations
from pathlib import Path
from shutil import rmtree

from consumers.backtest.mapped_journal import JournalFacts
from consumers.backtest.run import RunResult
from consumers.execution.config import ExecutionConfig
from tlv.errors import UsageError
from tools.backtest.page import page
from tools.backtest.tables import write_tables

PAGE = "report.html"


@contextmanager
def claimed_directories(asked: Mapping[str, Path | None]) -> Iterator[None]:
    """Make the folders that options name; those that were made and are empty in the end are removed.

    Raises:
        UsageError: one of them is a file, holds something, or cannot be written; or one lies in another.
    """
    named = {option: directory for option, directory in asked.items() if directory is not None}
    for (option, directory), (other, outer) in permutations(named.items(), 2):
        if directory.resolve().is_relative_to(outer.resolve()):
            raise UsageError(f"{option} {directory} and {other} {outer}: expected two folders beside each other")
    absent = [path for one in named.values() for path in (one, *one.parents) if not os.path.lexists(path)]
    try:
        for option, directory in named.items():
            claim_directory(directory, option)
        yield
    finally:
        for path in absent:
            with suppress(OSError):
                path.rmdir()


def claim_directory(directory: Path, option: str) -> None:
    """Make the folder that an option names.

    Raises:
        UsageError: as of `claimed_directories`.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        there = next(directory.iterdir(), None)
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"{option} {directory}: expected a folder, found a file") from None
    except OSError as error:
        raise UsageError(f"{option} {directory}: cannot make it or read it ({error.strerror})") from None
    if there is not None:
        raise UsageError(f"{option} {directory}: expected an empty folder, found {there.name} in it")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise UsageError(f"{option} {directory}: this user may not write into it")


def empty_directory(directory: Path) -> None:
    """Remove what a run or a report that cannot be completed has left in its folder."""
    for path in directory.iterdir():
        if path.is_dir():
            rmtree(path)
        else:
            path.unlink()


def write_report(
    directory: Path,
    journal: str,
    facts: JournalFacts,
    config: ExecutionConfig,
    results: Sequence[RunResult],
    failures: Sequence[str],
) -> dict[str, int]:
    """Write the page and the tables; returns the rows of each table.  If anything fails, the folder is empty again.

    Raises:
        OSError: it cannot be written, with the folder's name.
    """
    try:
        rows = write_tables(directory, results)
        text = page(journal, facts, config, results, failures)
        (directory / PAGE).write_bytes(text.encode("utf-8", "backslashreplace"))
    except BaseException as error:
        empty_directory(directory)
        if isinstance(error, OSError):  # Arrow's names no file
            raise OSError(
                error.errno, f"the report cannot be written: {error.strerror or error}", str(directory)
            ) from None
        raise
    return rows
