"""What a shell is told that completes a value: rings, processes of a configuration, records, venues.

An answer is never an error: where something cannot be read, nothing is known.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem

from tlv.errors import AlphaPulseError


def complete_ring(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Rings of this user whose names begin so."""
    from ringbuf import list_rings

    return [name for name in list_rings() if name.startswith(incomplete)]


def complete_target(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Rings, or what else a path begins with: a journal's directory, a relay's socket."""
    rings = [CompletionItem(name) for name in complete_ring(ctx, param, incomplete)]
    return rings or [CompletionItem(incomplete, type="file")]


def complete_process(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Processes of the configuration that the line has named, or of the one that is here."""
    from tools.command.config import load_config
    from tools.command.config_option import DEFAULT_FILE

    config = ctx.params.get("config") or ctx.find_root().params.get("config") or DEFAULT_FILE
    with contextlib.suppress(AlphaPulseError):
        return [name for name in load_config(config, {}).processes if name.startswith(incomplete)]
    return []


def complete_records(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of records, behind those that stand before the last comma."""
    import tlv.layout  # noqa: F401  # declares them
    from tlv.record import RECORDS

    return _listed(incomplete, (cls.__name__ for cls in RECORDS.values()))


def complete_venues(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of venues, likewise."""
    from tlv.venues import VENUES

    return _listed(incomplete, VENUES.names())


def complete_chain(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The bundled chains, or files."""
    from producers.chains.configuration import BUNDLED

    found = [CompletionItem(name) for name in BUNDLED if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


def _listed(incomplete: str, names: Iterable[str]) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in names if name.startswith(last)]


Complete = Callable[[click.Context, click.Parameter, str], list[Any]]

BY_OPTION: dict[str, Complete] = {
    "--chain": complete_chain,
    "--health": complete_ring,
    "--process": complete_process,
    "--ring": complete_ring,
    "--signals": complete_ring,
    "--types": complete_records,
    "--venues": complete_venues,
}
"""What completes the value of an option, the same in every command."""


class CompletedText(click.types.StringParamType):
    """A text that a shell completes."""

    def __init__(self, complete: Complete) -> None:
        self.complete = complete

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """What begins so."""
        found = self.complete(ctx, param, incomplete)
        return [one if isinstance(one, CompletionItem) else CompletionItem(one) for one in found]
