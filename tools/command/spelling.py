"""A click group that tells whoever misspelt a command which one may be meant, and gives its commands what all have."""

from __future__ import annotations

import click

from tlv.nearest import did_you_mean
from tools.command.every_command import equip


class SpellingGroup(click.Group):
    """A group of commands."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command, with what every one has."""
        found = super().get_command(ctx, cmd_name)
        return equip(found) if found is not None else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called; of a misspelt one, which may be meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            meant = did_you_mean(args[0], self.list_commands(ctx))
            if not meant:
                raise
            raise click.UsageError(error.message.removesuffix(".") + meant, error.ctx) from None
