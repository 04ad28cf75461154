"""The names of rings that there are, for a shell that completes one."""

from __future__ import annotations

import click


def complete_ring(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Rings of this user whose names begin so."""
    from ringbuf import list_rings

    return [name for name in list_rings() if name.startswith(incomplete)]
