"""Row 31 of the fault table: processes between a ring and its readers are killed at random, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from tools.prove.delivery.campaign import prove_delivery
from tools.prove.delivery.command import command
from tools.prove.delivery.witness import ConsumerWitness
from tools.rig.numbered import is_genuine, numbered_message

SEED = 20_260_722


def test_delivery_under_sixty_kills_loses_nothing(tell: Callable[[str], None]) -> None:
    """P6 from the ring to its readers."""
    outcome = prove_delivery(60, SEED)
    tell(outcome.line())
    assert outcome.passed, outcome.line()


@pytest.mark.soak
def test_delivery_under_five_hundred_kills_loses_nothing(tell: Callable[[str], None]) -> None:
    outcome = prove_delivery(500, SEED)
    tell(outcome.line())
    assert outcome.passed, outcome.line()


def test_prove_delivery_command_with_json_prints_one_object() -> None:
    ran = CliRunner().invoke(command, ["--kills", "3", "--seed", "5", "--json"], standalone_mode=False)
    row = json.loads(ran.output)
    assert (row["row"], row["seed"], row["passed"]) == (31, 5, True), row["summary"]
    assert ran.return_value == 0


def test_numbered_message_of_another_sequence_or_with_another_amount_is_not_genuine() -> None:
    seven, eight = numbered_message(7), numbered_message(8)
    assert is_genuine(7, seven)
    assert not is_genuine(7, eight)
    assert not is_genuine(7, seven[:-1])
    assert not is_genuine(7, seven[:40] + eight[40:])


def test_witness_counts_what_is_missing_repeated_lost_and_invented() -> None:
    witness = ConsumerWitness()
    for sequence in (1, 2, 2, 4):
        witness.see(sequence, numbered_message(sequence))
    assert (witness.missing(4), witness.repeated(), witness.invented(4), witness.reported_lost()) == (1, 1, 0, 0)
    assert not witness.is_exact(4)
    assert witness.invented(3) == 1, "the fourth was not published"
    witness.see(3, numbered_message(5))
    assert (witness.missing(4), witness.invented(4)) == (1, 1)


def test_witness_is_exact_only_if_each_sequence_is_either_seen_or_lost() -> None:
    witness = ConsumerWitness()
    witness.see(1, numbered_message(1))
    witness.lose(2, 3)
    assert witness.is_exact(3)
    assert not witness.is_exact(4), "the fourth is neither"
    witness.see(3, numbered_message(3))
    assert not witness.is_exact(3), "the third is both"
