"""`alphapulse config`: look at a configuration without starting anything."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import msgspec

from tlv.errors import UsageError
from tools.command.config import Configuration, Settings, load_config
from tools.command.config_option import DEFAULT_FILE
from tools.command.environment import settings_environment
from tools.command.lazy import LazyGroup
from tools.command.stderr_log import without_urls

COMMANDS = {
    "check": ("tools.config:check", "Say what is wrong with a configuration, or which keys each process gets."),
    "show": ("tools.config:show", "Show the value of every key, and where it comes from."),
    "reference": ("tools.config_reference", "Print every key with its kind, default and meaning."),
}
command = LazyGroup(
    name="config",
    table=COMMANDS,
    help="Look at a configuration without starting anything.",
    epilog="Example:  alphapulse config check alphapulse.toml",
)
file_argument = click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))


def found(file: Path | None) -> tuple[Path, Configuration]:
    """The configuration in FILE, else in `alphapulse --config`, else in alphapulse.toml here."""
    path = file or click.get_current_context().find_root().params.get("config") or DEFAULT_FILE
    return path, load_config(path, settings_environment(os.environ))


@click.command("check", epilog="Example:  alphapulse config check alphapulse.toml --json")
@file_argument
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def check(file: Path | None, as_json: bool) -> None:
    """Check FILE together with the environment (ALPHAPULSE__SECTION__KEY), which overrides it.

    Without FILE: that of `alphapulse -c FILE config check`, else alphapulse.toml here.  Each process's keys are held
    against its command, and against what the other processes have: no two publish one ring.  Says which keys each
    process gets, and never a value: an endpoint's URL holds an access key.  Mistakes are named with their keys' paths,
    and the exit code is 2.
    """
    from tools.command.checking import mistakes

    path, configuration = found(file)
    wrong = mistakes(configuration)
    if wrong:
        raise UsageError(f"config {path}: " + "\n  ".join(wrong))
    keys = {name: sorted(one.values) for name, one in configuration.processes.items()}
    general = configuration.sections.items()
    others = {name: sorted(one.values) for name, one in general if name not in keys and one.values}
    if as_json:
        click.echo(msgspec.json.encode({"valid": True, "processes": keys, "sections": others}))
        return
    click.echo(f"{path} is valid")
    for name, one in configuration.processes.items():
        click.echo(f"  {name} (alphapulse {one.command}): {', '.join(keys[name]) or 'nothing set'}")
    for name, theirs in others.items():
        click.echo(f"  [{name}]: {', '.join(theirs)}")


@click.command("show", epilog="Example:  alphapulse config show --json")
@file_argument
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(file: Path | None, as_json: bool) -> None:
    """Show what each process gets: the value of every key, and where it comes from (file, a variable, default).

    Of a URL only scheme and host are shown.  A value that its command would refuse is shown as it stands; `config
    check` says what is wrong with it.
    """
    _, configuration = found(file)
    shown = configuration.processes | {
        name: one for name, one in configuration.sections.items() if name not in configuration.processes
    }
    if as_json:
        click.echo(msgspec.json.encode({name: as_rows(one) for name, one in shown.items()}))
        return
    for name, one in shown.items():
        click.echo(f"[{name}]  alphapulse {one.command}")
        for key, row in as_rows(one).items():
            click.echo(f"  {key} = {msgspec.json.encode(row['value']).decode()}  ({row['origin']})")


def as_rows(settings: Settings) -> dict[str, dict[str, Any]]:
    """Value and origin of every key, defaults among them."""
    from tools.config_reference import default_of, options_of

    rows = {}
    for key, option in options_of(settings.section).items():
        value = settings.values.get(key, default_of(option))
        rows[key] = {"value": without_urls_in(value), "origin": settings.origins.get(key, "default")}
    return rows


def without_urls_in(value: Any) -> Any:
    """A value with URLs cut to scheme and host."""
    if isinstance(value, dict):
        return {key: without_urls_in(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_urls_in(one) for one in value]
    return without_urls(value) if isinstance(value, str) else value


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "config")
