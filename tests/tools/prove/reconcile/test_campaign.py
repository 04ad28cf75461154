"""Orders filled on paper and sent as transactions, at a size that `make test` has time for; and an executor that is a
unit off is found by both judges.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from click.testing import CliRunner

from consumers.arbitrage.constant_product import Hop
from tools.prove.reconcile.campaign import SETTINGS, OrderPlace, play
from tools.prove.reconcile.command import by_contracts, command
from tools.reconcile import explained

ORDERS = 14
KINDS = {"uniswap_v2", "uniswap_v3", "uniswap_v4", "algebra"}


@pytest.mark.parametrize(("seed", "setting"), [(11, SETTINGS[0]), (12, SETTINGS[1]), (13, SETTINGS[2])])
def test_accounts_hold_what_the_paper_says(seed: int, setting: OrderPlace) -> None:
    steps: list[int] = []
    outcome = play(seed, ORDERS, setting, steps.append)
    assert outcome.wrong == []
    assert (outcome.orders, outcome.remainder) == (ORDERS, 0)
    assert steps == sorted(steps)
    assert outcome.swaps.total() >= ORDERS
    assert by_contracts(outcome) == []
    assert len(outcome.judgements) > ORDERS / 2
    parts = [one.parts for one in outcome.judgements if one.parts is not None]
    assert parts
    for part in parts:
        assert part.remainder == 0
        explained_ = part.latency + part.fee + part.competitors + part.own_fills
        assert part.expected + explained_ + part.remainder == part.filled
    if setting.share_percent == 0:
        assert all(part.competitors == 0 for part in parts)
    for table in explained(outcome.judgements):
        assert int(table["filled"]) - int(table["put_in"]) == int(table["gross"])
        assert int(table["gross"]) - int(table["gas_cost"]) == int(table["net"])


def test_executor_that_is_a_unit_off_is_found_by_node_and_contracts(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Hop.out
    monkeypatch.setattr(Hop, "out", lambda hop, amount: right(hop, amount) - 1)
    outcome = play(14, ORDERS, SETTINGS[0], lambda _: None)
    assert outcome.wrong
    assert outcome.remainder >= len(outcome.wrong)
    assert any("out on paper, the contract takes" in text for text in by_contracts(outcome))


@pytest.mark.soak
def test_a_thousand_orders_leave_no_remainder() -> None:
    ended = CliRunner().invoke(command, ["--orders", "1000", "--seed", "21", "--json"], standalone_mode=False)
    assert (ended.exception, ended.return_value) == (None, 0), ended.output
    last: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    assert (last["orders"], last["remainder_wei"], last["differing"], last["passed"]) == (1000, "0", 0, True)
    assert set(Counter(last["swaps"])) == KINDS
