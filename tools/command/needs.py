"""The libraries of extras that a command needs: told in its help, and before it does anything.

    @click.command("up")
    @needs("supervisor")                       the command cannot do without it
    @needs("apprise", option="--notify-file")  one of its options cannot

Owns the check and the words of the help; `consumers.extras` knows which extra brings a library.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click

from consumers.extras import EXTRAS, installing, missing
from tlv.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


class Need(NamedTuple):
    """Libraries, and the option for which they are; empty for the command itself."""

    libraries: tuple[str, ...]
    option: str

    @property
    def help(self) -> str:
        """For a command's help."""
        extras = ",".join(sorted({EXTRAS[library] for library in self.libraries}))
        return f"{self.option or 'It'} needs:  {installing(extras)}"


def needs(*libraries: str, option: str = "") -> Callable[[F], F]:
    """Mark a command's function, and have it refuse to begin where one of the libraries is not installed."""
    need = Need(libraries, option)

    def mark(function: F) -> F:
        @functools.wraps(function)
        def checked(*arguments: Any, **options: Any) -> Any:
            if is_meant(option):
                require(*libraries)
            return function(*arguments, **options)

        vars(checked)["needs"] = (need, *needs_of(function))
        return checked  # type: ignore[return-value]

    return mark


def needs_of(function: Callable[..., Any] | None) -> tuple[Need, ...]:
    """What was marked."""
    found: tuple[Need, ...] = getattr(function, "needs", ())
    return found


def is_meant(option: str) -> bool:
    """Whether an option of the running command has a value, from wherever; an empty name means the command itself."""
    context = click.get_current_context()
    if not option:
        return not isinstance(context.command, click.Group)  # --help of its commands is still to be answered
    return any(
        option in parameter.opts and context.params.get(str(parameter.name)) for parameter in context.command.params
    )


def require(*libraries: str) -> None:
    """Look whether the libraries are there, and import none.

    Raises:
        UsageError: one is not installed.
    """
    for library in libraries:
        if not is_installed(library):
            raise UsageError(missing(library))


def is_installed(library: str) -> bool:
    """Whether a library could be imported; it is not."""
    try:
        return importlib.util.find_spec(library) is not None
    except ModuleNotFoundError:
        return False
