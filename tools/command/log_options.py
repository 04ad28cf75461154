"""`--log-level` and `--log-format`, as options and as variables that every process of a pipeline inherits."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from tools.command.environment import LOG_FORMAT, LOG_LEVEL
from tools.command.stderr_log import HANDLER, JSON, LEVELS, TEXT, speak_from

F = TypeVar("F", bound=Callable[..., Any])


def log_options(function: F) -> F:
    """Both options, for a command without one above it; they take effect as soon as they are read."""
    for option in (
        click.option(
            "--log-format",
            type=click.Choice([TEXT, JSON]),
            default=TEXT,
            show_default=True,
            envvar=LOG_FORMAT,
            show_envvar=True,
            expose_value=False,
            callback=_write_as,
            help="A line of text, or a JSON object a line.",
        ),
        click.option(
            "--log-level",
            type=click.Choice(list(LEVELS)),
            default="warning",
            show_default=True,
            envvar=LOG_LEVEL,
            show_envvar=True,
            expose_value=False,
            callback=_speak_from,
            help="Lowest level that is logged to stderr.",
        ),
    ):
        function = option(function)
    return function


def _write_as(ctx: click.Context, param: click.Parameter, form: str) -> None:
    HANDLER.shape(form)
    _pass_on(ctx, param, LOG_FORMAT, form)


def _speak_from(ctx: click.Context, param: click.Parameter, level: str) -> None:
    speak_from(LEVELS[level])
    _pass_on(ctx, param, LOG_LEVEL, level)


def _pass_on(ctx: click.Context, param: click.Parameter, variable: str, value: str) -> None:
    """What the command line says holds for the processes that the command starts."""
    if ctx.get_parameter_source(str(param.name)) is ParameterSource.COMMANDLINE:
        os.environ[variable] = value
