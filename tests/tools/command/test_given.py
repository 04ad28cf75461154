"""An option that means nothing beside others is refused, by every command that has such."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tlv.errors import UsageError

COMMANDS = {
    "prove feed": "tools.prove.feed.command",
    "prove delivery": "tools.prove.delivery.command",
    "strategy": "tools.strategy",
    "execute": "tools.execute",
    "anomalies": "tools.anomalies",
    "ringstat": "tools.ringstat",
    "dump": "tools.dump",
    "init": "tools.init.command",
    "record": "tools.record",
    "relay": "tools.relay",
    "collect": "tools.collect",
    "replay": "tools.replay",
    "demo": "tools.demo.command",
    "validate": "tools.validate.command",
}
WITHOUT_EFFECT = [
    ("prove feed", "--endurance 9 --seeds 3", "--seeds"),
    ("prove feed", "--endurance 9 --simulated", "--simulated"),
    ("prove feed", "--endurance 9 --mutants", "--mutants"),
    ("prove feed", "--endurance 9 --node anvil", "--node"),
    ("prove feed", "--simulated --jobs 2", "--jobs"),
    ("prove feed", "--mutants --transactions 9", "--transactions"),
    ("prove delivery", "--simulated --kills 3", "--kills"),
    ("prove delivery", "--mutants --seed 3", "--seed"),
    ("prove delivery", "--seeds 3", "--seeds"),
    ("prove delivery", "--first-seed 1", "--first-seed"),
    ("strategy", "--journal {here} --wait futex", "--wait"),
    ("strategy", "--journal {here} --wait-for-ring 1", "--wait-for-ring"),
    ("execute", "--journal {here} --signals-journal {here} --wait futex", "--wait"),
    ("execute", "--journal {here} --signals-journal {here} --reliable", "--reliable"),
    ("anomalies", "{here} --ring market.polygon", "--ring"),
    ("anomalies", "{here} --health system.anomalies", "--health"),
    ("anomalies", "{here} --wait futex", "--wait"),
    ("ringstat", "--once --watch 1", "--watch"),
    ("dump", "none --json --hex", "--hex"),
    ("init", "{here}/a.toml --port 8546", "--port"),
    ("init", "{here}/a.toml --recorded --wait 3", "--wait"),
    ("init", "{here}/a.toml --url ws://127.0.0.1:1 --no-ask --wait 3", "--wait"),
    ("record", "--out {here} --fsync never --interval 1", "--interval"),
    ("record", "--out {here} --fsync batch --interval 1", "--interval"),
    ("relay", "--socket {here}/a.sock --instance 0", "--instance"),
    ("collect", "--cross-check-share 0.5", "--cross-check-share"),
    ("replay", "{here} --ring none --speed max --longest-pause 60", "--longest-pause"),
    ("demo", "--json --plain", "--plain"),
    ("validate", "--continuous --duration 3", "--duration"),
    ("validate", "--every 60", "--every"),
]


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """A refusal comes before anything of this process is changed."""
    before = dict(os.environ), sys.getswitchinterval()
    yield
    assert (dict(os.environ) | {"PYTEST_CURRENT_TEST": ""}, sys.getswitchinterval()) == (
        before[0] | {"PYTEST_CURRENT_TEST": ""},
        before[1],
    )


def refusal(name: str, words: str, **invoked: object) -> str:
    """What the command says of these arguments."""
    command: click.Command = importlib.import_module(COMMANDS[name]).command
    ended = CliRunner().invoke(command, words.split(), **invoked)  # type: ignore[arg-type]
    assert isinstance(ended.exception, UsageError), (ended.output, ended.exception)
    return str(ended.exception)


@pytest.mark.parametrize(("name", "words", "option"), WITHOUT_EFFECT)
def test_option_without_effect_is_refused_even_with_its_default(
    name: str, words: str, option: str, tmp_path: Path
) -> None:
    assert refusal(name, words.format(here=tmp_path)).startswith(f"{option} has no effect ")
    assert not list(tmp_path.iterdir())


def test_option_of_a_configuration_is_passed_over_where_it_has_no_effect(tmp_path: Path) -> None:
    """The collector's share of a cross-check stands in a file, whose check is switched off: something else is wrong."""
    said = refusal("collect", "--chain nowhere", default_map={"cross_check_share": 0.5})
    assert "nowhere" in said
