"""How far a command is: `consumers.progress` with the command's options.

Owns `--no-progress`, and that a line goes where the log goes, in the log's form.
"""

from __future__ import annotations

import logging

import click

from consumers.progress import BYTES, WorkProgress
from tools.command.stderr_log import tell_operator

HIDDEN = "alphapulse.no_progress"


def _hide(context: click.Context, _: click.Parameter, hidden: bool) -> None:
    context.meta[HIDDEN] = hidden


progress_option = click.option(
    "--no-progress",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_hide,
    help="Do not show on stderr how far it is.",
)
"""For every command that may take more than a second."""


def progress(what: str, total: int | None, unit: str = BYTES, *, hidden: bool = False) -> WorkProgress:
    """The progress of the running command; see `consumers.progress`.  `hidden`: its output shows it already."""
    show = False if hidden else is_shown()
    return WorkProgress(what, total, unit, show, lambda line: tell_operator(line, line, logging.INFO))


def is_shown() -> bool | None:
    """None, which is as it comes, or False with `--no-progress`."""
    context = click.get_current_context(silent=True)
    return False if context is not None and context.meta.get(HIDDEN) else None
