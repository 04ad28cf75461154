"""`alphapulse completion`: the lines that a shell reads to complete our command lines, and what rings it completes."""

from __future__ import annotations

import click

from tools.command.main import complete_variable, group

PROGRAMS = ("alphapulse", "ringstat")
SHELLS = ("bash", "zsh", "fish")


@click.command("completion", epilog="Example:  alphapulse completion bash >> ~/.bashrc")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print what SHELL has to read for completing the lines of `alphapulse` and `ringstat`.

    Commands, options, their choices and the names of rings are completed.  Each completion asks the program itself.
    """
    from click.shell_completion import get_completion_class

    form = get_completion_class(shell)
    assert form is not None  # the three are click's own
    for program in PROGRAMS:
        click.echo(form(group, {}, program, complete_variable(program)).source())
