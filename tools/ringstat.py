"""`ringstat`: how the rings of this machine are doing.

Owns the picture of a ring for people and programs.  It must never change what it looks at: everything is read from the
read-only header page and from the kernel's locks.

It copies two pages per ring, so it runs the ring's kernels as plain Python: loading their machine code would take
longer than the look itself.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import click
import msgspec

from tlv.errors import SegmentError
from tools.command.completing import complete_ring
from tools.command.given import is_given, refuse_without_effect
from tools.command.log_options import log_options
from tools.command.main import run_command
from tools.command.stderr_log import tell_operator
from tools.feed_stat import FeedStat, look_at_feed

if TYPE_CHECKING:
    from rich.text import Text

    from ringbuf import RingInfo

SILENT_S = 5.0
"""A living writer without publish or heartbeat for so long is shown as silent; it is still the writer."""


@dataclass(frozen=True)
class Consumer:
    """A reliable consumer of a ring."""

    slot: int
    pid: int
    alive: bool
    evicted: bool
    lag_bytes: int
    lag_share: float


@dataclass(frozen=True)
class RingStat:
    """One ring at one moment."""

    name: str
    uuid: str
    writer: str
    """`alive`, `silent`, `closed` or `dead`."""
    writer_pid: int
    epoch: int
    sequence: int
    """Of the last frame; 0 if there is none."""
    frames_per_s: float
    capacity: int
    occupancy: float
    """Share of the capacity that holds frames a reader can still get."""
    publish_age_s: float | None
    heartbeat_age_s: float
    counters: dict[str, int]
    consumers: list[Consumer]
    problem: str
    feed: FeedStat | None
    """Of a collector's ring, what its newest heartbeat says."""

    @property
    def healthy(self) -> bool:
        """Whether nothing needs a person."""
        return not self.problem


def look(name: str, before: RingStat | None = None, elapsed_s: float = 0.0) -> RingStat:
    """The ring `name` now; the rate is that since `before`, `elapsed_s` seconds ago.

    Raises:
        SegmentError: there is no such ring, or none that this build can read.
    """
    from ringbuf import RingInfo

    return stat_of_ring(RingInfo.read(name), look_at_feed(name), before, elapsed_s)


def stat_of_ring(info: RingInfo, feed: FeedStat | None, before: RingStat | None, elapsed_s: float) -> RingStat:
    """The same from what was read."""
    sequence = info.next_sequence - 1
    same = before is not None and before.uuid == info.identity.uuid.hex()
    rate = (sequence - before.sequence) / elapsed_s if same and before and elapsed_s > 0 else 0.0
    capacity = info.identity.capacity
    return RingStat(
        name=info.name,
        uuid=info.identity.uuid.hex(),
        writer=writer_state(info),
        writer_pid=info.writer_pid,
        epoch=info.epoch,
        sequence=sequence,
        frames_per_s=rate,
        capacity=capacity,
        occupancy=min(info.tail, capacity) / capacity,
        publish_age_s=info.publish_age_s if info.publish_age_s != float("inf") else None,
        heartbeat_age_s=info.heartbeat_age_s,
        counters=info.counters,
        consumers=[
            Consumer(slot.slot, slot.pid, slot.alive, slot.evicted, slot.lag_bytes, slot.lag_bytes / capacity)
            for slot in info.slots
        ],
        problem=problem_of(info, feed),
        feed=feed,
    )


def writer_state(info: RingInfo) -> str:
    """The kernel's word on the writer, and its own on whether it ended cleanly."""
    if info.closed:
        return "closed"
    if not info.writer_alive:
        return "dead"
    return "silent" if info.heartbeat_age_s > SILENT_S else "alive"


def problem_of(info: RingInfo, feed: FeedStat | None) -> str:
    """What a person should look at; empty if nothing."""
    if not info.closed and not info.writer_alive:
        return f"writer (pid {info.writer_pid}) died without closing the ring"
    evicted = [slot.slot for slot in info.slots if slot.evicted and slot.alive]
    if evicted:
        return f"reliable consumers evicted: slots {', '.join(map(str, evicted))}"
    return feed.problem if feed is not None and not info.closed else ""


