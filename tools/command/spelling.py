"""A click group that tells whoever misspelt a command which one may be meant."""

from __future__ import annotations

import click

from tools.command.nearest import did_you_mean


class SpellingGroup(click.Group):
    """A group of commands."""

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
