"""`ringstat gc`: remove what dead processes left in shared memory.

Never a ring with a living writer: the kernel's lock says so, not an age.
"""

from __future__ import annotations

import json

import click

from tools.command.log_options import log_options


@click.command(
    "ringstat gc", epilog="Example:  ringstat gc --closed", context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option("--closed", is_flag=True, help="Also whole rings that have no living writer, closed or crashed.")
@click.option("--prefix", default="", help="Only rings whose name begins with this.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@log_options
def command(closed: bool, prefix: str, as_json: bool) -> None:
    """Remove rings that nobody finished creating or unlinking, and the counters of processes that were killed.

    A crashed writer's ring is kept unless --closed is given: its next writer continues it, and readers may still want
    what it holds.
    """
    from ringbuf import collect_garbage

    removed = collect_garbage(closed=closed, prefix=prefix)
    if as_json:
        click.echo(json.dumps({"removed": removed}))
    else:
        click.echo("\n".join(f"removed {name}" for name in removed) or "nothing to remove")
