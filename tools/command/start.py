"""`--start`: where a command begins to read, in the words of `tlv.arguments.check_start`."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem

from tlv.arguments import check_start
from tlv.errors import UsageError
from tlv.nearest import did_you_mean


class StartType(click.ParamType):  # type: ignore[type-arg]  # of click 8.2 it has no argument
    """`oldest`, `latest`, words of the command's own and, where it knows them, a sequence."""

    name = "start"

    def __init__(self, *others: str, sequences: bool = True) -> None:
        self.others = others
        self.sequences = sequences
        self.words = ("oldest", "latest", *others)

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """For the help."""
        return f"[{'|'.join((*self.words, *(['SEQUENCE'] if self.sequences else [])))}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        """The word, or the sequence as a number."""
        meant = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
        try:
            return check_start("--start", meant, *self.others, sequences=self.sequences)
        except UsageError as error:
            text = str(error).removeprefix("--start: ")
            self.fail(f"{text}{did_you_mean(str(value), self.words)}", param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The words that begin so."""
        return [CompletionItem(word) for word in self.words if word.startswith(incomplete)]
