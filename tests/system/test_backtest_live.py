"""A backtest publishes what the live run of the same frames published: the order hashes of both are equal."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ringbuf import unlink

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
MOVER = "consumers.examples.native_mover:NativeMover"
SETS = ("--set", "flash_arbitrage.gross=true", "--set", "native_mover.threshold_pips=100")


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    """A command of `alphapulse`."""
    line = [sys.executable, "-m", "tools.command.main", *map(str, arguments), "--json"]
    return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def last_lines(process: subprocess.Popen[str], count: int = 1) -> list[dict[str, Any]]:
    """The last lines that a command prints until it has ended well."""
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()[-count:]]


def hashes_of(lines: list[dict[str, Any]]) -> dict[str, str]:
    """The order hash of each strategy in the lines of `alphapulse strategy`."""
    return {line["strategy"]: line["order_hash"] for line in lines}


def test_backtest_live_run_and_replay_give_the_same_order_hashes(
    new_ring_name: Callable[[], str], tmp_path: Path
) -> None:
    ring, replayed, journal = new_ring_name(), new_ring_name(), tmp_path / "journal"
    signals = [new_ring_name(), new_ring_name()]

    def strategies(source: str, prefix: str) -> subprocess.Popen[str]:
        options = ["--ring", source, "--reliable", "--until-closed", "--wait-for-ring", "60", "--signals", prefix]
        return start("strategy", "flash_arbitrage", MOVER, *SETS, *options)

    node = start("node", "--speed", "max")
    try:
        assert node.stdout is not None
        url = json.loads(node.stdout.readline())["ws"]
        live = strategies(ring, signals[0])
        recorder = start("record", "--ring", ring, "--out", journal, "--wait-for-ring", "60", "--until-closed")
        options = ["--url", url, "--ring", ring, "--until-idle", "1", "--pool-cache", "none"]
        last_lines(start("collect", *options))
        last_lines(recorder)
        of_live = hashes_of(last_lines(live, 2))
    finally:
        node.terminate()
        node.communicate(timeout=PATIENCE_S)
    again = strategies(replayed, signals[1])
    last_lines(start("replay", journal, "--ring", replayed, "--speed", "max", "--readers", "1"))
    of_replay = hashes_of(last_lines(again, 2))
    [line] = last_lines(start("backtest", journal, "--strategy", "flash_arbitrage", "--strategy", MOVER, *SETS))
    found = {one["name"]: one for one in line["strategies"]}
    assert found["flash_arbitrage"]["messages"] > 0 and found["native_mover"]["messages"] > 20
    assert {name: one["order_hash"] for name, one in found.items()} == of_live == of_replay
    for prefix in signals:
        for name in found:
            unlink(f"{prefix}.{name}")
