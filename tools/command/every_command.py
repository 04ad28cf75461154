"""What every command has without its own doing: `--version`, a suggestion for a misspelt choice, completion of values,
and in its help what it needs.

Owns these; a group gives them to a command when it looks it up, and `run_command` to the one that is run.
"""

from __future__ import annotations

from typing import Any

import click

from tlv.nearest import did_you_mean
from tools.command.completing import BY_OPTION, CompletedText
from tools.command.needs import needs_of

PACKAGE = "alphapulse"


class SpelledChoice(click.Choice):  # type: ignore[type-arg]
    """A choice that tells whoever misspelt one which may be meant."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """What is wrong, and what may be meant."""
        known = [str(one) for one in self.choices]
        return super().get_invalid_choice_message(value, ctx).removesuffix(".") + did_you_mean(str(value), known)


def equip(command: click.Command) -> click.Command:
    """Give a command what every one has; one that has it stays as it is."""
    if any(parameter.name == "version" for parameter in command.params):
        return command
    command.params.append(version_option())
    for parameter in command.params:
        complete = BY_OPTION.get(parameter.opts[0])
        if complete is not None and type(parameter.type) is type(click.STRING):
            parameter.type = CompletedText(complete)
        if type(parameter.type) is click.Choice:
            parameter.type = SpelledChoice(parameter.type.choices, case_sensitive=parameter.type.case_sensitive)
    command.epilog = "\n\n".join([command.epilog or "", *(need.help for need in needs_of(command.callback))])
    return command


def version_option() -> click.Option:
    """`--version`."""

    def tell(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
        if asked and not ctx.resilient_parsing:
            click.echo(f"{ctx.find_root().info_name}, version {version()}")
            ctx.exit()

    return click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=tell,
        help="Show the version and exit.",
    )


def version() -> str:
    """Of the installed package; of sources that are run as they lie there it is not known."""
    from importlib import metadata  # it imports all of `email`

    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return "unknown (not installed)"
