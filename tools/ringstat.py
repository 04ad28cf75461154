"""`ringstat`: how the rings of this machine are doing.

Owns the picture of a ring for people and programs.  It must never change what it looks at: everything is read from the
read-only header page and from the kernel's locks.

It copies two pages per ring, so it runs the ring's kernels as plain Python: loading their machine code would take
longer than the look itself.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import click
import msgspec

from tlv.errors import SegmentError
from tools.command.completing import complete_ring
from tools.command.given import refuse_without_effect
from tools.command.log_options import log_options
from tools.command.main import run_command
from tools.command.stderr_log import tell_operator
from tools.feed_stat import FeedStat, look_at_feed

if TYPE_CHECKING:
    from rich.table import Table

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


def looks(names: tuple[str, ...], every_s: float) -> Iterator[dict[str, RingStat]]:
    """One look after another, for ever."""
    stats: dict[str, RingStat] = {}
    moment = time.monotonic()
    while True:
        now = time.monotonic()
        stats = look_at_all(names, stats, now - moment, again=True)
        moment = now
        yield stats
        time.sleep(every_s)


def as_json(stats: dict[str, RingStat]) -> str:
    """One JSON object on one line."""
    rings: list[dict[str, Any]] = [asdict(stat) | {"healthy": stat.healthy} for stat in stats.values()]
    healthy = all(stat.healthy for stat in stats.values())
    return msgspec.json.encode({"healthy": healthy, "rings": rings}).decode()


def as_table(stats: dict[str, RingStat]) -> Table:
    """The same for people."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("ring", "writer", "epoch", "feed"):
        table.add_column(column)
    for column in ("sequence", "frames/s", "MiB", "occupied", "silent for", "lost back", "consumers"):
        table.add_column(column, justify="right")
    for stat in stats.values():
        table.add_row(
            stat.name,
            f"{stat.writer} ({stat.writer_pid})" if stat.writer in {"alive", "silent"} else stat.writer,
            str(stat.epoch),
            feed_text(stat),
            f"{stat.sequence:,}",
            f"{stat.frames_per_s:,.0f}",
            f"{stat.capacity / (1 << 20):g}",
            f"{stat.occupancy:.0%}",
            f"{stat.heartbeat_age_s:.1f} s",
            f"{stat.counters['back_pressure']}/{stat.counters['dropped']}/{stat.counters['evictions']}",
            ", ".join(consumer_text(consumer) for consumer in stat.consumers) or "-",
            style="bold red" if stat.problem else "",
        )
    return table


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


@click.command(
    "ringstat", epilog="Example:  ringstat --once --json", context_settings={"help_option_names": ["-h", "--help"]}
)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_ring)
@click.option("--once", is_flag=True, help="Look once and leave (also when the output is no terminal).")
@click.option("--json", "json_lines", is_flag=True, help="One JSON object per look.")
@click.option("--watch", "every_s", type=click.FloatRange(0.05), metavar="S", help="Look every S seconds.")
@log_options
def command(names: tuple[str, ...], once: bool, json_lines: bool, every_s: float | None) -> int:
    """Show rings: writer, feed, sequence, rate, occupancy, reliable consumers and counters.

    Without NAME every ring of this user.  The exit code is 1 if a ring needs attention: its writer died without closing
    it, a reliable consumer was evicted, or its collector's feed is dead (no endpoint, no blocks, no heartbeat).
    `ringstat gc` removes what dead processes left (`ringstat gc --help`).
    """
    if once:
        refuse_without_effect("with --once", "--watch")
    if once or (every_s is None and (json_lines or not sys.stdout.isatty())):
        stats = look_at_all(names, {}, 0.0)
        print_once(stats, json_lines)
    elif json_lines or not sys.stdout.isatty():
        for stats in looks(names, every_s or 1.0):
            print_once(stats, json_lines)
            sys.stdout.flush()
    else:
        stats = show_live(names, every_s or 1.0)
    return 0 if all(stat.healthy for stat in stats.values()) else 1


def print_once(stats: dict[str, RingStat], json_lines: bool) -> None:
    """One look on stdout."""
    if json_lines:
        click.echo(as_json(stats))
        return
    from rich.console import Console

    if not stats:
        click.echo("no rings")
        return
    Console(width=None if sys.stdout.isatty() else 160).print(as_table(stats))
    for stat in stats.values():
        if stat.problem:
            click.echo(f"{stat.name}: {stat.problem}")


def show_live(names: tuple[str, ...], every_s: float) -> dict[str, RingStat]:
    """A table that is redrawn until Ctrl-C; returns the last look."""
    from rich.live import Live

    stats: dict[str, RingStat] = {}
    try:
        with Live(refresh_per_second=4) as live:
            for stats in looks(names, every_s):
                live.update(as_table(stats), refresh=True)
    except KeyboardInterrupt:
        pass
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
