"""`-c/--config FILE`: the configuration, with one meaning wherever it can be given.

Owns where the file comes from: `-c` behind the command, else `alphapulse -c` before it, else alphapulse.toml here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tlv.errors import UsageError
from tools.command.config import load_config
from tools.command.environment import settings_environment
from tools.command.lazy import defaults_of

DEFAULT_FILE = Path("alphapulse.toml")


def config_option(*, required: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that hands over the file's path, and gives the command's other options their defaults from it.

    With `required` there must be one; else None is handed over where none was given.
    """

    def find(context: click.Context, _parameter: click.Parameter, given: Path | None) -> Path | None:
        path = given or context.find_root().params.get("config")
        if path is None and required:
            path = DEFAULT_FILE
            if not path.exists():
                raise UsageError(f"no {path} here: give a configuration with -c FILE, or write one: alphapulse init")
        if path is not None:
            values = load_config(path, settings_environment(os.environ)).settings(None).get(str(context.info_name), {})
            context.default_map = defaults_of(context.command, values)
        return path

    return click.option(
        "-c",
        "--config",
        is_eager=True,
        callback=find,
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="The configuration." + (f"  [default: {DEFAULT_FILE} here]" if required else ""),
    )
