"""The benchmark of backtests gives readings, and leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools.bench import backtest


def test_bench_backtest_short_run_gives_every_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest, "NATIVE_BATCHES", 2)
    monkeypatch.setattr(backtest, "PLAIN_BATCHES", 1)
    results = backtest.run(0.01)
    assert len({result.name for result in results}) == len(results) == 3
    for result in results:
        assert result.name.startswith("backtest of a ") and result.unit == "M frames/s"
        assert result.value > 0 and result.baseline_value > 0
        assert result.ratio == result.value / result.baseline_value
    assert results[0].target == backtest.FASTER * results[0].baseline_value
    assert not list(Path("/dev/shm").glob(f"alphapulse-*-bench.{os.getpid()}.*"))
