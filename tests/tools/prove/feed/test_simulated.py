"""`alphapulse prove feed --simulated`: what it says, and that a seed that fails is told with its history."""

from __future__ import annotations

import json

from click.testing import CliRunner

from tools.prove.feed.command import command
from tools.prove.feed.simulated import FEED, FIRST_LINES, LAST_LINES
from tools.prove.world.mutants import WorldMutant, changed
from tools.prove.world.run import WorldRun

SILENT = WorldMutant(
    "blocks are not announced",
    "producers.output.block_messages:BlockMessages.put_block",
    "self._outbox.put(",
    "(",
    1,
    "",
    8,
)


def run_command(*arguments: str) -> tuple[int, list[str]]:
    result = CliRunner().invoke(command, ["--simulated", *arguments], standalone_mode=False)
    assert result.exception is None
    return result.return_value, result.stdout.splitlines()


def test_simulated_command_ends_with_the_sum_and_the_failed_seeds() -> None:
    code, lines = run_command("--seeds", "4", "--first-seed", "11", "--json")
    total = json.loads(lines[-1])
    failed = [json.loads(line)["seed"] for line in lines[:-1]]
    assert total["seeds"] == 4 and total["failed_seeds"] == failed and code == int(bool(failed))
    assert total["messages"] > 100 and total["virtual_s"] > 100 and total["seeds_per_minute"] > 0


def test_simulated_command_tells_each_failing_seed_with_its_smallest_history() -> None:
    with changed(SILENT):
        code, lines = run_command("--seeds", "1", "--first-seed", "7")
        _, [told, _] = run_command("--seeds", "1", "--first-seed", "7", "--json")
    assert code == 1
    assert lines[0].startswith("seed 7: ") and lines[1].strip().startswith("smallest: seed 7: ")
    assert "1 failed (seeds [7])" in lines[-1]
    one = json.loads(told)
    assert one["seed"] == 7 and one["faults"] and len(one["history"]) <= FIRST_LINES + LAST_LINES + 2


def test_simulate_reports_each_failure_once_and_counts_the_kinds() -> None:
    failures: list[WorldRun] = []
    with changed(SILENT):
        found = FEED.play(7, 2, failures.append)
        history = FEED.smallest_history(failures[0])
    assert failures == found.failed and [run.seed for run in failures] == [7, 8]
    assert found.seeds == 2 and found.kinds.total() == sum(len(run.kinds) for run in failures)
    assert any(line.strip().startswith("0.0") for line in history)
