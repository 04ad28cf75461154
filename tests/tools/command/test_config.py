"""Configuration: what is taken from where, and that an error names the key and never its value."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tlv.errors import UsageError
from tools.command.checking import command_of, mistakes
from tools.command.config import Configuration, load_config
from tools.command.lazy import parameter_names
from tools.command.main import group
from tools.command.sections import MAYBE_PATHS, PATHS, SECTIONS

SECRET = "wss://node.example/v2/0123456789abcdef"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "alphapulse.toml"
    path.write_text(text)
    return path


def defaults(path: Path | None, environment: dict[str, str]) -> dict[str, dict[str, object]]:
    return load_config(path, environment).settings(None)


def test_config_without_file_or_environment_is_empty() -> None:
    assert load_config(None, {"HOME": "/nowhere"}) == Configuration(None, {}, {})


def test_config_file_gives_defaults_by_command(tmp_path: Path) -> None:
    path = written(tmp_path, f'[collector]\nurl = "{SECRET}"\ncapacity = 65536\n[relay]\nring = ["a", "b"]\n')
    assert defaults(path, {}) == {"collect": {"url": SECRET, "capacity": 65536}, "relay": {"ring": ["a", "b"]}}


def test_config_list_of_watched_pools_reaches_the_collector(tmp_path: Path) -> None:
    path = written(tmp_path, '[collector]\nwatch_ticks = ["all"]\nunproven = "publish"\n')
    assert defaults(path, {}) == {"collect": {"watch_ticks": ["all"], "unproven": "publish"}}


def test_config_environment_overrides_file(tmp_path: Path) -> None:
    path = written(tmp_path, "[collector]\ncapacity = 65536\n")
    environment = {"ALPHAPULSE__COLLECTOR__CAPACITY": "131072", "ALPHAPULSE__RELAY__RING": "a,b"}
    assert defaults(path, environment) == {"collect": {"capacity": 131072}, "relay": {"ring": ["a", "b"]}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'[collector]\nurl = ["{SECRET}"]\n', "collector.url: Expected str, got array"),
        (f'[collector]\ncapacity = "{SECRET}"\n', "collector.capacity: Expected int, got str"),
        (f'[collector]\nulr = "{SECRET}"\n', "collector.ulr: unknown key"),
        (f'url = "{SECRET}"\n', "url: unknown section"),
        (f'collector = "{SECRET}"\n', "collector: expected a table, [collector]"),
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
    assert str(caught.value).startswith(f"{variable}: no setting has this name")


def test_config_environment_over_a_value_that_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="collector: expected a table"):
        load_config(written(tmp_path, "collector = 1\n"), {"ALPHAPULSE__COLLECTOR__URL": SECRET})


def test_config_that_is_missing_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_config(tmp_path / "none.toml", {})
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8 at byte 0"):
        load_config(tmp_path / "binary.toml", {})


OF_ONE_RUN = {
    *("as_json", "version", "verbose"),
    "until_idle",
    "until_closed",
    "stats_json",
    "config",
    "detach",
    "notify_test",
    "no_progress",
}
"""Options that say how one run ends, and what it shows: no settings."""


@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_config_has_a_key_for_every_setting_of_its_command(section: str) -> None:
    """Whatever the command line takes can be configured, under the same name, but for what belongs to one run."""
    command = command_of(SECTIONS[section].command)
    options = [one for one in command.params if isinstance(one, click.Option) and one.name not in OF_ONE_RUN]
    keys = SECTIONS[section].keys.__struct_fields__
    assert {f"--{key.replace('_', '-')}" for key in keys} == {one.opts[0] for one in options}
    assert len(keys) == len(options)
    assert set(parameter_names(command)) >= set(keys)


@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_config_knows_which_keys_are_paths(section: str) -> None:
    command = command_of(SECTIONS[section].command)
    names = parameter_names(command)
    options = {str(one.name): one for one in command.params}
    for key in SECTIONS[section].keys.__struct_fields__:
        if isinstance(options[names[key]].type, click.Path):
            assert key in PATHS
    assert not PATHS & MAYBE_PATHS


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
        context.invoke(group.callback, config=None, process=None)
    command: click.Command = group
    for name in commands:
        assert isinstance(command, click.Group)
        found = command.get_command(context, name)
        assert found is not None
        command = found
        context = command.make_context(name, commands[commands.index(name) + 1 :], parent=context)
    assert str(context.params[parameter]) == value


SEVERAL = """
[relay]
patience = 3
[relay.market]
[relay.signal]
domain = "signal"
patience = 4
[up]
settle = 2
"""


def test_config_of_several_processes_gives_each_its_own_and_what_is_said_for_all(tmp_path: Path) -> None:
    configuration = load_config(written(tmp_path, SEVERAL), {"ALPHAPULSE__RELAY__MAX_CLIENTS": "7"})
    assert {name: one.values for name, one in configuration.processes.items()} == {
        "relay.market": {"patience": 3.0, "max_clients": 7},
        "relay.signal": {"domain": "signal", "patience": 4.0, "max_clients": 7},
    }
    assert configuration.settings("relay.signal")["relay"]["domain"] == "signal"
    assert configuration.settings(None) == {"relay": {"patience": 3.0, "max_clients": 7}, "up": {"settle": 2}}


def test_config_variable_of_one_process_overrides_only_it(tmp_path: Path) -> None:
    found = load_config(written(tmp_path, SEVERAL), {"ALPHAPULSE__RELAY__SIGNAL__PATIENCE": "9"}).processes
    assert [found[name].values["patience"] for name in ("relay.market", "relay.signal")] == [3.0, 9.0]
    assert found["relay.signal"].origins == {"patience": "ALPHAPULSE__RELAY__SIGNAL__PATIENCE", "domain": "file"}


def test_config_variable_starts_no_process(tmp_path: Path) -> None:
    path = written(tmp_path, "[recorder]\nout = 'j'\n")
    assert list(load_config(path, {"ALPHAPULSE__COLLECTOR__URL": SECRET}).processes) == ["recorder"]


WITH_PATHS = """
[recorder]
out = "j"
[collector]
chain = "own.toml"
filter = ["f.toml", "events"]
pool_cache = "none"
"""


def test_config_path_in_the_file_begins_at_the_file_and_one_of_a_variable_does_not(tmp_path: Path) -> None:
    path = written(tmp_path, WITH_PATHS)
    found = load_config(path, {"ALPHAPULSE__COLLECTOR__STATE": "here"}).processes
    assert found["recorder"].values == {"out": str(tmp_path / "j")}
    assert found["collector"].values["chain"] == str(tmp_path / "own.toml")
    assert found["collector"].values["filter"] == [str(tmp_path / "f.toml"), "events"]
    assert found["collector"].values["pool_cache"] == "none"
    assert found["collector"].values["state"] == str(Path.cwd() / "here")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[collecter]\n", "collecter: unknown section; did you mean collector?"),
        ("[collector]\nfallbacks = []\n", "collector.fallbacks: unknown key; did you mean fallback?"),
        ("[relay.a]\nmax-clients = 4\n", "relay.a.max-clients: unknown key; did you mean max_clients?"),
        ("[collector]\npack = true\n", "collector.pack: unknown key; it is one of [recorder]"),
        ("[relay.a__b]\n", "relay.a__b: expected a process's name"),
        ("[up.relay]\n", "up.relay: unknown table"),
        ("[[relay]]\n", "relay: expected a table, [relay]"),
        ('[recorder]\nsegment_mib = "64"\n', "recorder.segment_mib: Expected int, got str"),
    ],
)
def test_config_of_a_name_that_is_none_tells_the_nearest(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_config(written(tmp_path, text), {})
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("ALPHAPULSE__COLLECTOR__ULR", "ALPHAPULSE__COLLECTOR__URL"),
        ("ALPHAPULSE_COLLECTOR_URL", "ALPHAPULSE__COLLECTOR__URL"),
        ("ALPHAPULSE__RELAY__SIGNL__PATIENCE", "ALPHAPULSE__RELAY__SIGNAL__PATIENCE"),
        ("ALPHAPULSE_LOGLEVEL", "ALPHAPULSE_LOG_LEVEL"),
    ],
)
def test_config_variable_that_is_none_tells_the_nearest(tmp_path: Path, variable: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=rf"^{variable}: no setting has this name; did you mean {nearest}\?$"):
        load_config(written(tmp_path, SEVERAL), {variable: SECRET})


def test_config_variable_of_one_process_is_no_mistake_where_no_file_is_read() -> None:
    assert load_config(None, {"ALPHAPULSE__RELAY__SIGNAL__PATIENCE": "9"}).settings(None) == {}


def test_config_is_held_against_its_commands_and_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        f"""
[up]
settle = 0
[collector]
url = "{SECRET.replace("wss", "https")}"
[collector.b]
capacity = 7
url = "{SECRET}"
[recorder.x]
[relay.m]
domain = "market"
[relay.n]
[relay.o]
""",
    )
    found = "\n".join(mistakes(load_config(path, {})))
    assert "0123456789abcdef" not in found
    for expected in (
        "up.settle: 0 is not in the range 1<=x<=600",
        "collector.url: expected a ws:// or wss:// URL with a host",
        "collector.b.capacity: 7 is not in the range x>=65536",
        "recorder.x.out: missing",
        "relay.m.domain: 'market' is not one of",
        "is relay.n's already",
    ):
        assert expected in found


def test_config_in_which_two_processes_have_one_thing_is_refused(tmp_path: Path) -> None:
    text = '[collector.a]\n[collector.b]\n[recorder.a]\nout = "j"\n[recorder.b]\nout = "./j/"\nring = "market.x"\n'
    text += "[anomalies.a]\n[anomalies.b]\n"
    assert mistakes(load_config(written(tmp_path, text), {})) == [
        "collector.b: ring market.polygon is collector.a's already",
        f"recorder.b: journal {tmp_path / 'j'} is recorder.a's already",
        "anomalies.b: ring system.anomalies is anomalies.a's already",
    ]


def test_config_in_which_a_collector_stands_by_for_another_is_right(tmp_path: Path) -> None:
    def wrong(text: str) -> list[str]:
        return mistakes(load_config(written(tmp_path, text), {}))

    assert wrong("[collector.a]\n[collector.b]\nstandby = true\n") == []
    assert wrong("[collector]\nstandby = true\n[collector.a]\n[collector.b]\n[collector.c]\n") == []
    told = ["collector.c: ring market.polygon is collector.b's already"]
    assert wrong("[collector.a]\nstandby = true\n[collector.b]\n[collector.c]\n") == told
    told = ["bridge_in: ring market.polygon is collector's already"]
    assert wrong('[collector]\nstandby = true\n[bridge_in]\nring = "market.polygon"\n') == told


CHANGED = {
    "up": ("grace", "7", 7),
    "node": ("port", "7", 7),
    "collector": ("capacity", "131072", 131072),
    "strategy": ("start", "7", 7),
    "execute": ("execution", "'seven'", "seven"),
    "anomalies": ("gap", "7", 7),
    "relay": ("instance", "7", 7),
    "recorder": ("segment_mib", "7", 7),
    "bridge_out": ("replicas", "3", 3),
    "bridge_in": ("durable", "'seven'", "seven"),
    "obs": ("port", "7", 7),
}
"""Of each section a key, its value in a file, and as the command has it."""


@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_config_file_means_the_same_before_and_behind_every_command(section: str, tmp_path: Path) -> None:
    key, value, meant = CHANGED[section]
    must_have = "out = 'journal'\n" if section == "recorder" else ""
    config = written(tmp_path, f"[{section}]\n{key} = {value}\n{must_have}")
    words = SECTIONS[section].command.split()
    before = context_of(["-c", str(config), *words])
    behind = context_of([*words, "-c", str(config)])
    assert before.params[key] == behind.params[key] == meant


def context_of(line: list[str]) -> click.Context:
    """A command line, read to its end; the command itself is not run."""
    context = group.make_context("alphapulse", line)
    while isinstance(context.command, click.Group):
        name, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None and context.command.callback is not None
        context.invoked_subcommand = name
        with context:
            context.invoke(context.command.callback, **context.params)
        context = command.make_context(str(name), rest, parent=context)
    return context
