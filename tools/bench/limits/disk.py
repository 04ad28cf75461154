"""What the disk's files take and give of a journal's bytes, and the journal's rows of the table beside them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

from ringbuf.layout import LENGTH_ROW
from tools.bench.journal import FRAMES, append, batch, disk_rate, scan
from tools.bench.limits.rounds import middle, take_turns
from tools.bench.limits.rows import APPEND, SCAN
from tools.bench.result import BenchResult

WRITE, SYNC, READ = "write(2)", "write(2) and fdatasync(2)", "read(2)"
FRAME_HEAD = 32


def run(seconds: float) -> Iterator[BenchResult]:
    """The journal's rows, then the limits, all in million frames a second."""
    buffer, table = batch()
    size = int(table[LENGTH_ROW].sum()) + FRAMES * FRAME_HEAD
    beside: dict[str, list[float]] = {SYNC: [], READ: []}
    with tempfile.TemporaryDirectory(prefix="bench-limits") as folder:
        home = Path(folder)
        append(home / "warm", buffer, table, 0.01)

        def append_anew(length: float) -> float:
            rmtree(home / "journal", ignore_errors=True)
            return append(home / "journal", buffer, table, length)

        def write(length: float) -> float:
            written, synced = disk_rate(home / "disk", size, length)
            beside[SYNC].append(synced)
            return written

        def scan_all(length: float) -> float:
            copied, scanned = scan(home / "journal", length)
            beside[READ].append(copied)
            return scanned

        found = take_turns({"append": append_anew, WRITE: write}, seconds)
        found |= take_turns({"scan": scan_all}, seconds)
    at = {name: middle(readings) for name, readings in (found | beside).items()}
    yield APPEND.reading(at["append"], f"{WRITE} of the same bytes", at[WRITE], rounds=found["append"])
    yield SCAN.reading(at["scan"], f"{READ} of the same bytes", at[READ], "every checksum verified", found["scan"])
    for name, ours in ((WRITE, "append"), (SYNC, "append"), (READ, "scan")):
        yield BenchResult(
            f"limit, {name} of the journal's bytes", at[name], "M/s", f"journal {ours}", at[ours], at[name] / at[ours]
        )
