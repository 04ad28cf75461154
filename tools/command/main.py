"""The `alphapulse` command: a group whose commands are imported only when they are called.

Owns the table of commands, and how a failure is shown: one line on stderr and an exit code, and a traceback only for a
defect.  It must never import numba or a package that does: `alphapulse --help` answers at once.

    exit code   0 done   1 failed or unhealthy   2 the command line is wrong   3 done, but frames were lost (strategy)
                130 interrupted
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from tlv.errors import AlphaPulseError, SegmentError, UsageError
from tools.command.environment import settings_environment
from tools.command.lazy import LazyGroup, defaults_of
from tools.command.log_options import log_options
from tools.command.parent import die_with_parent
from tools.command.sections import SECTIONS
from tools.command.stderr_log import HANDLER, set_up_logging, tell_operator

COMMANDS = {
    "up": ("tools.up.command", "Run the processes that a configuration names, and restart what dies."),
    "down": ("tools.up.down", "End them; with --purge remove what they left."),
    "restart": ("tools.up.restart", "End one of them and start it anew."),
    "logs": ("tools.up.logs", "Show what they print."),
    "run": ("tools.up.run", "Run one of them in the foreground."),
    "units": ("tools.units.command", "Write systemd units for a configuration."),
    "init": ("tools.init.command", "Write a configuration for a chain and an endpoint, and check both."),
    "demo": ("tools.demo.command", "The whole pipeline on a recording of real Polygon blocks, live in this terminal."),
    "node": ("tools.node", "Serve a recording as a JSON-RPC node over WebSocket and HTTP."),
    "collect": ("tools.collect", "Read DEX events from a node and publish them in a ring."),
    "strategy": ("tools.strategy", "Look for arbitrage in a ring and publish signals."),
    "anomalies": ("tools.anomalies", "Look for what is not as usual in a ring or a journal, and publish it."),
    "relay": ("tools.relay", "Serve rings to other processes over a Unix socket."),
    "record": ("tools.record", "Append every frame of a ring to a journal."),
    "replay": ("tools.replay", "Publish a journal into a ring."),
    "dump": ("tools.dump", "Print the messages of a ring, a relay or a journal."),
    "decode": ("tools.decode", "Decode a file of logs, as eth_getLogs gives them."),
    "bridge": ("tools.bridge", "Carry a ring to other hosts through NATS JetStream."),
    "export": ("tools.export", "Write a journal as Parquet."),
    "journal": ("tools.journal", "Verify, describe, cut, merge or split a journal."),
    "status": ("tools.status", "Say which processes, rings and relays exist and whether they are well."),
    "obs": ("tools.obs.command", "Serve metrics, health and JSON about the pipeline over HTTP."),
    "trace": ("tools.trace.command", "Show an event's way with its times, and name the slowest hop."),
    "layout": ("tools.layout", "Print the wire format."),
    "bench": ("tools.bench.command", "Measure every part against a baseline in the same run."),
    "prove": ("tools.prove.command", "Run the fault campaigns and say what was survived."),
    "warm": ("tools.warm", "Compile every kernel, so that later starts find them cached."),
    "validate": ("tools.validate.command", "Collect from a node for a while, and hold every event against the node."),
    "doctor": ("tools.doctor.command", "Check this machine, and whether a node can feed a collector."),
    "chain": ("tools.chain.command", "Write the file of a chain of your own, and prove it against a node."),
    "config": ("tools.config", "Check or show a configuration, or print all its keys."),
    "completion": ("tools.completion", "Print what makes a shell complete commands, options and rings."),
}
"""Module and one-line help of each command.  The help is here so that the list needs no import."""
MOST_RINGS = 8
"""Named in an error."""


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Example:  alphapulse demo --speed max --exit --json",
)
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="TOML file with a section for each command (alphapulse config reference).",
)
@click.option("--process", metavar="NAME", help="Which of several of a section is meant, as `up` does: relay.signal.")
@log_options
@click.version_option(package_name="alphapulse", prog_name="alphapulse")
@click.pass_context
def group(ctx: click.Context, config: Path | None, process: str | None) -> None:
    """AlphaPulse: DEX events from a node to a lock-free ring in shared memory, and on to every consumer.

    A setting comes from the command line, else from the environment (ALPHAPULSE__COLLECTOR__URL), else from the file.
    """
    from tools.command.config import load_config, nested

    name = str(ctx.invoked_subcommand)
    HANDLER.shape(process=process or name)
    if any(kind.runs and kind.command.partition(" ")[0] == name for kind in SECTIONS.values()):
        HANDLER.prepare()
    # click has resolved the command before this runs, so its options get their defaults here.
    settings = nested(load_config(config, settings_environment(os.environ)).settings(process))
    command = group.get_command(ctx, name)
    if command is not None and name in settings:
        settings[name] = defaults_of(command, settings[name])
    ctx.default_map = settings


def main() -> NoReturn:
    """Entry point of the console script; turns every ending into an exit code."""
    die_with_parent(os.environ)
    run_command(group, "alphapulse")


def run_command(command: click.Command, name: str) -> NoReturn:
    """Run `command` on the process's arguments and exit as the table in this file's docstring says."""
    set_up_logging(name)
    try:
        code = invoke(command, name)
        sys.stdout.flush()
        sys.exit(code)
    except (click.exceptions.Abort, KeyboardInterrupt):
        sys.exit(130)
    except click.ClickException as error:
        message = io.StringIO()
        error.show(message)  # it quotes arguments, among them a URL given where none is expected
        tell_operator(message.getvalue(), error.format_message())
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output ended (`| head`): no error, and Python must not flush into the pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except AlphaPulseError as error:
        text = f"{error}{rings_there(error)}"
        tell_operator(f"{name}: error: {text}", text)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except OSError as error:
        tell_operator(f"{name}: error: {describe(error)}", describe(error))
        sys.exit(1)


def invoke(command: click.Command, name: str) -> int:
    """`command.main` without click's handling of a closed pipe (exit code 1) and of Ctrl-C (an empty line)."""
    asked = os.environ.get(complete_variable(name))
    if asked:
        os.environ["NUMBA_DISABLE_JIT"] = "1"  # names of rings are asked for, and nothing is computed
        from click.shell_completion import shell_complete

        return shell_complete(command, {}, name, complete_variable(name), asked)
    try:
        with command.make_context(name, sys.argv[1:]) as ctx:
            code = command.invoke(ctx)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    return code if isinstance(code, int) else 0


def rings_there(error: AlphaPulseError) -> str:
    """Behind an error about a ring that is not there: which are."""
    if not isinstance(error, SegmentError):
        return ""
    from ringbuf import RingNotFound, list_rings

    if not isinstance(error, RingNotFound):
        return ""
    there = list_rings()
    more = f" and {len(there) - MOST_RINGS} more" if len(there) > MOST_RINGS else ""
    return f" (there: {', '.join(there[:MOST_RINGS]) or 'no ring'}{more})"


def complete_variable(name: str) -> str:
    """The variable by which a shell asks for completions of a command's line, as click has it."""
    return f"_{name.upper().replace(' ', '_')}_COMPLETE"


def describe(error: OSError) -> str:
    """An operating-system error as one line that names the file, if one is known."""
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}"


if __name__ == "__main__":
    main()
