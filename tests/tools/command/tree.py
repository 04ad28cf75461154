"""Every command there is, by its words: what all of them must have is asked of each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

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
sys.argv[1:] = {arguments!r}
from {module} import main
main()
"""
HELPS = """
import contextlib, io, json
from tools.command.main import main
from tools.ringstat import main as ringstat
found, known = [], set()
for program, *words in {every!r}:
    sys.argv[1:] = [*words, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as text:
        try:
            (ringstat if program == "ringstat" else main)()
        except SystemExit as ended:
            code = ended.code
    imported = sorted(set(sys.modules) - known)
    known.update(imported)
    found.append((code, text.getvalue(), imported))
print(json.dumps(found))
"""


class Help(NamedTuple):
    """What a command did for `--help`."""

    code: int
    text: str
    imported: list[str]
    """The modules that no help before it had imported."""


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


def every_help(*, missing: tuple[str, ...]) -> dict[tuple[str, ...], Help]:
    """The help of each command, asked for in one process, as on a machine that lacks the libraries `missing`."""
    script = WITHOUT_LIBRARIES.format(missing=missing) + HELPS.format(every=list(EVERY))
    ended = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, timeout=120, check=True)
    return {words: Help(*found) for words, found in zip(EVERY, json.loads(ended.stdout), strict=True)}
