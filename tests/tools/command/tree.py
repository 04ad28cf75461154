"""Every command there is, by its words: what all of them must have is asked of each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import click

from tools.command.every_command import equip
from tools.command.main import group
from tools.ringstat import command as ringstat
from tools.ringstat_gc import command as ringstat_gc

WITHOUT_LIBRARIES = """
import sys
from importlib.abc import MetaPathFinder
class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""
RUN = """
import atexit, sys
sys.argv[1:] = {arguments!r}
atexit.register(lambda: print("imported:", *sys.modules, file=sys.stderr))
from {module} import main
main()
"""


def commands_below(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """A command and all below it."""
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands_below(below, (*words, name))


def every_command() -> dict[tuple[str, ...], click.Command]:
    """From `("alphapulse", "journal", "verify")` to the command."""
    found = dict(commands_below(equip(group), ("alphapulse",)))
    return found | {("ringstat",): equip(ringstat), ("ringstat", "gc"): equip(ringstat_gc)}


EVERY = every_command()


def run(*words: str, missing: tuple[str, ...] = (), **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in a process of its own, as on a machine that lacks the libraries `missing`."""
    module = "tools.ringstat" if words[0] == "ringstat" else "tools.command.main"
    script = WITHOUT_LIBRARIES.format(missing=missing) + RUN.format(arguments=list(words[1:]), module=module)
    environment = {name: value for name, value in os.environ.items() if name not in settings} | settings
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, env=environment, check=False
    )


def imported(ended: subprocess.CompletedProcess[str]) -> set[str]:
    """The top packages that it had imported at its end."""
    return {name.partition(".")[0] for name in ended.stderr.splitlines()[-1].split()[1:]}
