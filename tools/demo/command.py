"""`alphapulse demo`: the whole pipeline on real data, in one terminal.

Owns the order of steps: warm the kernels, start the processes, show them, stop them, remove what they made.  `plan` has
the configuration, `pipeline` runs it as `alphapulse up` would, `view` has the picture.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tools.command.given import refuse_without_effect
from tools.command.interrupt import Interrupt
from tools.command.needs import needs
from tools.command.ports import free_port
from tools.command.supervisor import Interrupted
from tools.demo.home import Home, move_in
from tools.demo.plan import COLLECTOR, NODE, READERS, RECORDER, STRATEGY, arguments, settings
from tools.demo.report import report
from tools.node import speed_of
from tools.ringstat import look, look_at_all
from tools.up.kernels import compile_kernels

if TYPE_CHECKING:
    from tools.demo.pipeline import Pipeline
    from tools.demo.view import Picture

GLANCE_S = 0.05
DRAW_S = 0.25
PLAIN_S = 1.0


def checked_speed(_: click.Context, __: click.Parameter, speed: str) -> str:
    """The text, as the node takes it, if it is a speed."""
    speed_of(speed)
    return speed


@click.command("demo", epilog="Example:  alphapulse demo --speed max --exit --json")
@click.option(
    "--recording",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of a recording; without it, the bundled Polygon sessions.",
)
@click.option(
    "--speed",
    default="1",
    show_default=True,
    metavar="NUMBER|max",
    callback=checked_speed,
    help="Times the recorded pace, or max: no pauses.",
)
@click.option("--exit", "leave", is_flag=True, help="End when the recording ends.")
@click.option("--json", "as_json", is_flag=True, help="No picture; print one JSON object at the end.")
@click.option("--plain", is_flag=True, help="One line a second instead of a picture.")
@click.option("--keep", is_flag=True, help="Leave rings, journal and output until the next demo.")
@needs("supervisor")
def command(recording: Path | None, speed: str, leave: bool, as_json: bool, plain: bool, keep: bool) -> int:
    """Run node, collector, strategy, recorder and relays as processes, and show what goes through them.

    The node replays a recording of real Polygon blocks, reorgs included, over a real WebSocket; nothing needs a network
    or an account.  It is an `up` of its own configuration: `alphapulse status` shows its processes, and one that dies
    is started again.  Ctrl-C stops everything and removes every ring.
    """
    from tools.demo.pipeline import running

    if as_json:
        refuse_without_effect("with --json", "--plain")
    plain = plain or as_json or not sys.stdout.isatty()
    with Interrupt() as asked, move_in(keep=keep) as home:
        options = arguments(home, recording, speed, leave=leave)
        with contextlib.suppress(Interrupted):
            compile_kernels("demo", asked)
            with running(home, settings(home, free_port(), speed), options, asked) as pipeline:
                with contextlib.suppress(Interrupted):
                    begin_together(pipeline, options)
                    watch(pipeline, home, speed, leave=leave, plain=plain)
                say("stopping ...")
        if as_json and home.stats(STRATEGY).exists():
            click.echo(json.dumps(report(home, look(home.market), pipeline.lines(RECORDER)[-1])))
        if keep:
            say(f"kept: rings {', '.join(home.rings)}; journal and output in {home.directory}")
    return 130 if leave and asked() else 0


def begin_together(pipeline: Pipeline, processes: Iterable[str]) -> None:
    """Start every process; the recording begins when all of them listen.

    The node's clock starts with the first subscription, so it is stopped until then: otherwise the first signals would
    measure how long the strategy took to start.
    """
    pipeline.start(NODE)
    pipeline.signal(NODE, signal.SIGSTOP)
    try:
        pipeline.start(*(name for name in processes if name != NODE))
    finally:
        pipeline.signal(NODE, signal.SIGCONT)


def watch(pipeline: Pipeline, home: Home, speed: str, *, leave: bool, plain: bool) -> None:
    """Show the pipeline until the user stops it, or with `leave` until the collector is done and all is read."""
    from tools.demo.view import Picture
    from tools.demo.watch import PipelineView

    seen = PipelineView.attach(*home.rings)
    picture = Picture(home, seen, speed)
    every_s = PLAIN_S if plain else DRAW_S
    due = time.monotonic()
    with contextlib.closing(seen), screen(picture, plain=plain) as draw:
        while not (leave and pipeline.has_ended(COLLECTOR)):
            seen.glance()
            if time.monotonic() >= due:
                due += every_s
                picture.rings = look_at_all(home.rings, picture.rings, every_s)
                picture.processes = pipeline.look()
                picture.ended = len(pipeline.lines(NODE)) > 1
                draw()
            pipeline.pause(GLANCE_S)
        while seen.glance() or not pipeline.has_ended(*READERS):
            pipeline.pause(GLANCE_S)
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


def say(line: str) -> None:
    """A line on stderr; stdout is for the result."""
    print(line, file=sys.stderr, flush=True)
