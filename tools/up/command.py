"""`alphapulse up`: start what a configuration names, and restart what dies.

Owns the command line and the first line.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from tools.command.config_option import config_option
from tools.command.interrupt import Interrupt
from tools.command.needs import needs
from tools.command.say import say
from tools.command.supervisor import Interrupted, child_environment
from tools.up.beginning import begin, checked_configuration
from tools.up.claimed import require_unclaimed
from tools.up.kernels import compile_kernels
from tools.up.plan import MIB, UpOptions
from tools.up.run_directory import RunDirectory


@click.command("up", epilog="Example:  alphapulse up -c alphapulse.toml --detach")
@config_option()
@needs("supervisor")
@click.option("--detach", is_flag=True, help="Leave it running; `alphapulse down` ends it.")
@click.option(
    "--restarts",
    default=10,
    show_default=True,
    type=click.IntRange(0, 1000),
    help="Starts in a row that may fail, each 1 s later than the one before; then the process counts as failed.",
)
@click.option(
    "--settle",
    default=10,
    show_default=True,
    type=click.IntRange(1, 600),
    metavar="SECONDS",
    help="A process that lives so long has started; one that ends earlier has failed to.",
)
@click.option(
    "--grace",
    default=10,
    show_default=True,
    type=click.IntRange(1, 600),
    metavar="SECONDS",
    help="From SIGTERM to SIGKILL when a process is to end.",
)
@click.option(
    "--log-mib", default=8.0, show_default=True, type=click.FloatRange(0.01, 1024), help="Size of one log file."
)
@click.option(
    "--log-files", default=4, show_default=True, type=click.IntRange(1, 100), help="Of each process; the oldest goes."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def command(
    config: Path, detach: bool, restarts: int, settle: int, grace: int, log_mib: float, log_files: int, as_json: bool
) -> int:
    """Run a process for each section of the configuration, in any order, until Ctrl-C or `alphapulse down`.

    One that dies is started again; one that dies at once, again and again, is given up, told with its last lines, and
    harms no other.  `alphapulse status` shows them all, `logs` what they print, `restart` starts one anew.  The whole
    configuration is checked first, and nothing starts if anything is wrong with it.
    """
    RunDirectory.of(config).require_free()
    environment = child_environment({})
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # of this process alone: it looks at rings, and runs none
    configuration = checked_configuration(config, environment)
    require_unclaimed(config, configuration)
    limits = UpOptions(restarts, settle, grace, int(log_mib * MIB), log_files)
    with Interrupt() as asked:
        try:
            compile_kernels("up", asked)
        except Interrupted:
            return 130
        started = begin(config, configuration, limits, environment, detach=detach)
        names = list(configuration.processes)
        pid, directory = started.process.pid, str(started.place.directory)
        line = {"ready": True, "processes": names, "supervisor": pid, "directory": directory}
        say(line, f"{config} is up: {', '.join(names)}; supervisor pid {pid}, logs in {directory}/logs", as_json)
        if detach:
            return 0
        from tools.up.following import follow

        return follow(started, asked, as_json)
