"""What the flash arbitrage earns on the bundled market: a backtest says it, and the contracts confirm it to the wei.

The commands are those of docs/market.md.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from consumers.journal import JournalReader
from consumers.order_hash import OrderHash
from tools.market.bundle import bundled_market_journal

SETTINGS = ("--set", "wrapped_native=0x5fbdb2315678afecb367f032d93f642f64180aa3", "--set", "gas.tip_wei=0")
FRAMES = 2_500
"""Of the journal, in the suite; `make soak` takes all of it."""


def said_by(module: str, *options: str) -> dict[str, Any]:
    """The last line that a command prints with --json."""
    ended = CliRunner().invoke(importlib.import_module(module).command, [*options, "--json"], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def check_profit(journal: Path, executions: Path) -> None:
    orders = executions.with_name("orders")
    options = [str(journal), *SETTINGS, "--execute-set", "gas.tip_wei=0", "--executions", str(executions)]
    tested = said_by("tools.backtest.command", *options, "--orders", str(orders), "--no-progress")
    signals = ("--signals-journal", str(orders / "flash_arbitrage"))
    judged = said_by("tools.reconcile", str(executions), "--market", str(journal), *signals, "--no-progress")
    assert tested["complete"]
    assert tested["pnl"]["filled"] > FRAMES // 100
    assert judged["executed"] >= tested["pnl"]["filled"], "fills of blocks that left the chain are judged, too"
    assert judged["failed_rightly"] == judged["failed"]
    assert (judged["unexplained_wei"], judged["not_executed"], judged["wrong"]) == ("0", 0, 0)
    assert judged["confirmed"]
    assert judged["pnl"]["net"] == judged["pnl_of_contracts"]["net"] == tested["pnl"]["net"]
    found = OrderHash()
    with JournalReader(executions) as reader:
        while len(poll := reader.poll()):
            for frame in poll:
                found.add(bytes(frame.payload))
    assert found.hexdigest() == tested["execution_hash"]


def test_profit_of_a_backtest_on_the_bundled_market_is_what_the_contracts_pay(tmp_path: Path) -> None:
    part, rest = tmp_path / "part", tmp_path / "rest"
    options = [str(bundled_market_journal()), "--at", str(FRAMES + 1), "--out", str(part), "--rest", str(rest)]
    said_by("tools.journal", "split", *options)
    check_profit(part, tmp_path / "executions")


@pytest.mark.soak
def test_profit_on_all_of_the_bundled_market_is_what_the_contracts_pay(tmp_path: Path) -> None:
    check_profit(bundled_market_journal(), tmp_path / "executions")