def look_at_all(
    names: tuple[str, ...], before: dict[str, RingStat], elapsed_s: float, *, again: bool = False
) -> dict[str, RingStat]:
    """Every named ring, or every ring there is; one that vanishes or is being made meanwhile is left out.

    With `again` that holds for a named one too: it is looked for at every look, and is found when it is made anew.
    """
    if names and not again:
        return {name: look(name, before.get(name), elapsed_s) for name in names}
    from ringbuf import list_rings

    found = {}
    for name in names or list_rings():
        try:
            found[name] = look(name, before.get(name), elapsed_s)
        except SegmentError as error:
            tell_operator(f"ringstat: {error}", str(error), ring=name)
    return found


def looks(names: tuple[str, ...], every_s: float, wait: Callable[[float], None]) -> Iterator[dict[str, RingStat]]:
    """One look after another, for ever."""
    stats: dict[str, RingStat] = {}
    moment = time.monotonic()
    while True:
        now = time.monotonic()
        stats = look_at_all(names, stats, now - moment, again=True)
        moment = now
        yield stats
        wait(every_s)


def as_json(stats: dict[str, RingStat]) -> str:
    """One JSON object on one line."""
    rings: list[dict[str, Any]] = [asdict(stat) | {"healthy": stat.healthy} for stat in stats.values()]
    healthy = all(stat.healthy for stat in stats.values())
    return msgspec.json.encode({"healthy": healthy, "rings": rings}).decode()


def as_table(stats: Iterable[RingStat], width: int | None) -> list[Text]:
    """The same for people: a title line and one for each ring, cut to `width` cells."""
    from tools.command.terminal import TextColumn, table

    columns = (
        TextColumn("ring", least=24),
        TextColumn("writer"),
        TextColumn("feed", rank=2, least=12, prose=True),
        TextColumn("sequence", rank=3, right=True),
        TextColumn("frames/s", rank=1, right=True),
        TextColumn("occupied", rank=4, right=True),
        TextColumn("silent for", rank=5, right=True),
        TextColumn("consumers", rank=6, least=12, prose=True),
        TextColumn("lost back", rank=7, right=True),
        TextColumn("pid", rank=8, right=True),
        TextColumn("MiB", rank=9, right=True),
        TextColumn("epoch", rank=10, right=True),
    )
    stats = list(stats)
    rows = [
        [
            stat.name,
            stat.writer,
            feed_text(stat),
            f"{stat.sequence:,}",
            f"{stat.frames_per_s:,.0f}",
            f"{stat.occupancy:.0%}",
            f"{stat.heartbeat_age_s:.1f} s",
            ", ".join(consumer_text(consumer) for consumer in stat.consumers) or "-",
            f"{stat.counters['back_pressure']}/{stat.counters['dropped']}/{stat.counters['evictions']}",
            str(stat.writer_pid) if stat.writer in {"alive", "silent"} else "-",
            f"{stat.capacity / (1 << 20):g}",
            str(stat.epoch),
        ]
        for stat in stats
    ]
    return table(columns, rows, width, ["bold red" if stat.problem else "" for stat in stats])


