"""The `alphapulse` command: a group whose commands are imported only when they are called.

Owns the table of commands, and how a failure is shown: one line on stderr and an exit code, and a traceback only for a
defect.  It must never import numba or a package that does: `alphapulse --help` answers at once.

    exit code   0 done   1 failed or unhealthy   2 the command line is wrong   3 done, but frames are missing
                130 interrupted; before a command runs and after it ended the signal itself ends the process
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import gc
import io
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from consumers.extras import missing
from tlv.errors import AlphaPulseError, UsageError
from tools.command.entry import interrupts_end, interrupts_raise
from tools.command.environment import settings_environment, variables
from tools.command.every_command import equip
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
    "market": (
        "tools.market.command",
        "A local node with real contracts and seeded traders: a market to try it all on.",
    ),
    "node": ("tools.node", "Serve a recording as a JSON-RPC node over WebSocket and HTTP."),
    "collect": ("tools.collect", "Read DEX events from a node and publish them in a ring."),
    "strategy": ("tools.strategy", "Look for arbitrage in a ring and publish signals."),
    "new-strategy": ("tools.new_strategy", "Write a strategy's file that runs, to begin your own from."),
    "backtest": ("tools.backtest.command", "Run strategies over a journal, fill their orders on paper, and report."),
    "execute": ("tools.execute", "Fill the orders of strategies on paper."),
    "anomalies": ("tools.anomalies", "Look for what is not as usual in a ring or a journal, and publish it."),
    "relay": ("tools.relay", "Serve rings to other processes over a Unix socket."),
    "record": ("tools.record", "Append every frame of a ring to a journal."),
    "reconcile": ("tools.reconcile", "Execute paper fills by the real contracts, and sum the profit again."),
    "replay": ("tools.replay", "Publish a journal into a ring."),
    "coverage": ("tools.coverage.command", "Say which swaps of a chain were published, and why others were not."),
    "dump": ("tools.dump", "Print the messages of a ring, a relay or a journal."),
    "verify-signal": ("tools.verify_signal", "Recompute arbitrage signals from their own bytes."),
    "decode": ("tools.decode", "Decode a file of logs, as eth_getLogs gives them."),
    "bridge": ("tools.bridge", "Carry a ring to other hosts through NATS JetStream."),
    "export": ("tools.export", "Write a journal as Parquet."),
    "journal": ("tools.journal", "Verify, describe, cut, merge or split a journal."),
    "status": ("tools.status", "Say which processes, rings and relays exist and whether they are well."),
    "obs": ("tools.obs.command", "Serve metrics, health and JSON about the pipeline over HTTP."),
    "trace": ("tools.trace.command", "Show an event's way with its times, and name the slowest hop."),
    "kinds": ("tools.kinds", "Print which pools are covered: kinds, venues, how they are proven and quoted."),
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

HELP = ("-h", "--help")


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    context_settings={"help_option_names": list(HELP), "max_content_width": 110},
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
@click.pass_context
def group(ctx: click.Context, config: Path | None, process: str | None) -> None:
    """AlphaPulse: DEX events from a node to a lock-free ring in shared memory, and on to every consumer.

    A setting comes from the command line, else from the environment (ALPHAPULSE__COLLECTOR__URL), else from the file.
    """
    from tools.command.config import load_config, nested

    name = str(ctx.invoked_subcommand)
    HANDLER.shape(process=process or name)
    if not asks_for_help() and any(kind.runs and kind.command.partition(" ")[0] == name for kind in SECTIONS.values()):
        HANDLER.prepare()
    # click has resolved the command before this runs, so its options get their defaults here.
    settings = nested(load_config(config, settings_environment(os.environ)).settings(process))
    command = group.get_command(ctx, name)
    if command is not None and name in settings:
        settings[name] = defaults_of(command, settings[name])
    ctx.default_map = settings
    interrupts_raise()


def main() -> NoReturn:
    """Run `alphapulse`; turns every ending into an exit code."""
    die_with_parent(os.environ)
    run_command(group, "alphapulse")


def run_command(command: click.Command, name: str) -> NoReturn:
    """Run `command` on the process's arguments and exit as the table in this file's docstring says."""
    set_up_logging(name)
    try:
        code = invoke(equip(command), name)
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
    except ModuleNotFoundError as error:
        if not missing(error.name):
            raise
        tell_operator(f"{name}: error: {missing(error.name)}", missing(error.name))
        sys.exit(2)
    except AlphaPulseError as error:
        tell_operator(f"{name}: error: {error}", str(error))
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except OSError as error:
        tell_operator(f"{name}: error: {describe(error)}", describe(error))
        sys.exit(1)
    finally:
        interrupts_end()
        atexit.unregister(gc.unfreeze)  # what was imported at the start (tlv.jit) is not looked through at the end


def asks_for_help() -> bool:
    """Whether the command line ends with --help: then nothing runs, and nothing is loaded for what would."""
    return sys.argv[-1] in HELP


def refuse_empty(arguments: list[str]) -> None:
    """Refuse an empty word of the command line: it is a variable that is not set, and would be taken for a default.

    Raises:
        UsageError: saying behind which word it stands.
    """
    for place, word in enumerate(arguments):
        option, is_assigned, value = word.partition("=") if word.startswith("--") else ("", "", word)
        if not value and (is_assigned or not option):
            where = option or (arguments[place - 1] if place else "the command")
            raise UsageError(f"{where}: expected a value, found an empty text; is a variable of the shell not set?")


def invoke(command: click.Command, name: str) -> int:
    """`command.main` without click's handling of a closed pipe (exit code 1) and of Ctrl-C (an empty line)."""
    if asks_for_help():
        os.environ["NUMBA_DISABLE_JIT"] = "1"  # importing numba takes longer than all the rest
    asked = os.environ.get(complete_variable(name))
    if asked:
        os.environ["NUMBA_DISABLE_JIT"] = "1"  # names of rings are asked for, and nothing is computed
        from click.shell_completion import shell_complete

        return shell_complete(command, {}, name, complete_variable(name), asked)
    refuse_empty(sys.argv[1:])
    if not isinstance(command, click.Group):
        interrupts_raise()  # a group has its commands to import first
        if not asks_for_help():
            variables(os.environ, None)  # a group reads them with its configuration
    try:
        with command.make_context(name, sys.argv[1:]) as ctx:
            code = command.invoke(ctx)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    return code if isinstance(code, int) else 0


def complete_variable(name: str) -> str:
    """The variable by which a shell asks for completions of a command's line, as click has it."""
    return f"_{name.upper().replace(' ', '_')}_COMPLETE"


def describe(error: OSError) -> str:
    """An operating-system error as one line that names the file, if one is known."""
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}{owner_of(error)}"


def owner_of(error: OSError) -> str:
    """Behind a refusal: whose the file is, or the nearest folder above it, if it is another user's."""
    if error.errno not in (errno.EACCES, errno.EPERM) or not isinstance(error.filename, str):
        return ""
    import pwd

    path = Path(error.filename).absolute()
    for place in (path, *path.parents):
        with contextlib.suppress(OSError, KeyError):
            owner = place.stat().st_uid
            return f"; {place} is user {pwd.getpwuid(owner).pw_name}'s" if owner != os.getuid() else ""
    return ""


if __name__ == "__main__":
    main()
