"""`alphapulse prove anomalies` at a size that `make test` has time for; docs/anomalies.md has the whole."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from consumers.anomalies import AnomalyThresholds
from tlv.codes import AnomalyKind, AnomalyState
from tools.anomalies import command as anomalies_command
from tools.command.main import COMMANDS
from tools.prove.anomalies.command import command
from tools.prove.anomalies.planting import Field, plant
from tools.prove.anomalies.recorded import recorded
from tools.prove.anomalies.scoring import Score, judge, watched_stream

DOCUMENT = (Path(__file__).parents[2] / "docs" / "anomalies.md").read_text()


def test_planted_anomalies_of_every_kind_are_found_and_decoys_are_not() -> None:
    ended = CliRunner().invoke(command, ["--plants", "1", "--seed", "3", "--json"], standalone_mode=False)
    assert (ended.exception, ended.return_value) == (None, 0), ended.output
    polygon, ethereum, *kinds = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [(one["kind"], one["block"]) for one in polygon["anomalies"]] == [
        ("gap", 13522170),
        ("silence", 13522230),
        ("gap", 13522231),
    ]
    assert ethereum["anomalies"] == []
    assert [one["kind"] for one in kinds] == [kind.name.lower() for kind in AnomalyKind]
    for one in kinds:
        assert (one["planted"], one["found"], one["decoys"], one["false"], one["passed"]) == (1, 1, 1, 0, True), one


def test_plant_that_nobody_finds_and_a_finding_that_nobody_planted_are_counted() -> None:
    """A watch that is right about everything but the plant: what is judged is another stream than was planted."""
    field = Field(recorded("polygon"))
    planted = plant(AnomalyKind.SILENCE, field, random.Random(5), decoy=False)
    known = {(one.kind, one.pool, one.block_number, one.state) for one in watched_stream(field.frames)}
    scores = {kind: Score(kind) for kind in AnomalyKind}
    judge(planted._replace(frames=field.frames), known, scores, 0)
    score = scores[AnomalyKind.SILENCE]
    assert (score.recall, score.precision, score.missed) == (0.0, 1.0, [0])
    judge(planted._replace(blocks=range(0)), known, scores, 1)
    assert (score.recall, score.false, score.missed) == (0.0, 1, [0, 1])


def test_recording_is_judged_the_same_each_time() -> None:
    first, second = (watched_stream(recorded("polygon")) for _ in range(2))
    assert [one.pack() for one in first] == [one.pack() for one in second]
    assert {one.state for one in first} == {AnomalyState.BEGUN, AnomalyState.ENDED, AnomalyState.ONCE}


# ---- docs/anomalies.md


def test_document_has_every_kind_with_its_option_and_default() -> None:
    options = {one.opts[0]: one for one in anomalies_command.params if isinstance(one, click.Option)}
    rows = re.findall(r"^\| `(\w+)` \| `(--[\w-]+) ([\d.]+)` \|", DOCUMENT, re.MULTILINE)
    assert {kind for kind, _, _ in rows} == {kind.name.lower() for kind in AnomalyKind}
    assert len(rows) == len(AnomalyThresholds.__struct_fields__)
    for _, option, default in rows:
        assert float(default) == options[option].default


@pytest.mark.parametrize("line", re.findall(r"^alphapulse (.*)$", DOCUMENT, re.MULTILINE))
def test_document_commands_are_commands(line: str) -> None:
    words = line.split("#", maxsplit=1)[0].split()
    assert words[0] in COMMANDS
    if words[0] == "anomalies":
        anomalies_command.make_context("anomalies", [word for word in words[1:] if word != "journals/market.polygon"])
    elif words[:2] == ["prove", "anomalies"]:
        command.make_context("anomalies", words[2:])


def test_document_has_a_measured_row_for_every_kind() -> None:
    rows = re.findall(r"^(\w+): (\d+) of 100 found \(recall ([\d.]+)%\)", DOCUMENT, re.MULTILINE)
    assert [kind for kind, _, _ in rows] == [kind.name.lower() for kind in AnomalyKind]
