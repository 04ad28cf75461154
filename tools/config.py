"""`alphapulse config`: look at a configuration without starting anything."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from tools.command.config import load_config


@click.group("config", epilog="Example:  alphapulse config check alphapulse.toml")
def command() -> None:
    """Look at a configuration without starting anything."""


@command.command("check", epilog="Example:  alphapulse config check alphapulse.toml --json")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def check(file: Path, as_json: bool) -> None:
    """Check FILE together with the environment (ALPHAPULSE__SECTION__KEY), which overrides it.

    Says which keys each command gets, and never a value: an endpoint's URL holds an access key.  A mistake is named
    with its key's path, and the exit code is 2.
    """
    keys = {name: sorted(values) for name, values in load_config(file, os.environ).items()}
    if as_json:
        click.echo(msgspec.json.encode({"valid": True, "keys": keys}))
        return
    click.echo(f"{file} is valid")
    for name, found in keys.items():
        click.echo(f"  alphapulse {name}: {', '.join(found) or 'nothing set'}")


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "config")
