"""An option whose value is a table: in a configuration a table of TOML, on the command line a file that is one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tlv.errors import UsageError
from tools.command.toml_file import read_toml


class TableType(click.ParamType):  # type: ignore[type-arg]  # of click 8.2 it has no argument
    """A mapping, or the path of a TOML file."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """The table."""
        if isinstance(value, Mapping):
            return dict(value)
        try:
            return read_toml(Path(value))
        except UsageError as error:
            self.fail(str(error).removeprefix("config "), param, ctx)
