"""`alphapulse demo`: the whole pipeline on real data, in one terminal.

Owns the order of steps: warm the kernels, start the processes, show them, stop them, remove what they made.  `plan` has
the processes, `view` the picture, `tools.command.supervisor` starts and stops.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tools.command.given import refuse_without_effect
from tools.command.interrupt import Interrupt
from tools.command.supervisor import Interrupted, Supervisor
from tools.demo.home import Home, move_in
from tools.demo.plan import READERS, start_all
from tools.demo.report import report
from tools.node import speed_of
from tools.ringstat import look, look_at_all

if TYPE_CHECKING:
    from tools.demo.view import Picture

GLANCE_S = 0.05
DRAW_S = 0.25
PLAIN_S = 1.0
ERASE_TO_END = "\x1b[K"
"""ECMA-48 EL: a shorter line leaves nothing of the longer one that it overwrites."""


@click.command("demo", epilog="Example:  alphapulse demo --speed max --exit --json")
@click.option(
    "--recording",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of a recording; without it, the bundled Polygon sessions.",
)
@click.option(
    "--speed", default="1", show_default=True, metavar="NUMBER|max", help="Times the recorded pace, or max: no pauses."
)
@click.option("--exit", "leave", is_flag=True, help="End when the recording ends.")
@click.option("--json", "as_json", is_flag=True, help="No picture; print one JSON object at the end.")
@click.option("--plain", is_flag=True, help="One line a second instead of a picture.")
@click.option("--keep", is_flag=True, help="Leave rings, journal and output until the next demo.")
def command(recording: Path | None, speed: str, leave: bool, as_json: bool, plain: bool, keep: bool) -> int:
    """Run node, collector, strategy, recorder and relays as processes, and show what goes through them.

    The node replays a recording of real Polygon blocks, reorgs included, over a real WebSocket; nothing needs a network
    or an account.  Ctrl-C stops everything and removes every ring.
    """
    speed_of(speed)
    if as_json:
        refuse_without_effect("with --json", "--plain")
    plain = plain or as_json or not sys.stdout.isatty()
    with Interrupt() as interrupt, move_in(keep=keep) as home, Supervisor(home.output, interrupt) as supervisor:
        with contextlib.suppress(Interrupted):
            warm_up(supervisor)
            start_all(supervisor, home, recording, speed, leave=leave)
            watch(supervisor, home, speed, leave=leave, plain=plain)
            supervisor.wait_for(*READERS)
        say("stopping ...")
        supervisor.stop(tuple(name for name in supervisor.children if name not in READERS), READERS)
        if as_json and home.stats("strategy").exists():
            click.echo(json.dumps(report(home, look(home.market), supervisor.children["recorder"])))
        if keep:
            say(f"kept: rings {', '.join(home.rings)}; journal and output in {home.directory}")
        return 130 if leave and interrupt() else 0


def warm_up(supervisor: Supervisor) -> None:
    """Compile every kernel in one process first, so that five processes do not compile them at once."""
    child = supervisor.launch("warm", ["warm", "--json"], may_end=True)
    due = time.monotonic()
    while child.process.poll() is None:
        supervisor.pause()
        lines = child.lines()
        if lines and time.monotonic() >= due:
            due = time.monotonic() + (DRAW_S if sys.stderr.isatty() else PLAIN_S)
            state = json.loads(lines[-1])
            say(f"compiling kernels {state['ready']}/{state['kernels']} ...", replace=True)
    supervisor.check()
    say(f"{json.loads(child.lines()[-1])['kernels']} kernels are ready")


def watch(supervisor: Supervisor, home: Home, speed: str, *, leave: bool, plain: bool) -> None:
    """Show the pipeline until the user stops it, or with `leave` until the collector is done."""
    from tools.demo.view import Picture
    from tools.demo.watch import PipelineView

    seen = PipelineView.attach(*home.rings)
    picture = Picture(home, seen, supervisor, speed)
    collector, node = supervisor.children["collector"].process, supervisor.children["node"]
    every_s = PLAIN_S if plain else DRAW_S
    due = time.monotonic()
    with contextlib.closing(seen), screen(picture, plain=plain) as draw:
        while not (leave and collector.poll() is not None):
            seen.glance()
            if time.monotonic() >= due:
                due += every_s
                picture.rings = look_at_all(home.rings, picture.rings, every_s)
                picture.ended = len(node.lines()) > 1
                draw()
            supervisor.pause(GLANCE_S)
        while seen.glance():
            supervisor.check()
        draw()


@contextlib.contextmanager
def screen(picture: Picture, *, plain: bool) -> Iterator[Callable[[], None]]:
    """A function that draws the picture as it is now."""
    if plain:
        yield lambda: say(picture.line())
        return
    from rich.live import Live

    with Live(picture, auto_refresh=False) as live:
        yield live.refresh


def say(line: str, *, replace: bool = False) -> None:
    """A line on stderr; stdout is for the result.  `replace` lets the next line overwrite it."""
    terminal = sys.stderr.isatty()
    ending = "\r" if replace and terminal else "\n"
    print(f"{line}{ERASE_TO_END if terminal else ''}", end=ending, file=sys.stderr, flush=True)
