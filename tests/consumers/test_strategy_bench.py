"""The strategy's benchmark gives readings, and leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

from tools.bench.strategy import run


def test_bench_strategy_short_run_gives_every_reading() -> None:
    results = run(0.01)
    assert len({result.name for result in results}) == len(results) == 16
    for result in results:
        assert result.name.startswith("strategy ") and result.unit == "us"
        assert result.value > 0 and result.baseline_value > 0
        assert abs(result.ratio * result.value - result.baseline_value) < 1e-6 * result.baseline_value
    left = [path.name for path in Path("/dev/shm").glob(f"alphapulse-*-bench.{os.getpid()}.*")]
    assert not left
