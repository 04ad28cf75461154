"""The rows of the fault table that need real processes, at the sizes promised there."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from tools.prove.cli import ring
from tools.prove.ring import ring_proofs

MODELS = {"crash images", "schedules", "mutants"}  # in tests/model
SEED = 20_240_607


@pytest.mark.parametrize("name", [name for name in ring_proofs(SEED) if name not in MODELS])
def test_ring_campaign_keeps_its_promise(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = ring_proofs(SEED)[name]()
    with capsys.disabled():
        print(f"\n{outcome.line()}")
    assert outcome.passed, outcome.line()


def test_prove_ring_command_with_json_prints_one_object_per_proof() -> None:
    ran = CliRunner().invoke(ring, ["--only", "attach", "--only", "baits", "--json", "--seed", "1"])
    assert ran.exit_code == 0, ran.output
    rows = [json.loads(line) for line in ran.output.splitlines()]
    assert [row["row"] for row in rows] == [17, 14] and all(row["passed"] for row in rows)


def test_prove_ring_command_with_unknown_name_is_a_usage_error() -> None:
    ran = CliRunner().invoke(ring, ["--only", "luck"])
    assert ran.exit_code == 2 and "no proof named luck" in ran.output
