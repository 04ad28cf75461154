"""Options that would have no effect beside others are refused: whoever wrote them means something else.

Owns which options stand on the command line; one from a configuration or the environment is there for every run, and is
passed over where it does not apply.
"""

from __future__ import annotations

import click
from click.core import ParameterSource

from tlv.errors import UsageError


def refuse_without_effect(beside: str, *options: str) -> None:
    """Refuse each of these options on the command line; `beside` says beside what, or without what, it means nothing.

    Raises:
        UsageError: one of them is there.
    """
    for option in options:
        if is_given(option):
            raise UsageError(f"{option} has no effect {beside}")


def is_given(option: str) -> bool:
    """Whether an option of the running command stands on its command line."""
    context = click.get_current_context()
    names = [parameter.name for parameter in context.command.params if option in parameter.opts and parameter.name]
    return any(context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in names)
