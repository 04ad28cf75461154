"""A click group whose commands are imported when they are called.

Owns the import only.  The group is given a table of the commands, module and one-line help of each, so that the list
needs no import and `--help` answers at once.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

from tools.command.every_command import equip
from tools.command.spelling import SpellingGroup

Table = Mapping[str, tuple[str, str]]
"""Where each command is (`module`, for its attribute `command`, or `module:attribute`), and its help."""


class LazyGroup(SpellingGroup):
    """A group over a table."""

    def __init__(self, *, table: Table, **settings: Any) -> None:
        super().__init__(**settings)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.table:
            return None
        module, _, attribute = self.table[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute or "command")
        return equip(command)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands that begin so, and this group's options."""
        found = [
            CompletionItem(name, help=text) for name, (_, text) in self.table.items() if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of `--help`."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.table.items()])


def defaults_of(command: click.Command, configured: Mapping[str, Any]) -> dict[str, Any]:
    """A command's configuration by click's names of its parameters; for a group, a table for each of its commands."""
    if isinstance(command, click.Group):
        return {name: defaults_of(command.commands[name], values) for name, values in configured.items()}
    names = parameter_names(command)
    return {names[key]: value for key, value in configured.items()}


def parameter_names(command: click.Command) -> dict[str, str]:
    """From an option's name in a configuration (`wait_for_ring`, `fallback`) to the name of click's parameter."""
    return {
        option.removeprefix("--").replace("-", "_"): str(parameter.name)
        for parameter in command.params
        for option in [*parameter.opts, str(parameter.name)]
    }
