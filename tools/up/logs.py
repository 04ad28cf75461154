"""`alphapulse logs`: what the processes of an `up` print.

Owns which files are shown.  It reads files only, so it shows the last words of a pipeline that is gone.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from tlv.errors import UsageError
from tlv.nearest import did_you_mean
from tools.command.completing import complete_process
from tools.command.config import load_config
from tools.command.config_option import config_option
from tools.command.interrupt import Interrupt
from tools.up.rotated import FollowedLog, last_lines
from tools.up.run_directory import NotUp, RunDirectory

LOOK_S = 0.2
SUPERVISOR = "supervisord"


@click.command("logs", epilog="Example:  alphapulse logs -f collector")
@click.argument("name", required=False, shell_complete=complete_process)
@config_option()
@click.option("-f", "--follow", is_flag=True, help="Go on with what is printed from now on, until Ctrl-C.")
@click.option("--names/--no-names", default=True, show_default=True, help="Without NAME: each line behind its name.")
@click.option(
    "-n", "--lines", default=20, show_default=True, type=click.IntRange(0, 100_000), help="Of what was printed before."
)
def command(name: str | None, config: Path, follow: bool, names: bool, lines: int) -> None:
    """Show what the process NAME printed; without NAME every process.

    `supervisord` is a name too: who started when, and how it ended.
    """
    place = RunDirectory.of(config)
    if not place.settings.exists():
        raise NotUp(f"{config} was never up here, or was purged: `alphapulse up` starts it")
    files = {one: place.log_of(one) for one in load_config(place.settings, {}).processes}
    files[SUPERVISOR] = place.supervisord_log
    if name is not None and name not in files:
        raise UsageError(f"no process {name!r}{did_you_mean(name, files)} (there: {', '.join(files)})")
    chosen = files if name is None else {name: files[name]}
    width = max(map(len, chosen)) if name is None and names else 0
    prefixes = {one: one.ljust(width) + " | " if width else "" for one in chosen}
    with Interrupt() as asked:
        # First: what comes meanwhile is shown twice rather than never.
        followed = {one: FollowedLog(path) for one, path in chosen.items()}
        for one, path in chosen.items():
            for line in last_lines(path, lines) if lines else ():
                show(prefixes[one] + line)
        while follow and not asked():
            for one, log in followed.items():
                for line in log.new_lines():
                    show(prefixes[one] + line)
            time.sleep(LOOK_S)


def show(line: str) -> None:
    """A line on stdout, at once."""
    click.echo(line)
    sys.stdout.flush()
