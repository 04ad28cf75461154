"""`-c/--config FILE`: the configuration, with one meaning wherever it can be given.

Owns where the file comes from: `-c` behind the command, else `alphapulse -c` before it, else, for a command that cannot
do without, alphapulse.toml here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from tlv.errors import UsageError
from tools.command.config import load_config
from tools.command.environment import settings_environment
from tools.command.lazy import defaults_of

DEFAULT_FILE = Path("alphapulse.toml")

F = TypeVar("F", bound=Callable[..., Any])


def config_option(*, required: bool = True, handed_over: bool = True) -> Callable[[F], F]:
    """An option that gives the command's other options their defaults from a file, and hands over the file's path.

    With `required` there must be one; else None is handed over where none was given.  A command that wants its settings
    only has nothing handed over.
    """

    def find(context: click.Context, _parameter: click.Parameter, given: Path | None) -> Path | None:
        if context.resilient_parsing:
            return given  # a shell completes the line
        above = context.find_root().params
        path: Path | None = given or above.get("config")
        if given is None and path is not None:
            return path  # `alphapulse -c` has given the defaults
        if path is None and required:
            path = DEFAULT_FILE
            if not path.exists():
                raise UsageError(f"no {path} here: give a configuration with -c FILE, or write one: alphapulse init")
        if path is not None:
            settings = load_config(path, settings_environment(os.environ)).settings(above.get("process"))
            context.default_map = defaults_of(context.command, settings.get(words_of(context), {}))
        return path

    return click.option(
        "-c",
        "--config",
        is_eager=True,
        expose_value=handed_over,
        callback=find,
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="The configuration." + (f"  [default: {DEFAULT_FILE} here]" if required else ""),
    )


def words_of(context: click.Context) -> str:
    """What is written behind `alphapulse` to call the command: `bridge out`."""
    return context.command_path.partition(" ")[2] if context.parent is not None else str(context.info_name)
