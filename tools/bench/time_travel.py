"""Time travel in a day of a journal: how long a seek takes, and how fast the index is built.

Owns these readings.  The journal is the bundled recording as a collector publishes it, in rounds whose blocks are
numbered on at Polygon's pace.  A seek is what /api/at does: find the block, fold up to it, encode the page.
"""

from __future__ import annotations

import gc
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from tools.bench.result import BenchResult
from tools.dashboard.recorded_journal import RecordedJournal
from tools.rig.long_journal import recorded_messages, write_long
from tools.rig.processes import wait_for

DAY_BLOCKS = 43_200
LEAST_BLOCKS = 500
SEEKS = 200
MOST_MS = 200.0
SEED = 12
INDEXED_S = 1800.0


def run(seconds: float) -> list[BenchResult]:
    """Both readings; in less than a second each, of a shorter journal."""
    blocks = max(round(DAY_BLOCKS * min(seconds, 1.0)), LEAST_BLOCKS)
    with tempfile.TemporaryDirectory(prefix="bench-travel") as folder, own_cache(Path(folder) / "cache"):
        journal = Path(folder) / "journal"
        write_long(journal, recorded_messages(), blocks)
        gc.collect()
        gc.freeze()  # as obs does
        with closing(RecordedJournal("bench", journal)) as recorded:
            began = time.perf_counter()
            recorded.start()
            wait_for(lambda: recorded.row().indexed == 1.0, INDEXED_S)
            indexed_s = time.perf_counter() - began
            return [seeks(recorded, blocks, indexed_s), building(blocks, indexed_s)]


def seeks(recorded: RecordedJournal, blocks: int, indexed_s: float) -> BenchResult:
    """The 95th percentile of seeks to blocks anywhere in the journal."""
    row, rng = recorded.row(), random.Random(SEED)
    taken: list[float] = []
    size = 0
    for _ in range(SEEKS):
        number = rng.randint(row.first_block, row.last_block)
        began = time.perf_counter()
        size = len(msgspec.json.encode(recorded.seek(number).update()))
        taken.append(1e3 * (time.perf_counter() - began))
    slow = statistics.quantiles(taken, n=20)[-1]
    return BenchResult(
        f"obs: seek in {blocks:,} blocks, p95",
        slow,
        "ms",
        "a fold from the journal's beginning",
        1e3 * indexed_s,
        1e3 * indexed_s / slow,
        MOST_MS,
        f"p50 {statistics.median(taken):.1f} ms of {SEEKS}; a page of {size >> 10} KiB",
    )


def building(blocks: int, indexed_s: float) -> BenchResult:
    """How many blocks a second are indexed."""
    rate, pace = blocks / indexed_s, 0.5
    note = "it rests half of the time"
    return BenchResult("obs: index of a journal", rate, "blocks/s", "as they come", pace, rate / pace, None, note)


@contextmanager
def own_cache(folder: Path) -> Iterator[None]:
    """Checkpoints go into `folder`, and with it; the kernels' cache was chosen when they were imported."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder)
    try:
        yield
    finally:
        del os.environ["XDG_CACHE_HOME"]
        if before is not None:
            os.environ["XDG_CACHE_HOME"] = before
