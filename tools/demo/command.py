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

from consumers.extras import EXTRAS, installing
from tools.command.given import refuse_without_effect
from tools.command.interrupt import Interrupt
from tools.command.needs import is_installed, needs
from tools.command.printable import printable
from tools.command.supervisor import Interrupted
from tools.demo.home import Home, move_in
from tools.demo.plan import (
    COLLECTOR,
    EXECUTE,
    NODE,
    OBS,
    READERS,
    RECORDER,
    SPEED,
    STRATEGY,
    Run,
    arguments,
    settings,
)
from tools.demo.report import report, summary
from tools.node import speed_of
from tools.ringstat import look, look_at_all
from tools.up.kernels import compile_kernels

if TYPE_CHECKING:
    from tools.demo.pipeline import Pipeline
    from tools.demo.view import Picture

GLANCE_S = 0.05
DRAW_S = 0.25
LOOK_S = 1.0
"""Between two looks at rings and processes; where one of them may end, they are looked at as often as drawn."""
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
    default=SPEED,
    show_default=True,
    metavar="NUMBER|max",
    callback=checked_speed,
    help="Times the recorded pace, or max: no pauses.",
)
@click.option(
    "--first-block",
    type=click.IntRange(0),
    metavar="NUMBER",
    help="Begin at this block.  [default: shortly before a gap, a reorg and a signal; at max the first one]",
)
@click.option("--exit", "leave", is_flag=True, help="End when the recording ends, instead of going on with it.")
@click.option("--json", "as_json", is_flag=True, help="No picture; print one JSON object at the end.")
@click.option("--plain", is_flag=True, help="Lines instead of a picture, as where stdout is no terminal.")
@click.option("--dashboard/--no-dashboard", default=True, help="Serve the dashboard too (the extra `obs`).")
@click.option("--keep", is_flag=True, help="Leave rings, journal and output until the next demo.")
@needs("supervisor")
def command(
    recording: Path | None,
    speed: str,
    first_block: int | None,
    leave: bool,
    as_json: bool,
    plain: bool,
    dashboard: bool,
    keep: bool,
) -> int:
    """Run node, collector, strategy, paper executor, recorder, relays and dashboard, and show what goes through them.

    The node replays a recording of real Polygon blocks, reorgs included, over a real WebSocket; nothing needs a network
    or an account.  At a pace it goes on for ever: with the same blocks, renumbered as later ones.  It is an `up` of its
    own configuration: `alphapulse status` shows its processes, and one that dies is started again.  Ctrl-C stops
    everything, prints a summary and removes every ring.
    """
    from tools.command.terminal import is_screen
    from tools.demo.pipeline import running

    if as_json:
        refuse_without_effect("with --json", "--plain")
    served = dashboard and all(is_installed(library) for library, extra in EXTRAS.items() if extra == "obs")
    run = Run(recording, speed, first_block, leave, served)
    plain = plain or as_json or not is_screen()
    with Interrupt() as asked, move_in(keep=keep) as home:
        processes, options = settings(home, run), arguments(home, run)
        address = f"http://127.0.0.1:{processes[OBS]['port']}/" if run.dashboard else None
        without = f"none (it needs the extra `obs`: {installing('obs')})" if dashboard else "none"
        with contextlib.suppress(Interrupted):
            compile_kernels("demo", asked)
            with running(home, processes, options, asked) as pipeline:
                with contextlib.suppress(Interrupted):
                    begin_together(pipeline, options)
                    watch(pipeline, home, run, address or without, plain=plain)
                say("stopping ...")
        # A process that was killed has not said what it counted.
        if all(home.stats(name).exists() for name in (COLLECTOR, STRATEGY, EXECUTE)):
            for recorded in [line for line in pipeline.lines(RECORDER) if "lost" in line][-1:]:
                found = report(home, look(home.market), recorded)
                click.echo(json.dumps(found | {"dashboard": address}) if as_json else summary(found))
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


def watch(pipeline: Pipeline, home: Home, run: Run, dashboard: str, *, plain: bool) -> None:
    """Show the pipeline until the user stops it, or with `leave` until the collector is done and all is read."""
    from tools.demo.pipeline import ENDED
    from tools.demo.view import Picture
    from tools.demo.watch import PipelineView

    seen = PipelineView.attach(*home.rings)
    picture = Picture(home, seen, run.speed, dashboard)
    every_s = LOOK_S if run.goes_on else DRAW_S
    with contextlib.closing(seen), lines(picture) if plain else drawn(picture) as show:
        due = time.monotonic()
        while not (run.leave and any(one.name == COLLECTOR and one.state == ENDED for one in picture.processes)):
            seen.glance()
            if time.monotonic() >= due:
                due = time.monotonic() + every_s
                picture.rings = look_at_all(home.rings, picture.rings, every_s)
                picture.processes = pipeline.look()
                picture.ended = len(pipeline.lines(NODE)) > 1
            show()
            pipeline.pause(GLANCE_S)
        while seen.glance() or not pipeline.has_ended(*READERS):
            pipeline.pause(GLANCE_S)
        show()


@contextlib.contextmanager
def lines(picture: Picture) -> Iterator[Callable[[], None]]:
    """A function that says what is new: signals and what became of them, reorgs, gaps; the counters each second."""
    say(f"dashboard  {picture.dashboard}")
    due = time.monotonic()

    def show() -> None:
        nonlocal due
        for news in picture.watch.take_news():
            say(printable(str(news)))
        if time.monotonic() >= due:
            due = time.monotonic() + PLAIN_S
            say(picture.line())

    yield show
    say(picture.line())


@contextlib.contextmanager
def drawn(picture: Picture) -> Iterator[Callable[[], None]]:
    """A function that draws the picture, if it is time or the terminal has another size."""
    from tools.command.terminal import Screen

    due = time.monotonic()
    with Screen(picture.lines) as screen:

        def show() -> None:
            nonlocal due
            if time.monotonic() >= due or screen.is_resized:
                due = time.monotonic() + DRAW_S
                screen.draw()

        yield show


def say(line: str) -> None:
    """A line on stderr; stdout is for the result."""
    print(line, file=sys.stderr, flush=True)
