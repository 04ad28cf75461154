"""`alphapulse run NAME`: become one process of a configuration, for whoever else starts and restarts it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from tools.command.completing import complete_process
from tools.command.config import load_config
from tools.command.config_option import config_option
from tools.command.environment import settings_environment
from tools.command.supervisor import command_line


@click.command("run", epilog="Example:  alphapulse run relay.signal -c /etc/alphapulse/alphapulse.toml")
@click.argument("name", shell_complete=complete_process)
@config_option()
def command(name: str, config: Path) -> None:
    """Run the process NAME of the configuration in the foreground, in place of this one.

    What `alphapulse up` does for each, and what the units of `alphapulse units` do, one by one.
    """
    wanted = load_config(config, settings_environment(os.environ)).process(name)
    line = command_line([f"--config={config.absolute()}", f"--process={name}", *wanted.command.split()])
    sys.stdout.flush()
    os.execv(line[0], line)
