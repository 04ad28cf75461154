"""Seeds of the simulated world, one after the other: none may find a rule broken."""

from __future__ import annotations

import pytest

from tools.prove.world.run import run_world

IN_EACH_TEST = 20
SEEDS = 600
"""So many take a minute of one core."""
SOAKED = 20_000


def failures(first: int, seeds: int) -> list[str]:
    return [run.summary for run in map(run_world, range(first, first + seeds)) if not run.passed]


@pytest.mark.parametrize("first", range(1, SEEDS, IN_EACH_TEST))
def test_no_seed_finds_an_event_lost_invented_or_told_twice(first: int) -> None:
    assert failures(first, IN_EACH_TEST) == []


@pytest.mark.soak
@pytest.mark.parametrize("first", range(SEEDS + 1, SOAKED, 500))
def test_no_seed_of_a_long_campaign_finds_an_event_lost_invented_or_told_twice(first: int) -> None:
    assert failures(first, 500) == []
