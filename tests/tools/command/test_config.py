"""Configuration: what is taken from where, and that an error names the key and never its value."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tlv.errors import UsageError
from tools.command.config import COMMAND_OF_SECTION, SECTIONS, load_config
from tools.command.lazy import parameter_names
from tools.command.main import group

SECRET = "wss://node.example/v2/0123456789abcdef"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "alphapulse.toml"
    path.write_text(text)
    return path


def test_config_without_file_or_environment_is_empty() -> None:
    assert load_config(None, {"HOME": "/nowhere"}) == {}


def test_config_file_gives_defaults_by_command(tmp_path: Path) -> None:
    path = written(tmp_path, f'[collector]\nurl = "{SECRET}"\ncapacity = 65536\n[relay]\nring = ["a", "b"]\n')
    assert load_config(path, {}) == {"collect": {"url": SECRET, "capacity": 65536}, "relay": {"ring": ["a", "b"]}}


def test_config_list_of_watched_pools_reaches_the_collector(tmp_path: Path) -> None:
    path = written(tmp_path, '[collector]\nwatch_ticks = ["all"]\nunproven = "publish"\n')
    assert load_config(path, {}) == {"collect": {"watch_ticks": ["all"], "unproven": "publish"}}


def test_config_environment_overrides_file(tmp_path: Path) -> None:
    path = written(tmp_path, "[collector]\ncapacity = 65536\n")
    environment = {"ALPHAPULSE__COLLECTOR__CAPACITY": "131072", "ALPHAPULSE__RELAY__RING": "a,b"}
    assert load_config(path, environment) == {"collect": {"capacity": 131072}, "relay": {"ring": ["a", "b"]}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'[collector]\nurl = ["{SECRET}"]\n', "collector.url: Expected str, got array"),
        (f'[collector]\ncapacity = "{SECRET}"\n', "collector.capacity: Expected int, got str"),
        (f'[collector]\nulr = "{SECRET}"\n', "collector.ulr: unknown key"),
        (f'url = "{SECRET}"\n', "url: unknown key"),
        (f'collector = "{SECRET}"\n', "collector: Expected object, got str"),
        (f"[collector]\nurl = {SECRET}\n", "no TOML"),
        (f'[relay]\nring = ["a", 5, "{SECRET}"]\n', "relay.ring[1]: Expected str, got int"),
    ],
)
def test_config_with_a_mistake_names_the_key_and_not_the_value(tmp_path: Path, text: str, expected: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load_config(path, {})
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)
    assert "0123456789abcdef" not in str(caught.value)


@pytest.mark.parametrize(
    "variable",
    ["ALPHAPULSE__COLLECTOR", "ALPHAPULSE__NOBODY__URL", "ALPHAPULSE__COLLECTOR__A__B", "ALPHAPULSE__COLLECTOR__ULR"],
)
def test_config_environment_with_unknown_key_is_refused_without_its_value(variable: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_config(None, {variable: SECRET})
    assert "0123456789abcdef" not in str(caught.value)
    assert variable.rpartition("__")[2].lower() in str(caught.value).lower()


def test_config_environment_over_a_value_that_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="collector: expected a table"):
        load_config(written(tmp_path, "collector = 1\n"), {"ALPHAPULSE__COLLECTOR__URL": SECRET})


def test_config_that_is_missing_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_config(tmp_path / "none.toml", {})
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8 at byte 0"):
        load_config(tmp_path / "binary.toml", {})


OF_ONE_RUN = {"as_json", "verbose", "until_idle", "until_closed", "stats_json"}
"""Options that say how one run ends, and what it shows: no settings."""


def command_of(section: str) -> click.Command:
    command: click.Command = group
    for name in COMMAND_OF_SECTION[section].split():
        found = command.get_command(click.Context(command), name) if isinstance(command, click.Group) else None
        assert found is not None
        command = found
    return command


@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_config_has_a_key_for_every_setting_of_its_command(section: str) -> None:
    """Whatever the command line takes can be configured, under the same name, but for what belongs to one run."""
    command = command_of(section)
    names = parameter_names(command)
    wanted = {str(one.name) for one in command.params if isinstance(one, click.Option)} - OF_ONE_RUN
    keys = SECTIONS[section].__struct_fields__
    assert {names[key] for key in keys} == wanted
    assert len(keys) == len(wanted)


def test_config_reaches_the_commands_of_a_group() -> None:
    environment = os.environ | {"ALPHAPULSE__BRIDGE_OUT__REPLICAS": "9"}
    command = [sys.executable, "-m", "tools.command.main", "bridge", "out"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == 2
    assert "9 is not in the range 1<=x<=5" in ended.stderr


def test_config_reaches_the_options_of_the_command(tmp_path: Path) -> None:
    path = written(tmp_path, "[node]\nport = 70000\n")
    ended = subprocess.run(
        [sys.executable, "-m", "tools.command.main", "--config", str(path), "node"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "70000 is not in the range 0<=x<=65535" in ended.stderr


def test_config_is_overridden_by_the_command_line(tmp_path: Path) -> None:
    environment = os.environ | {
        "ALPHAPULSE__RECORDER__OUT": str(tmp_path),
        "ALPHAPULSE__RECORDER__RING": "no.such.ring",
    }
    command = [sys.executable, "-m", "tools.command.main", "record", "--wait-for-ring", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert "no ring 'no.such.ring'" in ended.stderr
    ended = subprocess.run(
        [*command, "--ring", "nor.this"], capture_output=True, text=True, check=False, env=environment
    )
    assert "no ring 'nor.this'" in ended.stderr


@pytest.mark.parametrize(
    ("variable", "value", "commands", "parameter"),
    [
        ("ALPHAPULSE__RELAY__SOCKET", "/somewhere", ["relay"], "path"),
        ("ALPHAPULSE__COLLECTOR__CROSS_CHECK", "wss://node.example", ["collect"], "second"),
        ("ALPHAPULSE__BRIDGE_OUT__SERVER", "nats://node.example", ["bridge", "out"], "server"),
        ("ALPHAPULSE__BRIDGE_IN__SERVER", "nats://node.example", ["bridge", "in"], "server"),
    ],
)
def test_config_reaches_parameters_of_another_name_and_commands_of_groups(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, commands: list[str], parameter: str
) -> None:
    """Click's parameter of `--socket` is `path`, and `out` is a command of `bridge`."""
    monkeypatch.setenv(variable, value)
    context = group.make_context("alphapulse", [*commands])
    context.invoked_subcommand = commands[0]
    assert group.callback is not None
    with context:
        context.invoke(group.callback, config=None, log_level="warning")
    command: click.Command = group
    for name in commands:
        assert isinstance(command, click.Group)
        found = command.get_command(context, name)
        assert found is not None
        command = found
        context = command.make_context(name, commands[commands.index(name) + 1 :], parent=context)
    assert str(context.params[parameter]) == value