def as_picture(stats: dict[str, RingStat], width: int, height: int) -> list[Text]:
    """The rings on a screen of that size: those that need a look come first, with what is wrong in words below."""
    from rich.text import Text

    unwell = [stat for stat in stats.values() if stat.problem]
    head = f"{len(stats)} ring{'' if len(stats) == 1 else 's'}"
    head += f", {len(unwell)} need{'s' if len(unwell) == 1 else ''} a look" if unwell else ", all well" if stats else ""
    title = Text.assemble(("ringstat", "bold"), f"  {head}  ", ("Ctrl-C ends it", "dim"))
    if not stats:
        return [title]
    told = [Text(f"{stat.name}: {stat.problem}", style="bold red") for stat in unwell][: max(height // 4, 1)]
    room = max(height - 2 - len(told), 1)
    ordered = [*unwell, *(stat for stat in stats.values() if not stat.problem)]
    if len(ordered) > room:
        left_out = len(ordered) - room + 1
        told.append(Text(f"and {left_out} more: name those that you want to see", style="dim"))
        ordered = ordered[: room - 1]
    return [title, *as_table(ordered, width), *told]


def feed_text(stat: RingStat) -> str:
    """A collector's feed in a few characters."""
    feed = stat.feed
    if feed is None or stat.writer in {"closed", "dead"}:
        return "-"
    return f"{feed.reason}, head {feed.head_age_s:.0f} s" + (
        f", {feed.blocks_behind} behind" if feed.blocks_behind else ""
    )


def consumer_text(consumer: Consumer) -> str:
    """A reliable consumer in a few characters."""
    state = "evicted" if consumer.evicted else "" if consumer.alive else "dead"
    return f"{consumer.pid}: {consumer.lag_share:.1%} behind{' ' + state if state else ''}"


class WatchCommand(click.Command):
    """A command whose `--watch` is a flag that may be followed by a number of seconds, which no ring's name can be."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read `--watch 0.5` and `--watch=0.5` as `--watch --interval 0.5`."""
        given: list[str] = []
        for arg in args:
            name, equals, value = arg.partition("=")
            if name == "--watch" and equals:
                given += ["--watch", "--interval", value]
            else:
                given += ["--interval", arg] if given[-1:] == ["--watch"] and is_number(arg) else [arg]
        return super().parse_args(ctx, given)


def is_number(text: str) -> bool:
    """Whether it reads as one."""
    try:
        float(text)
    except ValueError:
        return False
    return True


@click.command(
    "ringstat",
    cls=WatchCommand,
    epilog="Example:  ringstat --watch",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_ring)
@click.option("--watch", is_flag=True, help="Look again and again, until Ctrl-C; in a terminal this is the default.")
@click.option(
    "--interval",
    "every_s",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.05),
    metavar="SECONDS",
    help="Between two looks; `--watch SECONDS` is short for both.",
)
@click.option("--once", is_flag=True, help="Look once and leave, as where the output is no terminal.")
@click.option("--json", "json_lines", is_flag=True, help="One JSON object per look.")
@log_options
def command(names: tuple[str, ...], watch: bool, every_s: float, once: bool, json_lines: bool) -> int:
    """Show rings: writer, feed, sequence, rate, occupancy, reliable consumers and counters.

    Without NAME every ring of this user.  The exit code is 1 if a ring needs attention: its writer died without closing
    it, a reliable consumer was evicted, or its collector's feed is dead (no endpoint, no blocks, no heartbeat).
    `ringstat gc` removes what dead processes left (`ringstat gc --help`).
    """
    if once:
        refuse_without_effect("with --once", "--watch", "--interval")
    watch = watch or is_given("--interval") or (sys.stdout.isatty() and not json_lines)
    if once or not watch:
        stats = look_at_all(names, {}, 0.0)
        print_once(stats, json_lines)
    elif json_lines or not is_screen():
        for stats in looks(names, every_s, time.sleep):
            print_once(stats, json_lines)
            sys.stdout.flush()
    else:
        stats = show_live(names, every_s)
    return 0 if all(stat.healthy for stat in stats.values()) else 1


def is_screen() -> bool:
    """Whether stdout is a terminal that can be drawn on; nothing is imported for it where it is none."""
    if not sys.stdout.isatty():
        return False
    from tools.command.terminal import is_screen as is_drawable

    return is_drawable()


def print_once(stats: dict[str, RingStat], json_lines: bool) -> None:
    """One look on stdout; where that is no terminal nothing is cut."""
    if json_lines:
        click.echo(as_json(stats))
        return
    if not stats:
        click.echo("no rings")
        return
    from tools.command.terminal import print_lines, terminal_size

    print_lines(as_table(stats.values(), terminal_size().width if sys.stdout.isatty() else None))
    for stat in stats.values():
        if stat.problem:
            click.echo(f"{stat.name}: {stat.problem}")


def show_live(names: tuple[str, ...], every_s: float) -> dict[str, RingStat]:
    """A picture of the last look until Ctrl-C; returns that look."""
    from tools.command.terminal import Screen

    stats: dict[str, RingStat] = {}
    with (
        contextlib.suppress(KeyboardInterrupt),
        Screen(lambda width, height: as_picture(stats, width, height)) as screen,
    ):
        for now in looks(names, every_s, screen.wait):
            stats = now
            screen.draw()
    return stats


def main() -> NoReturn:
    """Entry point of the console script."""
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    if sys.argv[1:2] == ["gc"]:
        from tools.ringstat_gc import command as collect

        del sys.argv[1]
        run_command(collect, "ringstat gc")
    run_command(command, "ringstat")


if __name__ == "__main__":
    main()
