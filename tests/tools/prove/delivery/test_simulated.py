"""The simulated delivery world: its seeds pass, it repeats itself, and it finds the defects that it must find."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from tools.prove.delivery.command import command
from tools.prove.delivery.simulated import MOST_LINES
from tools.prove.delivery.world import mutants
from tools.prove.delivery.world.mutants import DELIVERY_MUTANTS, DeliveryMutant
from tools.prove.delivery.world.run import SETTLING_S, run_delivery
from tools.prove.delivery.world.shrinking import shrink_delivery
from tools.prove.world.mutants import changed

SEEDS = 30
NO_REPLACED = next(one for one in DELIVERY_MUTANTS if one.name.startswith("no RingReplaced"))
OF_ANOTHER = next(one for one in DELIVERY_MUTANTS if one.name.endswith("is told of another"))
"""Its world has few moves, so the smallest is soon found."""


def run_command(*arguments: str) -> tuple[int, list[str]]:
    result = CliRunner().invoke(command, ["--simulated", *arguments], standalone_mode=False)
    assert result.exception is None
    return result.return_value, result.stdout.splitlines()


def test_no_seed_finds_a_message_lost_in_silence_or_delivered_twice() -> None:
    code, lines = run_command("--seeds", str(SEEDS), "--json")
    assert (code, json.loads(lines[-1])["failed_seeds"]) == (0, []), lines
    total = json.loads(lines[-1])
    assert total["seeds"] == SEEDS and total["items"] > 1000 and total["successions"] > 10 and total["lost"] > 10


@pytest.mark.soak
def test_no_seed_of_a_long_campaign_finds_a_message_lost_in_silence_or_delivered_twice() -> None:
    code, lines = run_command("--seeds", "10000", "--json")
    assert code == 0, lines


def test_world_without_kinds_delivers_every_message_once_and_loses_none() -> None:
    run = run_delivery(3, frozenset())
    assert run.passed, run.summary
    assert run.lost == 0 and run.items == run.published > 100


def test_world_gives_a_client_time_for_each_ring_that_nobody_recorded() -> None:
    run = run_delivery(5104, frozenset({"disconnect", "recorder_away", "replace"}), 157)
    print(f"{run.rings} rings in {run.virtual_s:.1f} s, {run.lost} lost")
    assert run.passed, run.summary
    assert run.virtual_s > SETTLING_S


def test_world_of_the_same_seed_has_the_same_history() -> None:
    first, second = (run_delivery(5, trace=True) for _ in range(2))
    assert first.history and first == second


@pytest.mark.parametrize("mutant", DELIVERY_MUTANTS, ids=lambda mutant: mutant.name)
def test_world_finds_a_defect_that_is_put_back(mutant: DeliveryMutant) -> None:
    with changed(mutant):
        assert not mutant.run().passed
    assert mutant.run().passed


def test_command_tells_which_world_finds_each_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    unfound = DeliveryMutant("nothing", NO_REPLACED.place, NO_REPLACED.old, NO_REPLACED.old, 3)
    monkeypatch.setattr(mutants, "DELIVERY_MUTANTS", (NO_REPLACED, unfound))
    for searched in ([], ["--first-seed", str(NO_REPLACED.seed), "--seeds", "1"]):
        code, lines = run_command("--mutants", "--json", *searched)
        rows = [json.loads(line) for line in lines]
        assert code == 1
        assert [row.get("seed") for row in rows] == [NO_REPLACED.seed, None, None]
        assert rows[-1] == {"defects": 2, "not_found": 1}


def test_command_tells_each_failing_seed_with_its_smallest_history() -> None:
    with changed(OF_ANOTHER):
        code, lines = run_command("--seeds", "1", "--first-seed", str(OF_ANOTHER.seed))
        smallest = shrink_delivery(OF_ANOTHER.run())
    assert code == 1 and lines[0].startswith(f"seed {OF_ANOTHER.seed}: ")
    assert lines[1].strip() == f"smallest: {smallest.summary}" and len(lines) <= MOST_LINES + 3
    assert smallest.kinds < OF_ANOTHER.run().kinds
