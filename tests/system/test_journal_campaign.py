"""FAULTS row 55 at a size that `make test` has time for: `alphapulse prove journal --gib 10` is the whole."""

from __future__ import annotations

import json

from click.testing import CliRunner

from tools.prove.journal.command import command


def test_journal_seeks_land_and_readers_miss_nothing_beside_packing_and_retention() -> None:
    done = CliRunner().invoke(command, ["--gib", "0.3", "--seeks", "60", "--seconds", "4", "--json"])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    made, by_sequence, by_block, kept, dropped = lines
    assert made["segments"] >= 5
    # How long a seek takes is for the command to judge on an idle machine; here it must be right.
    assert by_sequence["wrong"] == by_block["wrong"] == 0
    assert by_sequence["p50_ms"] < 500 and by_block["p50_ms"] < 500
    assert (kept["told_lost"], kept["wrongly_missing"], dropped["wrongly_missing"]) == (0, 0, 0)
    assert kept["segments"] > 5 and kept["seeks"] > 10 and dropped["segments"] > 5
    for line in (by_sequence, by_block, kept, dropped):
        print(f"row 55: {line}")
